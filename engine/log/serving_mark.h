// engine/log/serving_mark.h: keelson.properties, which says whether a directory is being served.
//
// While it is, it also names the state of Kafka's quorum. Kafka writes that at every start, and
// leaves no other sign of having served a directory when it is killed.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/crc32c.h"
#include "engine/logger.h"
#include "engine/types.h"

namespace keelson::engine::log {

inline constexpr std::string_view kServingMark = "version=1\nstate=serving\n";
inline constexpr std::string_view kStoppedMark = "version=1\nstate=stopped\n";
inline constexpr std::string_view kQuorumStateName = "__cluster_metadata-0/quorum-state";

/// The whole file; `quorum_state` is that file's content, where there is one.
inline std::string serving_mark(const std::optional<std::string>& quorum_state) {
  if (!quorum_state) return concat(kServingMark, "kafka-state=none\n");
  return concat(kServingMark, "kafka-state=", crc32c(std::as_bytes(std::span(*quorum_state))),
                "\n");
}

/// Whether Kafka has served the directory since `mark` was written. Marks that are not of this form
/// do not tell.
inline bool kafka_served_since(std::string_view mark,
                               const std::optional<std::string>& quorum_state) {
  const bool tells = mark.size() > kServingMark.size() && mark.starts_with(kServingMark);
  return tells && mark != serving_mark(quorum_state);
}

}  // namespace keelson::engine::log
