#include "plugins/registry/settings/effective.h"

#include <algorithm>
#include <cassert>
#include <limits>

#include "engine/logger.h"
#include "plugins/registry/config/nearest_name.h"
#include "plugins/registry/settings/setting_value.h"

namespace keelson {

using engine::concat;

namespace {

/// `value` of the synonym in the unit of the setting it stands for.
std::string converted(std::string value, const SettingSynonym& synonym) {
  if (synonym.factor == 1) return value;
  const std::optional<std::int64_t> number = read_integer(value);
  if (!number) return value;
  if (*number < 0) return "-1";  // no bound, in every unit
  const std::int64_t most = std::numeric_limits<std::int64_t>::max() / synonym.factor;
  return std::to_string(std::min(*number, most) * synonym.factor);
}

/// Gathers candidates from the nearest to the farthest; the first one holds.
class Search {
 public:
  Search(const SettingDef& definition, const SettingLayers& layers) : layers_(layers) {
    result_.definition = &definition;
  }

  void add_own(SettingSource source) {
    if (layers_.own != nullptr) add_from(*layers_.own, {result_.definition->name}, source);
  }

  /// Every layer of the broker: a nearer layer's weaker name goes before a farther layer's
  /// stronger one (source: Kafka 4.3.1, ConfigHelper).
  void add_broker_layers(std::span<const SettingSynonym> names) {
    add_layer(layers_.broker, names, SettingSource::broker);
    add_layer(layers_.cluster_default, names, SettingSource::cluster_default);
    if (layers_.fixed != nullptr) {
      add_layer(&layers_.fixed->fixed(), names, SettingSource::static_broker);
    }
    for (const SettingSynonym& synonym : names) {
      const SettingDef* definition = find_broker_setting(synonym.name);
      assert(definition != nullptr);  // the tables are checked by a test
      if (definition->default_text == nullptr) continue;
      if (synonym.name == names.front().name) {
        add(synonym, definition->default_text, SettingSource::default_value);
      } else if (!result_.value) {
        // log.retention.hours gives retention.ms its default; Kafka does not list it as a synonym.
        result_.value = converted(definition->default_text, synonym);
        result_.source = SettingSource::default_value;
      }
    }
  }

  EffectiveSetting finish() {
    if (!result_.value && result_.candidates.empty() &&
        result_.definition->default_text != nullptr) {
      result_.value = result_.definition->default_text;
    }
    return std::move(result_);
  }

 private:
  void add_layer(const Settings* layer, std::span<const SettingSynonym> names,
                 SettingSource source) {
    if (layer == nullptr) return;
    for (const SettingSynonym& synonym : names) add_from(*layer, synonym, source);
  }

  void add_from(const Settings& layer, const SettingSynonym& synonym, SettingSource source) {
    const auto set = layer.find(std::string(synonym.name));
    if (set == layer.end()) return;
    if (!validate_setting(*result_.definition, converted(set->second, synonym))) return;
    add(synonym, set->second, source);
  }

  void add(const SettingSynonym& synonym, const std::string& value, SettingSource source) {
    if (result_.candidates.empty()) {
      result_.value = converted(value, synonym);
      result_.source = source;
    }
    SettingCandidate candidate{std::string(synonym.name), value, source};
    if (result_.definition->is_sensitive()) candidate.value.reset();
    result_.candidates.push_back(std::move(candidate));
  }

