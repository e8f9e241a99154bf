#include "engine/io/sim/sim_file.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace keelson::engine::io {
namespace {

constexpr std::size_t kSizeChangesMax = 64;  // more extensions than this are remembered as one

std::uint64_t pages_for(std::uint64_t bytes) { return (bytes + kPageBytes - 1) / kPageBytes; }

/// The sectors that [offset, offset + bytes) of a page touches, a bit each.
std::uint8_t sectors_of(std::uint64_t offset, std::uint64_t bytes) {
  const std::uint64_t first = offset / kSectorBytes;
  const std::uint64_t last = (offset + bytes - 1) / kSectorBytes;
  return static_cast<std::uint8_t>((0xffu >> (kSectorsPerPage - 1 - (last - first))) << first);
}

}  // namespace

bool SyncCover::must_cover(std::uint64_t write_number) const {
  return write_number <= last &&
         std::find(unreaped.begin(), unreaped.end(), write_number) == unreaped.end();
}

SimFile::Page& SimFile::page_at(std::uint64_t number) {
  if (number >= pages_.size()) pages_.resize(number + 1);
  return pages_[number];
}

SimFile::Cache& SimFile::own_cache(Page& page) {
  if (page.cache == nullptr) {
    page.cache = std::make_shared<Cache>();
  } else if (page.cache.use_count() > 1) {
    page.cache = std::make_shared<Cache>(*page.cache);
  }
  return *page.cache;
}

SimFile::Block& SimFile::own_medium(Page& page) {
  if (page.medium == nullptr) {
    page.medium = std::make_shared<Block>();
  } else if (page.medium.use_count() > 1) {
    page.medium = std::make_shared<Block>(*page.medium);
  }
  return *page.medium;
}

void SimFile::flush_sectors(Page& page, std::uint8_t sectors) {
  if (sectors == 0) return;
  if (sectors == 0xff && page.cache.use_count() == 1) {
    page.medium = std::shared_ptr<Block>(page.cache, &page.cache->block);  // no copy
    page.cache.reset();
    return;
  }
  Block& medium = own_medium(page);
  Cache& cache = own_cache(page);
  for (std::uint64_t sector = 0; sector < kSectorsPerPage; ++sector) {
    if ((sectors & (1u << sector)) == 0) continue;
    std::memcpy(&medium.bytes[sector * kSectorBytes], &cache.block.bytes[sector * kSectorBytes],
                kSectorBytes);
  }
  cache.dirty &= static_cast<std::uint8_t>(~sectors);
  if (cache.dirty == 0 && cache.lost == 0) page.cache.reset();
}

template <class Visit>
void SimFile::for_range(std::uint64_t position_bytes, std::uint64_t bytes, Visit visit) {
  for (std::uint64_t done = 0; done < bytes;) {
    const std::uint64_t offset = (position_bytes + done) % kPageBytes;
    const std::uint64_t part = std::min(bytes - done, kPageBytes - offset);
    visit((position_bytes + done) / kPageBytes, offset, done, part);
    done += part;
  }
}

std::uint64_t SimFile::pages_needed(std::uint64_t position_bytes, std::uint64_t bytes) const {
  if (bytes == 0) return 0;
  std::uint64_t needed = 0;
  const std::uint64_t last = (position_bytes + bytes - 1) / kPageBytes;
  for (std::uint64_t page = std::max(position_bytes / kPageBytes, allocated_pages_); page <= last;
       ++page) {
    if (page >= pages_.size()) return needed + (last - page + 1);
    needed += pages_[page].empty() ? 1 : 0;
  }
  return needed;
}

std::size_t SimFile::read(std::uint64_t position_bytes, MutableBytes into, bool direct,
                          SimRng& rng) {
  if (position_bytes >= size_bytes_) return 0;
  const std::uint64_t bytes = std::min<std::uint64_t>(into.size(), size_bytes_ - position_bytes);
  for_range(
      position_bytes, bytes,
      [&](std::uint64_t number, std::uint64_t offset, std::uint64_t done, std::uint64_t part) {
        const MutableBytes target = into.subspan(done, part);
        if (number >= pages_.size()) {
          std::memset(target.data(), 0, part);
        } else {
          read_page(pages_[number], offset, target, direct, rng);
        }
      });
  return bytes;
}

