#include "engine/io/cross_shard.h"

#include "engine/counters.h"

namespace keelson::engine::io {

void ShardGroup::connect() {
  for (Shard* shard : shards_) shard->join(*this);
}

void ShardGroup::became_quiet(Shard& shard) {
  if (quiet_count_.fetch_add(1) + 1 < shards_.size()) return;
  for (Shard* other : shards_) {
    if (other != &shard) other->backend().wake();  // they sleep until somebody says so
  }
}

void CrossShardInbox::post(ShardMessage& message) {
  tally(Counter::shard_messages);
  ShardMessage* below = newest_.load(std::memory_order_relaxed);
  do {
    message.next = below;
  } while (!newest_.compare_exchange_weak(below, &message, std::memory_order_release,
                                          std::memory_order_relaxed));
  // From here on the message may be answered and gone.
  if (below != nullptr) return;  // who posted the first one rings the bell
  // Pairs with the fence in prepare_to_sleep(): either the sleeper sees the message, or we see
  // that it sleeps.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (sleeping_.load(std::memory_order_relaxed)) owner_.backend().wake();
}

std::size_t CrossShardInbox::drain() {
  if (!has_mail()) return 0;
  ShardMessage* stacked = newest_.exchange(nullptr, std::memory_order_acquire);
  ShardMessage* oldest = nullptr;
  while (stacked != nullptr) {
    ShardMessage* const below = stacked->next;
    stacked->next = oldest;
    oldest = stacked;
    stacked = below;
  }
  std::size_t delivered = 0;
  while (oldest != nullptr) {
    ShardMessage* const message = oldest;
    oldest = message->next;  // delivering may end the message's life
    message->deliver(*message);
    ++delivered;
  }
  return delivered;
}

bool CrossShardInbox::prepare_to_sleep() {
  sleeping_.store(true, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!has_mail()) return true;
  sleeping_.store(false, std::memory_order_relaxed);
  return false;
}

}  // namespace keelson::engine::io
