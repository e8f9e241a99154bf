// The space before the tail of a segment: reserved, or written with zeros.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "engine/log/committer.h"

namespace keelson::engine::log {
namespace {

// A mean commit of this size or more costs less with the journal's own commit that a write into
// reserved space brings than with zeros written before it (bench/README.md, "Beside fio").
constexpr std::uint64_t kBulkBytesMin = std::uint64_t{128} << 10;
constexpr std::uint64_t kStepBytesMin = std::uint64_t{64} << 10;
constexpr std::uint64_t kStepBytesMax = std::uint64_t{16} << 20;
constexpr std::uint64_t kReserveBytesMax = std::uint64_t{64} << 20;
constexpr std::uint64_t kLeadBytes = std::uint64_t{256} << 10;
constexpr std::int64_t kSpaceRetryMs = 500;
// Zeros are as many bytes again as the records: one write at a time held a fast log to 0.8 GB/s.
constexpr std::size_t kZeroWritesAtOnce = 4;
constexpr std::int64_t kRestNsMax = 2'000'000;  // of who does not hurry, between two writes

}  // namespace

bool Committer::in_bulk() const { return usual_commit_bytes_ >= kBulkBytesMin; }

/// Whether space is not written with zeros before it is used. Those are there for durable writes,
/// which find no extent to change then: one sync for many relaxed ones brings the change for all.
bool Committer::reserves_only(const Segment& segment) const {
  return in_bulk() || (host_.relaxed() && !segment.has_old_bytes());
}

/// Where the prepared space has to end for what was appended to be written.
std::uint64_t Committer::needed_bytes(const Segment& segment) {
  return segment.has_old_bytes() ? fence_end(segment.size_bytes)
                                 : io::round_up_to_block(segment.size_bytes);
}

/// Where commits have to end for now.
std::uint64_t Committer::writable_bytes(const Segment& segment) const {
  return std::min(segment.prepared_bytes, zeroing_from_.value_or(segment.prepared_bytes));
}

/// In bulk space is only reserved: the journal's commit that comes with a write is cheaper there
/// than to write everything twice. So it is where nobody waits for a durable write. Else it is
/// zeros. Logs that are written to alike come to it at the same time, and all their zeros at once
/// would hold up every commit of the drive: one log of a shard does it at a time, without hurry.
/// The others ask again with their next appends, until half of what was left is used.
void Committer::prepare_ahead(const std::shared_ptr<Segment>& segment) {
  if (preparing_ || failure_ || !segment->begun) return;
  const std::uint64_t limit = io::round_up_to_block(segment->capacity_bytes);
  const bool old_bytes = segment->has_old_bytes();
  const std::uint64_t needed = needed_bytes(*segment);
  const bool reserves = reserves_only(*segment);
  const std::uint64_t there = reserves ? segment->prepared_bytes : segment->zeroed_bytes;
  const std::uint64_t step_max = reserves ? kReserveBytesMax : kStepBytesMax;
  const std::uint64_t left = there - std::min(there, needed);
  // Over old bytes commits wait while zeros are written there: little at first.
  const std::uint64_t step = std::clamp(old_bytes ? left : there, kStepBytesMin, step_max);
  if (left >= step / 2) return;
  std::uint64_t target = std::min(std::max(needed, there) + step, limit);
  target = std::max(target, needed);
  if (target <= there) return;
  const bool many_writes = !reserves && target - there > context_.zeros().size();
  const bool unhurried = many_writes && left >= step / 4;
  if (unhurried && std::exchange(context_.zeroing_unhurried, true)) return;
  preparing_ = true;
  context_.shard().spawn(prepare(segment, target, unhurried));
}

Task<void> Committer::prepare(std::shared_ptr<Segment> segment, std::uint64_t target_bytes,
                              bool unhurried) {
  Result<void> prepared = co_await prepare_step(segment, target_bytes, unhurried);
  if (unhurried) context_.zeroing_unhurried = false;
  while (!failure_ && !prepared && prepared.error().code == Errc::no_space) {
    space_short_ = true;
    // Nothing waits for the space: the next append asks again.
    if (needed_bytes(*segment) <= segment->prepared_bytes) break;
    if (no_waiting_) {
      preparing_ = false;
      poison(prepared.error());
      co_return;
    }
    co_await context_.shard().sleep_for_ms(kSpaceRetryMs);
    target_bytes = std::max(target_bytes, needed_bytes(*segment));
    prepared = co_await prepare_step(segment, target_bytes, false);
  }
  preparing_ = false;
  if (!prepared && prepared.error().code != Errc::no_space) poison(prepared.error());
  wake_.notify();
}

namespace {

/// A stretch of a segment that is filled piece by piece, by several tasks in the end.
struct Zeroing {
  Segment& segment;
  Bytes zeros;
  std::uint64_t next_bytes;
  std::uint64_t end_bytes;
  Result<void> outcome;

