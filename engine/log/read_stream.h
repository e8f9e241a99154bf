// engine/log/read_stream.h: readers that go through a segment, and what they will ask for next.
//
// A read that ends where a batch ends leaves a stream: the offset at which its reader would go on.
// Who does go on has pieces of up to 1 MiB read and checked ahead of it, one at first, more where
// it had to wait. Several readers of one segment have a stream each.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "engine/io/sync.h"
#include "engine/log/integrity_sidecar.h"
#include "engine/slice.h"
#include "engine/types.h"

namespace keelson::engine::log {

class EntryCursor;
struct ReadPiece;
struct ReadLimits;

/// Batches of one segment, one behind the other, known by their entries.
struct EntryRun {
  std::vector<IntegrityEntry> entries;
  bool is_behind_last = false;  // there is none, and none will be until more is appended

  std::uint64_t start_bytes() const { return entries.front().position_bytes; }
  std::uint64_t end_bytes() const { return entries.back().end_bytes(); }
};

/// What a piece is for. The less sure it is to be asked for soon, the less of the budget it gets.
enum class ReadAheadUse : std::uint8_t {
  expected,  // a request under way will come to it
  next,      // a reader's next request, if it goes on
  later,     // the one after that
};

/// Bounds what all logs of a shard have read ahead. Outlives what it gave. One thread.
class ReadAheadBudget {
 public:
  ReadAheadBudget(const io::Clock& clock, std::uint64_t bytes_max)
      : clock_(clock), bytes_max_(bytes_max) {}

  /// What nobody asked for in this time makes room for others. Not before: with more readers than
  /// there is room for, they would take it from each other and everything were read twice.
  static constexpr std::int64_t kAbandonedAfterNs = 1'000'000'000;

  /// A piece of at most `bytes`; null where there is no room.
  std::shared_ptr<ReadPiece> begin(std::uint64_t bytes, ReadAheadUse use);
  bool has_room(std::uint64_t bytes, ReadAheadUse use) const {
    return bytes_ + bytes <= share_of(use);
  }
  std::uint64_t bytes() const { return bytes_; }

 private:
  friend struct ReadPiece;

  std::uint64_t share_of(ReadAheadUse use) const;

  const io::Clock& clock_;
  const std::uint64_t bytes_max_;
  std::uint64_t bytes_ = 0;
  std::list<ReadPiece*> order_;  // those that are charged, the oldest first
};

/// Batches that were read, and checked, before anybody asked.
struct ReadPiece {
  enum class State : std::uint8_t { reading, ready, gone };

  ReadPiece(ReadAheadBudget& owner, std::uint64_t size_bytes);
  ReadPiece(const ReadPiece&) = delete;  // the budget has its address
  ~ReadPiece() { drop(); }

  /// Gives the memory back; whoever comes reads the disk.
  void drop();

  ReadAheadBudget& budget;
  State state = State::reading;
  EntryRun run;
  std::size_t taken = 0;  // so many of its batches were given to the reader
  Slice batches;          // of the whole run, once ready
  std::uint64_t bytes;    // charged; 0 once dropped

 private:
  std::int64_t made_ns_;
  std::list<ReadPiece*>::iterator place_;
  friend class ReadAheadBudget;
};

struct ReadStream {
  ReadStream(io::Shard& shard, Offset first);
  ReadStream(const ReadStream&) = delete;  // waited for by address
  ~ReadStream();

  static constexpr std::size_t kPiecesMax = 4;

  /// Something is under way that the reader should wait for instead of reading it too.
  bool must_wait() const;
  /// Gives what is ready and within the limits to the reader, who then goes on behind it. False
  /// where there is nothing, or it is gone; the disk has to be read then.
  bool take(Offset segment_base, Offset below, const ReadLimits& limits, SliceList& into);
  /// Forgets what was read ahead; the reader goes on at `offset`.
  void restart(Offset offset);

  Offset next;                    // what the reader asks for if it goes on
  Offset tail;                    // behind the last piece
  Offset below;                   // as the last read was bounded
  std::uint64_t piece_bytes = 0;  // at most
  std::size_t window = 1;         // pieces
  bool filling = false;
  std::uint64_t generation = 0;  // grows with restart(): what was begun before is not wanted
  std::deque<std::shared_ptr<ReadPiece>> pieces;
  std::unique_ptr<EntryCursor> cursor;  // at `tail`, once there is a second read
  io::Event changed;                    // notified when a piece is there, or none will be
};

/// The streams of one segment, the last used first.
class ReadStreams {
 public:
  static constexpr std::size_t kStreamsMax = 8;

  /// The one whose reader goes on at `offset`; null where there is none.
  std::shared_ptr<ReadStream> find(Offset offset);
  void add(std::shared_ptr<ReadStream> stream);
  void clear() { streams_.clear(); }

 private:
  std::vector<std::shared_ptr<ReadStream>> streams_;
};

}  // namespace keelson::engine::log
