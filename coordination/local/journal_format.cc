#include "coordination/local/journal_format.h"

#include <cassert>
#include <optional>
#include <span>
#include <utility>

#include "coordination/store/byte_cursor.h"
#include "engine/crc32c.h"

namespace keelson::coordination {
namespace {

constexpr std::string_view kJournalMagic = "KeelsonC";
constexpr std::string_view kFrameMagic = "KCf1";
constexpr std::uint32_t kFormatVersion = 1;
constexpr std::size_t kHeaderCrcAt = 60;
constexpr std::size_t kFrameCrcAt = 12;
/// Snapshot frames are closed at this size; one key and value more still fits the maximum.
constexpr std::size_t kSnapshotPartBytes = std::size_t{1} << 19;
static_assert(kSnapshotPartBytes + kKeyBytesMax + kValueBytesMax + 64 <= kFramePayloadBytesMax);

enum class FrameKind : std::uint32_t { transaction = 1, snapshot = 2, mark = 3 };
enum class WriteKind : std::uint8_t { remove = 0, put = 1, put_leased = 2 };

struct Frame {
  FrameKind kind{};
  KeyVersion version = 0;
  std::uint64_t durable_upto = 0;
  std::string_view payload;
  std::size_t size_bytes() const { return kFrameHeaderBytes + payload.size(); }
};

std::uint32_t crc_of(std::string_view bytes, std::uint32_t seed = 0) {
  return engine::crc32c(std::as_bytes(std::span(bytes)), seed);
}

void store_at(std::string& target, std::size_t at, std::uint32_t value) {
  engine::store_big_endian(reinterpret_cast<std::byte*>(target.data() + at), value);
}

std::uint32_t frame_crc(const engine::Uuid& file_id, std::uint64_t position_bytes,
                        std::string_view frame) {
  ByteWriter binding;
  binding.uuid(file_id);
  binding.number(position_bytes);
  const std::uint32_t bound = crc_of(binding.take());
  const std::uint32_t head = crc_of(frame.substr(0, kFrameCrcAt), bound);
  return crc_of(frame.substr(kFrameCrcAt + 4), head);
}

std::string encode_frame(const engine::Uuid& file_id, std::uint64_t position_bytes, FrameKind kind,
                         KeyVersion version, std::string_view payload) {
  assert(payload.size() <= kFramePayloadBytesMax);
  ByteWriter out;
  std::string frame{kFrameMagic};
  out.number(static_cast<std::uint32_t>(payload.size()));
  out.number(static_cast<std::uint32_t>(kind));
  out.number(std::uint32_t{0});  // the CRC's place
  out.number(version);
  out.number(position_bytes);  // one write at a time: all before it is durable
  frame += out.take();
  frame += payload;
  store_at(frame, kFrameCrcAt, frame_crc(file_id, position_bytes, frame));
  return frame;
}

std::optional<Frame> read_frame(std::string_view bytes, std::uint64_t position_bytes,
                                const engine::Uuid& file_id) {
  const std::string_view rest = bytes.substr(position_bytes);
  if (rest.size() < kFrameHeaderBytes || !rest.starts_with(kFrameMagic)) return std::nullopt;
  ByteReader in{rest.substr(kFrameMagic.size())};
  const auto payload_bytes = in.number<std::uint32_t>();
  const auto kind = in.number<std::uint32_t>();
  const auto crc = in.number<std::uint32_t>();
  Frame frame;
  frame.version = in.number<std::uint64_t>();
  frame.durable_upto = in.number<std::uint64_t>();
  if (payload_bytes > kFramePayloadBytesMax || payload_bytes > in.remaining()) return std::nullopt;
  if (kind < 1 || kind > 3 || frame.durable_upto > position_bytes) return std::nullopt;
  frame.kind = static_cast<FrameKind>(kind);
  frame.payload = rest.substr(kFrameHeaderBytes, payload_bytes);
  if (crc != frame_crc(file_id, position_bytes, rest.substr(0, frame.size_bytes()))) {
    return std::nullopt;
  }
  return frame;
}

/// Where, behind `position_bytes`, a valid frame says that `position_bytes` was durable.
std::optional<std::uint64_t> find_witness(std::string_view bytes, std::uint64_t position_bytes,
                                          const engine::Uuid& file_id) {
  for (std::size_t at = bytes.find(kFrameMagic, position_bytes + 1); at != std::string_view::npos;
       at = bytes.find(kFrameMagic, at + 1)) {
    const std::optional<Frame> frame = read_frame(bytes, at, file_id);
    if (frame && frame->durable_upto > position_bytes) return at;
  }
  return std::nullopt;
}

std::optional<std::vector<KeyWrite>> decode_transaction(std::string_view payload) {
  ByteReader in{payload};
  const std::uint32_t count = in.count(/*bytes_each=*/5);
  std::vector<KeyWrite> writes;
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
    const auto kind = in.number<std::uint8_t>();
    KeyWrite write;
    write.key = in.text(kKeyBytesMax);
    if (kind > 2) return std::nullopt;
    if (static_cast<WriteKind>(kind) != WriteKind::remove) write.value = in.text(kValueBytesMax);
    write.leased = static_cast<WriteKind>(kind) == WriteKind::put_leased;
    writes.push_back(std::move(write));
  }
  if (!in.at_end()) return std::nullopt;
  return writes;
}

bool restore_snapshot(const Frame& frame, VersionedMap& map) {
  ByteReader in{frame.payload};
  const std::uint32_t count = in.count(/*bytes_each=*/25);
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto leased = in.number<std::uint8_t>();
    std::string key{in.text(kKeyBytesMax)};
    StoredValue stored;
    stored.value = in.text(kValueBytesMax);
    stored.version = in.number<std::uint64_t>();
    stored.create_version = in.number<std::uint64_t>();
    stored.leased = leased == 1;
    const bool plausible = leased <= 1 && !key.empty() && stored.create_version > 0 &&
                           stored.create_version <= stored.version &&
                           stored.version <= frame.version;
    if (!in.ok() || !plausible) return false;
    if (!map.restore(std::move(key), std::move(stored))) return false;
  }
  map.restore_version(frame.version);
  return in.at_end();
}

