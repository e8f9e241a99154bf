#include "coordination/store/versioned_map.h"

#include <set>
#include <utility>

namespace keelson::coordination {
namespace {

std::size_t entry_bytes(std::string_view key, std::string_view value) {
  return key.size() + value.size() + kEntryOverheadBytes;
}

KeyValue to_key_value(const std::string& key, const StoredValue& stored) {
  return KeyValue{key, stored.value, stored.version, stored.create_version};
}

}  // namespace

std::optional<KeyValue> VersionedMap::get(std::string_view key) const {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return std::nullopt;
  return to_key_value(found->first, found->second);
}

std::vector<KeyValue> VersionedMap::list(std::string_view prefix) const {
  std::vector<KeyValue> found;
  for (auto entry = entries_.lower_bound(prefix);
       entry != entries_.end() && entry->first.starts_with(prefix); ++entry) {
    found.push_back(to_key_value(entry->first, entry->second));
  }
  return found;
}

engine::Result<void> VersionedMap::check(const std::vector<Compare>& compares,
                                         const std::vector<KeyWrite>& writes) const {
  using engine::Errc;
  if (compares.size() > kCommitOperationsMax || writes.size() > kCommitOperationsMax) {
    return engine::fail(Errc::invalid_argument);
  }
  std::size_t commit_bytes = 0;
  std::size_t added_bytes = 0;
  std::size_t removed_bytes = 0;
  std::set<std::string_view> written;
  for (const KeyWrite& write : writes) {
    const std::size_t value_bytes = write.value ? write.value->size() : 0;
    if (write.key.empty() || write.key.size() > kKeyBytesMax || value_bytes > kValueBytesMax) {
      return engine::fail(Errc::invalid_argument);
    }
    if (!written.insert(write.key).second) return engine::fail(Errc::invalid_argument);
    commit_bytes += write.key.size() + value_bytes;
    if (write.value) added_bytes += entry_bytes(write.key, *write.value);
    const auto found = entries_.find(write.key);
    if (found != entries_.end()) removed_bytes += entry_bytes(found->first, found->second.value);
  }
  if (commit_bytes > kCommitBytesMax) return engine::fail(Errc::invalid_argument);
  for (const Compare& compare : compares) {
    if (compare.key.empty() || compare.key.size() > kKeyBytesMax) {
      return engine::fail(Errc::invalid_argument);
    }
    const auto found = entries_.find(compare.key);
    const KeyVersion version = found == entries_.end() ? 0 : found->second.version;
    if (version != compare.version) return engine::fail(Errc::conflict);
  }
  // A full store still takes deletions and values that do not grow.
  if (added_bytes > removed_bytes &&
      state_bytes_ + (added_bytes - removed_bytes) > kStateBytesMax) {
    return engine::fail(Errc::no_space);
  }
  return {};
}

std::vector<KeyEvent> VersionedMap::apply(const std::vector<KeyWrite>& writes) {
  ++version_;
  std::vector<KeyEvent> events;
  events.reserve(writes.size());
  for (const KeyWrite& write : writes) {
    const auto found = entries_.find(write.key);
    if (!write.value) {
      if (found == entries_.end()) continue;
      erase(found);
    } else {
      const KeyVersion created = found == entries_.end() ? version_ : found->second.create_version;
      if (found != entries_.end()) erase(found);
      state_bytes_ += entry_bytes(write.key, *write.value);
      entries_.emplace(write.key, StoredValue{*write.value, version_, created, write.leased});
    }
    events.push_back(KeyEvent{write.key, write.value, version_});
  }
  return events;
}

bool VersionedMap::restore(std::string key, StoredValue stored) {
  const std::size_t bytes = entry_bytes(key, stored.value);
  if (!entries_.emplace(std::move(key), std::move(stored)).second) return false;
  state_bytes_ += bytes;
  return true;
}

void VersionedMap::erase(Entries::iterator found) {
  state_bytes_ -= entry_bytes(found->first, found->second.value);
  entries_.erase(found);
}

}  // namespace keelson::coordination
