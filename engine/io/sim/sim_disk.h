// engine/io/sim/sim_disk.h: the file system of one simulated machine.
//
// What is durable, as on ext4 and XFS but no kinder than POSIX:
//   bytes and size of a file   by a sync of that file, or by a durable write for its own range
//   an entry of a directory    by sync_dir of that directory, whether the file was synced or not
// A power cut keeps or loses each un-synced change of a directory by itself; only changes of one
// name keep their order. ext4 and XFS keep all in the order of their journal, btrfs and POSIX do
// not promise it, and a log that needs no order needs no particular file system. A rename is one
// change, also between two directories: the old name or the new, never both, never none.
// Copies share their pages, so that a snapshot is cheap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/backend.h"
#include "engine/io/sim/sim_file.h"
#include "engine/io/sim/sim_rng.h"

namespace keelson::engine::io {

using InodeId = std::uint64_t;

/// One change of a disk, as it was applied; see SimDisk::start_recording().
struct DiskChange {
  enum class Code : std::uint8_t {
    open,
    close,
    write,
    sync,
    sync_range,
    fail_sync,
    fail_sync_range,
    truncate,
    allocate,
    rename,
    unlink,
    make_dir,
    remove_dir,
    sync_dir,
  };
  Code code{};
  InodeId inode = 0;
  std::string path;
  std::string other_path;
  OpenFlags flags;
  std::uint64_t position_bytes = 0;
  std::uint64_t size_bytes = 0;
  std::uint64_t write_number = 0;
  SyncCover cover;
  std::string bytes;
};

/// Every operation returns 0 (or what it says) or -errno. Paths are cut at '/'; relative ones
/// start at the root.
class SimDisk {
 public:
  static constexpr std::uint64_t kFileBytesMax = std::uint64_t{64} << 30;

  explicit SimDisk(std::uint64_t total_bytes = std::uint64_t{64} << 30);
  /// A snapshot: the same content, not recording.
  SimDisk(const SimDisk& other);
  /// Restores a snapshot. Nothing may be open. Keeps recording where this disk did.
  SimDisk& operator=(const SimDisk& other);
  SimDisk(SimDisk&&) = default;
  SimDisk& operator=(SimDisk&&) = default;

  // What a process does. `wall_ms` becomes the time of modification.
  std::int64_t open(const std::string& path, OpenFlags flags, std::int64_t wall_ms,
                    std::uint64_t write_number, SimRng& rng, InodeId& opened);
  void close(InodeId inode);
  std::int64_t read(InodeId inode, std::uint64_t position_bytes, MutableBytes into, bool direct,
                    SimRng& rng);
  /// Bytes written: fewer than asked, then -ENOSPC, where the disk is full.
  std::int64_t write(InodeId inode, std::uint64_t position_bytes, Bytes bytes,
                     std::uint64_t write_number, std::int64_t wall_ms, SimRng& rng);
  void sync(InodeId inode, const SyncCover& cover, SimRng& rng);
  void sync_range(InodeId inode, std::uint64_t position_bytes, std::uint64_t bytes);
  void fail_sync(InodeId inode, SimRng& rng);
  void fail_sync_range(InodeId inode, std::uint64_t position_bytes, std::uint64_t bytes,
                       SimRng& rng);
  std::int64_t truncate(InodeId inode, std::uint64_t size_bytes, std::uint64_t write_number,
                        std::int64_t wall_ms, SimRng& rng);
  std::int64_t allocate(InodeId inode, std::uint64_t size_bytes, std::int64_t wall_ms);
  std::int64_t rename(const std::string& from, const std::string& to);
  std::int64_t unlink(const std::string& path);
  std::int64_t make_dir(const std::string& path, std::int64_t wall_ms);
  std::int64_t remove_dir(const std::string& path);
  std::int64_t sync_dir(const std::string& path);
  std::int64_t list_dir(const std::string& path, std::vector<DirEntry>& entries) const;
  std::int64_t read_file(const std::string& path, std::uint64_t bytes_max, std::string& content,
                         SimRng& rng);
  std::int64_t stat(const std::string& path, FileStat& stat) const;
  bool is_dir(InodeId inode) const { return inodes_.at(inode).is_dir; }
  std::uint64_t total_bytes() const { return total_bytes_; }
  std::uint64_t free_bytes() const;
  /// Fault injection: makes the disk smaller or larger.
  void set_total_bytes(std::uint64_t bytes) { total_bytes_ = bytes; }

  // What happens to a machine.
  /// Every process is gone: nothing is open any more. The cache stays.
  void process_gone();
  /// Everything un-synced is kept or lost by seed: all, nothing, a beginning, or here and there.
  void power_cut(SimRng& rng);
  /// The same as `keeps` says, which is asked once for each that is not synced, in order: changes
  /// of directories as they were made, then file by file the sizes and the sectors. What a kept
  /// change of a name rests on is kept, too.
  void power_cut(const Keeps& keeps);
  /// How many times `keeps` would be asked.
  std::size_t unsynced() const;

