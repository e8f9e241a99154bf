#include "engine/log/segment.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "engine/counters.h"

namespace keelson::engine::log {
namespace {

constexpr std::size_t kStemChars = 20;

}  // namespace

std::string segment_stem(Offset base_offset) {
  const std::string digits = std::to_string(base_offset.value());
  return std::string(kStemChars - digits.size(), '0') + digits;
}

std::optional<Offset> parse_segment_stem(std::string_view stem) {
  if (stem.size() != kStemChars) return std::nullopt;
  std::int64_t value = 0;
  const auto [end, problem] = std::from_chars(stem.data(), stem.data() + stem.size(), value);
  if (problem != std::errc{} || end != stem.data() + stem.size() || value < 0) return std::nullopt;
  return Offset{value};
}

Task<Result<io::File>> open_direct(LogContext& context, std::string path, io::OpenFlags flags) {
  flags.direct = context.direct_io();
  Result<io::File> file = co_await io::File::open(context.shard(), path, flags);
  if (!file && flags.direct && file.error().sys_errno == EINVAL) {
    context.refuse_direct_io();
    flags.direct = false;
    flags.exclusive = false;  // the refused open may have made the file
    file = co_await io::File::open(context.shard(), std::move(path), flags);
  }
  co_return std::move(file);
}

Task<Result<std::size_t>> read_within(io::File& file, std::uint64_t position_bytes,
                                      MutableBytes into, std::uint64_t file_bytes) {
  constexpr int kTriesMax = 16;
  const std::uint64_t there = file_bytes > position_bytes ? file_bytes - position_bytes : 0;
  const std::size_t wanted = std::min<std::uint64_t>(into.size(), there);
  std::size_t have = 0;
  for (int tries = 0; have < wanted && tries < kTriesMax; ++tries) {
    // Direct reads begin at blocks: what was read of the last one is read again.
    const std::size_t whole = io::round_down_to_block(have);
    const Result<std::size_t> read =
        co_await file.read_at(position_bytes + whole, into.subspan(whole));
    if (!read) co_return std::unexpected(read.error());
    have = std::max(have, whole + *read);
  }
  co_return std::min(have, into.size());
}

Segment::Segment(LogContext& context, std::string dir, Offset base_offset,
                 std::uint32_t index_interval_bytes)
    : context(context),
      dir(std::move(dir)),
      base_offset(base_offset),
      next_offset(base_offset),
      recent(context.chunks()),
      index_interval_bytes(index_interval_bytes) {}

Segment::~Segment() { close_reader(); }

void Segment::close_reader() {
  if (!reader) return;
  reader.reset();  // those who read from it now keep it
  --context.open_files;
}

void Segment::close_writer() {
  writer.close();
  cached_writer.close();
}

std::string Segment::path(std::string_view ending) const {
  return dir + "/" + segment_stem(base_offset) + std::string(ending);
}

std::string Segment::current_path(std::string_view ending) const {
  return path(ending) + (deleted ? removal_ending : "");
}

void Segment::forget_memory() {
  recent.clear();
  streams.clear();
  next_chunk_bytes_ = kChunkBytesMin;
}

void Segment::add_entry(Bytes batch, const BatchHeader& header, bool begins_epoch) {
  entries.push_back(make_integrity_entry(batch, header, base_offset, size_bytes, begins_epoch));
  if (entries.back().transactional) ++transactional_batches;
}

void Segment::chain_entries() {
  while (chained < entries.size() && entries[chained].end_bytes() <= written_bytes()) {
    chain = chain_integrity_entry(entries[chained++], synced_bytes, chain);
  }
}

void Segment::place(Bytes batch, const BatchHeader& header) {
  assert(!sealed);
  const std::uint64_t position = size_bytes;
  Bytes rest = batch;
  while (!rest.empty()) {
    if (recent.empty() || recent.back()->end_bytes() != size_bytes ||
        recent.back()->room_bytes() == 0) {
      const std::uint64_t start = io::round_down_to_block(size_bytes);
      const std::size_t missing = size_bytes - start;
      const std::size_t wanted = std::bit_ceil(std::min(rest.size() + missing, kChunkBytesMax));
      const std::size_t capacity = std::clamp(std::max(wanted, next_chunk_bytes_), kChunkBytesMin,
                                              recent.fair_chunk_bytes());
      Chunk& added = recent.add(start, capacity);
      added.filled_bytes = missing;
      added.missing_bytes = missing;
      added.first_batch_offset = header.base_offset;
      next_chunk_bytes_ = std::min(capacity * 2, kChunkBytesMax);
    }
    Chunk& tail = *recent.back();
    if (size_bytes == position && tail.first_batch_bytes == kNowhere) {
      tail.first_batch_bytes = position;
      tail.first_batch_offset = header.base_offset;
    }
    const std::size_t piece = std::min(rest.size(), tail.room_bytes());
    tally_copy(piece);
    std::memcpy(tail.memory.data() + tail.filled_bytes, rest.data(), piece);
    tail.filled_bytes += piece;
    size_bytes += piece;
    rest = rest.subspan(piece);
  }
  size_bytes = position;  // note() counts the batch
  note(header);
}

void Segment::note(const BatchHeader& header) {
  const std::int64_t timestamp_ms = header.records_timestamp_max();
  if (batch_count == 0) first_timestamp_ms = timestamp_ms;
  if (batch_count == 0 || timestamp_ms > max_timestamp_ms) {
    max_timestamp_ms = timestamp_ms;
    max_timestamp_offset = header.last_offset();
  }
  if (index) {
    index->add({header.base_offset, header.last_offset(), size_bytes,
                static_cast<std::uint32_t>(header.size_bytes()), timestamp_ms});
  }
  ++batch_count;
  size_bytes += header.size_bytes();
  next_offset = header.next_offset();
}

void Segment::trust(const IntegrityEntry& entry) {
  if (batch_count == 0) first_timestamp_ms = entry.max_timestamp_ms;
  const Offset last = base_offset + entry.relative_last_offset;
  if (batch_count == 0 || entry.max_timestamp_ms > max_timestamp_ms) {
    max_timestamp_ms = entry.max_timestamp_ms;
    max_timestamp_offset = last;
  }
  if (index) {
    index->add({next_offset, last, entry.position_bytes, entry.size_bytes, entry.max_timestamp_ms});
  }
  ++batch_count;
  ++entries_in_file;
  if (entry.transactional) ++transactional_batches;
  chain = entry.chain;
  size_bytes = entry.end_bytes();
  next_offset = last + 1;
}

void Segment::add_damage(std::uint64_t end_bytes, Offset to) {
  IntegrityEntry entry;
  entry.position_bytes = static_cast<std::uint32_t>(size_bytes);
  entry.size_bytes = static_cast<std::uint32_t>(end_bytes - size_bytes);
  entry.relative_last_offset = static_cast<std::uint32_t>(to - base_offset - 1);
  entry.damaged = true;
  entries.push_back(entry);
  if (index) {
    index->add({next_offset, to + -1, size_bytes, entry.size_bytes, kNoTimestamp});
  }
  ++batch_count;
}

}  // namespace keelson::engine::log
