#include "plugins/broker/commands/reset_target.h"

#include <charconv>
#include <chrono>
#include <limits>
#include <optional>
#include <vector>

#include "engine/logger.h"

namespace keelson::broker {
namespace {

using engine::concat;

constexpr std::int64_t kMsMax = std::numeric_limits<std::int64_t>::max() / 4;

template <class Number>
std::optional<Number> to_number(std::string_view text) {
  Number number{};
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failed != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// Takes `count` digits off the front of `text`.
std::optional<int> take_digits(std::string_view& text, std::size_t count) {
  if (text.size() < count || text[0] == '-') return std::nullopt;
  const std::optional<int> number = to_number<int>(text.substr(0, count));
  text.remove_prefix(count);
  return number;
}

bool take(std::string_view& text, char expected) {
  if (text.empty() || text[0] != expected) return false;
  text.remove_prefix(1);
  return true;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// ".250" of a second, in milliseconds; what is finer is dropped. 0 where there is none.
std::optional<int> take_fraction_ms(std::string_view& text) {
  if (!take(text, '.')) return 0;
  int ms = 0;
  int digits = 0;
  while (!text.empty() && is_digit(text[0])) {
    if (digits < 3) ms = ms * 10 + (text[0] - '0');
    ++digits;
    text.remove_prefix(1);
  }
  if (digits == 0) return std::nullopt;
  for (; digits < 3; ++digits) ms *= 10;
  return ms;
}

/// "", "Z" or "+02:00": minutes ahead of UTC.
std::optional<int> take_zone_min(std::string_view& text) {
  if (text.empty() || take(text, 'Z')) return 0;
  const bool behind = text[0] == '-';
  if (!take(text, '+') && !take(text, '-')) return std::nullopt;
  const std::optional<int> hours = take_digits(text, 2);
  take(text, ':');
  const std::optional<int> minutes = take_digits(text, 2);
  if (!hours || !minutes || *hours > 18 || *minutes > 59) return std::nullopt;
  return (behind ? -1 : 1) * (*hours * 60 + *minutes);
}

std::optional<std::int64_t> read_date_time(std::string_view text) {
  const auto year = take_digits(text, 4);
  if (!year || !take(text, '-')) return std::nullopt;
  const auto month = take_digits(text, 2);
  if (!month || !take(text, '-')) return std::nullopt;
  const auto day = take_digits(text, 2);
  if (!day || !take(text, 'T')) return std::nullopt;
  const auto hour = take_digits(text, 2);
  if (!hour || !take(text, ':')) return std::nullopt;
  const auto minute = take_digits(text, 2);
  if (!minute || !take(text, ':')) return std::nullopt;
  const auto second = take_digits(text, 2);
  if (!second) return std::nullopt;
  const auto fraction_ms = take_fraction_ms(text);
  const auto zone_min = take_zone_min(text);
  if (!fraction_ms || !zone_min || !text.empty()) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year{*year},
                                         std::chrono::month{static_cast<unsigned>(*month)},
                                         std::chrono::day{static_cast<unsigned>(*day)}};
  if (!date.ok() || *hour > 23 || *minute > 59 || *second > 59) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days{date}.time_since_epoch().count();
  const std::int64_t minutes = (days * 24 + *hour) * 60 + *minute - *zone_min;
  return (minutes * 60 + *second) * 1000 + *fraction_ms;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.back() == '\r' || text.back() == ' ')) text.remove_suffix(1);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
    text = text.substr(1, text.size() - 2);
  }
  return text;
}

}  // namespace

Parsed<std::int64_t> parse_time_ms(std::string_view text) {
  const std::optional<std::int64_t> number = to_number<std::int64_t>(text);
  if (number && *number >= 0) return *number;
  const std::optional<std::int64_t> date = read_date_time(text);
  if (date && *date >= 0) return *date;
  return std::unexpected(concat("'", text,
                                "' is no time: write 2026-01-31T12:00:00Z, or "
                                "milliseconds since 1970"));
}

Parsed<std::int64_t> parse_duration_ms(std::string_view text) {
  const auto wrong =
      std::unexpected(concat("'", text, "' is no duration: write P7D, PT1H30M or P1DT12H"));
  constexpr std::string_view kUnits = "DHMS";
  constexpr std::int64_t kUnitMs[] = {86'400'000, 3'600'000, 60'000, 1'000};
  if (!take(text, 'P') || text.empty()) return wrong;
  std::int64_t total_ms = 0;
  std::size_t next_unit = 0;
  bool in_time = false;
  bool ends_in_t = false;
  while (!text.empty()) {
    if (take(text, 'T')) {
      if (in_time) return wrong;
      in_time = ends_in_t = true;
      continue;
    }
    const std::size_t digits = text.find_first_not_of("0123456789");
    if (digits == 0 || digits == std::string_view::npos) return wrong;
    const std::optional<std::int64_t> count = to_number<std::int64_t>(text.substr(0, digits));
    text.remove_prefix(digits);
    const bool has_fraction = !text.empty() && text[0] == '.';
    const std::optional<int> fraction_ms = take_fraction_ms(text);
    const std::size_t unit = text.empty() ? std::string_view::npos : kUnits.find(text[0]);
    if (!count || !fraction_ms || unit == std::string_view::npos || unit < next_unit) return wrong;
    if ((unit > 0) != in_time || (has_fraction && unit != 3)) return wrong;
    if (*count > (kMsMax - total_ms) / kUnitMs[unit]) return wrong;
    total_ms += *count * kUnitMs[unit] + *fraction_ms;
    text.remove_prefix(1);
    next_unit = unit + 1;
    ends_in_t = false;
  }
  if (ends_in_t) return wrong;
  return total_ms;
}

Parsed<TopicChoice> parse_topic_choice(std::string_view text) {
  const std::size_t colon = text.find(':');
  TopicChoice choice{std::string(text.substr(0, colon)), {}};
  if (choice.topic.empty()) return std::unexpected("a topic's name is not empty");
  if (colon == std::string_view::npos) return choice;
  for (const std::string_view part : split(text.substr(colon + 1), ',')) {
    const std::optional<std::int32_t> partition = to_number<std::int32_t>(part);
    if (!partition || *partition < 0) {
      return std::unexpected(concat("'", text, "': write TOPIC or TOPIC:0,1,2"));
    }
    choice.partitions.insert(*partition);
  }
  return choice;
}

Parsed<OffsetPlan> parse_offset_plan(std::string_view text) {
  OffsetPlan plan;
  std::size_t number = 0;
  for (const std::string_view line : split(text, '\n')) {
    ++number;
    if (trimmed(line).empty()) continue;
    std::vector<std::string_view> cells = split(line, ',');
    for (std::string_view& cell : cells) cell = trimmed(cell);
    std::string group;
    if (cells.size() == 4) {
      group = cells[0];
      cells.erase(cells.begin());
    }
    const auto wrong = std::unexpected(concat("line ", number,
                                              " is neither topic,partition,offset nor "
                                              "group,topic,partition,offset"));
    if (cells.size() != 3 || cells[0].empty()) return wrong;
    const std::optional<std::int32_t> partition = to_number<std::int32_t>(cells[1]);
    const std::optional<std::int64_t> offset = to_number<std::int64_t>(cells[2]);
    if (!partition || *partition < 0 || !offset || *offset < 0) return wrong;
    plan[group][{std::string(cells[0]), *partition}] = *offset;
  }
  return plan;
}

}  // namespace keelson::broker