  // For tests, on files at rest (MUT). Nothing here is a fault of its own or recorded. False or
  // nothing where the file is missing.
  bool exists(std::string_view path) const;
  std::optional<std::string> content(std::string_view path) const;
  /// Replaces or creates a file with its parent directories, at once durable.
  void put(const std::string& path, std::string_view content);
  bool overwrite(std::string_view path, std::uint64_t position_bytes, std::string_view bytes);
  bool flip_bit(std::string_view path, std::uint64_t position_bytes, unsigned bit);
  bool resize(std::string_view path, std::uint64_t size_bytes);
  /// Removes a file, at once durable.
  bool erase(const std::string& path);
  /// Paths of all files, sorted, "/a/b".
  std::vector<std::string> files() const;
  /// Of names and bytes of all files, as processes see them: equal disks have equal ones.
  std::uint64_t content_hash() const;
  /// All current entries and bytes are on the medium.
  void sync_everything();
  /// The page cache drops what it can: after a failed sync readers see the medium.
  void drop_cache();
  void drop_cache(InodeId inode) { inodes_.at(inode).file.evict_lost(); }
  /// The file of a random other place to hit: where a misdirected write lands.
  InodeId random_file(SimRng& rng) const;

  /// From now on every change is kept, for CrashImages. Starts over where it was on.
  void start_recording();
  /// What was recorded; nothing where it was not asked for.
  const std::vector<DiskChange>& changes() const;
  /// Applies a recorded change.
  void replay(const DiskChange& change, SimRng& rng);

 private:
  struct Inode {
    bool is_dir = false;
    SimFile file;
    std::map<std::string, InodeId> entries;          // directories: as processes see them
    std::map<std::string, InodeId> durable_entries;  // directories: after a power cut at best
    std::int64_t modified_ms = 0;
    std::uint32_t links = 0;
    std::uint32_t durable_links = 0;
    std::uint32_t open_count = 0;
  };
  /// One un-synced change of one or two directories; 0 where a side is absent.
  struct EntryChange {
    InodeId from_dir = 0;
    std::string from_name;
    InodeId to_dir = 0;
    std::string to_name;
    InodeId inode = 0;
  };
  struct Place {
    InodeId dir = 0;
    std::string name;   // empty: the root itself
    InodeId inode = 0;  // 0: not there
  };

  std::int64_t resolve(std::string_view path, Place& place) const;
  std::int64_t resolve_file(std::string_view path, InodeId& inode) const;
  const Inode* find_file(std::string_view path) const;
  InodeId add_inode(bool is_dir, std::int64_t wall_ms);
  void link(const Place& place, InodeId inode);
  void unlink_from(const Place& place);
  void commit(const EntryChange& change);
  void commit_selected(std::vector<bool> selected);
  void free_if_gone(InodeId inode);
  void free_unreferenced();
  void recount_space();
  /// Changes a file that is linked or open and keeps the count of used pages.
  template <class Change>
  void change_file(Inode& inode, Change change) {
    const std::uint64_t before = inode.file.used_pages();
    change(inode.file);
    used_pages_ += inode.file.used_pages() - before;
  }
  DiskChange* record(DiskChange::Code code);

  static constexpr InodeId kRoot = 1;
  std::uint64_t total_bytes_;
  std::uint64_t used_pages_ = 0;
  InodeId next_inode_ = kRoot + 1;
  std::map<InodeId, Inode> inodes_;
  std::vector<EntryChange> entry_changes_;  // un-synced, oldest first
  std::vector<InodeId> unlinked_;           // may be free once their removal is durable
  std::unique_ptr<std::vector<DiskChange>> recording_;
};

/// Crash images of a recording: the disk as a power cut after the first `n` changes leaves it.
///
///   SimDisk before = disk;  disk.start_recording();  ... run ...
///   for (CrashImages images(before, disk.changes());; ) {
///     check(images.image(seed));
///     if (!images.advance()) break;
///   }
class CrashImages {
 public:
  CrashImages(const SimDisk& before, const std::vector<DiskChange>& changes);

  /// How many changes the image holds.
  std::size_t position() const { return position_; }
  std::size_t size() const { return changes_.size(); }
  /// One more change; false at the end.
  bool advance();
  /// The change that comes next; not at the end.
  const DiskChange& next() const { return changes_[position_]; }
  /// A power cut here; each seed loses another part of what is not synced.
  SimDisk image(std::uint64_t seed) const;
  /// A power cut here that keeps what `keeps` says; see SimDisk::power_cut().
  SimDisk image(const Keeps& keeps) const;
  std::size_t unsynced() const { return disk_.unsynced(); }
  /// A kill -9 here: nothing is lost, nothing is open.
  SimDisk killed() const;

 private:
  const std::vector<DiskChange> changes_;
  SimDisk disk_;
  SimRng rng_{1};
  std::size_t position_ = 0;
};

}  // namespace keelson::engine::io
