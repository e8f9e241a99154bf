// What tests do to a disk at rest, and crash images.
#include <algorithm>
#include <cassert>
#include <span>
#include <utility>

#include "engine/io/sim/sim_disk.h"

namespace keelson::engine::io {
namespace {

Bytes as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

SyncCover everything() { return SyncCover{.last = ~std::uint64_t{0}, .unreaped = {}}; }

}  // namespace

const SimDisk::Inode* SimDisk::find_file(std::string_view path) const {
  Place place;
  if (resolve(path, place) < 0 || place.inode == 0) return nullptr;
  const Inode& inode = inodes_.at(place.inode);
  return inode.is_dir ? nullptr : &inode;
}

bool SimDisk::exists(std::string_view path) const {
  Place place;
  return resolve(path, place) == 0 && place.inode != 0;
}

std::optional<std::string> SimDisk::content(std::string_view path) const {
  const Inode* const inode = find_file(path);
  if (inode == nullptr) return std::nullopt;
  SimFile file = inode->file;
  std::string bytes(file.size_bytes(), '\0');
  SimRng rng(1);
  file.read(0, std::as_writable_bytes(std::span(bytes)), /*direct=*/false, rng);
  return bytes;
}

void SimDisk::put(const std::string& path, std::string_view content) {
  auto recording = std::exchange(recording_, nullptr);
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    make_dir(path.substr(0, slash), 0);
  }
  SimRng rng(1);
  InodeId inode = 0;
  const std::int64_t opened =
      open(path, OpenFlags{.write = true, .create = true, .truncate = true}, 0, 0, rng, inode);
  assert(opened == 0);
  const std::int64_t written = write(inode, 0, as_bytes(content), 0, 0, rng);
  assert(written == static_cast<std::int64_t>(content.size()));
  sync(inode, everything(), rng);
  close(inode);
  commit_selected(std::vector<bool>(entry_changes_.size(), true));
  free_unreferenced();
  recording_ = std::move(recording);
}

bool SimDisk::overwrite(std::string_view path, std::uint64_t position_bytes,
                        std::string_view bytes) {
  Inode* const inode = const_cast<Inode*>(find_file(path));
  if (inode == nullptr) return false;
  change_file(*inode, [&](SimFile& file) { file.mutate(position_bytes, as_bytes(bytes)); });
  return true;
}

bool SimDisk::flip_bit(std::string_view path, std::uint64_t position_bytes, unsigned bit) {
  const Inode* const inode = find_file(path);
  if (inode == nullptr || position_bytes >= inode->file.size_bytes()) return false;
  SimFile file = inode->file;
  std::byte value{};
  SimRng rng(1);
  file.read(position_bytes, MutableBytes(&value, 1), /*direct=*/false, rng);
  const char flipped = static_cast<char>(value ^ (std::byte{1} << (bit % 8)));
  return overwrite(path, position_bytes, std::string_view(&flipped, 1));
}

bool SimDisk::resize(std::string_view path, std::uint64_t size_bytes) {
  Inode* const inode = const_cast<Inode*>(find_file(path));
  if (inode == nullptr) return false;
  SimRng rng(1);
  change_file(*inode, [&](SimFile& file) {
    file.truncate(size_bytes, 0, rng);
    file.sync(everything(), rng);
  });
  return true;
}

bool SimDisk::erase(const std::string& path) {
  auto recording = std::exchange(recording_, nullptr);
  const bool erased = unlink(path) == 0;
  commit_selected(std::vector<bool>(entry_changes_.size(), true));
  free_unreferenced();
  recording_ = std::move(recording);
  return erased;
}

