#include "coordination/controller/topic_names.h"

#include <algorithm>
#include <array>

#include "engine/logger.h"

namespace keelson::coordination {
namespace {

bool is_legal(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

}  // namespace

ApiResult<void> check_topic_name(std::string_view name) {
  const auto invalid = [](std::string message) {
    return refuse(ApiErrc::invalid_topic_exception, std::move(message));
  };
  if (name.empty()) return invalid("a topic name must not be empty");
  if (name == "." || name == "..") return invalid("a topic must not be named . or ..");
  if (name.size() > kTopicNameBytesMax) {
    return invalid(engine::concat("a topic name has at most ", kTopicNameBytesMax, " characters"));
  }
  if (!std::all_of(name.begin(), name.end(), is_legal)) {
    return invalid("a topic name has only letters, digits, '.', '_' and '-'");
  }
  return {};
}

bool is_reserved_topic_name(std::string_view name) {
  static constexpr std::array<std::string_view, 4> kReserved = {
      "__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata"};
  return std::find(kReserved.begin(), kReserved.end(), name) != kReserved.end();
}

std::string collision_key(std::string_view name) {
  std::string key{name};
  std::replace(key.begin(), key.end(), '.', '_');
  return key;
}

}  // namespace keelson::coordination