void SimFile::read_page(Page& page, std::uint64_t offset, MutableBytes into, bool direct,
                        SimRng& rng) {
  if (page.cache != nullptr && page.cache->lost != 0 && !direct && rng.coin()) {
    Cache& cache = own_cache(page);  // evicted at last: the next reader sees the medium
    cache.lost = 0;
    if (cache.dirty == 0) page.cache.reset();
  }
  if (page.medium == nullptr) {
    std::memset(into.data(), 0, into.size());
  } else {
    std::memcpy(into.data(), &page.medium->bytes[offset], into.size());
  }
  if (page.cache == nullptr) return;
  const Cache& cache = *page.cache;
  const unsigned visible = direct ? cache.dirty : cache.dirty | cache.lost;
  for (std::uint64_t at = offset; at < offset + into.size();) {
    const std::uint64_t sector = at / kSectorBytes;
    const std::uint64_t end = std::min((sector + 1) * kSectorBytes, offset + into.size());
    if ((visible & (1u << sector)) != 0) {
      std::memcpy(&into[at - offset], &cache.block.bytes[at], end - at);
    }
    at = end;
  }
}

void SimFile::write(std::uint64_t position_bytes, Bytes bytes, std::uint64_t write_number,
                    SimRng& rng) {
  if (bytes.empty()) return;
  for_range(
      position_bytes, bytes.size(),
      [&](std::uint64_t number, std::uint64_t offset, std::uint64_t done, std::uint64_t part) {
        write_page(number, offset, bytes.subspan(done, part), write_number, rng);
      });
  if (position_bytes + bytes.size() > size_bytes_) change_size(position_bytes + bytes.size());
}

void SimFile::write_page(std::uint64_t number, std::uint64_t offset, Bytes bytes,
                         std::uint64_t write_number, SimRng& rng) {
  Page& page = page_at(number);
  if (page.empty() && number >= allocated_pages_) ++used_pages_;
  Cache& cache = own_cache(page);
  if (cache.dirty == 0) dirty_pages_.push_back(number);
  const std::uint8_t touched = sectors_of(offset, bytes.size());
  // Now and then the kernel wrote the older bytes back before these came.
  if ((cache.dirty & touched) != 0 && rng.below(8) == 0) {
    Block& medium = own_medium(page);
    for (std::uint64_t sector = 0; sector < kSectorsPerPage; ++sector) {
      if ((cache.dirty & touched & (1u << sector)) == 0) continue;
      std::memcpy(&medium.bytes[sector * kSectorBytes], &cache.block.bytes[sector * kSectorBytes],
                  kSectorBytes);
      cache.oldest_write[sector] = write_number;
    }
  }
  for (std::uint64_t sector = 0; sector < kSectorsPerPage; ++sector) {
    const std::uint8_t bit = static_cast<std::uint8_t>(1u << sector);
    if ((touched & bit) == 0 || (cache.dirty & bit) != 0) continue;
    std::byte* const image = &cache.block.bytes[sector * kSectorBytes];
    const bool whole =
        offset <= sector * kSectorBytes && offset + bytes.size() >= (sector + 1) * kSectorBytes;
    if ((cache.lost & bit) == 0 && !whole) {
      if (page.medium == nullptr) {
        std::memset(image, 0, kSectorBytes);
      } else {
        std::memcpy(image, &page.medium->bytes[sector * kSectorBytes], kSectorBytes);
      }
    }
    cache.oldest_write[sector] = write_number;
  }
  cache.dirty |= touched;
  cache.lost &= static_cast<std::uint8_t>(~touched);
  std::memcpy(&cache.block.bytes[offset], bytes.data(), bytes.size());
}

void SimFile::change_size(std::uint64_t size_bytes) {
  const bool may_merge = size_changes_.size() >= kSizeChangesMax && size_bytes > size_bytes_ &&
                         size_changes_.back().dropped.empty() &&
                         size_changes_.back().old_bytes <= size_bytes_;
  if (!may_merge) size_changes_.push_back(SizeChange{size_bytes_, {}});
  size_bytes_ = size_bytes;
}

