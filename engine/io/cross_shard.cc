#include "engine/io/cross_shard.h"

#include <cassert>

namespace keelson::engine::io {

bool MessageRing::push(ShardMessage& message) {
  const std::uint32_t tail = tail_.load(std::memory_order_relaxed);
  if (tail - head_.load(std::memory_order_acquire) == kCapacity) return false;
  slots_[tail % kCapacity] = &message;
  tail_.store(tail + 1, std::memory_order_release);
  return true;
}

ShardMessage* MessageRing::pop() {
  const std::uint32_t head = head_.load(std::memory_order_relaxed);
  if (head == tail_.load(std::memory_order_acquire)) return nullptr;
  ShardMessage* const message = slots_[head % kCapacity];
  head_.store(head + 1, std::memory_order_release);
  return message;
}

bool MessageRing::empty() const {
  return head_.load(std::memory_order_acquire) == tail_.load(std::memory_order_acquire);
}

void ShardGroup::connect() {
  for (Shard* shard : shards_) {
    shard->inbox().connect(shards_);
    shard->join(*this);
  }
}

void ShardGroup::became_quiet(Shard& shard) {
  if (quiet_count_.fetch_add(1) + 1 < shards_.size()) return;
  for (Shard* other : shards_) {
    if (other != &shard) other->backend().wake();  // they sleep until somebody says so
  }
}

void CrossShardInbox::connect(const std::vector<Shard*>& shards) {
  peers_ = std::vector<Peer>(shards.size());
  for (std::size_t i = 0; i < shards.size(); ++i) {
    if (shards[i] == &owner_) continue;
    peers_[i].shard = shards[i];
    peers_[i].lane = std::make_unique<Lane>();
  }
}

void CrossShardInbox::ring_bell(Shard& target) {
  // Pairs with the fence in prepare_to_sleep(): either the sleeper sees the message, or we see
  // that it sleeps.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (target.inbox().sleeping_.load(std::memory_order_relaxed)) target.backend().wake();
}

void CrossShardInbox::send_request(Shard& target, ShardMessage& message) {
  Peer& peer = peers_[target.index()];
  message.next = nullptr;
  if (peer.under_way == MessageRing::kCapacity || peer.waiting_head != nullptr) {
    (peer.waiting_head == nullptr ? peer.waiting_head : peer.waiting_tail->next) = &message;
    peer.waiting_tail = &message;
    return;
  }
  ++peer.under_way;
  const bool pushed = target.inbox().peers_[owner_.index()].lane->requests.push(message);
  assert(pushed);  // under_way is below the capacity
  ring_bell(target);
}

void CrossShardInbox::send_reply(Shard& home, ShardMessage& message) {
  const bool pushed = home.inbox().peers_[owner_.index()].lane->replies.push(message);
  assert(pushed);  // the home shard has at most kCapacity requests under way to us
  ring_bell(home);
}

void CrossShardInbox::post(ShardMessage& message) {
  ShardMessage* newest = posted_.load(std::memory_order_relaxed);
  do {
    message.next = newest;
  } while (!posted_.compare_exchange_weak(newest, &message, std::memory_order_release,
                                          std::memory_order_relaxed));
  ring_bell(owner_);
}

std::size_t CrossShardInbox::drain_posted() {
  if (posted_.load(std::memory_order_relaxed) == nullptr) return 0;
  ShardMessage* newest = posted_.exchange(nullptr, std::memory_order_acquire);
  ShardMessage* oldest = nullptr;
  while (newest != nullptr) {
    ShardMessage* const below = newest->next;
    newest->next = oldest;
    oldest = newest;
    newest = below;
  }
  std::size_t delivered = 0;
  while (oldest != nullptr) {
    ShardMessage* const following = oldest->next;
    oldest->deliver(*oldest);
    oldest = following;
    ++delivered;
  }
  return delivered;
}

std::size_t CrossShardInbox::drain() {
  std::size_t delivered = drain_posted();
  for (Peer& peer : peers_) {
    if (peer.shard == nullptr) continue;
    while (ShardMessage* message = peer.lane->replies.pop()) {
      assert(peer.under_way > 0);
      --peer.under_way;
      message->deliver(*message);
      ++delivered;
      if (ShardMessage* next = peer.waiting_head) {
        peer.waiting_head = next->next;
        if (peer.waiting_head == nullptr) peer.waiting_tail = nullptr;
        ++peer.under_way;
        next->next = nullptr;
        const bool pushed = peer.shard->inbox().peers_[owner_.index()].lane->requests.push(*next);
        assert(pushed);
        ring_bell(*peer.shard);
      }
    }
    while (ShardMessage* message = peer.lane->requests.pop()) {
      message->deliver(*message);
      ++delivered;
    }
  }
  return delivered;
}

bool CrossShardInbox::has_mail() const {
  if (posted_.load(std::memory_order_relaxed) != nullptr) return true;
  for (const Peer& peer : peers_) {
    if (peer.shard == nullptr) continue;
    if (!peer.lane->replies.empty() || !peer.lane->requests.empty()) return true;
  }
  return false;
}

bool CrossShardInbox::prepare_to_sleep() {
  sleeping_.store(true, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!has_mail()) return true;
  sleeping_.store(false, std::memory_order_relaxed);
  return false;
}

}  // namespace keelson::engine::io