JournalScan& damaged(JournalScan& scan, std::uint64_t at, std::string what,
                     JournalVerdict verdict = JournalVerdict::corrupt) {
  scan.verdict = verdict;
  scan.damage_bytes = at;
  scan.what = std::move(what);
  return scan;
}

/// True where the header is good; else `scan` has the verdict.
bool read_header(std::string_view bytes, JournalScan& scan, std::uint64_t& snapshot_end) {
  const std::string_view header = bytes.substr(0, kJournalHeaderBytes);
  if (header.size() < kJournalHeaderBytes || !header.starts_with(kJournalMagic)) {
    damaged(scan, 0, "no header of a coordinator file");
    return false;
  }
  ByteReader crc{header.substr(kHeaderCrcAt)};
  if (crc.number<std::uint32_t>() != crc_of(header.substr(0, kHeaderCrcAt))) {
    damaged(scan, 0, "header fails its checksum");
    return false;
  }
  ByteReader in{header.substr(kJournalMagic.size())};
  const auto version = in.number<std::uint32_t>();
  in.number<std::uint32_t>();
  scan.file_id = in.uuid();
  snapshot_end = in.number<std::uint64_t>();
  if (version != kFormatVersion) {
    damaged(scan, 8, "written by a later version", JournalVerdict::unsupported);
    return false;
  }
  if (snapshot_end < kJournalHeaderBytes || snapshot_end > bytes.size()) {
    damaged(scan, bytes.size(), "ends within its snapshot");
    return false;
  }
  return true;
}

}  // namespace

