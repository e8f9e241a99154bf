#include "engine/log/key_map.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

#include "engine/io/give_way.h"

namespace keelson::engine::log {
namespace {

constexpr std::size_t kTablesMax = 256;
constexpr std::size_t kTableSlotsMin = 16;
constexpr std::uint64_t kTableBytesMin = std::uint64_t{16} << 10;  // else fewer tables
constexpr std::size_t kSlotsAtOnce = 512;
constexpr double kGrowAt = 0.75;  // a table that may still grow is not filled further

class Sip {
 public:
  Sip(std::uint64_t k0, std::uint64_t k1)
      : v0_(k0 ^ 0x736f6d6570736575),
        v1_(k1 ^ 0x646f72616e646f6d ^ 0xee),  // 0xee: 128 bits out
        v2_(k0 ^ 0x6c7967656e657261),
        v3_(k1 ^ 0x7465646279746573) {}

  void take(std::uint64_t word) {
    v3_ ^= word;
    round();
    round();
    v0_ ^= word;
  }
  std::uint64_t finish_low() {
    v2_ ^= 0xee;
    for (int i = 0; i < 4; ++i) round();
    return v0_ ^ v1_ ^ v2_ ^ v3_;
  }
  std::uint64_t finish_high() {
    v1_ ^= 0xdd;
    for (int i = 0; i < 4; ++i) round();
    return v0_ ^ v1_ ^ v2_ ^ v3_;
  }

 private:
  void round() {
    v0_ += v1_;
    v1_ = std::rotl(v1_, 13) ^ v0_;
    v0_ = std::rotl(v0_, 32);
    v2_ += v3_;
    v3_ = std::rotl(v3_, 16) ^ v2_;
    v0_ += v3_;
    v3_ = std::rotl(v3_, 21) ^ v0_;
    v2_ += v1_;
    v1_ = std::rotl(v1_, 17) ^ v2_;
    v2_ = std::rotl(v2_, 32);
  }

  std::uint64_t v0_, v1_, v2_, v3_;
};

std::uint64_t load_little_endian(const std::byte* from, std::size_t bytes) {
  static_assert(std::endian::native == std::endian::little);
  std::uint64_t word = 0;
  std::memcpy(&word, from, bytes);
  return word;
}

}  // namespace

KeyHash KeyHasher::operator()(Bytes key) const {
  Sip sip(low_, high_);
  const std::byte* at = key.data();
  std::size_t left = key.size();
  for (; left >= 8; left -= 8, at += 8) sip.take(load_little_endian(at, 8));
  const std::uint64_t last = left > 0 ? load_little_endian(at, left) : 0;
  sip.take(last | std::uint64_t{key.size()} << 56);
  const std::uint64_t low = sip.finish_low();
  return {low, sip.finish_high()};
}

KeyMap::KeyMap(KeyHasher hasher, std::uint64_t bytes_max, double load_factor)
    : hasher_(hasher), load_factor_(std::clamp(load_factor, 0.01, 0.99)) {
  tables_.resize(std::clamp<std::uint64_t>(bytes_max / kTableBytesMin, 1, kTablesMax));
  // One table that grows has its old slots beside its new ones.
  const std::uint64_t share = bytes_max / (tables_.size() + 1) / kKeySlotBytes;
  table_slots_max_ = std::max<std::uint64_t>(share, 2);
}

/// Where `hash` is, or the free slot where it belongs. `table` has a free one.
std::size_t KeyMap::place(const Table& table, KeyHash hash) {
  const std::size_t count = table.slots.size();
  // The upper half of the product of 32 bits of hash and the count: even, without a division.
  std::size_t at = static_cast<std::size_t>((hash.high >> 32) * count >> 32);
  while (table.slots[at].offset >= Offset{0} && table.slots[at].hash != hash) {
    at = at + 1 == count ? 0 : at + 1;
  }
  return at;
}

bool KeyMap::grow(Table& table) {
  if (table.slots.size() >= table_slots_max_) return false;
  const std::size_t wanted = std::max(kTableSlotsMin, table.slots.size() * 2);
  const std::size_t count = std::min(wanted, table_slots_max_);
  // In steps, for all tables grow at about the same time, and to touch new memory is slow.
  Table larger;
  larger.slots.reserve(count);
  while (larger.slots.size() < count) {
    const std::size_t step = std::min(kSlotsAtOnce, count - larger.slots.size());
    larger.slots.resize(larger.slots.size() + step);
    io::give_way(step * kKeySlotBytes);
  }
  larger.used = table.used;
  for (const Slot& slot : table.slots) {
    if (slot.offset >= Offset{0}) larger.slots[place(larger, slot.hash)] = slot;
    io::give_way(kKeySlotBytes);
  }
  slots_ += larger.slots.size() - table.slots.size();
  table = std::move(larger);
  return true;
}

bool KeyMap::put(Bytes key, Offset offset) {
  assert(offset >= Offset{0});
  const KeyHash hash = hasher_(key);
  Table& table = tables_[hash.low % tables_.size()];
  if (!table.slots.empty()) {
    Slot& known = table.slots[place(table, hash)];
    if (known.offset >= Offset{0}) {
      known.offset = std::max(known.offset, offset);
      return true;
    }
  }
  const auto room = static_cast<double>(table.slots.size());
  const auto needed = static_cast<double>(table.used + 1);
  if (needed > room * kGrowAt && !grow(table) && needed > room * load_factor_) return false;
  table.slots[place(table, hash)] = {hash, offset};
  ++table.used;
  ++size_;
  return true;
}

Offset KeyMap::last_offset(Bytes key) const {
  const KeyHash hash = hasher_(key);
  const Table& table = tables_[hash.low % tables_.size()];
  if (table.slots.empty()) return Offset{-1};
  return table.slots[place(table, hash)].offset;
}

}  // namespace keelson::engine::log
