#include "coordination/controller/cluster_state.h"

#include <charconv>
#include <optional>
#include <utility>

#include "coordination/controller/topic_names.h"
#include "coordination/controller/values.h"
#include "engine/logger.h"

namespace keelson::coordination {
namespace {

std::optional<std::int32_t> parse_number(std::string_view text) {
  std::int32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number < 0) return std::nullopt;
  if (std::to_string(number) != text) return std::nullopt;  // no "+1", no "01"
  return number;
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

/// Reads keys one by one into a state; what belongs together is joined at the end.
class StateReader {
 public:
  explicit StateReader(const ClusterState* known) : known_(known) {}

  /// Nothing where the key was understood or is none of ours.
  std::optional<std::string> read(std::string_view name, const KeyValue& entry) {
    if (name == "meta") return number(entry, state_.meta);
    if (name == "controller/epoch") return number(entry, state_.epoch);
    if (name == "producer_ids") return number(entry, state_.producer_ids);
    if (name == "adopted") return number(entry, state_.adopted);
    if (name == "controller/leader") {
      state_.leader = entry.value;
      state_.leader_version = entry.version;
      return std::nullopt;
    }
    if (take_prefix(name, "topics/")) return topic(name, entry);
    if (take_prefix(name, "topic_names/")) return topic_name(name, entry);
    if (take_prefix(name, "partitions/")) return partition(name, entry);
    if (take_prefix(name, "creating/")) return creating(name, entry);
    if (take_prefix(name, "deleted/")) return deleted(name, entry);
    if (take_prefix(name, "brokers/")) return broker(name, entry);
    if (take_prefix(name, "configs/brokers/")) return broker_settings(name, entry);
    if (take_prefix(name, "configs/groups/")) {
      return settings(entry, state_.group_settings[std::string(name)]);
    }
    return std::nullopt;  // of a plugin or a version that knows more
  }

  std::expected<ClusterState, std::string> finish() {
    for (auto& [id, found] : topics_) {
      auto partitions = partitions_.find(id);
      const auto count = static_cast<std::size_t>(found.value.partition_count);
      // Keys come sorted, so numbers do not: 10 stands before 2.
      std::vector<PartitionView> views(count);
      std::size_t filled = 0;
      if (partitions != partitions_.end()) {
        for (auto& [number, view] : partitions->second) {
          if (static_cast<std::size_t>(number) >= count) continue;
          views[static_cast<std::size_t>(number)] = std::move(view.first);
          ++filled;
        }
      }
      const std::string& name = found.value.name;
      if (filled != count) return unexpected(concat("topic ", name, " lacks partitions"));
      const auto named = names_.find(name);
      if (named == names_.end() || named->second.first != id) {
        return unexpected(concat("topic ", name, " and its name do not agree"));
      }
      if (state_.names.contains(collision_key(name))) {
        return unexpected(concat("topic ", name, " collides with another"));
      }
      state_.add_topic(
          TopicEntry{view_of(id, found, std::move(views)), found.version, named->second.second});
    }
    if (names_.size() != topics_.size()) return unexpected("a topic's name has no topic");
    for (auto& [id, partitions] : partitions_) {
      const auto topic = topics_.find(id);
      for (auto& [number, view] : partitions) {
        if (topic != topics_.end() && number < topic->second.value.partition_count) continue;
        state_.orphans.push_back(std::move(view.second));
      }
    }
    return std::move(state_);
  }

 private:
  struct FoundTopic {
    TopicValue value;
    KeyVersion version = 0;
  };

  template <class... Parts>
  static std::string concat(const Parts&... parts) {
    return engine::concat(parts...);
  }
  static std::unexpected<std::string> unexpected(std::string what) {
    return std::unexpected(std::move(what));
  }
  static std::optional<std::string> bad(const KeyValue& entry) {
    return engine::concat("the value of ", entry.key, " cannot be understood");
  }

  std::shared_ptr<const TopicView> view_of(const engine::Uuid& id, FoundTopic& found,
                                           std::vector<PartitionView> partitions) const {
    auto view = std::make_shared<TopicView>();
    view->name = std::move(found.value.name);
    view->id = id;
    view->internal = found.value.internal;
    view->settings = std::move(found.value.settings);
    view->partitions = std::move(partitions);
    if (known_ == nullptr) return view;
    const auto before = known_->topics.find(id);
    const bool same = before != known_->topics.end() && before->second.version == found.version &&
                      before->second.view->partitions.size() == view->partitions.size();
    // Partitions change through this controller alone, and with their topic's key.
    return same ? before->second.view : view;
  }

  std::optional<std::string> number(const KeyValue& entry, NumberEntry& into) {
    const std::optional<std::int64_t> value = decode_number(entry.value);
    if (!value) return bad(entry);
    into = NumberEntry{*value, entry.version};
    return std::nullopt;
  }

  std::optional<std::string> topic(std::string_view name, const KeyValue& entry) {
    const std::optional<engine::Uuid> id = engine::parse_uuid(name);
    std::optional<TopicValue> value = decode_topic(entry.value);
    if (!id || !value) return bad(entry);
    topics_[*id] = FoundTopic{std::move(*value), entry.version};
    return std::nullopt;
  }