std::string encode_transaction(const engine::Uuid& file_id, std::uint64_t position_bytes,
                               KeyVersion version, const std::vector<KeyWrite>& writes) {
  ByteWriter payload;
  payload.number(static_cast<std::uint32_t>(writes.size()));
  for (const KeyWrite& write : writes) {
    const WriteKind kind = !write.value   ? WriteKind::remove
                           : write.leased ? WriteKind::put_leased
                                          : WriteKind::put;
    payload.number(static_cast<std::uint8_t>(kind));
    payload.text(write.key);
    if (write.value) payload.text(*write.value);
  }
  return encode_frame(file_id, position_bytes, FrameKind::transaction, version, payload.take());
}

std::string encode_mark(const engine::Uuid& file_id, std::uint64_t position_bytes,
                        KeyVersion version) {
  return encode_frame(file_id, position_bytes, FrameKind::mark, version, {});
}

std::string encode_journal(const engine::Uuid& file_id, const VersionedMap& map) {
  std::string journal(kJournalHeaderBytes, '\0');
  auto entry = map.entries().begin();
  do {  // at least one part: it holds the store's version
    ByteWriter part;
    std::uint32_t count = 0;
    while (entry != map.entries().end() && part.size() < kSnapshotPartBytes) {
      part.number(static_cast<std::uint8_t>(entry->second.leased ? 1 : 0));
      part.text(entry->first);
      part.text(entry->second.value);
      part.number(entry->second.version);
      part.number(entry->second.create_version);
      ++count;
      ++entry;
    }
    ByteWriter counted;
    counted.number(count);
    journal += encode_frame(file_id, journal.size(), FrameKind::snapshot, map.version(),
                            counted.take() + part.take());
  } while (entry != map.entries().end());

  ByteWriter header;
  header.number(kFormatVersion);
  header.number(std::uint32_t{0});
  header.uuid(file_id);
  header.number(static_cast<std::uint64_t>(journal.size()));
  const std::string fields = header.take();
  journal.replace(0, kJournalMagic.size(), kJournalMagic);
  journal.replace(kJournalMagic.size(), fields.size(), fields);
  store_at(journal, kHeaderCrcAt, crc_of(std::string_view(journal).substr(0, kHeaderCrcAt)));
  return journal;
}

JournalScan scan_journal(std::string_view bytes) {
  JournalScan scan;
  std::uint64_t snapshot_end = 0;
  if (!read_header(bytes, scan, snapshot_end)) return scan;

  std::uint64_t at = kJournalHeaderBytes;
  while (at < snapshot_end) {
    const std::optional<Frame> frame = read_frame(bytes.substr(0, snapshot_end), at, scan.file_id);
    if (!frame || frame->kind != FrameKind::snapshot || !restore_snapshot(*frame, scan.map)) {
      return damaged(scan, at, "snapshot is damaged");
    }
    at += frame->size_bytes();
  }

  bool marked = false;
  while (at < bytes.size()) {
    const std::optional<Frame> frame = read_frame(bytes, at, scan.file_id);
    if (!frame) break;
    if (frame->kind == FrameKind::mark && frame->version == scan.map.version()) {
      marked = true;
      break;
    }
    if (frame->kind != FrameKind::transaction || frame->version != scan.map.version() + 1) {
      return damaged(scan, at, "transactions are out of order");
    }
    const std::optional<std::vector<KeyWrite>> writes = decode_transaction(frame->payload);
    if (!writes) return damaged(scan, at, "a transaction cannot be understood");
    scan.map.apply(*writes);
    at += frame->size_bytes();
  }

  if (const auto witness = find_witness(bytes, at, scan.file_id)) {
    return damaged(scan, at, "a durable transaction is damaged");
  }
  scan.end_bytes = at;
  const std::uint64_t whole = at + (marked ? kFrameHeaderBytes : 0);
  scan.verdict = bytes.size() > whole ? JournalVerdict::torn_tail : JournalVerdict::intact;
  return scan;
}

}  // namespace keelson::coordination
