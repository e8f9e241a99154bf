// engine/log/key_map.h: the last offset of each key of a stretch of log, in bounded memory.
//
// A slot is 24 bytes: 128 bits of hash and an offset. Keys themselves are not kept, so two keys
// with one hash would count as one, and the older one's last value would be lost: nothing later
// could tell. It is made impossible in practice instead of being verified, which would need the
// other key, somewhere on the drive, for every record that goes:
//   - the hash is SipHash-2-4 with 128 bits out, a keyed pseudo-random function, under a key drawn
//     anew for every run and told to nobody. So who chooses keys cannot search for two that
//     collide, and what collides in one run does not in the next;
//   - n keys then have a pair with one hash with a chance below n^2 / 2^129. The largest map that a
//     dedupe buffer of 2 GiB can hold has 90 million keys: below 2^-76 a run. A drive's own
//     undetected errors are many orders of magnitude likelier.
//
// Memory grows with the keys. The slots lie in up to 256 tables that grow one at a time, so that
// growing needs little beside what is held, and no growth takes long.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/types.h"

namespace keelson::engine::log {

struct KeyHash {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  friend bool operator==(const KeyHash&, const KeyHash&) = default;
};

/// SipHash-2-4 with 128 bits (source: Aumasson and Bernstein, the reference code's vectors).
class KeyHasher {
 public:
  KeyHasher(std::uint64_t key_low, std::uint64_t key_high) : low_(key_low), high_(key_high) {}
  KeyHash operator()(Bytes key) const;

 private:
  std::uint64_t low_;
  std::uint64_t high_;
};

inline constexpr std::size_t kKeySlotBytes = 24;

class KeyMap {
 public:
  /// At most `bytes_max` for slots, filled up to `load_factor` (0 to 1, exclusive).
  KeyMap(KeyHasher hasher, std::uint64_t bytes_max, double load_factor = 0.9);

  /// Notes that `key` has a record at `offset`; the largest offset counts. False where the key is
  /// new and there is no room for it: nothing changed.
  [[nodiscard]] bool put(Bytes key, Offset offset);
  /// The last offset noted of `key`; -1 where there is none.
  Offset last_offset(Bytes key) const;

  std::uint64_t size() const { return size_; }
  std::uint64_t memory_bytes() const { return slots_ * kKeySlotBytes; }

 private:
  struct Slot {
    KeyHash hash;
    Offset offset{-1};  // -1: free
  };
  static_assert(sizeof(Slot) == kKeySlotBytes);
  struct Table {
    std::vector<Slot> slots;
    std::size_t used = 0;
  };

  static std::size_t place(const Table& table, KeyHash hash);
  bool grow(Table& table);

  KeyHasher hasher_;
  double load_factor_;
  std::vector<Table> tables_;
  std::size_t table_slots_max_;
  std::uint64_t size_ = 0;
  std::uint64_t slots_ = 0;
};

}  // namespace keelson::engine::log
