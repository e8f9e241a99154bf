// Any bytes as a produced batch. What is accepted must be readable to its end and valid again.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "engine/byte_order.h"
#include "engine/crc32c.h"
#include "engine/log/batch_validation.h"
#include "engine/log/record_reader.h"

namespace keelson::engine::log {
namespace {

constexpr std::int64_t kNow = 1'700'000'000'000;

void check(bool holds) {
  if (!holds) std::abort();
}

LogConfig config_of(std::uint8_t choice) {
  LogConfig config;
  config.keep_producer_codec = choice & 1;
  config.codec = static_cast<Codec>((choice >> 1) % 5);
  config.cleanup_compact = choice & 0x10;
  config.timestamp_type =
      choice & 0x20 ? TimestampType::log_append_time : TimestampType::create_time;
  return config;
}

void run(Bytes input) {
  if (input.empty()) return;
  const auto choice = static_cast<std::uint8_t>(input[0]);
  std::vector<std::byte> batch(input.begin() + 1, input.end());
  // A fuzzer does not guess checksums; most inputs get theirs, so that the records are reached.
  if (!(choice & 0x40) && batch.size() >= kBatchHeaderBytes) {
    store_big_endian(batch.data() + 8, static_cast<std::int32_t>(batch.size() - 12));
    store_big_endian(batch.data() + 17, crc32c(Bytes(batch).subspan(kCrcStart)));
  }
  const BatchOrigin origin = choice & 0x80 ? BatchOrigin::internal : BatchOrigin::client;
  const LogConfig config = config_of(choice);
  const auto valid = validate_batch(batch, config, kNow, origin);
  if (!valid) return;

  check(valid->header.size_bytes() == valid->bytes.size());
  check(crc_matches(valid->bytes));
  RecordReader reader(valid->bytes);
  for (std::int32_t index = 0; index < valid->header.record_count; ++index) {
    const auto record = reader.next();
    if (!record) return;  // a record above the reader's limit
    check(record->has_value() && (*record)->offset == valid->header.base_offset + index);
    check(valid->header.is_log_append_time() ||
          (*record)->timestamp_ms <= valid->header.max_timestamp ||
          valid->header.max_timestamp == -1);
  }
  const auto end = reader.next();
  check(end && !*end);

  if (valid->header.is_log_append_time()) return;  // no client may send that
  std::vector<std::byte> again(valid->bytes.begin(), valid->bytes.end());
  const auto valid_again = validate_batch(again, config, kNow, origin);
  check(valid_again && valid_again->recoded.empty());
  check(std::ranges::equal(valid_again->bytes, valid->bytes));
}

}  // namespace
}  // namespace keelson::engine::log

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, unsigned long size) {
  keelson::engine::log::run(std::as_bytes(std::span(data, size)));
  return 0;
}