  const SettingLayers& layers_;
  EffectiveSetting result_;
};

const Settings* find_settings(const std::map<BrokerId, Settings>& all, BrokerId id) {
  const auto found = all.find(id);
  return found == all.end() ? nullptr : &found->second;
}

std::string topic_text(std::string_view name, const SettingLayers& layers) {
  const SettingDef* definition = find_topic_setting(name);
  assert(definition != nullptr);
  return effective_topic_setting(*definition, layers).value.value();
}

std::int64_t topic_integer(std::string_view name, const SettingLayers& layers) {
  return read_integer(topic_text(name, layers)).value();
}

std::uint32_t topic_u32(std::string_view name, const SettingLayers& layers) {
  return static_cast<std::uint32_t>(topic_integer(name, layers));
}

void set_codec(engine::log::LogConfig& config, const SettingLayers& layers) {
  using engine::log::Codec;
  const std::string type = topic_text("compression.type", layers);
  config.keep_producer_codec = type == "producer";
  if (type == "gzip") {
    config.codec = Codec::gzip;
    config.codec_level = static_cast<int>(topic_integer("compression.gzip.level", layers));
  } else if (type == "lz4") {
    config.codec = Codec::lz4;
    config.codec_level = static_cast<int>(topic_integer("compression.lz4.level", layers));
  } else if (type == "zstd") {
    config.codec = Codec::zstd;
    config.codec_level = static_cast<int>(topic_integer("compression.zstd.level", layers));
  } else if (type == "snappy") {
    config.codec = Codec::snappy;
  } else {
    config.codec = Codec::none;
  }
}

}  // namespace

SettingLayers setting_layers(const ClusterView& view, BrokerId self, const BrokerSettings& fixed,
                             const Settings* own) {
  return {.own = own,
          .broker = find_settings(view.broker_settings, self),
          .cluster_default = &view.broker_defaults,
          .fixed = &fixed};
}

EffectiveSetting effective_topic_setting(const SettingDef& definition,
                                         const SettingLayers& layers) {
  Search search(definition, layers);
  search.add_own(SettingSource::topic);
  search.add_broker_layers(topic_setting_synonyms(definition.name));
  return search.finish();
}

EffectiveSetting effective_broker_setting(const SettingDef& definition,
                                          const SettingLayers& layers) {
  Search search(definition, layers);
  const SettingSynonym itself{definition.name};
  const std::span<const SettingSynonym> synonyms = broker_setting_synonyms(definition.name);
  search.add_broker_layers(synonyms.empty() ? std::span(&itself, 1) : synonyms);
  return search.finish();
}

EffectiveSetting shown_broker_setting(const SettingDef& definition, const SettingLayers& layers) {
  EffectiveSetting shown = effective_broker_setting(definition, layers);
  if (definition.name == "broker.id" && layers.fixed != nullptr) {
    const std::string number = std::to_string(layers.fixed->node_id());
    if (shown.source != SettingSource::static_broker) {
      shown.candidates.insert(shown.candidates.begin(),
                              {"broker.id", number, SettingSource::static_broker});
      shown.source = SettingSource::static_broker;
    }
    shown.value = number;
    return shown;
  }
  if (definition.is_sensitive()) return shown;
  const auto own = std::ranges::find(shown.candidates, definition.name, &SettingCandidate::name);
  if (own != shown.candidates.end()) {
    shown.value = own->value;
  } else {
    shown.value.reset();
    if (definition.default_text != nullptr) shown.value = definition.default_text;
  }
  return shown;
}

EffectiveSetting effective_group_setting(const SettingDef& definition,
                                         const SettingLayers& layers) {
  Search search(definition, layers);
  search.add_own(SettingSource::group);
  const SettingSynonym synonym{group_setting_synonym(definition.name)};
  if (!synonym.name.empty()) search.add_broker_layers({&synonym, 1});
  return search.finish();
}

std::int64_t effective_broker_integer(std::string_view name, const SettingLayers& layers) {
  const SettingDef* definition = find_broker_setting(name);
  assert(definition != nullptr);
  return read_integer(effective_broker_setting(*definition, layers).value.value()).value();
}

std::int64_t effective_group_integer(std::string_view name, const SettingLayers& layers) {
  const SettingDef* definition = find_group_setting(name);
  assert(definition != nullptr);
  return read_integer(effective_group_setting(*definition, layers).value.value()).value();
}

engine::log::LogConfig to_log_config(const SettingLayers& layers) {
  using namespace engine::log;
  LogConfig config;
  config.segment_bytes = static_cast<std::uint64_t>(topic_integer("segment.bytes", layers));
  config.segment_ms = topic_integer("segment.ms", layers);
  config.segment_jitter_ms = topic_integer("segment.jitter.ms", layers);
  config.segment_index_bytes =
      static_cast<std::uint64_t>(topic_integer("segment.index.bytes", layers));
  config.index_interval_bytes = topic_u32("index.interval.bytes", layers);
  config.retention_ms = topic_integer("retention.ms", layers);
  // Kafka takes every negative number for "no bound".
  config.retention_bytes = std::max(topic_integer("retention.bytes", layers), kUnlimited);
  config.file_delete_delay_ms = topic_integer("file.delete.delay.ms", layers);
  config.max_message_bytes = topic_u32("max.message.bytes", layers);
  const std::vector<std::string> policy = read_list(topic_text("cleanup.policy", layers));
  config.cleanup_delete = std::ranges::find(policy, "delete") != policy.end();
  config.cleanup_compact = std::ranges::find(policy, "compact") != policy.end();
  const std::string ratio = topic_text("min.cleanable.dirty.ratio", layers);
  config.min_cleanable_dirty_ratio = read_float(ratio).value();
  config.min_compaction_lag_ms = topic_integer("min.compaction.lag.ms", layers);
  config.max_compaction_lag_ms = topic_integer("max.compaction.lag.ms", layers);
  config.delete_retention_ms = topic_integer("delete.retention.ms", layers);
  config.timestamp_type = topic_text("message.timestamp.type", layers) == "LogAppendTime"
                              ? TimestampType::log_append_time
                              : TimestampType::create_time;
  config.timestamp_before_max_ms = topic_integer("message.timestamp.before.max.ms", layers);
  config.timestamp_after_max_ms = topic_integer("message.timestamp.after.max.ms", layers);
  set_codec(config, layers);
  config.durability = topic_text("keelson.durability", layers) == "relaxed" ? Durability::relaxed
                                                                            : Durability::durable;
  config.producer_id_expiration_ms = effective_broker_integer("producer.id.expiration.ms", layers);
  return config;
}

namespace {
double broker_float(std::string_view name, const SettingLayers& layers) {
  const SettingDef* definition = find_broker_setting(name);
  assert(definition != nullptr);
  return read_float(effective_broker_setting(*definition, layers).value.value()).value();
}
}  // namespace

engine::log::CleanerConfig to_cleaner_config(const SettingLayers& layers, std::size_t shards) {
  engine::log::CleanerConfig config;
  const auto map_bytes = effective_broker_integer("log.cleaner.dedupe.buffer.size", layers);
  config.options.map_bytes_max = static_cast<std::uint64_t>(map_bytes) / shards;
  config.options.map_load_factor = broker_float("log.cleaner.io.buffer.load.factor", layers);
  config.pace.bytes_per_second =
      broker_float("log.cleaner.io.max.bytes.per.second", layers) / static_cast<double>(shards);
  config.backoff_ms = effective_broker_integer("log.cleaner.backoff.ms", layers);
  return config;
}

std::int32_t effective_min_insync_replicas(const SettingLayers& layers) {
  return static_cast<std::int32_t>(topic_integer("min.insync.replicas", layers));
}

Settings inherited_topic_settings(const SettingLayers& layers) {
  SettingLayers below = layers;
  below.own = nullptr;
  Settings settings;
  for (const SettingDef& definition : topic_setting_table()) {
    if (const auto value = effective_topic_setting(definition, below).value) {
      settings.emplace(definition.name, *value);
    }
  }
  return settings;
}

namespace {

/// Bounds of `group.<kind>.min.<rest>` and `.max.<rest>`, where the broker has such settings.
ApiResult<void> check_bounds(std::string_view name, std::int64_t number,
                             const SettingLayers& layers) {
  const std::size_t dot = name.find('.');
  for (const std::string_view side : {".min.", ".max."}) {
    std::string bound_name = concat("group.", name.substr(0, dot), side, name.substr(dot + 1));
    if (name == "streams.num.standby.replicas" && side == ".max.") {
      bound_name = "group.streams.max.standby.replicas";
    }
    if (find_broker_setting(bound_name) == nullptr) continue;
    const std::int64_t bound = effective_broker_integer(bound_name, layers);
    if (side == ".min." ? number < bound : number > bound) {
      return refuse(ApiErrc::invalid_config,
                    concat(name, " must be ", side == ".min." ? "at least " : "at most ",
                           bound_name, ", which is ", bound));
    }
  }
  return {};
}

}  // namespace

ApiResult<void> validate_group_settings(const Settings& settings, const SettingLayers& layers) {
  SettingLayers with_own = layers;
  with_own.own = &settings;
  for (const auto& [name, value] : settings) {
    const SettingDef* definition = find_group_setting(name);
    if (definition == nullptr) {
      return refuse(ApiErrc::invalid_config,
                    concat("Unknown group config name: ", name,
                           did_you_mean(nearest_setting(group_setting_table(), name))));
    }
    if (ApiResult<void> valid = validate_setting(*definition, value); !valid) return valid;
    if (definition->type != SettingType::int32) continue;
    const std::int64_t number = read_integer(value).value();
    if (ApiResult<void> inside = check_bounds(name, number, layers); !inside) return inside;
  }
  for (const std::string_view kind : {"consumer", "share", "streams"}) {
    const std::string session = concat(kind, ".session.timeout.ms");
    const std::string heartbeat = concat(kind, ".heartbeat.interval.ms");
    if (!settings.contains(session) && !settings.contains(heartbeat)) continue;
    if (effective_group_integer(session, with_own) <=
        effective_group_integer(heartbeat, with_own)) {
      return refuse(ApiErrc::invalid_config, concat(session, " must be above ", heartbeat));
    }
  }
  return {};
}

}  // namespace keelson
