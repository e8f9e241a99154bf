#include "engine/log/chunk_cache.h"

#include <algorithm>
#include <bit>

namespace keelson::engine::log {

std::size_t RecentChunks::fair_chunk_bytes() const { return cache_.fair_chunk_bytes(); }

Chunk& RecentChunks::add(std::uint64_t position_bytes, std::size_t capacity_bytes) {
  if (chunks_.empty()) ++cache_.logs_;
  auto chunk = std::make_shared<Chunk>(position_bytes, capacity_bytes);
  chunk->owner_ = this;
  chunks_.push_back(std::move(chunk));
  Chunk& added = *chunks_.back();
  cache_.admit(added);
  return added;
}

const std::shared_ptr<Chunk>* RecentChunks::find(std::uint64_t position_bytes) const {
  const auto after = std::ranges::upper_bound(
      chunks_, position_bytes, {}, [](const auto& chunk) { return chunk->position_bytes; });
  if (after == chunks_.begin()) return nullptr;
  const auto& found = *std::prev(after);
  if (position_bytes >= found->end_bytes()) return nullptr;
  return position_bytes - found->position_bytes < found->missing_bytes ? nullptr : &found;
}

const std::shared_ptr<Chunk>* RecentChunks::find(Offset offset) const {
  auto at = std::ranges::upper_bound(chunks_, offset, {},
                                     [](const auto& chunk) { return chunk->first_batch_offset; });
  while (at != chunks_.begin()) {
    --at;
    if ((*at)->first_batch_bytes != kNowhere) return &*at;
  }
  return nullptr;
}

void RecentChunks::clear() {
  while (!chunks_.empty()) drop(*chunks_.back());
}

void RecentChunks::truncate(std::uint64_t position_bytes) {
  while (!chunks_.empty() && chunks_.back()->end_bytes() > position_bytes) drop(*chunks_.back());
}

void RecentChunks::drop(Chunk& chunk) {
  cache_.forget(chunk);
  chunk.owner_ = nullptr;
  const auto at =
      std::ranges::find_if(chunks_, [&](const auto& held) { return held.get() == &chunk; });
  chunks_.erase(at);
  if (chunks_.empty()) --cache_.logs_;
}

std::size_t ChunkCache::fair_chunk_bytes() const {
  constexpr std::size_t kPart = 4;  // of the cache, for the tails: on average they are half full
  const std::uint64_t fair = bytes_max_ / (kPart * std::max<std::size_t>(logs_, 1));
  return std::clamp<std::size_t>(std::bit_floor(fair), kChunkBytesMin, kChunkBytesMax);
}

void ChunkCache::admit(Chunk& chunk) {
  chunk.place_ = order_.insert(order_.end(), &chunk);
  bytes_ += chunk.memory.size_bytes();
  make_room();
}

void ChunkCache::forget(Chunk& chunk) {
  order_.erase(chunk.place_);
  bytes_ -= chunk.memory.size_bytes();
}

void ChunkCache::make_room() {
  // What is unwritten, or was read since, goes to the end. A few looks each time: where thousands
  // of tails fill the cache there may be nothing to drop.
  std::size_t looks = std::min(order_.size(), kLooksMax);
  for (; looks > 0 && bytes_ > bytes_max_; --looks) {
    Chunk& oldest = *order_.front();
    RecentChunks& owner = *oldest.owner_;
    const bool is_tail = owner.chunks_.back().get() == &oldest;
    const bool unwritten = oldest.position_bytes + oldest.memory.size_bytes() > owner.written_bytes;
    if (is_tail || unwritten || oldest.touched_) {
      oldest.touched_ = false;
      order_.splice(order_.end(), order_, order_.begin());
      continue;
    }
    owner.drop(oldest);
  }
}

}  // namespace keelson::engine::log
