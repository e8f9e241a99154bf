// plugins/wire/message.h: what the generated messages have in common.
//
// A schema file becomes structs with the fields of all versions. Who owns the bytes:
//   request   borrows: std::string_view, engine::Bytes, and engine::MutableBytes for records, all
//             pointing into the frame, which a handler keeps until it has answered. Decoding one
//             allocates for its arrays and nothing else.
//   response  owns: std::string, OwnedBytes; engine::SliceList for records, shared and not copied.
//   record    owns, like a response.
// Fields that may be null are std::optional.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace keelson::wire {

class Reader;
class Writer;

/// Bytes that a decoded message owns.
using OwnedBytes = std::vector<std::byte>;

}  // namespace keelson::wire
