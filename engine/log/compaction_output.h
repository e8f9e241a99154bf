// engine/log/compaction_output.h: the segment that takes the place of some, as it is written: files
// that end in .cleaned, which whoever opens the directory after a crash removes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "engine/io/aligned_buffer.h"
#include "engine/io/file.h"
#include "engine/log/index_format.h"
#include "engine/log/pace.h"
#include "engine/log/record_batch.h"
#include "engine/log/segment.h"
#include "engine/task.h"

namespace keelson::engine::log {

inline constexpr std::string_view kCleanedEnding = ".cleaned";
inline constexpr std::string_view kSwapEnding = ".swap";

class CompactionOutput {
 public:
  /// Fills in `segment`, fresh and empty, with its seed and index set. `pace` outlives the output.
  CompactionOutput(std::shared_ptr<Segment> segment, Pace& pace);

  [[nodiscard]] Task<Result<void>> open();
  /// Whether add() may be called with so much. Else it is time for flush().
  bool has_room(std::size_t bytes) const;
  /// Adds a whole batch behind those before, in memory that is there; touches nothing that is the
  /// shard's. Errors: record_list_too_large: the file would be larger than a segment can be.
  [[nodiscard]] Result<void> add(Bytes batch, const BatchHeader& header);
  /// Writes the blocks that are full; then there is room for `next_bytes`. Errors: no_space, io.
  [[nodiscard]] Task<Result<void>> flush(std::size_t next_bytes);
  /// All bytes and side files are on stable storage at success; their names are not yet.
  [[nodiscard]] Task<Result<void>> finish(std::span<const TransactionIndexEntry> aborted);
  /// Removes the files; errors are of no account, for the next open() does so too.
  Task<void> discard();

  const std::shared_ptr<Segment>& segment() const { return segment_; }
  /// The endings of the files there are, ".log" first; each has kCleanedEnding behind it.
  const std::vector<std::string_view>& endings() const { return endings_; }
  std::uint64_t bytes_written() const { return bytes_written_; }

 private:
  Task<Result<void>> write_block(Bytes filled);
  Task<Result<void>> look_for_space();
  Task<Result<void>> write_entries();
  Task<Result<void>> write_whole(std::string_view ending, std::string content);
  std::string path(std::string_view ending) const;

  std::shared_ptr<Segment> segment_;
  Pace& pace_;
  io::File log_;
  io::File entries_;
  std::vector<io::AlignedBuffer> full_;  // blocks that wait to be written, in order
  std::vector<io::AlignedBuffer> spare_;
  io::AlignedBuffer block_;
  std::size_t block_bytes_ = 0;  // filled of block_
  std::uint64_t position_ = 0;   // in the file, of what is written next
  std::string entry_bytes_;      // not written yet
  std::uint64_t entry_position_ = 0;
  LeaderEpoch epoch_ = kNoLeaderEpoch;
  std::vector<std::string_view> endings_;
  std::uint64_t bytes_written_ = 0;
};

}  // namespace keelson::engine::log
