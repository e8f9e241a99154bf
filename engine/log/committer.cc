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

constexpr std::uint64_t kCommitBytesMax = std::uint64_t{512} << 10;  // io_uring.md: never above
constexpr std::uint64_t kMeanOfCommits = 8;
constexpr std::size_t kPiecesMax = 64;
// A sync for each append costs 5,000 of them a second a third of their latency, and one in 5 ms a
// quarter (bench/README.md). Kafka leaves it to the system, some 30 s.
constexpr std::int64_t kGatherMs = 50;
constexpr std::uint64_t kGatherBytes = std::uint64_t{1} << 20;
// Mean commits from the one go past the cache, until they are below the other: of eight appends at
// once a direct write takes a part, and a copy all.
constexpr std::uint64_t kPastCacheMeanMin = std::uint64_t{256} << 10;
constexpr std::uint64_t kCachedMeanMax = std::uint64_t{64} << 10;
constexpr std::uint64_t kDropBytes = std::uint64_t{1} << 20;  // of clean pages, a call
// Over old bytes two groups share what the depth supplies: one is closed while the other is
// written.
constexpr std::uint64_t kGroupBytesMax = std::uint64_t{1} << 20;

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
  std::uint64_t to_bytes = 0;     // where it ends in the file
  std::uint64_t end_bytes = 0;    // of the segment's data in it
  std::uint64_t fresh_bytes = 0;  // not in a commit before
  int stalls = 0;                 // short writes in a row that finished no block
  Group* group = nullptr;         // of which it is a first step
  bool cached = false;            // goes to the page cache
  bool started = false;
  bool done = false;
};

/// A commit over old bytes: its first steps are under way, `closing` waits for them.
struct Committer::Group {
  std::size_t first_steps = 0;
  std::vector<Commit*> closing;
};

Committer::Committer(LogContext& context, CommitHost& host)
    : context_(context), host_(host), wake_(context.shard()), sync_wake_(context.shard()) {}

Committer::~Committer() {
  assert(idle());
  context_.cache_gate().settled(cached_bytes_);
}

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
  context_.cache_gate().settled(std::exchange(cached_bytes_, 0));
  for (Follower& follower : segments_) {
    context_.pending_bytes -= follower.segment->size_bytes - follower.segment->written_bytes();
    follower.batches.clear();
  }
  groups_.clear();
  in_flight_.remove_if([](const Commit& commit) { return !commit.started; });
  wake_.notify();
  sync_wake_.notify();
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
        hurry_sync();
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
    if (pending && wants_cache(*segment) && !segment->cached_writer.is_open()) {
      co_await open_cached(segment);
      if (failure_) break;
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
  if (commits_writing_ >= context_.limits().commits_in_flight) return Step::wait;
  if (segment.has_old_bytes()) return submit_over_old_bytes(follower);
  std::uint64_t end = segment.size_bytes;
  if (io::round_up_to_block(end) > writable_bytes(segment)) {
    prepare_ahead(follower.segment);
    const std::uint64_t writable = writable_bytes(segment);
    if (writable <= segment.submitted_bytes) return Step::wait;
    end = std::min(end, writable);
  }
  return submit_one(follower, end);
}

/// One write of what is pending below `end_bytes`, all of it over zeros.
Committer::Step Committer::submit_one(Follower& follower, std::uint64_t end_bytes) {
  Segment& segment = *follower.segment;
  const std::uint64_t start = io::round_down_to_block(segment.submitted_bytes);
  std::uint64_t end = std::min(end_bytes, start + kCommitBytesMax);
  const bool cached = may_cache(segment, end - start);
  if (!in_flight_.empty()) {
    if (in_flight_.back().cached != cached) return Step::wait;
    // Never two on one block; a group has its last one still to come. Of the last block only the
    // next commit knows whether it is the end.
    end = io::round_down_to_block(end);
    if (segment.submitted_bytes != start || end == start || !groups_.empty()) return Step::wait;
    if (!may_start(end - start, commits_writing_)) return Step::wait;
  }
  Commit& commit = add_commit(follower.segment, start, end, io::round_up_to_block(end));
  if (cached) {
    commit.cached = commit.at_once = true;
    commit.fd = segment.cached_writer.fd();
  }
  note_size(commit.fresh_bytes);
  if (!segment.has_old_bytes()) {
    segment.zeroed_bytes = std::max(segment.zeroed_bytes, commit.to_bytes);
  }
  start_write(commit);
  return Step::again;
}

