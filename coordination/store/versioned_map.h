// coordination/store/versioned_map.h: keys, values and versions, as a coordinator keeps them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "plugins/registry/coordinator.h"

namespace keelson::coordination {

// What every backend can take (etcd: 1.5 MB a request, 128 operations a transaction).
inline constexpr std::size_t kKeyBytesMax = 1024;
inline constexpr std::size_t kValueBytesMax = std::size_t{1} << 20;
inline constexpr std::size_t kCommitBytesMax = 3 * (std::size_t{1} << 19);  // keys and values
inline constexpr std::size_t kCommitOperationsMax = 128;  // of compares, and of writes
/// All keys and values together. A controller with 10,000 topics needs some 10 MiB.
inline constexpr std::size_t kStateBytesMax = std::size_t{128} << 20;
/// Per key, for the bookkeeping around it; so that many empty values are bounded too.
inline constexpr std::size_t kEntryOverheadBytes = 64;

struct StoredValue {
  std::string value;
  KeyVersion version = 0;
  KeyVersion create_version = 0;
  bool leased = false;
};

/// The state machine behind `memory` and `local`: what a transaction does to the keys. No I/O.
class VersionedMap {
 public:
  using Entries = std::map<std::string, StoredValue, std::less<>>;

  /// Version of the last write to the store; 0 before the first.
  KeyVersion version() const { return version_; }
  /// Sum over all keys of key, value and kEntryOverheadBytes.
  std::size_t state_bytes() const { return state_bytes_; }
  const Entries& entries() const { return entries_; }

  std::optional<KeyValue> get(std::string_view key) const;
  std::vector<KeyValue> list(std::string_view prefix) const;

  /// Errors: invalid_argument: a bound above is passed, a key is empty or written twice.
  ///         no_space: the state would pass kStateBytesMax. conflict: a compare fails.
  [[nodiscard]] engine::Result<void> check(const std::vector<Compare>& compares,
                                           const std::vector<KeyWrite>& writes) const;

  /// Applies what check() has accepted, as version() + 1; the events of it. Deleting a key that is
  /// not there is no event.
  std::vector<KeyEvent> apply(const std::vector<KeyWrite>& writes);

  /// For loading a snapshot: keys in any order, none twice (false then).
  bool restore(std::string key, StoredValue stored);
  void restore_version(KeyVersion version) { version_ = version; }

 private:
  void erase(Entries::iterator found);

  Entries entries_;
  KeyVersion version_ = 0;
  std::size_t state_bytes_ = 0;
};

}  // namespace keelson::coordination
