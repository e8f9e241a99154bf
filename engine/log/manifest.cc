#include "engine/log/manifest.h"

#include <cstring>

#include "engine/byte_order.h"
#include "engine/crc32c.h"

namespace keelson::engine::log {
namespace {

constexpr std::string_view kMagicText = "KEELSONM";
constexpr std::uint16_t kVersion = 1;
constexpr std::uint16_t kFlagClean = 1;
constexpr std::uint16_t kFlagCompacted = 2;
constexpr std::uint32_t kFlagSealed = 1;
constexpr std::uint32_t kFlagDropped = 2;
constexpr std::uint32_t kFlagPrepared = 4;
constexpr std::uint32_t kFlagRecycled = 8;
constexpr std::uint32_t kFlagSwapping = 16;
constexpr std::size_t kHeadBytes = 56;
constexpr std::size_t kSegmentBytes = 80;
constexpr std::size_t kEpochBytes = 12;
constexpr std::size_t kFirstDirtyBytes = 8;
constexpr std::size_t kCrcBytes = 4;

template <class T>
void put(std::string& out, T value) {
  std::byte bytes[sizeof(T)];
  store_big_endian(bytes, value);
  out.append(reinterpret_cast<const char*>(bytes), sizeof bytes);
}

/// Takes integers one after the other; the caller has checked that they are there.
class Cursor {
 public:
  explicit Cursor(std::string_view content)
      : at_(reinterpret_cast<const std::byte*>(content.data())) {}
  template <class T>
  T take() {
    const T value = load_big_endian<T>(at_);
    at_ += sizeof(T);
    return value;
  }
  void take_bytes(void* into, std::size_t bytes) {
    std::memcpy(into, at_, bytes);
    at_ += bytes;
  }

 private:
  const std::byte* at_;
};

void put_segment(std::string& out, const ManifestSegment& segment) {
  put(out, segment.base_offset.value());
  put(out, segment.next_offset.value());
  put(out, segment.size_bytes);
  put(out, segment.batch_count);
  put(out, segment.max_timestamp_ms);
  put(out, segment.max_timestamp_offset.value());
  put(out, segment.first_timestamp_ms);
  put(out, segment.created_ms);
  put(out, segment.last_chain);
  put(out, std::uint32_t{(segment.sealed ? kFlagSealed : 0) | (segment.dropped ? kFlagDropped : 0) |
                         (segment.prepared ? kFlagPrepared : 0) |
                         (segment.recycled ? kFlagRecycled : 0) |

                         (segment.swapping ? kFlagSwapping : 0)});
  put(out, segment.aborted_count);
  put(out, segment.aborted_crc);
}

ManifestSegment take_segment(Cursor& cursor) {
  ManifestSegment segment;
  segment.base_offset = Offset{cursor.take<std::int64_t>()};
  segment.next_offset = Offset{cursor.take<std::int64_t>()};
  segment.size_bytes = cursor.take<std::uint64_t>();
  segment.batch_count = cursor.take<std::uint64_t>();
  segment.max_timestamp_ms = cursor.take<std::int64_t>();
  segment.max_timestamp_offset = Offset{cursor.take<std::int64_t>()};
  segment.first_timestamp_ms = cursor.take<std::int64_t>();
  segment.created_ms = cursor.take<std::int64_t>();
  segment.last_chain = cursor.take<std::uint32_t>();
  const auto flags = cursor.take<std::uint32_t>();
  segment.sealed = flags & kFlagSealed;
  segment.dropped = flags & kFlagDropped;
  segment.prepared = flags & kFlagPrepared;
  segment.recycled = flags & kFlagRecycled;
  segment.swapping = flags & kFlagSwapping;
  segment.aborted_count = cursor.take<std::uint32_t>();
  segment.aborted_crc = cursor.take<std::uint32_t>();
  return segment;
}

}  // namespace

std::string encode_manifest(const Manifest& manifest) {
  std::string out(kMagicText);
  put(out, kVersion);
  const bool compacted = manifest.first_dirty.has_value();
  put(out, static_cast<std::uint16_t>((manifest.clean ? kFlagClean : 0) |
                                      (compacted ? kFlagCompacted : 0)));
  put(out, manifest.identity.partition);
  out.append(reinterpret_cast<const char*>(manifest.identity.id.bytes.data()), 16);
  put(out, manifest.log_start_offset.value());
  put(out, manifest.recovery_point.value());
  put(out, static_cast<std::uint32_t>(manifest.segments.size()));
  put(out, static_cast<std::uint32_t>(manifest.epochs.size()));
  for (const ManifestSegment& segment : manifest.segments) put_segment(out, segment);
  for (const EpochStart& entry : manifest.epochs) {
    put(out, entry.epoch.value());
    put(out, entry.start_offset.value());
  }
  if (compacted) put(out, manifest.first_dirty->value());
  put(out, crc32c(std::as_bytes(std::span(out))));
  return out;
}

Result<Manifest> decode_manifest(std::string_view content) {
  if (content.size() < kHeadBytes + kCrcBytes) return fail(Errc::corrupt);
  const std::string_view body = content.substr(0, content.size() - kCrcBytes);
  Cursor crc(content.substr(body.size()));
  if (crc32c(std::as_bytes(std::span(body))) != crc.take<std::uint32_t>()) {
    return fail(Errc::corrupt);
  }
  if (!body.starts_with(kMagicText)) return fail(Errc::corrupt);
  Cursor cursor(body.substr(kMagicText.size()));
  if (cursor.take<std::uint16_t>() != kVersion) return fail(Errc::unsupported);

  Manifest manifest;
  const auto flags = cursor.take<std::uint16_t>();
  manifest.clean = flags & kFlagClean;
  const bool compacted = flags & kFlagCompacted;
  manifest.identity.partition = cursor.take<std::int32_t>();
  cursor.take_bytes(manifest.identity.id.bytes.data(), 16);
  manifest.log_start_offset = Offset{cursor.take<std::int64_t>()};
  manifest.recovery_point = Offset{cursor.take<std::int64_t>()};
  const std::size_t segments = cursor.take<std::uint32_t>();
  const std::size_t epochs = cursor.take<std::uint32_t>();
  if (body.size() != kHeadBytes + segments * kSegmentBytes + epochs * kEpochBytes +
                         (compacted ? kFirstDirtyBytes : 0)) {
    return fail(Errc::corrupt);
  }
  manifest.segments.reserve(segments);
  for (std::size_t i = 0; i < segments; ++i) {
    manifest.segments.push_back(take_segment(cursor));
    const ManifestSegment& segment = manifest.segments.back();
    if (segment.base_offset.value() < 0) return fail(Errc::corrupt);
    if (segment.sealed && segment.next_offset < segment.base_offset) return fail(Errc::corrupt);
    if (i > 0 && segment.base_offset <= manifest.segments[i - 1].base_offset) {
      return fail(Errc::corrupt);
    }
  }
  manifest.epochs.reserve(epochs);
  for (std::size_t i = 0; i < epochs; ++i) {
    const LeaderEpoch epoch{cursor.take<std::int32_t>()};
    manifest.epochs.push_back({epoch, Offset{cursor.take<std::int64_t>()}});
  }
  if (compacted) manifest.first_dirty = Offset{cursor.take<std::int64_t>()};
  if (manifest.log_start_offset.value() < 0) return fail(Errc::corrupt);
  return manifest;
}

}  // namespace keelson::engine::log
