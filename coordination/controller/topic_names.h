// coordination/controller/topic_names.h: which names a topic may have.
#pragma once

#include <string>
#include <string_view>

#include "plugins/registry/api_error.h"

namespace keelson::coordination {

inline constexpr std::size_t kTopicNameBytesMax = 249;  // source: Kafka, Topic.java

/// 1 to 249 of letters, digits, '.', '_', '-'; not "." and "..".
/// Errors: invalid_topic_exception.
[[nodiscard]] ApiResult<void> check_topic_name(std::string_view name);

/// Names that belong to the broker's own topics.
bool is_reserved_topic_name(std::string_view name);

/// Two topics may not differ in '.' and '_' alone (source: Kafka, Topic.hasCollision: metric names
/// hold no dots). Equal for names that collide.
std::string collision_key(std::string_view name);

}  // namespace keelson::coordination
