// engine/log/committer.h: brings appended bytes to the drive, in groups, in order of the log.
//
// No timer: when nothing is under way and bytes wait, they are written; what comes meanwhile goes
// with the next write. Several commits may be under way, on different blocks; the frontier is the
// end of the longest run of finished ones, and only it acknowledges.
//
// The last block of a commit is rewritten by the next: the acknowledged part with the same bytes,
// so any mix of old and new sectors keeps it. It is written from a copy, because appends go on
// filling the chunk meanwhile.
//
// A relaxed log is acknowledged from the page cache: a kill leaves that as it is. Its commits are
// copies, made at once by way of a second descriptor without O_DIRECT; the sync that follows takes
// what a few milliseconds bring, then the pages go. Large commits, and all while the cache is shut
// (cache_gate.h), are written past it as a durable log's are, only not durable. Never both at once:
// a direct write that finds a page dirty again behind its back is an error of the file to the
// kernel.
//
// In a recycled file old batches lie behind the tail, and a walk over the file must never come
// from a new batch to an old one, whatever part of the writes under way a crash leaves. So at least
// a header's worth of zeros always follows the last acknowledged batch. A commit that ends before
// these zeros do is one write, as elsewhere. Any other is a group of whole batches, in two steps:
// first what lies behind the zeros, and new zeros behind that; when all of it is durable, the
// blocks before, which close the gap. Until then the walk ends at the zeros
// (engine/FORMAT.md, "Recycled segment").
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "engine/error.h"
#include "engine/io/backend.h"
#include "engine/io/sync.h"
#include "engine/log/log_config.h"
#include "engine/log/segment.h"
#include "engine/task.h"

namespace keelson::engine::log {

/// What the committer needs of its log. All called on the shard's thread.
class CommitHost {
 public:
  /// Makes `segment` ready for its first commit since it was opened or idle: file, manifest, tail
  /// block. `segment.begun` is set at success.
  [[nodiscard]] virtual Task<Result<void>> begin_segment(std::shared_ptr<Segment> segment) = 0;
  /// `segment` was rolled, and all its bytes are written.
  [[nodiscard]] virtual Task<Result<void>> finish_segment(std::shared_ptr<Segment> segment) = 0;
  /// The frontier moved within `segment`: batches of the log below `acknowledged` are written
  /// (durable, unless the durability is relaxed).
  virtual void on_written(Segment& segment, Offset acknowledged) = 0;
  /// The log is poisoned: nothing after the frontier will ever be acknowledged.
  virtual void on_failure(Error error) = 0;
  virtual bool relaxed() const = 0;
  /// The drive is getting full: what is kept for later use only should go.
  virtual void give_back_space() = 0;

 protected:
  ~CommitHost() = default;
};

class Committer {
 public:
  Committer(LogContext& context, CommitHost& host);
  ~Committer();
  Committer(const Committer&) = delete;

  /// The segment that later enqueue() calls append to. Those before it are sealed.
  void follow(std::shared_ptr<Segment> segment);
  /// Notes a batch placed at the end of the last segment, and sees to it that it gets written.
  void enqueue(std::uint32_t size_bytes, Offset next_offset);

  /// Grows the prepared space of `segment` in the background where the tail comes near its end.
  void prepare_ahead(const std::shared_ptr<Segment>& segment);

  /// Starts the fdatasync that follows writes in relaxed mode, for what is written by now.
  void sync_behind();
  /// Waits until everything enqueued so far is on stable storage.
  [[nodiscard]] Task<Result<void>> flush();
  /// Finishes rolled segments and makes the last one ready although nothing was appended to it.
  [[nodiscard]] Task<Result<void>> begin_last();
  /// Waits until no write, sync or preparation is under way and no more will start by itself.
  Task<void> drain();

