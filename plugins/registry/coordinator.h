// plugins/registry/coordinator.h: kind `coordinator`: a small versioned key-value store with
// multi-key compare-and-write, one lease per process, and prefix watches. Knows no topic.
//
// Promises only what every backend can give (a file, etcd, ZooKeeper, Consul). Methods are called
// on shard 0.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/task.h"
#include "plugins/registry/plugin.h"

namespace keelson {

/// Grows with every write to the store; 0 means "the key is absent".
using KeyVersion = std::uint64_t;

struct KeyValue {
  std::string key;
  std::string value;
  KeyVersion version = 0;         // of the last write of this key
  KeyVersion create_version = 0;  // of the write that made it
};

/// True where `key` stands at `version`; with version 0, where it is absent.
struct Compare {
  std::string key;
  KeyVersion version = 0;
};

struct KeyWrite {
  std::string key;
  std::optional<std::string> value;  // nothing: delete
  bool leased = false;               // goes when this process's lease ends
};

/// One notice of a watch. At least once, in version order per key; several writes of a key may be
/// told as the last one.
struct KeyEvent {
  std::string key;
  std::optional<std::string> value;  // nothing: deleted
  KeyVersion version = 0;
};

class Coordinator : public Plugin {
 public:
  static constexpr const char* kKind = "coordinator";

  /// Every key that starts with `prefix`, by key. Linearizable.
  [[nodiscard]] virtual engine::Task<engine::Result<std::vector<KeyValue>>> list(
      std::string prefix) = 0;
  [[nodiscard]] virtual engine::Task<engine::Result<std::optional<KeyValue>>> get(
      std::string key) = 0;

  /// All writes or none, durable at success; the version of the write.
  /// Errors: conflict: a compare failed, nothing was written: re-read and decide again.
  /// outcome_unknown: a time-out or lost reply; re-read before any retry.
  /// invalid_argument: a key or value above the store's bounds; nothing was written.
  /// no_space, io: nothing was written.
  [[nodiscard]] virtual engine::Task<engine::Result<KeyVersion>> commit(
      std::vector<Compare> compares, std::vector<KeyWrite> writes) = 0;

  using WatchCallback = std::move_only_function<void(const std::vector<KeyEvent>&)>;
  class Watch {
   public:
    virtual ~Watch() = default;  // ends it; no callback afterwards
  };
  /// Calls back, on shard 0, for writes after the call. A caller that lists after watching misses
  /// nothing.
  [[nodiscard]] virtual std::unique_ptr<Watch> watch(std::string prefix,
                                                     WatchCallback callback) = 0;

  /// Until when (Clock::now_ns(), which counts suspend) this process's lease surely holds; a far
  /// future where nobody else can take over (`local`).
  virtual std::int64_t lease_deadline_ns() const = 0;
};

}  // namespace keelson
