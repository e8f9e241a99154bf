#include "engine/log/clean_shutdown_file.h"

#include <optional>

#include "engine/log/strict_text.h"
#include "engine/logger.h"

namespace keelson::engine::log {
namespace {

constexpr std::string_view kStart = R"({"version":0,"brokerEpoch":)";

}  // namespace

std::string encode_clean_shutdown(std::int64_t broker_epoch) {
  return concat(kStart, broker_epoch, '}');
}

Result<std::int64_t> parse_clean_shutdown(std::string_view text) {
  // Not a JSON parser: one program writes this file, and always so.
  if (!text.starts_with(kStart) || !text.ends_with('}')) return fail(Errc::corrupt);
  text.remove_prefix(kStart.size());
  text.remove_suffix(1);
  const std::optional<std::int64_t> epoch = parse_decimal<std::int64_t>(text);
  if (!epoch) return fail(Errc::corrupt);
  return *epoch;
}

}  // namespace keelson::engine::log
