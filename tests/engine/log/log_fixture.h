// tests/engine/log/log_fixture.h: batches to append and ways to look at what a log answers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/log/batch_builder.h"
#include "engine/log/log.h"
#include "engine/log/log_context.h"
#include "engine/log/record_batch.h"

namespace keelson::test {

inline engine::Bytes as_bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

inline const engine::log::LogIdentity kIdentity{engine::make_uuid(1, 2), 3};

/// Of a log on a simulated machine: what usually takes seconds is over in milliseconds.
inline engine::log::LogLimits quick_limits() {
  engine::log::LogLimits limits;
  limits.disk_reserve_bytes = 1 << 20;
  limits.removal_step_bytes = 4096;  // so that files are cut while others read
  limits.sidecar_delay_ms = 2;
  limits.idle_after_ms = 20;
  return limits;
}

/// A batch of `records` records; the first value is `text`, the others are numbered.
inline std::vector<std::byte> make_batch(const std::string& text, int records = 1,
                                         std::int64_t timestamp_ms = 1'000) {
  engine::log::BatchBuilder builder;
  for (int i = 0; i < records; ++i) {
    const std::string value = i == 0 ? text : text + std::to_string(i);
    builder.add(timestamp_ms + i, std::nullopt, as_bytes(value));
  }
  return builder.build();
}

inline std::vector<std::byte> make_producer_batch(std::int64_t id, std::int16_t epoch,
                                                  std::int32_t sequence, int records = 1) {
  engine::log::BatchBuilder builder;
  builder.producer(engine::ProducerId{id}, engine::ProducerEpoch{epoch}, sequence);
  for (int i = 0; i < records; ++i) {
    const std::string value = std::to_string(std::int64_t{sequence} + i);
    builder.add(1'000, std::nullopt, as_bytes(value));
  }
  return builder.build();
}

/// `batch` as the log stores it at `base`.
inline std::vector<std::byte> stamped(std::vector<std::byte> batch, std::int64_t base,
                                      std::int32_t epoch) {
  engine::log::stamp_batch(batch, engine::Offset{base}, engine::LeaderEpoch{epoch});
  return batch;
}

inline std::vector<std::byte> flat(const engine::SliceList& slices) {
  std::vector<std::byte> bytes;
  for (const engine::Slice& slice : slices) {
    bytes.insert(bytes.end(), slice.bytes.begin(), slice.bytes.end());
  }
  return bytes;
}

/// Reads the whole log in pieces, batch after batch, or as far as it goes.
inline engine::Task<engine::Result<std::vector<std::byte>>> read_all(engine::log::Log& log,
                                                                     std::uint64_t piece_bytes) {
  std::vector<std::byte> all;
  engine::Offset at = log.log_start_offset();
  while (at < log.log_end_offset()) {
    const engine::Result<engine::log::ReadResult> read =
        co_await log.read(at, log.log_end_offset(), {.bytes_max = piece_bytes});
    if (!read) co_return std::unexpected(read.error());
    const std::vector<std::byte> bytes = flat(read->batches);
    if (bytes.empty()) co_return engine::fail(engine::Errc::end_of_stream);
    std::size_t position = 0;
    while (position < bytes.size()) {
      const auto header = engine::log::read_batch_header(engine::Bytes(bytes).subspan(position));
      if (!header) co_return engine::fail(engine::Errc::corrupt);
      at = header->next_offset();
      position += header->size_bytes();
    }
    all.insert(all.end(), bytes.begin(), bytes.end());
  }
  co_return std::move(all);
}

}  // namespace keelson::test
