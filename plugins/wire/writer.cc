#include "plugins/wire/writer.h"

#include <algorithm>
#include <limits>

namespace keelson::wire {
namespace {

constexpr std::size_t kStringBytesMax = 32767;
constexpr std::size_t kLengthMax = std::numeric_limits<std::int32_t>::max() - 1;

}  // namespace

void Writer::string(Lengths lengths, std::string_view value) {
  if (value.size() > kStringBytesMax) return fail();
  if (lengths == compact) {
    unsigned_varint(static_cast<std::uint32_t>(value.size() + 1));
  } else {
    integer(static_cast<std::int16_t>(value.size()));
  }
  raw(std::as_bytes(std::span(value)));
}

void Writer::null_string(Lengths lengths) {
  if (lengths == compact) return unsigned_varint(0);
  integer<std::int16_t>(-1);
}

void Writer::null_array(Lengths lengths) {
  if (lengths == compact) return unsigned_varint(0);
  integer<std::int32_t>(-1);
}

void Writer::array_count(Lengths lengths, std::size_t count) {
  if (count > kLengthMax) return fail();
  if (lengths == compact) return unsigned_varint(static_cast<std::uint32_t>(count + 1));
  integer(static_cast<std::int32_t>(count));
}

void Writer::slices(Lengths lengths, const engine::SliceList& value) {
  array_count(lengths, engine::total_bytes(value));
  for (const engine::Slice& slice : value) {
    if (slice.bytes.empty()) continue;
    parts_.push_back(Part{owned_bytes_, slice});
    slice_bytes_ += slice.bytes.size();
  }
}

// The size is known only after the value, and so is the width of its varint. Values are mostly a
// few bytes, so moving them is cheaper than measuring them first.
void Writer::insert_size_before(std::size_t start) {
  assert(parts_.empty() || parts_.back().owned_before <= start);
  const std::size_t size = owned_bytes_ - start;
  if (size > kLengthMax) return fail();
  unsigned_varint(static_cast<std::uint32_t>(size));
  std::byte* const value = buffer_.get() + start;
  std::rotate(value, value + size, buffer_.get() + owned_bytes_);
}

void Writer::end_frame() {
  const std::size_t size = size_bytes() - sizeof(std::int32_t);
  if (size > kLengthMax) return fail();
  engine::store_big_endian(buffer_.get(), static_cast<std::int32_t>(size));
}

void Writer::move_to(engine::SliceList& out) {
  assert(ok_);
  std::size_t done = 0;
  const auto append_owned = [&](std::size_t end) {
    if (end > done) out.push_back({buffer_, engine::Bytes(buffer_.get() + done, end - done)});
    done = end;
  };
  for (Part& part : parts_) {
    append_owned(part.owned_before);
    out.push_back(std::move(part.slice));
  }
  append_owned(owned_bytes_);
  buffer_.reset();
  parts_.clear();
  owned_bytes_ = capacity_bytes_ = slice_bytes_ = 0;
}

void Writer::enlarge(std::size_t more_bytes) {
  capacity_bytes_ = std::max({first_buffer_bytes_, capacity_bytes_ * 2, owned_bytes_ + more_bytes});
  auto larger = std::make_shared_for_overwrite<std::byte[]>(capacity_bytes_);
  if (owned_bytes_ > 0) std::memcpy(larger.get(), buffer_.get(), owned_bytes_);
  buffer_ = std::move(larger);
}

}  // namespace keelson::wire
