// engine/log/log_scanner.h: walks the batches of a segment file and believes none of them.
#pragma once

#include <cstdint>

#include "engine/error.h"
#include "engine/io/aligned_buffer.h"
#include "engine/io/file.h"
#include "engine/log/record_batch.h"
#include "engine/task.h"
#include "engine/types.h"

namespace keelson::engine::log {

/// Why a walk ended where it did.
enum class ScanStop : std::uint8_t {
  end_of_file,  // exactly behind the last batch
  zeros,        // an all-zero header: prepared space, or a hole
  cut,          // a header or batch that passes the end of the file
  bad_header,   // magic, length or counts that no batch has
  bad_crc,      // the bytes are not those that were written
  not_next,     // a whole batch, but not the one that follows: offsets or epochs do not continue
};

/// A batch that passed: its header, and its bytes where they are few enough to be at hand whole.
struct ScannedBatch {
  BatchHeader header;
  std::uint64_t position_bytes = 0;
  Bytes bytes;  // at least the header; the whole batch if it has at most kScanWindowBytes / 2
};

/// What is read at a time: a look at one place reads little, a walk reads more with each step.
inline constexpr std::size_t kScanWindowBytesMin = std::size_t{8} << 10;
inline constexpr std::size_t kScanWindowBytes = std::size_t{512} << 10;

class LogScanner {
 public:
  /// `file` may be open for direct reads, and is `file_bytes` long; it outlives the scanner.
  LogScanner(io::File& file, std::uint64_t file_bytes);

  /// The next batch has to begin at `position_bytes`, with the base offset `expected`, or, with
  /// `gaps`, one above it, and an epoch not below `epoch`.
  void start(std::uint64_t position_bytes, Offset expected, LeaderEpoch epoch, bool gaps);

  /// Moves to the next batch: true where there is one, see batch(); false at a stop, see stop().
  /// Errors: io.
  [[nodiscard]] Task<Result<bool>> next();

  const ScannedBatch& batch() const { return batch_; }
  ScanStop stop() const { return stop_; }
  /// Where the next batch begins or should begin.
  std::uint64_t position_bytes() const { return position_; }
  Offset next_offset() const { return expected_; }
  LeaderEpoch epoch() const { return epoch_; }
  std::uint64_t bytes_read() const { return bytes_read_; }

  /// Whether the bytes of a batch with `header`, as in the file, have the CRC it names.
  [[nodiscard]] Task<Result<bool>> check_crc(std::uint64_t position_bytes, BatchHeader header);
  /// At least `bytes_min` (at most half the window) from `position_bytes` on, or up to the end of
  /// the file; unchecked, and there until the next call.
  [[nodiscard]] Task<Result<Bytes>> bytes_at(std::uint64_t position_bytes, std::size_t bytes_min) {
    return window(position_bytes, bytes_min);
  }
  /// The header at `position_bytes`, unchecked. Errors: corrupt where none can be there; io.
  [[nodiscard]] Task<Result<BatchHeader>> header_at(std::uint64_t position_bytes);

 private:
  Task<Result<Bytes>> window(std::uint64_t position_bytes, std::size_t bytes_min);
  void make_room(std::uint64_t position_bytes, std::size_t bytes_min);

  io::File& file_;
  const std::uint64_t file_bytes_;
  io::AlignedBuffer buffer_;
  std::uint64_t window_start_ = 0;
  std::uint64_t window_end_ = 0;
  std::uint64_t position_ = 0;
  Offset expected_;
  LeaderEpoch epoch_ = kNoLeaderEpoch;
  bool gaps_ = false;
  ScannedBatch batch_;
  ScanStop stop_ = ScanStop::end_of_file;
  std::uint64_t bytes_read_ = 0;
};

}  // namespace keelson::engine::log