/// Whether a further commit may join `count` others: those have at most twice as much in the mean,
/// so that commits grow with the depth.
bool Committer::may_start(std::uint64_t fresh_bytes, std::size_t count) const {
  return fresh_bytes * count * 2 >= bytes_in_flight_;
}

void Committer::note_size(std::uint64_t fresh_bytes) {
  usual_commit_bytes_ -= usual_commit_bytes_ / kMeanOfCommits;
  usual_commit_bytes_ += fresh_bytes / kMeanOfCommits;
  past_cache_ = usual_commit_bytes_ >= (past_cache_ ? kCachedMeanMax : kPastCacheMeanMin);
}

/// Where the zeros have to end behind data that ends at `data_end_bytes`.
std::uint64_t Committer::fence_end(std::uint64_t data_end_bytes) {
  return io::round_up_to_block(data_end_bytes + kBatchHeaderBytes);
}

/// Batches that end a header's worth before the zeros do are written at once, else as a group.
Committer::Step Committer::submit_over_old_bytes(Follower& follower) {
  Segment& segment = *follower.segment;
  const std::deque<PendingBatch>& batches = follower.batches;
  const auto first =
      std::ranges::upper_bound(batches, segment.submitted_bytes, {}, &PendingBatch::end_bytes);
  const auto behind = std::ranges::upper_bound(
      first, batches.end(), segment.zeroed_bytes - kBatchHeaderBytes, {}, &PendingBatch::end_bytes);
  if (behind != first) return submit_one(follower, std::prev(behind)->end_bytes);
  if (zeroing_from_) return Step::wait;  // where the group would write
  const std::uint64_t most_bytes = std::min(segment.submitted_bytes + kGroupBytesMax,
                                            segment.prepared_bytes - kBatchHeaderBytes);
  auto last =
      std::ranges::upper_bound(first, batches.end(), most_bytes, {}, &PendingBatch::end_bytes);
  if (last == first) ++last;
  const std::uint64_t end = std::prev(last)->end_bytes;
  if (fence_end(end) > segment.prepared_bytes) {
    prepare_ahead(follower.segment);
    return Step::wait;
  }
  if (!groups_.empty() && !may_start(end - segment.submitted_bytes, groups_.size())) {
    return Step::wait;
  }
  submit_group(follower.segment, end);
  return Step::again;
}

/// Starts the first steps of a group of whole batches that ends at `end_bytes`.
void Committer::submit_group(const std::shared_ptr<Segment>& segment, std::uint64_t end_bytes) {
  const std::uint64_t zeros_end = segment->zeroed_bytes;
  const std::uint64_t to = fence_end(end_bytes);
  std::uint64_t at = io::round_down_to_block(segment->submitted_bytes);
  assert(at < zeros_end && zeros_end < to);
  note_size(end_bytes - segment->submitted_bytes);
  Group& group = groups_.emplace_back();
  while (at < zeros_end) {
    Commit& closing = add_commit(segment, at, end_bytes, zeros_end);
    group.closing.push_back(&closing);
    at = closing.to_bytes;
  }
  while (at < to) {
    Commit& first = add_commit(segment, at, end_bytes, to);
    first.group = &group;
    ++group.first_steps;
    at = first.to_bytes;
    start_write(first);
  }
  segment->zeroed_bytes = to;
}

/// Starts the second steps of groups whose first steps are done. Those of several may be under way,
/// on different blocks: which of them reach the drive does not matter, for each closes a gap behind
/// which all is durable up to the next zeros.
void Committer::close_gaps() {
  while (!groups_.empty()) {
    const Group& group = groups_.front();
    const Commit& first = *group.closing.front();
    if (group.first_steps > 0) return;
    for (const Commit& before : in_flight_) {
      if (&before == &first) break;
      if (!before.done && before.to_bytes > first.position_bytes) return;  // on the same block
    }
    for (Commit* const commit : group.closing) start_write(*commit);
    groups_.pop_front();
  }
}

