#include "engine/log/record_reader.h"

#include <algorithm>
#include <cassert>
#include <vector>

#include "engine/log/compression.h"
#include "engine/log/record_cursor.h"
#include "engine/log/varint.h"

namespace keelson::engine::log {
namespace {

// Deltas are foreign numbers: sums wrap, as they do in Kafka, instead of overflowing.
std::int64_t wrapping_add(std::int64_t left, std::int64_t right) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(left) +
                                   static_cast<std::uint64_t>(right));
}

std::optional<Bytes> field(const std::byte* data, std::int32_t bytes) {
  if (bytes < 0) return std::nullopt;
  return Bytes(data, static_cast<std::size_t>(bytes));
}

enum class State : std::uint8_t { reading, ended, failed };

}  // namespace

struct RecordReader::Impl {
  Impl(Bytes batch, std::size_t record_bytes_max) : record_bytes_max_(record_bytes_max) {
    const Result<BatchHeader> header = read_batch_header(batch);
    if (!header || header->size_bytes() > batch.size() || header->record_count < 0 ||
        header->codec_id() > static_cast<std::uint8_t>(Codec::zstd)) {
      return;
    }
    header_ = *header;
    const Bytes stored = batch.subspan(kBatchHeaderBytes, header->size_bytes() - kBatchHeaderBytes);
    if (header->codec() == Codec::none) {
      window_ = stored;
    } else {
      source_.emplace(header->codec(), stored);
    }
    state_ = State::reading;
  }

  /// The next record with its length in front, in one piece.
  Result<Bytes> take_record() {
    while (true) {
      const std::byte* position = window_.data();
      const std::byte* const end = position + window_.size();
      std::int32_t length = 0;
      if (read_varint(position, end, length)) {
        if (length < 0 || static_cast<std::size_t>(length) > record_bytes_max_) break;
        const auto prefix_bytes = static_cast<std::size_t>(position - window_.data());
        const std::size_t record_bytes = prefix_bytes + static_cast<std::size_t>(length);
        if (record_bytes <= window_.size()) {
          const Bytes record = window_.first(record_bytes);
          window_ = window_.subspan(record_bytes);
          return record;
        }
      } else if (window_.size() >= kVarintBytesMax<std::int32_t>) {
        break;
      }
      if (!read_more()) break;
    }
    return fail(Errc::corrupt);
  }

  /// Puts another piece behind what the window holds. False at the end and where that fails.
  bool read_more() {
    if (!source_) return false;
    const std::size_t kept = window_.size();
    if (kept > 0) {
      // A record that goes across pieces: save its start, for next() gives the piece's memory back.
      const bool in_carry = window_.data() + kept == carry_.data() + carry_.size();
      if (in_carry) {
        carry_.erase(carry_.begin(), carry_.end() - static_cast<std::ptrdiff_t>(kept));
      } else {
        carry_.assign(window_.begin(), window_.end());
      }
      window_ = carry_;
    }
    const Result<Bytes> piece = source_->next();
    if (!piece || piece->empty()) return false;
    if (kept == 0) {
      window_ = *piece;
      return true;
    }
    carry_.insert(carry_.end(), piece->begin(), piece->end());
    window_ = carry_;
    return true;
  }

  Result<std::optional<Record>> next();

  BatchHeader header_;
  std::size_t record_bytes_max_;
  std::optional<Decompressor> source_;
  Bytes window_;                  // decompressed or plain, not yet given out
  std::vector<std::byte> carry_;  // a record that lies across pieces, and what follows it
  std::int32_t records_read_ = 0;
  State state_ = State::failed;
};

Result<std::optional<Record>> RecordReader::Impl::next() {
  if (state_ == State::failed) return fail(Errc::corrupt);
  if (state_ == State::ended) return std::nullopt;
  if (records_read_ == header_.record_count) {
    // An emptied batch keeps its codec bits, but has no stream.
    const bool all_read = window_.empty() && (header_.record_count == 0 || !read_more());
    state_ = all_read ? State::ended : State::failed;
    if (!all_read) return fail(Errc::corrupt);
    return std::nullopt;
  }

  const Result<Bytes> bytes = take_record();
  RecordFields fields;
  if (!bytes || !RecordCursor(*bytes).read_record(fields)) {
    state_ = State::failed;
    return fail(Errc::corrupt);
  }
  ++records_read_;
  Record record;
  record.offset = Offset{wrapping_add(header_.base_offset.value(), fields.offset_delta)};
  record.timestamp_ms = header_.is_log_append_time()
                            ? header_.max_timestamp
                            : wrapping_add(header_.base_timestamp, fields.timestamp_delta);
  record.key = field(fields.key, fields.key_bytes);
  record.value = field(fields.value, fields.value_bytes);
  record.headers = Bytes(fields.headers, fields.end);
  record.header_count = fields.header_count;
  return record;
}

RecordReader::RecordReader(Bytes batch, std::size_t record_bytes_max)
    : impl_(std::make_unique<Impl>(batch, record_bytes_max)) {}

RecordReader::~RecordReader() = default;

Result<std::optional<Record>> RecordReader::next() { return impl_->next(); }

}  // namespace keelson::engine::log
