// engine/log/spare_head.h: how a file begins that was a dropped segment's and is to be the next
// one.
//
//   0   64  zeros: no batch begins here, neither for us nor for Kafka
//   64   8  "KEELSONR"
//   72   2  version, 1
//   74  16  topic id
//   90   4  partition
//   94   8  base offset of the segment it is to be
//   102  4  CRC-32C of bytes 64..102
// Big-endian, zeros up to the end of the block. The segment's first commit overwrites it, and that
// comes after the manifest named the segment. So a file that begins like this and is not named
// holds nothing, whatever lies behind.
#pragma once

#include "engine/error.h"
#include "engine/io/aligned_buffer.h"
#include "engine/log/log.h"
#include "engine/types.h"

namespace keelson::engine::log {

/// Fills the first block; `block` has at least kBlockBytes.
void write_spare_head(MutableBytes block, const LogIdentity& identity, Offset base_offset);
/// Whether `block`, the first bytes of a file, says so of this segment of this log.
bool is_spare_head(Bytes block, const LogIdentity& identity, Offset base_offset);

}  // namespace keelson::engine::log
