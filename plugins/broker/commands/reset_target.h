// plugins/broker/commands/reset_target.h: what `keelson group reset-offsets` is told, as it is read
// from the command line.
#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <set>
#include <string>
#include <string_view>

namespace keelson::broker {

/// A partition of a topic; sorted by name, then number.
struct TopicPartition {
  std::string topic;
  std::int32_t partition = 0;

  auto operator<=>(const TopicPartition&) const = default;
};

/// What is wrong, in one sentence.
template <class T>
using Parsed = std::expected<T, std::string>;

/// "2026-01-31T12:00:00", with a fraction of a second and "Z" or "+02:00" where wanted (else UTC),
/// or a number: milliseconds since 1970 either way.
Parsed<std::int64_t> parse_time_ms(std::string_view text);

/// ISO 8601, days to seconds: "P7D", "PT1H30M", "P1DT0.5S". Milliseconds.
Parsed<std::int64_t> parse_duration_ms(std::string_view text);

/// "orders" (all partitions: an empty set) or "orders:0,3".
struct TopicChoice {
  std::string topic;
  std::set<std::int32_t> partitions;
};
Parsed<TopicChoice> parse_topic_choice(std::string_view text);

/// By group, "" where the file names none: what to set.
using OffsetPlan = std::map<std::string, std::map<TopicPartition, std::int64_t>>;
/// Lines "topic,partition,offset" or "group,topic,partition,offset", as Kafka's tool exports them.
Parsed<OffsetPlan> parse_offset_plan(std::string_view text);

}  // namespace keelson::broker