void SimFile::truncate(std::uint64_t size_bytes, std::uint64_t write_number, SimRng& rng) {
  if (size_bytes == size_bytes_) return;
  if (size_bytes > size_bytes_) {
    change_size(size_bytes);
    return;
  }
  SizeChange change{size_bytes_, {}};
  for (std::uint64_t number = size_bytes / kPageBytes; number < pages_.size(); ++number) {
    if (!pages_[number].empty()) change.dropped.emplace_back(number, pages_[number]);
  }
  const std::uint64_t kept_pages = pages_for(size_bytes);
  if (pages_.size() > kept_pages) pages_.resize(kept_pages);
  const std::uint64_t tail = size_bytes % kPageBytes;
  if (tail != 0 && kept_pages <= pages_.size() && !pages_[kept_pages - 1].empty()) {
    static constexpr std::array<std::byte, kPageBytes> kZeros{};
    write_page(kept_pages - 1, tail, Bytes(kZeros).first(kPageBytes - tail), write_number, rng);
  }
  size_changes_.push_back(std::move(change));
  size_bytes_ = size_bytes;
  allocated_pages_ = std::min(allocated_pages_, kept_pages);
  recount();
}

void SimFile::allocate(std::uint64_t size_bytes) {
  if (size_bytes > size_bytes_) change_size(size_bytes);
  allocated_pages_ = std::max(allocated_pages_, pages_for(size_bytes));
  recount();
}

void SimFile::recount() {
  used_pages_ = allocated_pages_;
  for (std::uint64_t number = allocated_pages_; number < pages_.size(); ++number) {
    used_pages_ += pages_[number].empty() ? 0 : 1;
  }
}

void SimFile::sync(const SyncCover& cover, SimRng& rng) {
  std::vector<std::uint64_t> still_dirty;
  for (const std::uint64_t number : dirty_pages_) {
    if (number >= pages_.size() || pages_[number].cache == nullptr) continue;
    Page& page = pages_[number];
    std::uint8_t flushed = 0;
    for (std::uint64_t sector = 0; sector < kSectorsPerPage; ++sector) {
      const std::uint8_t bit = static_cast<std::uint8_t>(1u << sector);
      if ((page.cache->dirty & bit) == 0) continue;
      if (cover.must_cover(page.cache->oldest_write[sector]) || rng.coin()) flushed |= bit;
    }
    if (page.cache->dirty != flushed) still_dirty.push_back(number);
    flush_sectors(page, flushed);
  }
  dirty_pages_ = std::move(still_dirty);
  size_changes_.clear();
}

void SimFile::forget_clean_tail() {
  while (!dirty_pages_.empty()) {
    const std::uint64_t number = dirty_pages_.back();
    const bool dirty = number < pages_.size() && pages_[number].cache != nullptr &&
                       pages_[number].cache->dirty != 0;
    if (dirty) return;
    dirty_pages_.pop_back();
  }
}

void SimFile::sync_range(std::uint64_t position_bytes, std::uint64_t bytes) {
  for_range(position_bytes, bytes,
            [&](std::uint64_t number, std::uint64_t offset, std::uint64_t, std::uint64_t part) {
              if (number >= pages_.size() || pages_[number].cache == nullptr) return;
              Page& page = pages_[number];
              flush_sectors(page, page.cache->dirty & sectors_of(offset, part));
            });
  forget_clean_tail();
  size_changes_.clear();
}

void SimFile::lose_sectors(Page& page, std::uint8_t dirty, bool all_lost, SimRng& rng) {
  const std::uint8_t reached = all_lost ? 0 : static_cast<std::uint8_t>(dirty & rng.next());
  const std::uint8_t lost = dirty & static_cast<std::uint8_t>(~reached);
  Cache& cache = own_cache(page);
  cache.lost |= lost;
  cache.dirty &= static_cast<std::uint8_t>(~lost);
  flush_sectors(page, reached);
}

void SimFile::fail_sync(SimRng& rng) {
  const bool all_lost = rng.coin();
  for (const std::uint64_t number : dirty_pages_) {
    if (number >= pages_.size() || pages_[number].cache == nullptr) continue;
    lose_sectors(pages_[number], pages_[number].cache->dirty, all_lost, rng);
  }
  dirty_pages_.clear();
}

void SimFile::fail_sync_range(std::uint64_t position_bytes, std::uint64_t bytes, SimRng& rng) {
  const bool all_lost = rng.coin();
  for_range(position_bytes, bytes,
            [&](std::uint64_t number, std::uint64_t offset, std::uint64_t, std::uint64_t part) {
              if (number >= pages_.size() || pages_[number].cache == nullptr) return;
              Page& page = pages_[number];
              lose_sectors(page, page.cache->dirty & sectors_of(offset, part), all_lost, rng);
            });
  forget_clean_tail();
}

