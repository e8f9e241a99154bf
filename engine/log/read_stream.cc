#include "engine/log/read_stream.h"

#include <algorithm>
#include <utility>

#include "engine/log/entry_cursor.h"
#include "engine/log/log.h"

namespace keelson::engine::log {

ReadPiece::ReadPiece(ReadAheadBudget& owner, std::uint64_t size_bytes)
    : budget(owner), bytes(size_bytes), made_ns_(owner.clock_.now_ns()) {
  place_ = budget.order_.insert(budget.order_.end(), this);
  budget.bytes_ += bytes;
}

void ReadPiece::drop() {
  state = State::gone;
  batches = {};
  if (bytes == 0) return;
  budget.order_.erase(place_);
  budget.bytes_ -= std::exchange(bytes, 0);
}

std::uint64_t ReadAheadBudget::share_of(ReadAheadUse use) const {
  switch (use) {
    case ReadAheadUse::expected: return bytes_max_;
    case ReadAheadUse::next: return bytes_max_ / 4 * 3;
    case ReadAheadUse::later: return bytes_max_ / 8 * 3;
  }
  return 0;
}

std::shared_ptr<ReadPiece> ReadAheadBudget::begin(std::uint64_t bytes, ReadAheadUse use) {
  const std::uint64_t bytes_max = share_of(use);
  if (bytes == 0 || bytes > bytes_max) return nullptr;
  const std::int64_t abandoned_ns = clock_.now_ns() - kAbandonedAfterNs;
  for (auto at = order_.begin(); at != order_.end() && bytes_ + bytes > bytes_max;) {
    ReadPiece& oldest = **at++;
    if (oldest.made_ns_ > abandoned_ns) break;
    if (oldest.state == ReadPiece::State::ready) oldest.drop();  // a read writes to its memory
  }
  if (bytes_ + bytes > bytes_max) return nullptr;
  return std::make_shared<ReadPiece>(*this, bytes);
}

ReadStream::ReadStream(io::Shard& shard, Offset first) : next(first), tail(first), changed(shard) {}
ReadStream::~ReadStream() = default;

bool ReadStream::must_wait() const {
  return pieces.empty() ? filling : pieces.front()->state == ReadPiece::State::reading;
}

bool ReadStream::take(Offset segment_base, Offset below_now, const ReadLimits& limits,
                      SliceList& into) {
  std::uint64_t given_bytes = 0;
  while (!pieces.empty() && pieces.front()->state == ReadPiece::State::ready) {
    ReadPiece& piece = *pieces.front();
    const auto& entries = piece.run.entries;
    const std::uint64_t start = entries[piece.taken].position_bytes;
    std::uint64_t end = start;
    std::size_t taken = piece.taken;
    while (taken < entries.size()) {
      const IntegrityEntry& entry = entries[taken];
      const Offset behind = segment_base + entry.relative_last_offset + 1;
      const bool is_first = given_bytes == 0 && end == start;
      const bool fits = given_bytes + entry.end_bytes() - start <= limits.bytes_max;
      if (behind > below_now || !(fits || (is_first && limits.at_least_one_batch))) break;
      end = entry.end_bytes();
      next = behind;
      ++taken;
    }
    if (end == start) break;
    const std::size_t skipped = start - piece.run.start_bytes();
    into.push_back({piece.batches.owner, piece.batches.bytes.subspan(skipped, end - start)});
    given_bytes += end - start;
    piece.taken = taken;
    if (taken < entries.size()) break;
    piece.drop();
    pieces.pop_front();
  }
  return given_bytes > 0;
}

void ReadStream::restart(Offset offset) {
  ++generation;
  for (const auto& piece : pieces) piece->state = ReadPiece::State::gone;
  pieces.clear();  // those being read are charged until they are
  cursor.reset();
  next = tail = offset;
  changed.notify();
}

std::shared_ptr<ReadStream> ReadStreams::find(Offset offset) {
  const auto found = std::ranges::find(streams_, offset, [](const auto& one) { return one->next; });
  if (found == streams_.end()) return nullptr;
  std::rotate(streams_.begin(), found, found + 1);
  return streams_.front();
}

void ReadStreams::add(std::shared_ptr<ReadStream> stream) {
  if (streams_.size() >= kStreamsMax) streams_.pop_back();
  streams_.insert(streams_.begin(), std::move(stream));
}

}  // namespace keelson::engine::log
