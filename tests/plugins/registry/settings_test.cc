#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "plugins/registry/settings/broker_settings.h"
#include "plugins/registry/settings/effective.h"
#include "plugins/registry/settings/setting_value.h"

namespace keelson {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct NamedTable {
  const char* name;
  std::span<const SettingDef> table;
};
std::vector<NamedTable> tables() {
  return {{"broker", broker_setting_table()},
          {"topic", topic_setting_table()},
          {"group", group_setting_table()}};
}

ApiErrc code_of(const ApiResult<void>& result) {
  return result ? ApiErrc::none : result.error().code;
}

TEST(SettingTables, DefaultsPassTheirOwnChecks) {
  for (const auto& [name, table] : tables()) {
    for (const SettingDef& definition : table) {
      if (definition.default_text == nullptr) continue;
      const ApiResult<void> valid = validate_setting(definition, definition.default_text);
      EXPECT_TRUE(valid.has_value()) << name << ": " << valid.error().message;
    }
  }
}

TEST(SettingTables, NamesAreUniqueSortedAndExplained) {
  for (const auto& [name, table] : tables()) {
    EXPECT_GT(table.size(), 10u) << name;
    for (std::size_t i = 0; i < table.size(); ++i) {
      if (i > 0) EXPECT_LT(table[i - 1].name, table[i].name) << name;
      EXPECT_FALSE(table[i].doc.empty()) << table[i].name;
      EXPECT_TRUE(table[i].doc.ends_with('.')) << table[i].name;
      EXPECT_EQ(table[i].doc.find('\n'), std::string_view::npos) << table[i].name;
    }
  }
  EXPECT_EQ(find_topic_setting("retention.ms")->name, "retention.ms");
  EXPECT_EQ(find_topic_setting("message.format.version"), nullptr);  // gone since 4.0
  EXPECT_EQ(find_group_setting("consumer.session.timeout.ms")->type, SettingType::int32);
  EXPECT_EQ(find_broker_setting("nonsense"), nullptr);
  EXPECT_EQ(find_broker_setting("zzz"), nullptr);
}

TEST(SettingTables, SynonymsLeadToBrokerSettingsWithTheSameDefault) {
  for (const SettingDef& topic : topic_setting_table()) {
    for (const SettingSynonym& synonym : topic_setting_synonyms(topic.name)) {
      EXPECT_NE(find_broker_setting(synonym.name), nullptr) << synonym.name;
    }
    EXPECT_EQ(effective_topic_setting(topic, {}).value, topic.default_text) << topic.name;
  }
  for (const SettingDef& group : group_setting_table()) {
    const std::string_view synonym = group_setting_synonym(group.name);
    if (synonym.empty()) continue;
    ASSERT_NE(find_broker_setting(synonym), nullptr) << synonym;
    EXPECT_STREQ(find_broker_setting(synonym)->default_text, group.default_text) << group.name;
  }
}

TEST(SettingTables, ListenerPrefixFindsTheSettingBehindIt) {
  EXPECT_EQ(find_broker_setting("listener.name.internal.ssl.keystore.location")->name,
            "ssl.keystore.location");
  EXPECT_EQ(find_broker_setting("listener.name.internal"), nullptr);
  EXPECT_EQ(find_broker_setting("listener.name..ssl.keystore.location"), nullptr);
}

TEST(ValidateSetting, RangesTypesAndAllowedValues) {
  const auto topic = [](const char* name, const char* value) {
    return code_of(validate_setting(*find_topic_setting(name), value));
  };
  constexpr ApiErrc kBad = ApiErrc::invalid_config;
  EXPECT_EQ(topic("segment.bytes", "1048576"), ApiErrc::none);
  EXPECT_EQ(topic("segment.bytes", "1048575"), kBad);
  EXPECT_EQ(topic("segment.bytes", "10"), kBad);
  EXPECT_EQ(topic("segment.bytes", "2147483648"), kBad);
  EXPECT_EQ(topic("segment.bytes", "1e9"), kBad);
  EXPECT_EQ(topic("segment.bytes", ""), kBad);
  EXPECT_EQ(topic("retention.ms", "-1"), ApiErrc::none);
  EXPECT_EQ(topic("retention.ms", "-2"), kBad);
  EXPECT_EQ(topic("retention.ms", " 60000 "), ApiErrc::none);
  EXPECT_EQ(topic("retention.ms", "9223372036854775808"), kBad);
  EXPECT_EQ(topic("preallocate", "TRUE"), ApiErrc::none);
  EXPECT_EQ(topic("preallocate", "yes"), kBad);
  EXPECT_EQ(topic("min.cleanable.dirty.ratio", "0.25"), ApiErrc::none);
  EXPECT_EQ(topic("min.cleanable.dirty.ratio", "1.5"), kBad);
  EXPECT_EQ(topic("min.cleanable.dirty.ratio", "nan"), kBad);
  EXPECT_EQ(topic("compression.type", "zstd"), ApiErrc::none);
  EXPECT_EQ(topic("compression.type", "brotli"), kBad);
  EXPECT_EQ(topic("cleanup.policy", "compact, delete"), ApiErrc::none);
  EXPECT_EQ(topic("cleanup.policy", ""), ApiErrc::none);  // neither
  EXPECT_EQ(topic("cleanup.policy", "compact,compact"), kBad);
  EXPECT_EQ(topic("cleanup.policy", "compact,,delete"), kBad);
  EXPECT_EQ(topic("cleanup.policy", "remove"), kBad);
  EXPECT_EQ(topic("keelson.durability", "relaxed"), ApiErrc::none);
  EXPECT_EQ(topic("keelson.durability", "none"), kBad);
  EXPECT_EQ(topic("leader.replication.throttled.replicas", "*"), ApiErrc::none);
  EXPECT_EQ(topic("leader.replication.throttled.replicas", "0:1,1:2"), ApiErrc::none);
  EXPECT_EQ(topic("leader.replication.throttled.replicas", "0-1"), kBad);
}

TEST(ValidateSetting, MessageNamesSettingValueAndRuleButNoSecret) {
  const auto bad = validate_setting(*find_topic_setting("segment.bytes"), "10");
  EXPECT_EQ(bad.error().message,
            "Invalid value 10 for configuration segment.bytes: must be at least 1048576");
  SettingDef secret = *find_broker_setting("ssl.key.password");
  EXPECT_TRUE(secret.is_sensitive());
}

TEST(ValidateTopicSettings, WholeMustFit) {
  const auto unknown = validate_topic_settings({{"retention.msx", "1"}});
  EXPECT_EQ(unknown.error().code, ApiErrc::invalid_config);
  EXPECT_THAT(unknown.error().message, HasSubstr("did you mean \"retention.ms\"?"));
  EXPECT_EQ(code_of(validate_topic_settings(
                {{"min.compaction.lag.ms", "100"}, {"max.compaction.lag.ms", "99"}})),
            ApiErrc::invalid_config);
  EXPECT_EQ(code_of(validate_topic_settings({{"remote.storage.enable", "true"}})),
            ApiErrc::invalid_config);
  EXPECT_EQ(code_of(validate_topic_settings({{"remote.storage.enable", "false"}})), ApiErrc::none);
}

TEST(ApplySettingChanges, AppendStartsFromTheDefault) {
  const SettingBounds bounds{.table = topic_setting_table()};
  const auto appended =
      apply_setting_changes(bounds, {}, {{"cleanup.policy", SettingOp::append, "compact"}}, false);
  ASSERT_TRUE(appended.has_value());
  EXPECT_EQ(appended->at("cleanup.policy"), "delete,compact");

  const auto again = apply_setting_changes(
      bounds, *appended, {{"cleanup.policy", SettingOp::append, "delete"}}, false);
  EXPECT_EQ(again->at("cleanup.policy"), "delete,compact");
  const auto subtracted = apply_setting_changes(
      bounds, *again, {{"cleanup.policy", SettingOp::subtract, "delete"}}, false);
  EXPECT_EQ(subtracted->at("cleanup.policy"), "compact");

  const Settings inherited{{"cleanup.policy", "compact"}};
  SettingBounds below = bounds;
  below.inherited = &inherited;
  const auto from_broker =
      apply_setting_changes(below, {}, {{"cleanup.policy", SettingOp::append, "delete"}}, false);
  EXPECT_EQ(from_broker->at("cleanup.policy"), "compact,delete");
}

TEST(ApplySettingChanges, RemoveAndReplace) {
  const SettingBounds bounds{.table = topic_setting_table()};
  const Settings before{{"retention.ms", "1"}, {"segment.ms", "2"}};
  const auto removed = apply_setting_changes(
      bounds, before,
      {{"retention.ms", SettingOp::remove, {}}, {"flush.ms", SettingOp::remove, {}}}, false);
  EXPECT_EQ(*removed, (Settings{{"segment.ms", "2"}}));
  const auto replaced =
      apply_setting_changes(bounds, before, {{"retention.ms", SettingOp::set, "3"}}, true);
  EXPECT_EQ(*replaced, (Settings{{"retention.ms", "3"}}));
}

TEST(ApplySettingChanges, RefusalsHaveKafkasCodes) {
  const auto refused = [](ConfigResource resource, SettingChange change, bool all_brokers = false) {
    const SettingBounds bounds{
        .table = topic_setting_table(), .resource = resource, .cluster_default = all_brokers};
    const auto result = apply_setting_changes(bounds, {}, {std::move(change)}, false);
    return result ? ApiErrc::none : result.error().code;
  };
  using enum ConfigResource;
  EXPECT_EQ(refused(topic, {"nope", SettingOp::set, "1"}), ApiErrc::invalid_config);
  EXPECT_EQ(refused(topic, {"retention.ms", SettingOp::set, std::nullopt}),
            ApiErrc::invalid_request);
  EXPECT_EQ(refused(topic, {"retention.ms", SettingOp::append, "1"}), ApiErrc::invalid_config);
  EXPECT_EQ(refused(broker, {"log.dirs", SettingOp::set, "/x"}), ApiErrc::invalid_request);
  EXPECT_EQ(refused(broker, {"cordoned.log.dirs", SettingOp::set, "/x"}), ApiErrc::none);
  EXPECT_EQ(refused(broker, {"cordoned.log.dirs", SettingOp::set, "/x"}, true),
            ApiErrc::invalid_request);
  EXPECT_EQ(refused(broker, {"log.retention.ms", SettingOp::set, "5"}, true), ApiErrc::none);
  EXPECT_EQ(refused(group, {"consumer.session.timeout.ms", SettingOp::set, "0"}),
            ApiErrc::invalid_config);
  const SettingBounds bounds{.table = topic_setting_table()};
  const SettingChange change{"retention.ms", SettingOp::set, "1"};
  EXPECT_EQ(apply_setting_changes(bounds, {}, {change, change}, false).error().code,
            ApiErrc::invalid_request);
}

TEST(EffectiveSetting, NearestLayerWinsAndAllAreTold) {
  const BrokerSettings fixed = *BrokerSettings::make({{"log.retention.hours", "24"}});
  const Settings own{{"retention.ms", "1"}};
  const Settings broker{{"log.retention.ms", "2"}};
  const Settings all_brokers{{"log.retention.ms", "3"}};
  const SettingDef& retention = *find_topic_setting("retention.ms");
  SettingLayers layers{&own, &broker, &all_brokers, &fixed};

  EffectiveSetting found = effective_topic_setting(retention, layers);
  EXPECT_EQ(found.value, "1");
  EXPECT_EQ(found.source, SettingSource::topic);
  EXPECT_THAT(
      found.candidates,
      ElementsAre(SettingCandidate{"retention.ms", "1", SettingSource::topic},
                  SettingCandidate{"log.retention.ms", "2", SettingSource::broker},
                  SettingCandidate{"log.retention.ms", "3", SettingSource::cluster_default},
                  SettingCandidate{"log.retention.hours", "24", SettingSource::static_broker}));
  layers.own = nullptr;
  EXPECT_EQ(effective_topic_setting(retention, layers).value, "2");
  layers.broker = nullptr;
  EXPECT_EQ(effective_topic_setting(retention, layers).source, SettingSource::cluster_default);
  layers.cluster_default = nullptr;
  found = effective_topic_setting(retention, layers);
  EXPECT_EQ(found.value, "86400000");  // hours, in milliseconds
  EXPECT_EQ(found.source, SettingSource::static_broker);
}

TEST(EffectiveSetting, RetentionGoesByMillisecondsThenMinutesThenHours) {
  const auto retention = [](Settings settings) {
    const BrokerSettings fixed = *BrokerSettings::make(std::move(settings));
    return to_log_config({.fixed = &fixed}).retention_ms;
  };
  EXPECT_EQ(retention({}), 604'800'000);
  EXPECT_EQ(retention({{"log.retention.hours", "1"}}), 3'600'000);
  EXPECT_EQ(retention({{"log.retention.hours", "1"}, {"log.retention.minutes", "2"}}), 120'000);
  EXPECT_EQ(retention({{"log.retention.hours", "1"},
                       {"log.retention.minutes", "2"},
                       {"log.retention.ms", "3"}}),
            3);
  EXPECT_EQ(retention({{"log.retention.hours", "-1"}}), -1);
}

TEST(EffectiveSetting, CompactionIsSharedOutOverTheShards) {
  const BrokerSettings fixed = *BrokerSettings::make({{"log.cleaner.backoff.ms", "7"}});
  const Settings cluster{{"log.cleaner.io.max.bytes.per.second", "1000"},
                         {"log.cleaner.dedupe.buffer.size", "4000000"}};
  const Settings broker{{"log.cleaner.io.buffer.load.factor", "0.5"},
                        {"log.cleaner.io.max.bytes.per.second", "600"}};
  const engine::log::CleanerConfig config =
      to_cleaner_config({.broker = &broker, .cluster_default = &cluster, .fixed = &fixed}, 4);
  EXPECT_EQ(config.backoff_ms, 7);
  EXPECT_EQ(config.options.map_bytes_max, 1'000'000u);
  EXPECT_DOUBLE_EQ(config.options.map_load_factor, 0.5);
  EXPECT_DOUBLE_EQ(config.pace.bytes_per_second, 150);
}

TEST(EffectiveSetting, BrokerAndGroup) {
  const Settings all_brokers{{"message.max.bytes", "2000000"}};
  const SettingLayers layers{.cluster_default = &all_brokers};
  EXPECT_EQ(effective_topic_setting(*find_topic_setting("max.message.bytes"), layers).value,
            "2000000");
  EXPECT_EQ(effective_broker_integer("message.max.bytes", layers), 2'000'000);
  const Settings own{{"consumer.session.timeout.ms", "50000"}};
  const EffectiveSetting group =
      effective_group_setting(*find_group_setting("consumer.session.timeout.ms"), {.own = &own});
  EXPECT_EQ(group.value, "50000");
  EXPECT_EQ(group.source, SettingSource::group);
  EXPECT_EQ(effective_group_integer("consumer.session.timeout.ms", {}), 45'000);
  EXPECT_EQ(effective_broker_setting(*find_broker_setting("advertised.listeners"), {}).value,
            std::nullopt);
}

// What Kafka 4.3.1 answers to DescribeConfigs of a broker.
TEST(EffectiveSetting, ABrokerShowsWhatWasSetUnderEachName) {
  const auto shown = [](const char* name, const Settings& set) {
    const BrokerSettings fixed = *BrokerSettings::make(set);
    return shown_broker_setting(*find_broker_setting(name), {.fixed = &fixed});
  };
  for (const char* const name : {"log.retention.ms", "log.roll.ms", "log.roll.jitter.ms",
                                 "log.flush.interval.ms", "log.retention.minutes"}) {
    EXPECT_EQ(shown(name, {}).value, std::nullopt) << name;
  }
  EXPECT_EQ(shown("log.retention.hours", {}).value, "168");
  EXPECT_EQ(shown("log.retention.ms", {{"log.retention.hours", "1"}}).value, std::nullopt);
  EXPECT_EQ(shown("log.retention.ms", {{"log.retention.ms", "5"}}).value, "5");

  const EffectiveSetting id = shown("broker.id", {{"node.id", "7"}});
  EXPECT_EQ(id.value, "7");
  EXPECT_EQ(id.source, SettingSource::static_broker);
  ASSERT_EQ(id.candidates.size(), 2u);
  EXPECT_EQ(id.candidates[0].value, "7");
  EXPECT_EQ(id.candidates[1].value, "-1");
  EXPECT_EQ(shown("broker.id", {{"broker.id", "7"}}).value, "7");
}

// Nobody reads these: they may not claim to do anything.
TEST(SettingTables, WhatNothingReadsHasNoEffect) {
  for (const char* const name :
       {"group.share.session.timeout.ms", "group.streams.max.size", "request.timeout.ms",
        "transaction.state.log.num.partitions", "transactional.id.expiration.ms",
        "listener.security.protocol.map", "socket.send.buffer.bytes"}) {
    EXPECT_EQ(find_broker_setting(name)->effect, SettingEffect::accepted_without_effect) << name;
  }
  EXPECT_EQ(find_group_setting("share.session.timeout.ms")->effect,
            SettingEffect::accepted_without_effect);
  for (const char* const name :
       {"offsets.load.buffer.size", "log.flush.offset.checkpoint.interval.ms"}) {
    EXPECT_EQ(find_broker_setting(name)->effect, SettingEffect::in_force) << name;
  }
  // Read at the start only.
  EXPECT_EQ(find_broker_setting("max.connections")->update, SettingUpdate::read_only);
}

TEST(EffectiveSetting, SecretsAreNotAmongTheCandidates) {
  const BrokerSettings fixed = *BrokerSettings::make({{"ssl.key.password", "hunter2"}});
  const EffectiveSetting found =
      effective_broker_setting(*find_broker_setting("ssl.key.password"), {.fixed = &fixed});
  ASSERT_EQ(found.candidates.size(), 1u);
  EXPECT_EQ(found.candidates[0].value, std::nullopt);
}

TEST(ToLogConfig, DefaultsAreTheEnginesDefaults) {
  const engine::log::LogConfig built = to_log_config({});
  const engine::log::LogConfig engine;
  EXPECT_EQ(built.segment_bytes, engine.segment_bytes);
  EXPECT_EQ(built.segment_ms, engine.segment_ms);
  EXPECT_EQ(built.segment_index_bytes, engine.segment_index_bytes);
  EXPECT_EQ(built.index_interval_bytes, engine.index_interval_bytes);
  EXPECT_EQ(built.retention_ms, engine.retention_ms);
  EXPECT_EQ(built.retention_bytes, engine.retention_bytes);
  EXPECT_EQ(built.file_delete_delay_ms, engine.file_delete_delay_ms);
  EXPECT_EQ(built.max_message_bytes, engine.max_message_bytes);
  EXPECT_EQ(built.cleanup_delete, engine.cleanup_delete);
  EXPECT_EQ(built.cleanup_compact, engine.cleanup_compact);
  EXPECT_EQ(built.min_cleanable_dirty_ratio, engine.min_cleanable_dirty_ratio);
  EXPECT_EQ(built.min_compaction_lag_ms, engine.min_compaction_lag_ms);
  EXPECT_EQ(built.max_compaction_lag_ms, engine.max_compaction_lag_ms);
  EXPECT_EQ(built.delete_retention_ms, engine.delete_retention_ms);
  EXPECT_EQ(built.timestamp_before_max_ms, engine.timestamp_before_max_ms);
  EXPECT_EQ(built.timestamp_after_max_ms, engine.timestamp_after_max_ms);
  EXPECT_EQ(built.keep_producer_codec, engine.keep_producer_codec);
  EXPECT_EQ(built.durability, engine.durability);
  EXPECT_EQ(built.producer_id_expiration_ms, engine.producer_id_expiration_ms);
}

TEST(ToLogConfig, TakesTheTopicsOwn) {
  const Settings own{
      {"cleanup.policy", "compact"},         {"compression.type", "zstd"},
      {"compression.zstd.level", "7"},       {"message.timestamp.type", "LogAppendTime"},
      {"keelson.durability", "relaxed"},     {"retention.bytes", "-7"},
      {"min.cleanable.dirty.ratio", "0.25"}, {"delete.retention.ms", "7"},
      {"min.compaction.lag.ms", "5"},        {"max.compaction.lag.ms", "6"}};
  const engine::log::LogConfig built = to_log_config({.own = &own});
  EXPECT_TRUE(built.cleanup_compact);
  EXPECT_FALSE(built.cleanup_delete);
  EXPECT_EQ(built.min_cleanable_dirty_ratio, 0.25);
  EXPECT_EQ(built.min_compaction_lag_ms, 5);
  EXPECT_EQ(built.max_compaction_lag_ms, 6);
  EXPECT_EQ(built.delete_retention_ms, 7);
  EXPECT_FALSE(built.keep_producer_codec);
  EXPECT_EQ(built.codec, engine::log::Codec::zstd);
  EXPECT_EQ(built.codec_level, 7);
  EXPECT_EQ(built.timestamp_type, engine::log::TimestampType::log_append_time);
  EXPECT_EQ(built.durability, engine::log::Durability::relaxed);
  EXPECT_EQ(built.retention_bytes, engine::log::kUnlimited);
}

TEST(ValidateGroupSettings, StaysWithinTheBrokersBounds) {
  const auto group = [](Settings settings) {
    return code_of(validate_group_settings(settings, {}));
  };
  EXPECT_EQ(group({{"consumer.session.timeout.ms", "60000"}}), ApiErrc::none);
  EXPECT_EQ(group({{"consumer.session.timeout.ms", "60001"}}), ApiErrc::invalid_config);
  EXPECT_EQ(group({{"consumer.heartbeat.interval.ms", "4999"}}), ApiErrc::invalid_config);
  EXPECT_EQ(group({{"streams.num.standby.replicas", "3"}}), ApiErrc::invalid_config);
  EXPECT_EQ(group({{"share.delivery.count.limit", "11"}}), ApiErrc::invalid_config);
  EXPECT_EQ(group({{"no.such", "1"}}), ApiErrc::invalid_config);
  const BrokerSettings wide =
      *BrokerSettings::make({{"group.consumer.min.session.timeout.ms", "1000"}});
  const auto too_short =
      validate_group_settings({{"consumer.session.timeout.ms", "5000"}}, {.fixed = &wide});
  EXPECT_THAT(too_short.error().message, HasSubstr("must be above consumer.heartbeat"));
}

TEST(BrokerSettings, GettersAndNames) {
  const BrokerSettings defaults;
  EXPECT_EQ(defaults.get_integer("num.partitions"), 1);
  EXPECT_TRUE(defaults.get_bool("auto.create.topics.enable"));
  EXPECT_EQ(defaults.get_string("keelson.io.backend"), "auto");
  EXPECT_EQ(defaults.find_integer("log.retention.ms"), std::nullopt);
  EXPECT_EQ(defaults.get_float("log.cleaner.io.buffer.load.factor"), 0.9);
  EXPECT_EQ(defaults.node_id(), 1);
  EXPECT_THAT(defaults.data_dirs(), ElementsAre("keelson-data"));
  const BrokerSettings set =
      *BrokerSettings::make({{"broker.id", "7"}, {"log.dirs", "/a, /b"}, {"num.io.threads", "4"}});
  EXPECT_EQ(set.node_id(), 7);
  EXPECT_THAT(set.data_dirs(), ElementsAre("/a", "/b"));
  EXPECT_THAT(set.without_effect(), ElementsAre("num.io.threads"));
  EXPECT_EQ(BrokerSettings::make({{"num.partition", "1"}}).error().code, ApiErrc::invalid_config);
  EXPECT_EQ(BrokerSettings::make({{"num.partitions", "0"}}).error().code, ApiErrc::invalid_config);
}

TEST(BrokerSettingsDeathTest, UnknownNameIsABug) {
  EXPECT_DEATH((void)BrokerSettings().get_integer("no.such.setting"), "definition != nullptr");
}

}  // namespace
}  // namespace keelson