std::size_t SimFile::dirty_sectors() const {
  std::size_t count = 0;
  for (const Page& page : pages_) {
    if (page.cache != nullptr) count += static_cast<std::size_t>(std::popcount(page.cache->dirty));
  }
  return count;
}

void SimFile::power_cut(const Keeps& keeps, std::uint64_t inode, std::size_t& number) {
  Unsynced asked{.kind = Unsynced::Kind::size, .inode = inode, .count = size_changes_.size()};
  std::size_t kept = 0;
  for (; asked.index < asked.count; ++asked.index) {
    asked.number = number++;
    if (keeps(asked)) kept = asked.index + 1;
  }
  asked = {.kind = Unsynced::Kind::sector, .inode = inode, .count = dirty_sectors()};
  std::vector<std::uint8_t> chosen(pages_.size());  // before the pages that were cut off come back
  for (std::size_t i = 0; i < pages_.size(); ++i) {
    if (pages_[i].cache == nullptr) continue;
    for (std::uint64_t sector = 0; sector < kSectorsPerPage; ++sector) {
      const auto bit = static_cast<std::uint8_t>(1u << sector);
      if ((pages_[i].cache->dirty & bit) == 0) continue;
      asked.number = number++;
      if (keeps(asked)) chosen[i] |= bit;
      ++asked.index;
    }
  }
  while (size_changes_.size() > kept) {
    SizeChange& change = size_changes_.back();
    size_bytes_ = change.old_bytes;
    for (auto& [page_number, page] : change.dropped) {
      if (page_number < chosen.size()) chosen[page_number] = 0;
      page_at(page_number) = std::move(page);
    }
    size_changes_.pop_back();
  }
  size_changes_.clear();
  for (std::size_t i = 0; i < pages_.size(); ++i) {
    Page& page = pages_[i];
    if (page.cache == nullptr) continue;
    if (i < chosen.size()) flush_sectors(page, page.cache->dirty & chosen[i]);
    page.cache.reset();
  }
  dirty_pages_.clear();
  const std::uint64_t kept_pages = pages_for(size_bytes_);
  if (pages_.size() > kept_pages) pages_.resize(kept_pages);
  const std::uint64_t tail = size_bytes_ % kPageBytes;
  if (tail != 0 && pages_.size() == kept_pages && pages_.back().medium != nullptr) {
    std::memset(&own_medium(pages_.back()).bytes[tail], 0, kPageBytes - tail);
  }
  recount();
}

void SimFile::forget_writers() {
  for (Page& page : pages_) {
    if (page.cache != nullptr && page.cache->dirty != 0) own_cache(page).oldest_write = {};
  }
}

void SimFile::add_content(TraceHash& hash) const {
  hash.add(size_bytes_);
  SimFile copy = *this;
  SimRng rng(1);
  std::array<std::uint64_t, kPageBytes / sizeof(std::uint64_t)> words;
  for (std::size_t i = 0; i < pages_.size(); ++i) {
    if (pages_[i].empty()) continue;
    words = {};
    copy.read(i * kPageBytes, std::as_writable_bytes(std::span(words)), /*direct=*/false, rng);
    if (std::ranges::all_of(words, [](std::uint64_t word) { return word == 0; })) continue;
    hash.add(i);
    for (const std::uint64_t word : words) hash.add(word);
  }
}

void SimFile::mutate(std::uint64_t position_bytes, Bytes bytes) {
  for_range(
      position_bytes, bytes.size(),
      [&](std::uint64_t number, std::uint64_t offset, std::uint64_t done, std::uint64_t part) {
        Page& page = page_at(number);
        if (page.cache != nullptr) {
          std::memcpy(&own_cache(page).block.bytes[offset], &bytes[done], part);
        }
        std::memcpy(&own_medium(page).bytes[offset], &bytes[done], part);
      });
  size_bytes_ = std::max(size_bytes_, position_bytes + bytes.size());
  recount();
}

void SimFile::evict_lost() {
  for (Page& page : pages_) {
    if (page.cache == nullptr || page.cache->lost == 0) continue;
    Cache& cache = own_cache(page);
    cache.lost = 0;
    if (cache.dirty == 0) page.cache.reset();
  }
}

bool SimFile::has_unsynced() const {
  if (!size_changes_.empty()) return true;
  return std::any_of(pages_.begin(), pages_.end(),
                     [](const Page& page) { return page.cache != nullptr; });
}

}  // namespace keelson::engine::io