  std::optional<std::string> topic_name(std::string_view name, const KeyValue& entry) {
    const std::optional<engine::Uuid> id = decode_topic_id(entry.value);
    if (!id) return bad(entry);
    names_[std::string(name)] = {*id, entry.version};
    return std::nullopt;
  }

  std::optional<std::string> partition(std::string_view name, const KeyValue& entry) {
    const std::size_t slash = name.find('/');
    if (slash == std::string_view::npos) return bad(entry);
    const std::optional<engine::Uuid> id = engine::parse_uuid(name.substr(0, slash));
    const std::optional<std::int32_t> number = parse_number(name.substr(slash + 1));
    std::optional<PartitionView> value = decode_partition(entry.value);
    if (!id || !number || !value) return bad(entry);
    partitions_[*id].emplace_back(*number, std::pair{std::move(*value), entry.key});
    return std::nullopt;
  }

  std::optional<std::string> creating(std::string_view name, const KeyValue& entry) {
    const std::optional<engine::Uuid> id = engine::parse_uuid(name);
    const std::optional<std::int64_t> first = decode_number(entry.value);
    if (!id || !first || *first > kPartitionsPerTopicMax) return bad(entry);
    state_.creating[*id] = static_cast<std::int32_t>(*first);
    return std::nullopt;
  }

  std::optional<std::string> deleted(std::string_view name, const KeyValue& entry) {
    const std::optional<engine::Uuid> id = engine::parse_uuid(name);
    if (!id || !check_topic_name(entry.value)) return bad(entry);
    state_.deleted[*id] = entry.value;
    return std::nullopt;
  }

  std::optional<std::string> broker(std::string_view name, const KeyValue& entry) {
    const std::optional<std::int32_t> id = parse_number(name);
    std::optional<BrokerValue> value = decode_broker(entry.value);
    if (!id || !value || value->broker.id != *id) return bad(entry);
    state_.brokers[*id] = {std::move(value->broker), entry.version};
    return std::nullopt;
  }

  std::optional<std::string> settings(const KeyValue& entry, SettingsEntry& into) {
    std::optional<Settings> value = decode_settings(entry.value);
    if (!value) return bad(entry);
    into = SettingsEntry{std::move(*value), entry.version};
    return std::nullopt;
  }

  std::optional<std::string> broker_settings(std::string_view name, const KeyValue& entry) {
    if (name == "default") return settings(entry, state_.broker_defaults);
    const std::optional<std::int32_t> id = parse_number(name);
    if (!id) return bad(entry);
    return settings(entry, state_.broker_settings[*id]);
  }

  const ClusterState* const known_;
  ClusterState state_;
  std::unordered_map<engine::Uuid, FoundTopic> topics_;
  std::unordered_map<std::string, std::pair<engine::Uuid, KeyVersion>> names_;
  // Number, then the partition and its key.
  std::unordered_map<engine::Uuid,
                     std::vector<std::pair<std::int32_t, std::pair<PartitionView, std::string>>>>
      partitions_;
};

}  // namespace

Keys::Keys(std::string_view root, std::string_view cluster_id)
    : prefix_(engine::concat(root, "/", cluster_id, "/v1/")) {}

std::string Keys::topic_name(std::string_view name) const {
  return engine::concat(prefix_, "topic_names/", name);
}
std::string Keys::topic(const engine::Uuid& id) const {
  return prefix_ + "topics/" + engine::to_string(id);
}
std::string Keys::partition(const engine::Uuid& id, std::int32_t partition) const {
  return engine::concat(prefix_, "partitions/", engine::to_string(id), "/", partition);
}
std::string Keys::creating(const engine::Uuid& id) const {
  return prefix_ + "creating/" + engine::to_string(id);
}
std::string Keys::deleted(const engine::Uuid& id) const {
  return prefix_ + "deleted/" + engine::to_string(id);
}
std::string Keys::broker_settings(std::string_view name) const {
  return engine::concat(prefix_, "configs/brokers/",
                        name.empty() ? std::string_view("default") : name);
}
std::string Keys::group_settings(std::string_view name) const {
  return engine::concat(prefix_, "configs/groups/", name);
}

void ClusterState::add_topic(TopicEntry entry) {
  const engine::Uuid id = entry.view->id;
  names[collision_key(entry.view->name)] = id;
  partitions_total += static_cast<std::int64_t>(entry.view->partitions.size());
  topics[id] = std::move(entry);
}

void ClusterState::remove_topic(const engine::Uuid& id) {
  const auto found = topics.find(id);
  if (found == topics.end()) return;
  names.erase(collision_key(found->second.view->name));
  partitions_total -= static_cast<std::int64_t>(found->second.view->partitions.size());
  topics.erase(found);
}

std::expected<ClusterState, std::string> read_state(const Keys& keys,
                                                    const std::vector<KeyValue>& listed,
                                                    const ClusterState* known) {
  StateReader reader{known};
  for (const KeyValue& entry : listed) {
    std::string_view name = entry.key;
    if (!take_prefix(name, keys.prefix())) continue;
    std::optional<std::string> fault = reader.read(name, entry);
    if (fault) return std::unexpected(std::move(*fault));
  }
  return reader.finish();
}

}  // namespace keelson::coordination