/// The blocks of `segment` from `from_bytes` to `to_bytes` at most: its data below
/// `data_end_bytes`, and zeros.
Committer::Commit& Committer::add_commit(const std::shared_ptr<Segment>& segment,
                                         std::uint64_t from_bytes, std::uint64_t data_end_bytes,
                                         std::uint64_t to_bytes) {
  Commit& commit = in_flight_.emplace_back();
  commit.owner = this;
  commit.segment = segment;
  commit.code = io::OpCode::write;
  commit.durable = !host_.relaxed() || segment->has_old_bytes();
  commit.fd = segment->writer.fd();
  commit.position_bytes = from_bytes;
  const std::uint64_t end = std::min(to_bytes, from_bytes + kCommitBytesMax);
  std::uint64_t at = from_bytes;
  std::size_t count = 0;
  while (at < end && count + 2 <= kPiecesMax) {
    if (at >= data_end_bytes) {
      const Bytes zeros = context_.zeros();
      const std::size_t size = std::min<std::uint64_t>(zeros.size(), end - at);
      commit.pieces[count++] = {const_cast<std::byte*>(zeros.data()), size};
      at += size;
      continue;
    }
    const std::shared_ptr<Chunk>* const found = segment->recent.find(at);
    assert(found != nullptr);  // what is not written stays in memory
    Chunk& chunk = **found;
    const std::uint64_t chunk_end = std::min({end, data_end_bytes, chunk.end_bytes()});
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
      at += io::kBlockBytes;
    }
  }
  commit.buffers = commit.pieces.data();
  commit.buffer_count = static_cast<std::uint32_t>(count);
  commit.to_bytes = at;
  commit.end_bytes = std::min(at, data_end_bytes);
  commit.fresh_bytes = commit.end_bytes - segment->submitted_bytes;
  segment->submitted_bytes = commit.end_bytes;
  return commit;
}

void Committer::start_write(Commit& commit) {
  commit.started = true;
  ++commits_writing_;
  bytes_in_flight_ += commit.fresh_bytes;
  submit(commit);
}

void Committer::submit(Commit& commit) {
  commit.on_complete = [](io::Operation& self) {
    auto& finished = static_cast<Commit&>(self);
    finished.owner->completed(finished);
  };
  if (!commit.cached) return context_.shard().backend().submit(commit);
  const io::Clock& clock = context_.shard().clock();
  const std::uint64_t bytes = commit.to_bytes - commit.position_bytes;
  const std::int64_t begun_ns = clock.now_ns();
  context_.shard().backend().submit(commit);
  context_.cache_gate().wrote(bytes, begun_ns, clock.now_ns());
  cached_bytes_ += bytes;
}

bool Committer::wants_cache(const Segment& segment) const {
  return host_.relaxed() && !segment.has_old_bytes() && !cache_refused_;
}

/// Whether a commit of `bytes` is a copy into the page cache. Not where they are large: the drive
/// takes them as fast, and the copy costs processor. Not while space is reserved: the kernel holds
/// the file for that, and the shard would wait for it.
bool Committer::may_cache(const Segment& segment, std::uint64_t bytes) const {
  return wants_cache(segment) && segment.cached_writer.is_open() && !holding_file_ &&
         !past_cache_ && context_.cache_gate().is_open(bytes, context_.shard().clock().now_ns());
}

/// Without it the log goes on past the cache.
Task<void> Committer::open_cached(std::shared_ptr<Segment> segment) {
  Result<io::File> file = co_await io::File::open(context_.shard(), segment->path(".log"),
                                                  io::OpenFlags{.write = true});
  if (!file) {
    cache_refused_ = true;
    co_return;
  }
  segment->cached_writer = std::move(*file);
  segment->uncached_bytes = io::round_down_to_block(segment->written_bytes());
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
  bytes_in_flight_ -= commit.fresh_bytes;
  --commits_writing_;
  if (commit.block.size_bytes() > 0) context_.give_block(std::move(commit.block));
  commit.chunks.clear();
  if (failure_) {
    in_flight_.remove_if([&](const Commit& held) { return &held == &commit; });
  } else {
    if (commit.group != nullptr) --std::exchange(commit.group, nullptr)->first_steps;
    advance();
    close_gaps();
  }
  wake_.notify();
}