  bool idle() const { return !running_ && in_flight_.empty() && !preparing_ && !syncing_; }
  std::optional<Error> failure() const { return failure_; }
  void poison(Error error);
  /// True while the drive is too full for another step; appends past the prepared space wait.
  bool space_short() const { return space_short_; }
  /// From now on a full drive fails what waits for space instead of retrying.
  void stop_waiting_for_space() { no_waiting_ = true; }
  /// Forgets the segment in hand, which must have nothing pending.
  void forget();

 private:
  struct Commit;
  struct Group;
  struct PendingBatch {
    std::uint64_t end_bytes;
    Offset next_offset;
  };
  struct Follower {
    std::shared_ptr<Segment> segment;
    std::deque<PendingBatch> batches;  // not written yet
  };
  enum class Step : std::uint8_t { again, wait, done };

  void kick();
  Task<void> run();
  Step submit_next(Follower& follower);
  Step submit_one(Follower& follower, std::uint64_t end_bytes);
  Step submit_over_old_bytes(Follower& follower);
  void submit_group(const std::shared_ptr<Segment>& segment, std::uint64_t end_bytes);
  void close_gaps();
  bool may_start(std::uint64_t fresh_bytes, std::size_t count) const;
  void note_size(std::uint64_t fresh_bytes);
  static std::uint64_t fence_end(std::uint64_t data_end_bytes);
  Commit& add_commit(const std::shared_ptr<Segment>& segment, std::uint64_t from_bytes,
                     std::uint64_t data_end_bytes, std::uint64_t to_bytes);
  void start_write(Commit& commit);
  void submit(Commit& commit);
  bool wants_cache(const Segment& segment) const;
  bool may_cache(const Segment& segment, std::uint64_t bytes) const;
  Task<void> open_cached(std::shared_ptr<Segment> segment);
  bool reserves_only(const Segment& segment) const;
  void completed(Commit& commit);
  void failed(Commit& commit, Error error);
  void advance();
  void acknowledge(Segment& segment);
  static bool lacks_tail(const Segment& segment);
  Task<Result<void>> fill_tail(std::shared_ptr<Segment> segment);
  Task<void> prepare(std::shared_ptr<Segment> segment, std::uint64_t target_bytes, bool unhurried);
  Task<Result<void>> prepare_step(std::shared_ptr<Segment> segment, std::uint64_t target_bytes,
                                  bool unhurried);
  Task<Result<void>> write_zeros(std::shared_ptr<Segment> segment, std::uint64_t target_bytes,
                                 bool unhurried);
  bool in_bulk() const;
  static std::uint64_t needed_bytes(const Segment& segment);
  std::uint64_t writable_bytes(const Segment& segment) const;
  Task<void> sync(std::shared_ptr<Segment> segment);
  Task<void> gather_unsynced(const Segment& segment);
  Task<void> drop_cached(std::shared_ptr<Segment> segment);
  void hurry_sync();

  LogContext& context_;
  CommitHost& host_;
  io::Event wake_;
  std::deque<Follower> segments_;
  std::list<Commit> in_flight_;        // in order of the log; those done wait for the ones before
  std::size_t commits_writing_ = 0;    // of these not done
  std::uint64_t bytes_in_flight_ = 0;  // that those are the first to write
  std::list<Group> groups_;            // whose second step is not submitted yet
  std::optional<Error> failure_;
  bool running_ = false;
  bool preparing_ = false;
  bool syncing_ = false;
  io::Event sync_wake_;             // the sync that waits for more need not
  bool holding_file_ = false;       // space is being reserved, or written with zeros
  bool sync_wanted_ = false;        // somebody waits for it
  bool past_cache_ = false;         // commits are too large for a copy
  bool cache_refused_ = false;      // the second descriptor is not to be had
  std::uint64_t cached_bytes_ = 0;  // written to the page cache since the last sync began
  std::optional<std::uint64_t> zeroing_from_;  // commits end before this while zeros are written
  std::uint64_t usual_commit_bytes_ = 0;       // mean over the latest commits
  bool space_short_ = false;
  bool no_waiting_ = false;
  bool begin_last_ = false;
};

}  // namespace keelson::engine::log
