// plugins/wire/codec.h: the common bodies of generated decoders and encoders.
#pragma once

#include <cstdint>

#include "engine/error.h"
#include "plugins/wire/reader.h"
#include "plugins/wire/writer.h"

namespace keelson::wire {

/// The body of every Message::decode(); see there.
template <class Message>
engine::Result<Message> decode(Reader& reader, std::int16_t version) {
  if (version < Message::kMinVersion || version > Message::kMaxVersion) {
    return engine::fail(engine::Errc::unsupported);
  }
  engine::Result<Message> message;
  message->read(reader, version);
  if (!reader.ok()) return engine::fail(engine::Errc::corrupt);
  return message;
}

/// The body of every Message::encode(); see there.
template <class Message>
engine::Result<void> encode(const Message& message, Writer& writer, std::int16_t version) {
  if (version < Message::kMinVersion || version > Message::kMaxVersion) {
    writer.fail();
    return engine::fail(engine::Errc::unsupported);
  }
  message.write(writer, version);
  if (!writer.ok()) return engine::fail(engine::Errc::invalid_argument);
  return {};
}

}  // namespace keelson::wire
