// engine/log/segment.h: one file of a log, what is known of it, and the end of it that takes
// appends.
//
// On disk: record batches back to back from byte 0; an active segment has prepared zeros behind
// them (engine/FORMAT.md, "Segment"). One shard's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/io/file.h"
#include "engine/log/aborted_index.h"
#include "engine/log/chunk_cache.h"
#include "engine/log/integrity_sidecar.h"
#include "engine/log/log_context.h"
#include "engine/log/read_stream.h"
#include "engine/log/record_batch.h"
#include "engine/log/segment_index.h"
#include "engine/task.h"
#include "engine/types.h"

namespace keelson::engine::log {

/// "00000000000000000042": the name of a segment's files without their ending.
std::string segment_stem(Offset base_offset);
/// The reverse: nothing where `stem` is not 20 digits that fit.
std::optional<Offset> parse_segment_stem(std::string_view stem);

/// Opens `path` with O_DIRECT where the context has it, else, or where it is refused, without.
[[nodiscard]] Task<Result<io::File>> open_direct(LogContext& context, std::string path,
                                                 io::OpenFlags flags);

/// Reads what lies below `file_bytes`, the known length of the file, which a run of short transfers
/// must not be taken to end early. How many bytes were read: fewer than there only where the file
/// is shorter than known.
[[nodiscard]] Task<Result<std::size_t>> read_within(io::File& file, std::uint64_t position_bytes,
                                                    MutableBytes into, std::uint64_t file_bytes);

/// A stretch of a segment that failed its check and is withheld.
struct DamagedRange {
  Offset from;
  Offset to;  // exclusive
  std::uint64_t position_bytes = 0;
  std::uint64_t end_bytes = 0;
};

struct Segment {
  Segment(LogContext& context, std::string dir, Offset base_offset,
          std::uint32_t index_interval_bytes);
  ~Segment();
  Segment(const Segment&) = delete;  // chunks and commits hold its address
  Segment& operator=(const Segment&) = delete;

  /// dir/stem + `ending`, such as ".log".
  std::string path(std::string_view ending) const;
  /// The same where the file is now: a dropped segment's are renamed until they are unlinked.
  std::string current_path(std::string_view ending) const;

  /// Copies `batch` to the end. The header is that in `batch`, with its offsets.
  void place(Bytes batch, const BatchHeader& header);
  /// Takes note of a batch at the end of the file: size, offsets, times, index.
  void note(const BatchHeader& header);
  /// The same of a batch that is known by its entry, which is in the file.
  void trust(const IntegrityEntry& entry);
  /// An entry for damaged bytes from the end to `end_bytes`, up to offset `to`; nothing matches it.
  void add_damage(std::uint64_t end_bytes, Offset to);
  /// Makes the integrity entry of the batch that place() takes next.
  void add_entry(Bytes batch, const BatchHeader& header, bool begins_epoch);
  /// Chains the entries of the batches that are written by now.
  void chain_entries();
  /// Makes the tail a chunk of its own whose start is not in memory, after open or idleness.
  void forget_memory();
  void close_reader();
  void close_writer();
  std::uint64_t written_bytes() const { return recent.written_bytes; }
  /// Where true, commits follow the rule for recycled files (committer.h).
  bool has_old_bytes() const { return zeroed_bytes < old_bytes; }

  LogContext& context;
  const std::string dir;
  const Offset base_offset;

  // What it holds.
  Offset next_offset;
  std::uint64_t size_bytes = 0;
  std::uint64_t batch_count = 0;
  std::int64_t max_timestamp_ms = kNoTimestamp;
  Offset max_timestamp_offset;                     // last offset of the batch that has it
  std::int64_t first_timestamp_ms = kNoTimestamp;  // max timestamp of the first batch
  std::int64_t created_ms = 0;
  bool sealed = false;         // takes no more appends
  bool sealing = false;        // sealed by a roll, and its files are not finished yet
  bool is_empty_file = false;  // compaction left nothing of it but its place
  bool emptied = false;        // its prepared space is being cut off, and no record is before it
  bool deleted = false;        // its files are renamed; readers under way may finish
  std::string removal_ending;  // what their names end with then
  std::vector<DamagedRange> damaged;

  // Integrity entries. `entries` are those not in the file yet; the first `chained` of them are of
  // written batches, and `chain` is the value of the last of these.
  std::uint32_t seed = 0;
  std::uint32_t chain = 0;
  std::vector<IntegrityEntry> entries;
  std::size_t chained = 0;
  std::uint64_t entries_in_file = 0;

  // Transactions. The batches are counted while the segment takes appends.
  AbortedIndex aborted;
  std::uint64_t transactional_batches = 0;

  std::uint64_t snapshot_bytes = 0;  // the producers were last written when it was that long

  // Memory.
  RecentChunks recent;
  std::optional<SegmentIndex> index;  // absent where not loaded
  std::uint32_t index_interval_bytes;

  // Writing: 0 <= synced <= written <= submitted <= size <= prepared, once prepared.
  io::File writer;
  io::File cached_writer;  // the same file by way of the page cache, once a relaxed log wants it
  std::uint64_t capacity_bytes = 0;  // segment.bytes when it was made
  std::uint64_t submitted_bytes = 0;
  std::uint64_t synced_bytes = 0;
  std::uint64_t uncached_bytes = 0;  // what was written below left the page cache
  std::uint64_t prepared_bytes = 0;  // the file is durably that long; zeros behind the records
  std::uint64_t zeroed_bytes = 0;    // of that, blocks that were written; the rest is reserved only
  // A recycled file: what lies in [zeroed, old) are bytes of a dropped segment of this log.
  std::uint64_t old_bytes = 0;
  std::uint32_t tail_crc = 0;  // of the bytes of the last block, where they are not in memory
  bool begun = false;          // named by the manifest, open and prepared
  // As recovery found them: cut before the first write, see LogImpl::begin_segment().
  std::uint64_t uncut_bytes = 0;  // the file's length, where something lies behind the records
  bool uncut_recycled = false;    // the file is a recycled one: nothing can be said of that
  bool entries_uncut = false;     // the same of the integrity file

  // Reading.
  std::shared_ptr<io::File> reader;
  ReadStreams streams;

 private:
  std::size_t next_chunk_bytes_ = kChunkBytesMin;
};

}  // namespace keelson::engine::log
