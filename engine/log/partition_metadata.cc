#include "engine/log/partition_metadata.h"

#include <optional>

#include "engine/logger.h"

namespace keelson::engine::log {
namespace {

constexpr std::string_view kStart = "version: 0\ntopic_id: ";

}  // namespace

std::string encode_partition_metadata(const Uuid& topic_id) {
  return concat(kStart, to_string(topic_id));
}

Result<Uuid> parse_partition_metadata(std::string_view text) {
  if (!text.starts_with(kStart)) return fail(Errc::corrupt);
  text.remove_prefix(kStart.size());
  if (text.ends_with('\n')) text.remove_suffix(1);
  const std::optional<Uuid> topic_id = parse_uuid(text);
  if (!topic_id || topic_id->is_zero()) return fail(Errc::corrupt);
  return *topic_id;
}

}  // namespace keelson::engine::log
