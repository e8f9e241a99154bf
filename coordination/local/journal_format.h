// coordination/local/journal_format.h: the bytes of `keelson.coordinator`. No I/O.
//
// Integers are big-endian.
//
// Header, 64 bytes:
//    0  8  magic "KeelsonC"
//    8  4  format version, 1
//   12  4  zero
//   16 16  file id: random, another one in each file ever written
//   32  8  snapshot end: where the frames end that the file was made with
//   40 20  zero
//   60  4  CRC-32C of bytes 0 to 59
// Frames, back to back:
//    0  4  magic "KCf1"
//    4  4  payload bytes
//    8  4  kind: 1 transaction, 2 part of the snapshot, 3 mark
//   12  4  CRC-32C of file id, position of the frame in the file (8 bytes), the frame with this
//          field left out
//   16  8  version: that the transaction made; of the store, in snapshot and mark
//   24  8  durable_upto: everything before this position was durable when the frame was written
//   32     payload
// Transaction: count (4), then for each write: operation (1: 0 delete, 1 put, 2 put leased), key,
// and value of a put. Snapshot: count (4), then for each key: leased (1), key, value, version (8),
// create version (8). Keys and values are a length (4) and bytes.
//
// A file is made whole (header and snapshot), synced and renamed into place, so a crash leaves no
// damage before the snapshot's end. A transaction is written durably behind the last one, before it
// is answered. Behind it a mark is written without waiting for the disk, and the next transaction
// overwrites that mark: it bears witness that the transaction before it was durable.
//
// Crash states: the file ends with a whole transaction, with or without a mark; or with any part of
// a transaction that was not answered, over any part of a mark. Both have no valid frame behind the
// damage. Damage with a valid frame behind it that says "durable" of it is none of a crash's doing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "coordination/store/versioned_map.h"
#include "engine/uuid.h"

namespace keelson::coordination {

inline constexpr std::size_t kJournalHeaderBytes = 64;
inline constexpr std::size_t kFrameHeaderBytes = 32;
inline constexpr std::size_t kFramePayloadBytesMax = std::size_t{1} << 21;
static_assert(kFramePayloadBytesMax >= kCommitBytesMax + 4 + kCommitOperationsMax * 9,
              "every commit fits in one frame");
/// A journal is never larger: compaction keeps it at a few times its state.
inline constexpr std::size_t kJournalBytesMax = 5 * kStateBytesMax;

/// Header and snapshot of `map`: a whole new journal.
std::string encode_journal(const engine::Uuid& file_id, const VersionedMap& map);
/// The frame of a transaction to be written at `position_bytes`; it makes `version`.
std::string encode_transaction(const engine::Uuid& file_id, std::uint64_t position_bytes,
                               KeyVersion version, const std::vector<KeyWrite>& writes);
std::string encode_mark(const engine::Uuid& file_id, std::uint64_t position_bytes,
                        KeyVersion version);

enum class JournalVerdict : std::uint8_t {
  intact,       // ends with a whole transaction (and perhaps a mark)
  torn_tail,    // bytes behind end_bytes to be cut: a write that was never answered
  corrupt,      // durable bytes are damaged: `what` at `damage_bytes`
  unsupported,  // a later format version
};

struct JournalScan {
  JournalVerdict verdict = JournalVerdict::corrupt;
  std::string what;                // one phrase, for corrupt and unsupported
  std::uint64_t damage_bytes = 0;  // where
  std::uint64_t end_bytes = 0;     // where the next transaction goes
  engine::Uuid file_id;
  VersionedMap map;  // as of end_bytes
};

/// Reads a whole journal. Total: any bytes give a verdict.
JournalScan scan_journal(std::string_view bytes);

}  // namespace keelson::coordination
