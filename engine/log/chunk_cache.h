// engine/log/chunk_cache.h: the recent bytes of a shard's logs, in memory.
//
// A chunk is a stretch of one segment file. Appends are copied into it, commits write from it,
// reads are answered from it; whoever holds a share keeps its bytes. One thread, save that a share
// may be dropped anywhere.
#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <list>
#include <memory>

#include "engine/io/aligned_buffer.h"
#include "engine/types.h"

namespace keelson::engine::log {

class ChunkCache;
class RecentChunks;

inline constexpr std::size_t kChunkBytesMin = io::kBlockBytes;
inline constexpr std::size_t kChunkBytesMax = std::size_t{256} << 10;
inline constexpr std::uint64_t kNowhere = std::numeric_limits<std::uint64_t>::max();

/// [position_bytes, position_bytes + filled_bytes) of a segment file. Bytes once filled never
/// change, but for the missing prefix, which no reader is given.
struct Chunk {
  Chunk(std::uint64_t position, std::size_t capacity)
      : memory(capacity), position_bytes(position) {}

  io::AlignedBuffer memory;
  const std::uint64_t position_bytes;  // a multiple of the block size
  std::size_t filled_bytes = 0;
  std::size_t missing_bytes = 0;               // at the start: in the file, but not read back yet
  std::uint64_t first_batch_bytes = kNowhere;  // position of the first batch that begins here
  Offset first_batch_offset;  // its base offset; where none begins here, that of the batch around

  std::uint64_t end_bytes() const { return position_bytes + filled_bytes; }
  std::size_t room_bytes() const { return memory.size_bytes() - filled_bytes; }

 private:
  friend class ChunkCache;
  friend class RecentChunks;
  RecentChunks* owner_ = nullptr;
  std::list<Chunk*>::iterator place_;
  bool touched_ = false;
};

/// The chunks of one segment, by position; gaps are where the cache dropped some.
class RecentChunks {
 public:
  explicit RecentChunks(ChunkCache& cache) : cache_(cache) {}
  ~RecentChunks() { clear(); }
  RecentChunks(const RecentChunks&) = delete;  // chunks hold its address
  RecentChunks& operator=(const RecentChunks&) = delete;

  bool empty() const { return chunks_.empty(); }
  const std::shared_ptr<Chunk>& back() const { return chunks_.back(); }
  /// ChunkCache::fair_chunk_bytes() of the cache it is in.
  std::size_t fair_chunk_bytes() const;
  /// Adds a chunk at the end; older ones may be dropped to make room.
  Chunk& add(std::uint64_t position_bytes, std::size_t capacity_bytes);
  /// The chunk that holds the byte at `position_bytes`; null where none does.
  const std::shared_ptr<Chunk>* find(std::uint64_t position_bytes) const;
  /// The last chunk whose first batch is at or below `offset`; null where none is.
  const std::shared_ptr<Chunk>* find(Offset offset) const;
  void touch(Chunk& chunk) const { chunk.touched_ = true; }
  void clear();
  /// Cuts what lies at or above `position_bytes`, with the chunk that holds that byte.
  void truncate(std::uint64_t position_bytes);

  /// Bytes at or above this are not in the file yet: their chunks stay.
  std::uint64_t written_bytes = 0;

 private:
  friend class ChunkCache;
  void drop(Chunk& chunk);

  ChunkCache& cache_;
  std::deque<std::shared_ptr<Chunk>> chunks_;
};

/// Bounds the memory of all chunks that logs hold; shares of readers are not counted.
class ChunkCache {
 public:
  explicit ChunkCache(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}
  std::uint64_t bytes() const { return bytes_; }
  /// What a log's next chunk should have at most, so that the tails of all that are written to now
  /// fit: each has one that is not full yet, and that one stays.
  std::size_t fair_chunk_bytes() const;

 private:
  friend class RecentChunks;
  static constexpr std::size_t kLooksMax = 16;
  void admit(Chunk& chunk);
  void forget(Chunk& chunk);
  void make_room();

  const std::uint64_t bytes_max_;
  std::uint64_t bytes_ = 0;
  std::size_t logs_ = 0;     // segments that hold chunks
  std::list<Chunk*> order_;  // the next to go first
};

}  // namespace keelson::engine::log
