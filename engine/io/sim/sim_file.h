// engine/io/sim/sim_file.h: the bytes of one simulated file, on the medium and in the cache.
//
// Each 512 B sector has an image on the medium and, where it was written since, one in the cache.
// A cached sector is dirty (reaches the medium at the latest by a sync) or lost (a failed sync
// marked it clean; buffered readers see it until it is evicted, the medium keeps the old bytes).
// A power cut takes the cache: each dirty sector is by seed on the medium or not.
// The size has its own history: changes since the last sync are undone from the newest backwards.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "engine/io/sim/sim_rng.h"
#include "engine/types.h"

namespace keelson::engine::io {

inline constexpr std::uint64_t kSectorBytes = 512;
inline constexpr std::uint64_t kPageBytes = 4096;
inline constexpr std::uint64_t kSectorsPerPage = kPageBytes / kSectorBytes;

/// Which writes a sync must make durable: those numbered up to `last` that are not in `unreaped`.
struct SyncCover {
  std::uint64_t last = 0;
  std::vector<std::uint64_t> unreaped;  // completion not seen when the sync was submitted

  bool must_cover(std::uint64_t write_number) const;
};

/// Something that a power cut keeps or loses.
struct Unsynced {
  enum class Kind : std::uint8_t {
    entry,   // a change of a directory
    size,    // a change of a file's size; one that is kept keeps those before it
    sector,  // written bytes of a file, in the order of positions
  };
  Kind kind{};
  std::uint64_t inode = 0;  // the file; 0 for entries
  std::size_t index = 0;    // among `count` of this kind and file
  std::size_t count = 0;
  std::size_t number = 0;  // among all of the disk
};
using Keeps = std::function<bool(const Unsynced&)>;

/// Copies share their pages until one of them writes.
class SimFile {
 public:
  std::uint64_t size_bytes() const { return size_bytes_; }
  /// Pages it takes from the disk's free space.
  std::uint64_t used_pages() const { return used_pages_; }
  /// Pages that write(position_bytes, bytes) would add.
  std::uint64_t pages_needed(std::uint64_t position_bytes, std::uint64_t bytes) const;

  /// How many bytes there were at `position_bytes`; 0 at and past the end.
  std::size_t read(std::uint64_t position_bytes, MutableBytes into, bool direct, SimRng& rng);
  void write(std::uint64_t position_bytes, Bytes bytes, std::uint64_t write_number, SimRng& rng);
  void truncate(std::uint64_t size_bytes, std::uint64_t write_number, SimRng& rng);
  void allocate(std::uint64_t size_bytes);

  /// fdatasync: what `cover` demands reaches the medium, the rest by seed; so does the size.
  void sync(const SyncCover& cover, SimRng& rng);
  /// A durable write's own range and the size.
  void sync_range(std::uint64_t position_bytes, std::uint64_t bytes);
  /// A failed sync: dirty sectors become clean; by seed none or some of them reached the medium.
  void fail_sync(SimRng& rng);
  /// The same for the range of a failed durable write.
  void fail_sync_range(std::uint64_t position_bytes, std::uint64_t bytes, SimRng& rng);
  /// Asks for what is not synced of this file, `inode`; the first has the number `number`, which is
  /// moved on.
  void power_cut(const Keeps& keeps, std::uint64_t inode, std::size_t& number);
  /// How often that asks.
  std::size_t unsynced() const { return size_changes_.size() + dirty_sectors(); }
  /// Whoever wrote is gone: from now on every sync covers all that was written.
  void forget_writers();
  /// Adds the size and the bytes as they are read.
  void add_content(TraceHash& hash) const;

  /// The bytes at rest: what a read sees, changed on the medium and in the cache, at once durable.
  void mutate(std::uint64_t position_bytes, Bytes bytes);
  /// Drops what only the cache holds as lost, as memory pressure would.
  void evict_lost();
  bool has_unsynced() const;

 private:
  struct Block {
    std::array<std::byte, kPageBytes> bytes{};
  };
  struct Cache {
    Block block;
    std::uint8_t dirty = 0;  // a bit a sector
    std::uint8_t lost = 0;
    std::array<std::uint64_t, kSectorsPerPage> oldest_write{};  // of those not on the medium
  };
  struct Page {
    std::shared_ptr<Block> medium;  // none: zeros
    std::shared_ptr<Cache> cache;
    bool empty() const { return medium == nullptr && cache == nullptr; }
  };
  struct SizeChange {
    std::uint64_t old_bytes = 0;
    std::vector<std::pair<std::uint64_t, Page>> dropped;  // by a truncation: page number, page
  };

  Page& page_at(std::uint64_t number);
  static Cache& own_cache(Page& page);
  static Block& own_medium(Page& page);
  static void flush_sectors(Page& page, std::uint8_t sectors);
  static void lose_sectors(Page& page, std::uint8_t dirty, bool all_lost, SimRng& rng);
  template <class Visit>
  void for_range(std::uint64_t position_bytes, std::uint64_t bytes, Visit visit);
  void read_page(Page& page, std::uint64_t offset, MutableBytes into, bool direct, SimRng& rng);
  void write_page(std::uint64_t number, std::uint64_t offset, Bytes bytes,
                  std::uint64_t write_number, SimRng& rng);
  void change_size(std::uint64_t size_bytes);
  std::size_t dirty_sectors() const;
  void forget_clean_tail();
  void recount();

  std::uint64_t size_bytes_ = 0;
  std::uint64_t allocated_pages_ = 0;  // [0, this) is reserved
  std::uint64_t used_pages_ = 0;
  std::vector<Page> pages_;
  std::vector<std::uint64_t> dirty_pages_;  // may hold clean ones and duplicates
  std::vector<SizeChange> size_changes_;    // not yet durable, oldest first
};

}  // namespace keelson::engine::io
