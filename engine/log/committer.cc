#include "engine/log/committer.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <utility>

#include "engine/counters.h"
#include "engine/crc32c.h"

namespace keelson::engine::log {
namespace {

constexpr std::uint64_t kCommitBytesMax = std::uint64_t{256} << 10;  // io_uring.md: never above 512
constexpr std::size_t kPiecesMax = 64;
constexpr std::uint64_t kStepBytesMin = std::uint64_t{64} << 10;
constexpr std::uint64_t kStepBytesMax = std::uint64_t{16} << 20;
constexpr std::int64_t kSpaceRetryMs = 500;
// Zeros are as many bytes again as the records: one write at a time held a fast log to 0.8 GB/s.
constexpr std::size_t kZeroWritesAtOnce = 4;

Error error_of(std::int64_t result) {
  const int sys_errno = static_cast<int>(-result);
  const bool full = sys_errno == ENOSPC || sys_errno == EDQUOT;
  return {full ? Errc::no_space : Errc::io, sys_errno};
}

}  // namespace

/// One write under way: whole blocks out of chunks, the last one out of `block`.
struct Committer::Commit : io::Operation {
  Committer* owner = nullptr;
  std::shared_ptr<Segment> segment;
  std::vector<std::shared_ptr<Chunk>> chunks;  // kept until the write is done
  std::array<iovec, kPiecesMax> pieces;
  io::AlignedBuffer block;
  std::uint64_t end_bytes = 0;  // of the segment's data in it
  int stalls = 0;               // short writes in a row that finished no block
  bool done = false;
};

Committer::Committer(LogContext& context, CommitHost& host)
    : context_(context), host_(host), wake_(context.shard()) {}

Committer::~Committer() { assert(idle()); }

void Committer::follow(std::shared_ptr<Segment> segment) {
  segments_.push_back({std::move(segment), {}});
}

void Committer::forget() {
  assert(idle());
  segments_.clear();
}

void Committer::enqueue(std::uint32_t size_bytes, Offset next_offset) {
  Follower& last = segments_.back();
  last.batches.push_back({last.segment->size_bytes, next_offset});
  context_.pending_bytes += size_bytes;
  kick();
}

void Committer::kick() {
  if (failure_) return;
  if (running_) {
    wake_.notify();
    return;
  }
  running_ = true;
  context_.shard().spawn(run());
}

void Committer::poison(Error error) {
  if (failure_) return;
  failure_ = error;
  for (Follower& follower : segments_) {
    context_.pending_bytes -= follower.segment->size_bytes - follower.segment->written_bytes();
    follower.batches.clear();
  }
  wake_.notify();
  host_.on_failure(error);
}

Task<void> Committer::run() {
  while (!failure_ && !segments_.empty()) {
    const std::shared_ptr<Segment> segment = segments_.front().segment;
    const bool pending = segment->size_bytes > segment->submitted_bytes;
    const bool wanted = begin_last_ && segments_.size() == 1 && !segment->begun;
    if (!pending && in_flight_.empty() && !wanted) {
      if (!segment->sealed || segments_.size() == 1) break;
      if (preparing_ || syncing_) {
        co_await wake_.wait();
        continue;
      }
      const Result<void> finished = co_await host_.finish_segment(segment);
      if (!finished) {
        poison(finished.error());
        break;
      }
      segments_.pop_front();
      continue;
    }
    if ((pending || wanted) && !segment->begun) {
      const Result<void> begun = co_await host_.begin_segment(segment);
      if (!begun) {
        poison(begun.error());
        break;
      }
      continue;
    }
    if (pending && in_flight_.empty() && lacks_tail(*segment)) {
      const Result<void> filled = co_await fill_tail(segment);
      if (!filled) {
        poison(filled.error());
        break;
      }
      if (failure_) break;
    }
    if (submit_next(segments_.front()) == Step::again) continue;
    co_await wake_.wait();
  }
  running_ = false;
  wake_.notify();  // for those who drain
}

/// Starts one commit where that is possible now.
Committer::Step Committer::submit_next(Follower& follower) {
  Segment& segment = *follower.segment;
  if (segment.size_bytes == segment.submitted_bytes) return Step::wait;
  if (in_flight_.size() >= context_.limits().commits_in_flight) return Step::wait;
  const std::uint64_t start = io::round_down_to_block(segment.submitted_bytes);
  // Never two on one block.
  if (!in_flight_.empty() && segment.submitted_bytes != start) return Step::wait;

  std::uint64_t end = std::min(segment.size_bytes, start + kCommitBytesMax);
  if (io::round_up_to_block(end) > segment.prepared_bytes) {
    prepare_ahead(follower.segment);
    if (segment.prepared_bytes <= segment.submitted_bytes) return Step::wait;
    end = std::min(end, segment.prepared_bytes);
  }
  Commit& commit = in_flight_.emplace_back();
  commit.owner = this;
  commit.segment = follower.segment;
  commit.code = io::OpCode::write;
  commit.durable = !host_.relaxed();
  commit.fd = segment.writer.fd();
  commit.position_bytes = start;
  std::uint64_t at = start;
  std::size_t count = 0;
  while (at < end && count + 2 <= kPiecesMax) {
    const std::shared_ptr<Chunk>* const found = segment.recent.find(at);
    assert(found != nullptr);  // what is not written stays in memory
    Chunk& chunk = **found;
    const std::uint64_t chunk_end = std::min(end, chunk.end_bytes());
    const std::uint64_t whole_end = io::round_down_to_block(chunk_end);
    if (whole_end > at) {
      commit.pieces[count++] = {chunk.memory.data() + (at - chunk.position_bytes), whole_end - at};
      commit.chunks.push_back(*found);
      at = whole_end;
    }
    if (at < chunk_end) {  // the partial last block: chunks end on a block but for the tail
      commit.block = context_.take_block();
      const std::size_t used = chunk_end - at;
      tally_copy(used);
      std::memcpy(commit.block.data(), chunk.memory.data() + (at - chunk.position_bytes), used);
      std::memset(commit.block.data() + used, 0, io::kBlockBytes - used);
      commit.pieces[count++] = {commit.block.data(), io::kBlockBytes};
      at = chunk_end;
    }
  }
  commit.end_bytes = at;
  segment.submitted_bytes = at;
  commit.buffers = commit.pieces.data();
  commit.buffer_count = static_cast<std::uint32_t>(count);
  submit(commit);
  return Step::again;
}

void Committer::submit(Commit& commit) {
  commit.on_complete = [](io::Operation& self) {
    auto& finished = static_cast<Commit&>(self);
    finished.owner->completed(finished);
  };
  context_.shard().backend().submit(commit);
}

void Committer::failed(Commit& commit, Error error) {
  in_flight_.remove_if([&](const Commit& held) { return &held == &commit; });
  poison(error);
  wake_.notify();
}

void Committer::completed(Commit& commit) {
  if (commit.result < 0) {
    failed(commit, error_of(commit.result));
    return;
  }
  // A short write: the whole blocks of it are done, the rest goes again.
  std::uint64_t done = static_cast<std::uint64_t>(commit.result);
  std::uint64_t total = 0;
  for (std::uint32_t i = 0; i < commit.buffer_count; ++i) total += commit.buffers[i].iov_len;
  if (done < total) {
    done = io::round_down_to_block(done);
    commit.stalls = done == 0 ? commit.stalls + 1 : 0;
    if (commit.stalls == io::kWriteStallsMax) {
      failed(commit, {Errc::io, EIO});
      return;
    }
    commit.position_bytes += done;
    auto* piece = const_cast<iovec*>(commit.buffers);
    while (done >= piece->iov_len) {
      done -= piece->iov_len;
      ++piece;
      --commit.buffer_count;
    }
    piece->iov_base = static_cast<std::byte*>(piece->iov_base) + done;
    piece->iov_len -= done;
    commit.buffers = piece;
    submit(commit);
    return;
  }
  commit.done = true;
  if (commit.block.size_bytes() > 0) context_.give_block(std::move(commit.block));
  commit.chunks.clear();
  if (failure_) {
    in_flight_.remove_if([&](const Commit& held) { return &held == &commit; });
  } else {
    advance();
  }
  wake_.notify();
}

/// Moves the frontier over the finished commits at the front.
void Committer::advance() {
  bool moved = false;
  Offset acknowledged;
  while (!in_flight_.empty() && in_flight_.front().done) {
    Commit& first = in_flight_.front();
    Follower& follower = segments_.front();
    Segment& segment = *follower.segment;
    assert(first.segment == follower.segment);
    assert(first.end_bytes >= segment.written_bytes());
    context_.pending_bytes -= first.end_bytes - segment.written_bytes();
    segment.recent.written_bytes = first.end_bytes;
    if (first.durable) segment.synced_bytes = first.end_bytes;
    while (!follower.batches.empty() && follower.batches.front().end_bytes <= first.end_bytes) {
      acknowledged = follower.batches.front().next_offset;
      follower.batches.pop_front();
      moved = true;
    }
    in_flight_.pop_front();
  }
  if (moved) host_.on_written(*segments_.front().segment, acknowledged);
  if (host_.relaxed()) sync_behind();
}

bool Committer::lacks_tail(const Segment& segment) {
  const std::shared_ptr<Chunk>* const held = segment.recent.find(segment.submitted_bytes);
  assert(held != nullptr);
  return (*held)->missing_bytes > 0;
}

/// Reads back the start of the tail block, which is not in memory any more.
Task<Result<void>> Committer::fill_tail(std::shared_ptr<Segment> segment) {
  const std::uint64_t start = io::round_down_to_block(segment->submitted_bytes);
  const std::shared_ptr<Chunk> target = *segment->recent.find(segment->submitted_bytes);
  assert(target->position_bytes == start);
  io::AlignedBuffer block(io::kBlockBytes);
  const Result<std::size_t> read =
      co_await read_within(segment->writer, start, block.bytes(), segment->submitted_bytes);
  if (!read) co_return std::unexpected(read.error());
  if (*read < target->missing_bytes) co_return fail(Errc::corrupt);
  const Bytes prefix = Bytes(block.data(), target->missing_bytes);
  if (crc32c(prefix) != segment->tail_crc) co_return fail(Errc::corrupt);
  std::memcpy(target->memory.data(), prefix.data(), prefix.size());
  target->missing_bytes = 0;
  co_return Result<void>{};
}

void Committer::prepare_ahead(const std::shared_ptr<Segment>& segment) {
  if (preparing_ || failure_ || !segment->begun) return;
  const std::uint64_t limit = io::round_up_to_block(segment->capacity_bytes);
  const std::uint64_t needed = io::round_up_to_block(segment->size_bytes);
  const std::uint64_t step = std::clamp(segment->prepared_bytes, kStepBytesMin, kStepBytesMax);
  if (needed + step / 2 <= segment->prepared_bytes) return;
  std::uint64_t target = std::min(std::max(needed, segment->prepared_bytes) + step, limit);
  target = std::max(target, needed);
  if (target <= segment->prepared_bytes) return;
  preparing_ = true;
  context_.shard().spawn(prepare(segment, target));
}

Task<void> Committer::prepare(std::shared_ptr<Segment> segment, std::uint64_t target_bytes) {
  Result<void> prepared = co_await prepare_step(segment, target_bytes);
  while (!failure_ && !prepared && prepared.error().code == Errc::no_space) {
    space_short_ = true;
    // Nothing waits for the space: the next append asks again.
    if (io::round_up_to_block(segment->size_bytes) <= segment->prepared_bytes) break;
    if (no_waiting_) {
      preparing_ = false;
      poison(prepared.error());
      co_return;
    }
    co_await context_.shard().sleep_for_ms(kSpaceRetryMs);
    target_bytes = std::max(target_bytes, io::round_up_to_block(segment->size_bytes));
    prepared = co_await prepare_step(segment, target_bytes);
  }
  preparing_ = false;
  if (!prepared && prepared.error().code != Errc::no_space) poison(prepared.error());
  wake_.notify();
}

namespace {

/// A stretch of a segment that several tasks fill, piece by piece.
struct Zeroing {
  Segment& segment;
  Bytes zeros;
  std::uint64_t next_bytes;
  std::uint64_t end_bytes;
  Result<void> outcome;
};

Task<void> write_zeros(Zeroing& zeroing) {
  while (zeroing.next_bytes < zeroing.end_bytes && zeroing.outcome) {
    const std::uint64_t at = zeroing.next_bytes;
    const Bytes piece =
        zeroing.zeros.first(std::min<std::uint64_t>(zeroing.zeros.size(), zeroing.end_bytes - at));
    zeroing.next_bytes += piece.size();
    const Result<void> written = co_await zeroing.segment.writer.write_at(at, piece);
    if (!written) zeroing.outcome = written;
  }
}

}  // namespace

/// Zeros from the prepared end to `target_bytes`, then one fdatasync for all of it.
Task<Result<void>> Committer::prepare_step(std::shared_ptr<Segment> segment,
                                           std::uint64_t target_bytes) {
  const Result<io::DiskSpace> space = co_await io::disk_space(context_.shard(), segment->dir);
  if (!space) co_return std::unexpected(space.error());
  const std::uint64_t grows = target_bytes - segment->prepared_bytes;
  const bool waited_for = io::round_up_to_block(segment->size_bytes) > segment->prepared_bytes;
  const bool is_short = space->free_bytes < grows + context_.limits().disk_reserve_bytes;
  // The reserve is there for what was accepted already; ask it for no more than that.
  if (is_short && !waited_for) co_return fail(Errc::no_space);
  if (is_short) target_bytes = io::round_up_to_block(segment->size_bytes);
  // The size first: a write that extends a file locks all others out of it (ext4, XFS).
  // Where the file system cannot do that, the zeros extend it.
  const Result<void> reserved = co_await segment->writer.allocate(target_bytes);
  if (!reserved && reserved.error().sys_errno != EOPNOTSUPP) co_return reserved;
  Zeroing zeroing{*segment, context_.zeros(), segment->prepared_bytes, target_bytes, {}};
  io::TaskGroup writes(context_.shard());
  for (std::size_t i = 0; i < kZeroWritesAtOnce && zeroing.next_bytes < target_bytes; ++i) {
    writes.start(write_zeros(zeroing));
  }
  co_await writes.wait();
  if (!zeroing.outcome) co_return zeroing.outcome;
  const Result<void> synced = co_await segment->writer.sync_data();
  if (!synced) co_return synced;
  segment->prepared_bytes = target_bytes;
  space_short_ = is_short;
  co_return Result<void>{};
}

void Committer::sync_behind() {
  if (syncing_ || failure_ || segments_.empty()) return;
  const std::shared_ptr<Segment>& segment = segments_.front().segment;
  if (!segment->writer.is_open() || segment->synced_bytes >= segment->written_bytes()) return;
  syncing_ = true;
  context_.shard().spawn(sync(segment));
}

Task<void> Committer::sync(std::shared_ptr<Segment> segment) {
  while (!failure_ && segment->synced_bytes < segment->written_bytes()) {
    const std::uint64_t covered = segment->written_bytes();  // seen complete before we submit
    const Result<void> synced = co_await segment->writer.sync_data();
    if (!synced) {
      syncing_ = false;
      poison(synced.error());
      wake_.notify();
      co_return;
    }
    segment->synced_bytes = std::max(segment->synced_bytes, covered);
  }
  syncing_ = false;
  wake_.notify();
}

Task<Result<void>> Committer::flush() {
  while (!failure_ && !segments_.empty()) {
    const Segment& front = *segments_.front().segment;
    const Segment& back = *segments_.back().segment;
    if (segments_.size() == 1 && front.written_bytes() == back.size_bytes) {
      if (back.synced_bytes >= back.written_bytes()) break;
      sync_behind();
    } else {
      kick();
    }
    co_await wake_.wait();
  }
  if (failure_) co_return std::unexpected(*failure_);
  co_return Result<void>{};
}

Task<Result<void>> Committer::begin_last() {
  begin_last_ = true;
  while (!failure_ && (segments_.size() > 1 || !segments_.front().segment->begun)) {
    kick();
    co_await wake_.wait();
  }
  begin_last_ = false;
  if (failure_) co_return std::unexpected(*failure_);
  co_return Result<void>{};
}

Task<void> Committer::drain() {
  while (!idle()) co_await wake_.wait();
}

}  // namespace keelson::engine::log