std::vector<std::string> SimDisk::files() const {
  std::vector<std::string> found;
  std::vector<std::pair<std::string, InodeId>> to_visit{{"", kRoot}};
  while (!to_visit.empty()) {
    const auto [path, id] = std::move(to_visit.back());
    to_visit.pop_back();
    for (const auto& [name, child] : inodes_.at(id).entries) {
      const std::string child_path = path + "/" + name;
      if (is_dir(child)) {
        to_visit.emplace_back(child_path, child);
      } else {
        found.push_back(child_path);
      }
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::uint64_t SimDisk::content_hash() const {
  TraceHash hash;
  for (const std::string& path : files()) {
    for (const char letter : path) hash.add(static_cast<std::uint8_t>(letter));
    find_file(path)->file.add_content(hash);
  }
  return hash.value();
}

void SimDisk::sync_everything() {
  SimRng rng(1);
  commit_selected(std::vector<bool>(entry_changes_.size(), true));
  for (auto& [id, inode] : inodes_) inode.file.sync(everything(), rng);
  free_unreferenced();
}

void SimDisk::drop_cache() {
  for (auto& [id, inode] : inodes_) inode.file.evict_lost();
}

InodeId SimDisk::random_file(SimRng& rng) const {
  std::vector<InodeId> ids;
  for (const auto& [id, inode] : inodes_) {
    if (!inode.is_dir && inode.links > 0 && inode.file.size_bytes() > 0) ids.push_back(id);
  }
  return ids.empty() ? 0 : ids[rng.below(ids.size())];
}

void SimDisk::start_recording() { recording_ = std::make_unique<std::vector<DiskChange>>(); }

const std::vector<DiskChange>& SimDisk::changes() const {
  static const std::vector<DiskChange> kNone;
  return recording_ == nullptr ? kNone : *recording_;
}

void SimDisk::replay(const DiskChange& change, SimRng& rng) {
  const std::int64_t wall_ms = static_cast<std::int64_t>(change.size_bytes);
  InodeId opened = 0;
  switch (change.code) {
    case DiskChange::Code::open:
      open(change.path, change.flags, wall_ms, change.write_number, rng, opened);
      return;
    case DiskChange::Code::close: close(change.inode); return;
    case DiskChange::Code::write:
      write(change.inode, change.position_bytes, as_bytes(change.bytes), change.write_number,
            wall_ms, rng);
      return;
    case DiskChange::Code::sync: sync(change.inode, change.cover, rng); return;
    case DiskChange::Code::sync_range:
      sync_range(change.inode, change.position_bytes, change.size_bytes);
      return;
    case DiskChange::Code::fail_sync: fail_sync(change.inode, rng); return;
    case DiskChange::Code::fail_sync_range:
      fail_sync_range(change.inode, change.position_bytes, change.size_bytes, rng);
      return;
    case DiskChange::Code::truncate:
      truncate(change.inode, change.size_bytes, change.write_number, 0, rng);
      return;
    case DiskChange::Code::allocate: allocate(change.inode, change.size_bytes, 0); return;
    case DiskChange::Code::rename: rename(change.path, change.other_path); return;
    case DiskChange::Code::unlink: unlink(change.path); return;
    case DiskChange::Code::make_dir: make_dir(change.path, 0); return;
    case DiskChange::Code::remove_dir: remove_dir(change.path); return;
    case DiskChange::Code::sync_dir: sync_dir(change.path); return;
  }
}

CrashImages::CrashImages(const SimDisk& before, const std::vector<DiskChange>& changes)
    : changes_(changes), disk_(before) {}

bool CrashImages::advance() {
  if (position_ == changes_.size()) return false;
  disk_.replay(changes_[position_++], rng_);
  return true;
}

SimDisk CrashImages::image(std::uint64_t seed) const {
  SimDisk disk(disk_);
  SimRng rng(seed ^ (position_ * 0x9e3779b97f4a7c15));
  disk.power_cut(rng);
  return disk;
}

SimDisk CrashImages::image(const Keeps& keeps) const {
  SimDisk disk(disk_);
  disk.power_cut(keeps);
  return disk;
}

SimDisk CrashImages::killed() const {
  SimDisk disk(disk_);
  disk.process_gone();
  return disk;
}

}  // namespace keelson::engine::io