/// Moves the frontier over the finished commits at the front.
void Committer::advance() {
  if (in_flight_.empty() || !in_flight_.front().done) return;
  Segment& segment = *segments_.front().segment;
  while (!in_flight_.empty() && in_flight_.front().done) {
    Commit& first = in_flight_.front();
    assert(first.segment == segments_.front().segment);
    assert(first.end_bytes >= segment.written_bytes());
    context_.pending_bytes -= first.end_bytes - segment.written_bytes();
    // A durable write says nothing of those before it.
    const bool synced = first.durable && segment.synced_bytes == segment.written_bytes();
    segment.recent.written_bytes = first.end_bytes;
    if (synced) segment.synced_bytes = first.end_bytes;
    in_flight_.pop_front();
  }
  acknowledge(segment);
  sync_behind();
}

/// Tells the host of the batches that are as safe as they have to be.
void Committer::acknowledge(Segment& segment) {
  assert(segments_.front().segment.get() == &segment);
  const std::uint64_t safe = host_.relaxed() ? segment.written_bytes() : segment.synced_bytes;
  std::deque<PendingBatch>& batches = segments_.front().batches;
  bool moved = false;
  Offset acknowledged;
  while (!batches.empty() && batches.front().end_bytes <= safe) {
    acknowledged = batches.front().next_offset;
    batches.pop_front();
    moved = true;
  }
  if (moved) host_.on_written(segment, acknowledged);
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

void Committer::sync_behind() {
  if (syncing_) sync_wake_.notify();  // there may be enough by now
  if (syncing_ || failure_ || segments_.empty()) return;
  const std::shared_ptr<Segment>& segment = segments_.front().segment;
  if (!segment->writer.is_open() || segment->synced_bytes >= segment->written_bytes()) return;
  syncing_ = true;
  context_.shard().spawn(sync(segment));
}

Task<void> Committer::sync(std::shared_ptr<Segment> segment) {
  while (!failure_ && segment->synced_bytes < segment->written_bytes()) {
    if (host_.relaxed()) co_await gather_unsynced(*segment);
    if (failure_) break;
    sync_wanted_ = false;
    const std::uint64_t covered = segment->written_bytes();  // seen complete before we submit
    const std::uint64_t cached = std::exchange(cached_bytes_, 0);
    const Result<void> synced = co_await segment->writer.sync_data();
    context_.cache_gate().settled(cached);
    if (!synced) {
      syncing_ = false;
      poison(synced.error());
      wake_.notify();
      co_return;
    }
    segment->synced_bytes = std::max(segment->synced_bytes, covered);
    acknowledge(*segment);
    wake_.notify();  // for those who flush
    co_await drop_cached(segment);
  }
  syncing_ = false;
  wake_.notify();
}

/// One sync for what some milliseconds bring.
Task<void> Committer::gather_unsynced(const Segment& segment) {
  const std::int64_t until_ns = context_.shard().clock().now_ns() + kGatherMs * 1'000'000;
  bool more = true;
  while (more && !failure_ && !sync_wanted_ && !context_.cache_gate().is_filling() &&
         segment.written_bytes() - segment.synced_bytes < kGatherBytes) {
    more = co_await sync_wake_.wait_until(until_ns);
  }
}

/// The pages of what is synced, some at a time.
Task<void> Committer::drop_cached(std::shared_ptr<Segment> segment) {
  const std::uint64_t from = segment->uncached_bytes;
  const std::uint64_t to = io::round_down_to_block(segment->synced_bytes);
  if (!segment->cached_writer.is_open() || to < from + kDropBytes) co_return;
  segment->uncached_bytes = to;
  const Result<void> dropped = co_await segment->cached_writer.drop_cache(from, to - from);
  if (!dropped) co_return;  // a wish: without it they go when the kernel needs the memory
}

void Committer::hurry_sync() {
  sync_wanted_ = true;
  sync_wake_.notify();
}

Task<Result<void>> Committer::flush() {
  while (!failure_ && !segments_.empty()) {
    const Segment& front = *segments_.front().segment;
    const Segment& back = *segments_.back().segment;
    if (segments_.size() == 1 && front.written_bytes() == back.size_bytes) {
      if (back.synced_bytes >= back.written_bytes()) break;
      hurry_sync();
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
