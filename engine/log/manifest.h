// engine/log/manifest.h: keelson.manifest, the list of what belongs to a log. It decides: a segment
// file that it does not name is not loaded, one that it names is never replaced by an empty one.
//
//   off size field                        then, for each segment, 80 bytes:
//     0  8   "KEELSONM"                      0  8  base offset
//     8  2   version, 1                      8  8  next offset  (0 while active)
//    10  2   flags: 1 closed cleanly,       16  8  size, bytes  (0 while active)
//            2 compacted
//    12  4   partition                      24  8  batches      (0 while active)
//    16 16   topic id                       32  8  max timestamp, ms
//    32  8   log start offset               40  8  last offset of the batch that has it
//    40  8   everything below is synced     48  8  max timestamp of the first batch
//    48  4   segments                       56  8  created, ms
//    52  4   epochs                         64  4  last chain value
//                                           68  4  flags: 1 sealed, 2 dropped, 4 prepared,
//                                                  8 recycled, 16 its files may still end in .swap
//                                           72  4  aborted transactions, in .txnindex
//                                           76  4  CRC-32C of that file
//   then, for each epoch, 4 epoch and 8 start offset; where compacted, 8 first dirty offset; then 4
//   CRC-32C of all before.
// Big-endian. Written whole by replace_file(): a crash leaves the old one or the new one.
// A dropped segment is on its way out: its files may be there or not, recovery removes them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "engine/log/epoch_cache.h"
#include "engine/log/log.h"

namespace keelson::engine::log {

inline constexpr std::string_view kManifestName = "keelson.manifest";
inline constexpr std::size_t kManifestBytesMax = std::size_t{64} << 20;

struct ManifestSegment {
  Offset base_offset;
  Offset next_offset;
  std::uint64_t size_bytes = 0;
  std::uint64_t batch_count = 0;
  std::int64_t max_timestamp_ms = kNoTimestamp;
  Offset max_timestamp_offset;
  std::int64_t first_timestamp_ms = kNoTimestamp;
  std::int64_t created_ms = 0;
  std::uint32_t last_chain = 0;
  std::uint32_t aborted_count = 0;  // entries of its .txnindex; 0: there is no such file
  std::uint32_t aborted_crc = 0;
  bool sealed = false;
  bool dropped = false;
  bool prepared = false;  // the last one: space was made in its file, so that is not empty
  bool recycled = false;  // the last one: its file held dropped records of this log
  bool swapping = false;  // its files are complete, and those that end in .swap replace the others

  friend bool operator==(const ManifestSegment&, const ManifestSegment&) = default;
};

struct Manifest {
  LogIdentity identity;
  bool clean = false;  // closed cleanly: then the last segment's numbers hold too
  Offset log_start_offset;
  Offset recovery_point;
  std::vector<ManifestSegment> segments;  // by base offset, strictly growing
  std::vector<EpochStart> epochs;
  std::optional<Offset> first_dirty;  // of a log that was compacted: below, no key is there twice

  friend bool operator==(const Manifest&, const Manifest&) = default;
};

std::string encode_manifest(const Manifest& manifest);
/// Errors: corrupt; unsupported where a later version wrote it: leave the directory alone.
[[nodiscard]] Result<Manifest> decode_manifest(std::string_view content);

}  // namespace keelson::engine::log
