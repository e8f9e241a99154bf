#include "engine/io/sim/sim_disk.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <set>
#include <utility>

namespace keelson::engine::io {
namespace {

constexpr std::size_t kNameBytesMax = 255;

std::vector<std::string_view> split(std::string_view path) {
  std::vector<std::string_view> names;
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const std::string_view name = path.substr(0, slash);
    if (!name.empty() && name != ".") names.push_back(name);
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  return names;
}

}  // namespace

SimDisk::SimDisk(std::uint64_t total_bytes) : total_bytes_(total_bytes) {
  Inode& root = inodes_[kRoot];
  root.is_dir = true;
  root.links = root.durable_links = 1;
}

SimDisk::SimDisk(const SimDisk& other)
    : total_bytes_(other.total_bytes_),
      used_pages_(other.used_pages_),
      next_inode_(other.next_inode_),
      inodes_(other.inodes_),
      entry_changes_(other.entry_changes_),
      unlinked_(other.unlinked_) {}

SimDisk& SimDisk::operator=(const SimDisk& other) {
  SimDisk copy(other);
  copy.recording_ = std::move(recording_);
  *this = std::move(copy);
  return *this;
}

DiskChange* SimDisk::record(DiskChange::Code code) {
  if (recording_ == nullptr) return nullptr;
  DiskChange& change = recording_->emplace_back();
  change.code = code;
  return &change;
}

std::int64_t SimDisk::resolve(std::string_view path, Place& place) const {
  place = Place{kRoot, {}, kRoot};
  std::vector<InodeId> parents;
  for (const std::string_view name : split(path)) {
    if (place.inode == 0) return -ENOENT;
    if (!inodes_.at(place.inode).is_dir) return -ENOTDIR;
    if (name == "..") {
      place.inode = parents.empty() ? kRoot : parents.back();
      if (!parents.empty()) parents.pop_back();
      place.name.clear();
      continue;
    }
    if (name.size() > kNameBytesMax) return -ENAMETOOLONG;
    parents.push_back(place.inode);
    place.dir = place.inode;
    place.name = name;
    const auto& entries = inodes_.at(place.dir).entries;
    const auto found = entries.find(place.name);
    place.inode = found == entries.end() ? 0 : found->second;
  }
  return path.empty() ? -ENOENT : 0;
}

InodeId SimDisk::add_inode(bool is_dir, std::int64_t wall_ms) {
  const InodeId id = next_inode_++;
  Inode& inode = inodes_[id];
  inode.is_dir = is_dir;
  inode.modified_ms = wall_ms;
  return id;
}

void SimDisk::link(const Place& place, InodeId inode) {
  inodes_.at(place.dir).entries[place.name] = inode;
  ++inodes_.at(inode).links;
}

void SimDisk::unlink_from(const Place& place) {
  inodes_.at(place.dir).entries.erase(place.name);
  Inode& inode = inodes_.at(place.inode);
  --inode.links;
  if (inode.links > 0) return;
  unlinked_.push_back(place.inode);
  if (inode.open_count == 0) used_pages_ -= inode.file.used_pages();
}

std::int64_t SimDisk::open(const std::string& path, OpenFlags flags, std::int64_t wall_ms,
                           std::uint64_t write_number, SimRng& rng, InodeId& opened) {
  Place place;
  const std::int64_t resolved = resolve(path, place);
  if (resolved < 0) return resolved;
  if (place.inode == 0 && !flags.create) return -ENOENT;
  if (place.inode != 0 && flags.create && flags.exclusive) return -EEXIST;
  if (place.inode != 0 && is_dir(place.inode) && (flags.write || flags.create)) return -EISDIR;
  if (place.inode == 0 && free_bytes() == 0) return -ENOSPC;

  if (DiskChange* change = record(DiskChange::Code::open)) {
    change->path = path;
    change->flags = flags;
    change->write_number = write_number;
    change->size_bytes = static_cast<std::uint64_t>(wall_ms);
  }
  if (place.inode == 0) {
    place.inode = add_inode(false, wall_ms);
    link(place, place.inode);
    inodes_.at(place.dir).modified_ms = wall_ms;
    entry_changes_.push_back(EntryChange{0, {}, place.dir, place.name, place.inode});
  }
  Inode& inode = inodes_.at(place.inode);
  if (flags.truncate && flags.write && inode.file.size_bytes() > 0) {
    change_file(inode, [&](SimFile& file) { file.truncate(0, write_number, rng); });
    inode.modified_ms = wall_ms;
  }
  ++inode.open_count;
  opened = place.inode;
  return 0;
}

void SimDisk::close(InodeId id) {
  if (DiskChange* change = record(DiskChange::Code::close)) change->inode = id;
  Inode& inode = inodes_.at(id);
  assert(inode.open_count > 0);
  if (--inode.open_count == 0 && inode.links == 0) {
    used_pages_ -= inode.file.used_pages();
    free_if_gone(id);
  }
}

std::int64_t SimDisk::read(InodeId id, std::uint64_t position_bytes, MutableBytes into, bool direct,
                           SimRng& rng) {
  Inode& inode = inodes_.at(id);
  if (inode.is_dir) return -EISDIR;
  return static_cast<std::int64_t>(inode.file.read(position_bytes, into, direct, rng));
}

std::int64_t SimDisk::write(InodeId id, std::uint64_t position_bytes, Bytes bytes,
                            std::uint64_t write_number, std::int64_t wall_ms, SimRng& rng) {
  Inode& inode = inodes_.at(id);
  if (bytes.empty()) return 0;
  if (position_bytes > kFileBytesMax || bytes.size() > kFileBytesMax - position_bytes) {
    return -EFBIG;
  }
  std::uint64_t fitting = bytes.size();
  while (inode.file.pages_needed(position_bytes, fitting) * kPageBytes > free_bytes()) {
    const std::uint64_t into_page = (position_bytes + fitting) % kPageBytes;
    const std::uint64_t last_page = into_page == 0 ? kPageBytes : into_page;
    if (last_page >= fitting) return -ENOSPC;
    fitting -= last_page;
  }
  bytes = bytes.first(fitting);
  if (DiskChange* change = record(DiskChange::Code::write)) {
    change->inode = id;
    change->position_bytes = position_bytes;
    change->write_number = write_number;
    change->size_bytes = static_cast<std::uint64_t>(wall_ms);
    change->bytes.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  change_file(inode, [&](SimFile& file) { file.write(position_bytes, bytes, write_number, rng); });
  inode.modified_ms = wall_ms;
  return static_cast<std::int64_t>(bytes.size());
}

void SimDisk::sync(InodeId id, const SyncCover& cover, SimRng& rng) {
  if (DiskChange* change = record(DiskChange::Code::sync)) {
    change->inode = id;
    change->cover = cover;
  }
  inodes_.at(id).file.sync(cover, rng);
}

void SimDisk::sync_range(InodeId id, std::uint64_t position_bytes, std::uint64_t bytes) {
  if (DiskChange* change = record(DiskChange::Code::sync_range)) {
    change->inode = id;
    change->position_bytes = position_bytes;
    change->size_bytes = bytes;
  }
  inodes_.at(id).file.sync_range(position_bytes, bytes);
}

void SimDisk::fail_sync(InodeId id, SimRng& rng) {
  if (DiskChange* change = record(DiskChange::Code::fail_sync)) change->inode = id;
  inodes_.at(id).file.fail_sync(rng);
}

void SimDisk::fail_sync_range(InodeId id, std::uint64_t position_bytes, std::uint64_t bytes,
                              SimRng& rng) {
  if (DiskChange* change = record(DiskChange::Code::fail_sync_range)) {
    change->inode = id;
    change->position_bytes = position_bytes;
    change->size_bytes = bytes;
  }
  inodes_.at(id).file.fail_sync_range(position_bytes, bytes, rng);
}

std::int64_t SimDisk::truncate(InodeId id, std::uint64_t size_bytes, std::uint64_t write_number,
                               std::int64_t wall_ms, SimRng& rng) {
  if (size_bytes > kFileBytesMax) return -EFBIG;
  if (DiskChange* change = record(DiskChange::Code::truncate)) {
    change->inode = id;
    change->size_bytes = size_bytes;
    change->write_number = write_number;
  }
  Inode& inode = inodes_.at(id);
  change_file(inode, [&](SimFile& file) { file.truncate(size_bytes, write_number, rng); });
  inode.modified_ms = wall_ms;
  return 0;
}

std::int64_t SimDisk::allocate(InodeId id, std::uint64_t size_bytes, std::int64_t wall_ms) {
  if (size_bytes == 0) return -EINVAL;  // as fallocate
  if (size_bytes > kFileBytesMax) return -EFBIG;
  Inode& inode = inodes_.at(id);
  if (inode.file.pages_needed(0, size_bytes) * kPageBytes > free_bytes()) return -ENOSPC;
  if (DiskChange* change = record(DiskChange::Code::allocate)) {
    change->inode = id;
    change->size_bytes = size_bytes;
  }
  change_file(inode, [&](SimFile& file) { file.allocate(size_bytes); });
  inode.modified_ms = wall_ms;
  return 0;
}

std::int64_t SimDisk::rename(const std::string& from, const std::string& to) {
  Place source;
  Place target;
  std::int64_t resolved = resolve(from, source);
  if (resolved == 0) resolved = resolve(to, target);
  if (resolved < 0) return resolved;
  if (source.inode == 0) return -ENOENT;
  if (source.name.empty() || target.name.empty()) return -EBUSY;
  if (source.inode == target.inode) return 0;
  const bool moves_dir = is_dir(source.inode);
  if (moves_dir) {
    std::string prefix;
    for (const std::string_view name : split(from)) prefix.append("/").append(name);
    std::string path;
    for (const std::string_view name : split(to)) path.append("/").append(name);
    if (path.starts_with(prefix + "/")) return -EINVAL;
  }
  if (target.inode != 0) {
    if (moves_dir && !is_dir(target.inode)) return -ENOTDIR;
    if (!moves_dir && is_dir(target.inode)) return -EISDIR;
    if (moves_dir && !inodes_.at(target.inode).entries.empty()) return -ENOTEMPTY;
  }
  if (DiskChange* change = record(DiskChange::Code::rename)) {
    change->path = from;
    change->other_path = to;
  }
  const InodeId moved = source.inode;
  if (target.inode != 0) unlink_from(target);
  inodes_.at(source.dir).entries.erase(source.name);
  inodes_.at(target.dir).entries[target.name] = moved;
  entry_changes_.push_back(EntryChange{source.dir, source.name, target.dir, target.name, moved});
  return 0;
}

std::int64_t SimDisk::unlink(const std::string& path) {
  Place place;
  const std::int64_t resolved = resolve(path, place);
  if (resolved < 0) return resolved;
  if (place.inode == 0) return -ENOENT;
  if (is_dir(place.inode)) return -EISDIR;
  if (DiskChange* change = record(DiskChange::Code::unlink)) change->path = path;
  unlink_from(place);
  entry_changes_.push_back(EntryChange{place.dir, place.name, 0, {}, place.inode});
  return 0;
}

std::int64_t SimDisk::make_dir(const std::string& path, std::int64_t wall_ms) {
  Place place;
  const std::int64_t resolved = resolve(path, place);
  if (resolved < 0) return resolved;
  if (place.inode != 0) return -EEXIST;
  if (DiskChange* change = record(DiskChange::Code::make_dir)) change->path = path;
  place.inode = add_inode(true, wall_ms);
  link(place, place.inode);
  entry_changes_.push_back(EntryChange{0, {}, place.dir, place.name, place.inode});
  return 0;
}

std::int64_t SimDisk::remove_dir(const std::string& path) {
  Place place;
  const std::int64_t resolved = resolve(path, place);
  if (resolved < 0) return resolved;
  if (place.inode == 0) return -ENOENT;
  if (place.name.empty()) return -EBUSY;
  if (!is_dir(place.inode)) return -ENOTDIR;
  if (!inodes_.at(place.inode).entries.empty()) return -ENOTEMPTY;
  if (DiskChange* change = record(DiskChange::Code::remove_dir)) change->path = path;
  unlink_from(place);
  entry_changes_.push_back(EntryChange{place.dir, place.name, 0, {}, place.inode});
  return 0;
}

std::int64_t SimDisk::list_dir(const std::string& path, std::vector<DirEntry>& entries) const {
  Place place;
  const std::int64_t resolved = resolve(path, place);
  if (resolved < 0) return resolved;
  if (place.inode == 0) return -ENOENT;
  if (!is_dir(place.inode)) return -ENOTDIR;
  entries.clear();
  for (const auto& [name, id] : inodes_.at(place.inode).entries) {
    const Inode& inode = inodes_.at(id);
    entries.push_back(DirEntry{name, inode.is_dir, inode.is_dir ? 0 : inode.file.size_bytes()});
  }
  return 0;
}

std::int64_t SimDisk::read_file(const std::string& path, std::uint64_t bytes_max,
                                std::string& content, SimRng& rng) {
  Place place;
  const std::int64_t resolved = resolve(path, place);
  if (resolved < 0) return resolved;
  if (place.inode == 0) return -ENOENT;
  Inode& inode = inodes_.at(place.inode);
  if (inode.is_dir) return -EISDIR;
  if (inode.file.size_bytes() > bytes_max) return -EFBIG;
  content.resize(inode.file.size_bytes());
  const std::uint64_t read =
      inode.file.read(0, std::as_writable_bytes(std::span(content)), false, rng);
  content.resize(read);
  return 0;
}

std::int64_t SimDisk::stat(const std::string& path, FileStat& stat) const {
  Place place;
  const std::int64_t resolved = resolve(path, place);
  if (resolved < 0) return resolved;
  if (place.inode == 0) return -ENOENT;
  const Inode& inode = inodes_.at(place.inode);
  stat = FileStat{inode.is_dir ? kPageBytes : inode.file.size_bytes(), inode.modified_ms,
                  inode.is_dir, place.inode};
  return 0;
}

std::uint64_t SimDisk::free_bytes() const {
  const std::uint64_t used_bytes = used_pages_ * kPageBytes;
  return used_bytes >= total_bytes_ ? 0 : total_bytes_ - used_bytes;
}

std::int64_t SimDisk::sync_dir(const std::string& path) {
  Place place;
  const std::int64_t resolved = resolve(path, place);
  if (resolved < 0) return resolved;
  if (place.inode == 0) return -ENOENT;
  if (!is_dir(place.inode)) return -ENOTDIR;
  if (DiskChange* change = record(DiskChange::Code::sync_dir)) change->path = path;
  std::vector<bool> selected(entry_changes_.size());
  for (std::size_t i = 0; i < selected.size(); ++i) {
    const EntryChange& change = entry_changes_[i];
    selected[i] = change.from_dir == place.inode || change.to_dir == place.inode;
  }
  commit_selected(std::move(selected));
  free_unreferenced();
  return 0;
}

void SimDisk::commit(const EntryChange& change) {
  const auto remove = [this](InodeId dir, const std::string& name) {
    auto& entries = inodes_.at(dir).durable_entries;
    const auto found = entries.find(name);
    if (found == entries.end()) return;
    --inodes_.at(found->second).durable_links;
    entries.erase(found);
  };
  if (change.from_dir != 0) remove(change.from_dir, change.from_name);
  if (change.to_dir != 0) {
    remove(change.to_dir, change.to_name);
    inodes_.at(change.to_dir).durable_entries[change.to_name] = change.inode;
    ++inodes_.at(change.inode).durable_links;
  }
}

/// Commits the selected changes and, for each, the earlier ones of the names it touches: their
/// order is kept, and a rename is whole.
void SimDisk::commit_selected(std::vector<bool> selected) {
  std::set<std::pair<InodeId, std::string>> forced;
  for (std::size_t i = entry_changes_.size(); i-- > 0;) {
    const EntryChange& change = entry_changes_[i];
    const std::pair from(change.from_dir, change.from_name);
    const std::pair to(change.to_dir, change.to_name);
    if (forced.contains(from) || forced.contains(to)) selected[i] = true;
    if (!selected[i]) continue;
    if (change.from_dir != 0) forced.insert(from);
    if (change.to_dir != 0) forced.insert(to);
  }
  std::vector<EntryChange> left;
  for (std::size_t i = 0; i < entry_changes_.size(); ++i) {
    if (selected[i]) {
      commit(entry_changes_[i]);
    } else {
      left.push_back(std::move(entry_changes_[i]));
    }
  }
  entry_changes_ = std::move(left);
}

void SimDisk::free_if_gone(InodeId id) {
  const auto found = inodes_.find(id);
  if (found == inodes_.end()) return;
  const Inode& inode = found->second;
  if (inode.links > 0 || inode.durable_links > 0 || inode.open_count > 0) return;
  for (const EntryChange& change : entry_changes_) {
    if (change.inode == id || change.from_dir == id || change.to_dir == id) return;
  }
  for (const auto& [name, child] : inode.durable_entries) --inodes_.at(child).durable_links;
  inodes_.erase(found);
}

void SimDisk::free_unreferenced() {
  for (const InodeId id : unlinked_) free_if_gone(id);
  std::erase_if(unlinked_, [this](InodeId id) { return !inodes_.contains(id); });
}

void SimDisk::process_gone() {
  for (auto& [id, inode] : inodes_) {
    if (inode.open_count > 0 && inode.links == 0) used_pages_ -= inode.file.used_pages();
    inode.open_count = 0;
    inode.file.forget_writers();
  }
  free_unreferenced();
}

void SimDisk::power_cut(SimRng& rng) {
  enum class Mode : std::uint8_t { nothing, all, beginning, any };
  Mode mode{};
  std::size_t kept = 0;
  power_cut([&](const Unsynced& asked) {
    if (asked.index == 0) {
      mode = static_cast<Mode>(rng.below(4));
      kept = rng.below(asked.count + 1);
    }
    switch (mode) {
      case Mode::nothing: return false;
      case Mode::all: return true;
      case Mode::beginning: return asked.index < kept;
      case Mode::any: return rng.coin();
    }
    std::unreachable();
  });
}

std::size_t SimDisk::unsynced() const {
  std::size_t count = entry_changes_.size();
  for (const auto& [id, inode] : inodes_) count += inode.file.unsynced();
  return count;
}

void SimDisk::power_cut(const Keeps& keeps) {
  std::vector<bool> selected(entry_changes_.size());
  std::size_t number = 0;
  for (; number < selected.size(); ++number) {
    selected[number] = keeps({.kind = Unsynced::Kind::entry,
                              .index = number,
                              .count = selected.size(),
                              .number = number});
  }
  for (auto& [id, inode] : inodes_) inode.file.power_cut(keeps, id, number);
  commit_selected(std::move(selected));
  entry_changes_.clear();
  unlinked_.clear();

  std::set<InodeId> reachable{kRoot};
  std::vector<InodeId> to_visit{kRoot};
  for (auto& [id, inode] : inodes_) {
    inode.open_count = 0;
    inode.links = inode.durable_links = id == kRoot ? 1 : 0;
    inode.entries = inode.durable_entries;
  }
  while (!to_visit.empty()) {
    const InodeId id = to_visit.back();
    to_visit.pop_back();
    for (const auto& [name, child] : inodes_.at(id).entries) {
      ++inodes_.at(child).links;
      ++inodes_.at(child).durable_links;
      if (reachable.insert(child).second) to_visit.push_back(child);
    }
  }
  std::erase_if(inodes_, [&](const auto& item) { return !reachable.contains(item.first); });
  recount_space();
}

void SimDisk::recount_space() {
  used_pages_ = 0;
  for (const auto& [id, inode] : inodes_) {
    if (inode.links > 0 || inode.open_count > 0) used_pages_ += inode.file.used_pages();
  }
}

}  // namespace keelson::engine::io
