// plugins/offsets/group_partition.h: which partition of the internal topic keeps a group.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace keelson::offsets {

/// Java's String.hashCode of UTF-8 text: over its UTF-16 units, 32 bits, wrapping. Ill-formed
/// sequences count as U+FFFD, one for each maximal wrong part, as Java decodes them.
std::int32_t java_string_hash(std::string_view utf8);

/// Java's String.length of UTF-8 text.
std::size_t utf16_units(std::string_view utf8);

/// abs(hash) modulo `partition_count` > 0, the absolute value of the smallest integer being 0
/// (source: Kafka 4.3.1, Utils.abs).
std::int32_t group_partition(std::string_view group_id, std::int32_t partition_count);

}  // namespace keelson::offsets
