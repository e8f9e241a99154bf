// engine/log/entry_cursor.h: the integrity entries of a segment one after the other, from its file
// and, behind those, from memory. Checks the chain.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "engine/error.h"
#include "engine/io/file.h"
#include "engine/log/integrity_sidecar.h"
#include "engine/log/segment.h"
#include "engine/task.h"

namespace keelson::engine::log {

/// Walks the entries of an integrity file that end where the chain does.
class EntryFile {
 public:
  static constexpr std::size_t kPieceBytesMax = std::size_t{256} << 10;

  /// Reads at most `piece_bytes_max` (at least 4 KiB) of the file at a time.
  EntryFile(io::Shard& shard, std::string path, std::size_t piece_bytes_max = kPieceBytesMax)
      : shard_(shard), path_(std::move(path)), piece_bytes_max_(piece_bytes_max) {}

  /// The whole file, where somebody has read it already: nothing more is read.
  void preload(std::vector<std::byte> content) {
    buffer_ = std::move(content);
    buffer_bytes_ = buffer_.size();
    preloaded_ = true;
  }
  /// Begins at entry `number`. The chain value before it is read from the file, or is `seed` for
  /// the first. Errors: not_found, io.
  [[nodiscard]] Task<Result<void>> start(std::uint64_t number, std::uint32_t seed);
  /// The next entry; nothing at the end, or where the chain breaks: see broken().
  [[nodiscard]] Task<Result<std::optional<IntegrityEntry>>> next();

  std::uint64_t number() const { return number_; }  // of the entry that next() returns next
  std::uint32_t chain() const { return chain_; }    // of the one before it
  bool broken() const { return broken_; }
  bool started() const { return preloaded_ || file_.is_open(); }

 private:
  Task<Result<Bytes>> bytes_at(std::uint64_t position_bytes);

  io::Shard& shard_;
  std::string path_;
  const std::size_t piece_bytes_max_;
  io::File file_;
  std::vector<std::byte> buffer_;
  std::uint64_t buffer_start_ = 0;
  std::size_t buffer_bytes_ = 0;
  std::size_t piece_bytes_ = 4096;  // grows with the walk
  std::uint64_t number_ = 0;
  std::uint32_t chain_ = 0;
  bool broken_ = false;
  bool preloaded_ = false;
};

/// The same over a live segment, whose last entries may be in memory only.
class EntryCursor {
 public:
  explicit EntryCursor(std::shared_ptr<Segment> segment,
                       std::size_t piece_bytes_max = EntryFile::kPieceBytesMax);

  /// Begins at entry `number`; nothing is read yet. `seed` is the segment's.
  void start(std::uint64_t number, std::uint32_t seed);
  /// Errors: corrupt where the file is gone, or its chain is broken before its known end: make it
  /// again. not_found: gone with its segment, which was dropped.
  [[nodiscard]] Task<Result<std::optional<IntegrityEntry>>> next();
  /// The same, but next() and peek() give it again until skip().
  [[nodiscard]] Task<Result<std::optional<IntegrityEntry>>> peek();
  void skip() { peeked_.reset(); }

 private:
  std::shared_ptr<Segment> segment_;
  std::optional<IntegrityEntry> peeked_;
  EntryFile file_;
  std::uint64_t number_ = 0;
  std::uint32_t seed_ = 0;
};

}  // namespace keelson::engine::log
