#include "plugins/offsets/record_replay.h"

#include <limits>
#include <utility>

#include "engine/byte_order.h"
#include "engine/log/record_reader.h"

namespace keelson::offsets {

using engine::Bytes;
using engine::Errc;
using engine::Result;
using engine::log::BatchHeader;

namespace {
constexpr std::int64_t kOffsetMax = std::numeric_limits<std::int64_t>::max() - 1;
}  // namespace

Result<void> RecordReplay::feed(Bytes bytes, engine::Offset until) {
  while (bytes.size() >= engine::log::kBatchHeaderBytes) {
    const Result<BatchHeader> header = engine::log::read_batch_header(bytes);
    if (!header) return std::unexpected(header.error());
    if (header->last_offset_delta < 0 || header->base_offset < engine::Offset{0} ||
        header->base_offset.value() > kOffsetMax - header->last_offset_delta) {
      return engine::fail(Errc::corrupt);
    }
    if (header->size_bytes() > bytes.size() || header->base_offset >= until) return {};
    if (header->last_offset() >= next_offset_) {
      const Result<void> taken = take(*header, bytes.first(header->size_bytes()));
      if (!taken) return taken;
      next_offset_ = header->next_offset();
    }
    bytes = bytes.subspan(header->size_bytes());
  }
  return {};
}

Result<void> RecordReplay::take(const BatchHeader& header, Bytes batch) {
  if (!engine::log::crc_matches(batch)) return engine::fail(Errc::corrupt);
  engine::log::RecordReader reader(batch);
  while (true) {
    const Result<std::optional<engine::log::Record>> record = reader.next();
    if (!record) return std::unexpected(record.error());
    if (!*record) return {};
    const std::optional<Bytes>& key = (*record)->key;
    if (header.is_control()) {
      // Key of a marker: version (2), type (2): 0 abort, 1 commit.
      if (!key || key->size() < 4) return engine::fail(Errc::corrupt);
      const auto type = engine::load_big_endian<std::int16_t>(key->data() + 2);
      if (type == 0 || type == 1) end_transaction(header.producer_id.value(), type == 1);
      continue;
    }
    if (!key) return engine::fail(Errc::corrupt);
    auto decoded = decode(*key, (*record)->value);
    if (!decoded) return std::unexpected(decoded.error());
    if (!std::holds_alternative<GroupRecord>(*decoded)) {
      ++unknown_records_;
      continue;
    }
    GroupRecord& known = std::get<GroupRecord>(*decoded);
    header.is_transactional() ? hold(header.producer_id.value(), std::move(known))
                              : apply_(std::move(known));
  }
}

void RecordReplay::hold(std::int64_t producer_id, GroupRecord record) {
  if (const auto* offset = std::get_if<OffsetRecord>(&record)) {
    ++unstable_[{offset->group_id, offset->topic, offset->partition}];
  }
  open_transactions_[producer_id].push_back(std::move(record));
}

void RecordReplay::end_transaction(std::int64_t producer_id, bool committed) {
  auto transaction = open_transactions_.extract(producer_id);
  if (transaction.empty()) return;
  for (GroupRecord& record : transaction.mapped()) {
    if (const auto* offset = std::get_if<OffsetRecord>(&record)) {
      const auto held = unstable_.find({offset->group_id, offset->topic, offset->partition});
      if (--held->second == 0) unstable_.erase(held);
    }
    if (committed) apply_(std::move(record));
  }
}

}  // namespace keelson::offsets