  bool is_done() const { return next_bytes == end_bytes || !outcome; }
};

Task<void> write_piece(Zeroing& zeroing) {
  const std::uint64_t at = zeroing.next_bytes;
  const Bytes piece =
      zeroing.zeros.first(std::min<std::uint64_t>(zeroing.zeros.size(), zeroing.end_bytes - at));
  zeroing.next_bytes += piece.size();
  const Result<void> written = co_await zeroing.segment.writer.write_at(at, piece);
  if (!written) zeroing.outcome = written;
}

Task<void> write_all_pieces(Zeroing& zeroing) {
  while (!zeroing.is_done()) co_await write_piece(zeroing);
}

/// A piece, then the drive is left alone for as long.
Task<void> write_unhurried(io::Shard& shard, Zeroing& zeroing) {
  const std::int64_t begun_ns = shard.clock().now_ns();
  co_await write_piece(zeroing);
  const std::int64_t now_ns = shard.clock().now_ns();
  co_await shard.sleep_until(now_ns + std::min(now_ns - begun_ns, kRestNsMax));
}

}  // namespace

/// Reserves space up to `target_bytes`, and where commits are small fills it with zeros.
Task<Result<void>> Committer::prepare_step(std::shared_ptr<Segment> segment,
                                           std::uint64_t target_bytes, bool unhurried) {
  bool is_short = false;
  const bool reserves = reserves_only(*segment);
  bool reserved = true;
  if (target_bytes > segment->prepared_bytes) {
    const Result<io::DiskSpace> space = co_await io::disk_space(context_.shard(), segment->dir);
    if (!space) co_return std::unexpected(space.error());
    const std::uint64_t grows = target_bytes - segment->prepared_bytes;
    const bool waited_for = needed_bytes(*segment) > segment->prepared_bytes;
    is_short = space->free_bytes < grows + context_.limits().disk_reserve_bytes;
    if (is_short) host_.give_back_space();  // it counts at the next try
    // The reserve is there for what was accepted already; ask it for no more than that.
    if (is_short && !waited_for) co_return fail(Errc::no_space);
    if (is_short) target_bytes = needed_bytes(*segment);
    // The size first: a write that extends a file locks all others out of it (ext4, XFS).
    // Where the file system cannot do that, the zeros extend it.
    holding_file_ = true;
    const Result<void> allocated = co_await segment->writer.allocate(target_bytes);
    holding_file_ = false;
    reserved = allocated.has_value();
    if (!reserved && allocated.error().sys_errno != EOPNOTSUPP) co_return allocated;
  }
  if (!reserves || !reserved) {
    holding_file_ = true;
    const Result<void> zeroed = co_await write_zeros(segment, target_bytes, unhurried);
    holding_file_ = false;
    if (!zeroed) co_return zeroed;
  }
  const Result<void> synced = co_await segment->writer.sync_data();
  if (!synced) co_return synced;
  segment->prepared_bytes = std::max(segment->prepared_bytes, target_bytes);
  if (!reserves || !reserved) segment->zeroed_bytes = std::max(segment->zeroed_bytes, target_bytes);
  space_short_ = is_short;
  co_return Result<void>{};
}

/// Zeros up to `target_bytes`, from where nobody wrote or is about to: after a time of bulk the
/// space before that is reserved only, and appends need not wait for the zeros.
Task<Result<void>> Committer::write_zeros(std::shared_ptr<Segment> segment,
                                          std::uint64_t target_bytes, bool unhurried) {
  std::uint64_t from = io::round_up_to_block(segment->submitted_bytes);
  if (from + kLeadBytes <= segment->prepared_bytes) from += kLeadBytes;
  from = std::max(segment->zeroed_bytes, from);
  if (segment->has_old_bytes()) from = segment->zeroed_bytes;  // without a gap
  if (from >= target_bytes) co_return Result<void>{};
  zeroing_from_ = from;
  Zeroing zeroing{*segment, context_.zeros(), from, target_bytes, {}};
  const std::uint64_t needed = needed_bytes(*segment);
  const std::uint64_t hurry_from_bytes = from - (from - std::min(from, needed)) / 2;
  const auto is_waited_for = [&] {
    return needed_bytes(*segment) >= hurry_from_bytes || segment->sealed || no_waiting_;
  };
  while (unhurried && !zeroing.is_done() && !is_waited_for()) {
    co_await write_unhurried(context_.shard(), zeroing);
  }
  io::TaskGroup writes(context_.shard());
  for (std::size_t i = 0; i < kZeroWritesAtOnce && !zeroing.is_done(); ++i) {
    writes.start(write_all_pieces(zeroing));
  }
  co_await writes.wait();
  zeroing_from_.reset();
  co_return zeroing.outcome;
}

}  // namespace keelson::engine::log
