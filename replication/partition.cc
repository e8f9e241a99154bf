#include "replication/partition.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "engine/counters.h"
#include "engine/log/batch_validation.h"

namespace keelson::replication {

using engine::Errc;
using engine::Offset;
using engine::Result;
using engine::Task;
using engine::log::Codec;

ApiErrc Partition::check_epoch(engine::LeaderEpoch believed) const {
  if (believed == engine::kNoLeaderEpoch || believed == epoch_) return ApiErrc::none;
  return believed < epoch_ ? ApiErrc::fenced_leader_epoch : ApiErrc::unknown_leader_epoch;
}

namespace {

/// What a batch may decompress to before others get their turn; with gzip, 2 ms.
constexpr std::uint64_t kValidationStepBytes = std::uint64_t{512} << 10;

using engine::log::BatchValidation;

/// Goes on with a check that took more than one step, others between. `validation` stays the
/// caller's.
Task<void> validate_long(Partition& partition, std::optional<BatchValidation>& validation,
                         ProducePartition produced, engine::log::BatchOrigin origin,
                         std::int64_t now_ms) {
  PartitionShard& shared = partition.shared();
  if (!shared.long_validations.try_take(1)) {
    validation.reset();  // its decompressor goes back; that step is done again
    co_await shared.long_validations.take(1);
    validation.emplace(produced.records, partition.log().config(), now_ms, origin);
  }
  while (!validation->step(kValidationStepBytes)) co_await shared.shard.yield();
  shared.long_validations.give(1);
}

}  // namespace

Task<ProduceAnswer> append_produced(Partition& partition, ProducePartition produced,
                                    const ProduceCall& call, std::int64_t now_ms) {
  ProduceAnswer answer;
  answer.error = partition.check_epoch(produced.current_leader_epoch);
  if (answer.error != ApiErrc::none) co_return answer;
  engine::log::Log& log = partition.log();
  engine::io::Semaphore& turn = partition.append_turn();
  co_await turn.take(1);
  std::optional<BatchValidation> validation;
  validation.emplace(produced.records, log.config(), now_ms, call.origin);
  if (!validation->step(kValidationStepBytes)) {
    co_await validate_long(partition, validation, produced, call.origin, now_ms);
  }
  auto validated = validation->take();
  // Whoever comes next runs in a later turn of the shard; append() places before it suspends.
  turn.give(1);
  if (!validated) {
    answer.error = to_api_error(validated.error().error);
    answer.message = std::move(validated.error().message);
    answer.record_faults = std::move(validated.error().records);
    co_return answer;
  }
  if (!call.zstd_allowed && validated->header.codec() == Codec::zstd) {
    answer.error = ApiErrc::unsupported_compression_type;
    co_return answer;
  }
  engine::tally(engine::Counter::batches);
  const Result<engine::log::AppendResult> appended =
      co_await log.append(validated->bytes, partition.epoch());
  if (!appended) {
    answer.error = to_api_error(appended.error());
    if (appended.error().code == Errc::no_space) {
      answer.message = "the disk is nearly full: free space or shorten retention, then retry";
    }
    co_return answer;
  }
  answer.base_offset = appended->base_offset.value();
  answer.log_append_time_ms = appended->log_append_time_ms;
  answer.log_start_offset = log.log_start_offset().value();
  co_return answer;
}

namespace {

/// The end of what a client and this log have in common, where they parted (KIP-595).
std::optional<engine::log::EpochEnd> find_divergence(Partition& partition,
                                                     const FetchPartition& wanted) {
  if (wanted.last_fetched_epoch == engine::kNoLeaderEpoch) return std::nullopt;
  engine::log::EpochEnd end = find_epoch_end(partition, wanted.last_fetched_epoch);
  if (end.epoch == engine::kNoLeaderEpoch) return std::nullopt;
  if (end.epoch < wanted.last_fetched_epoch || end.end_offset < wanted.offset) return end;
  return std::nullopt;
}

/// Calls `visit` with the header of each batch, which are whole, until it answers false. A header
/// may lie in two slices.
template <typename Visit>
void visit_headers(const engine::SliceList& batches, Visit visit) {
  std::byte header[engine::log::kBatchHeaderBytes];
  std::size_t have = 0;
  std::uint64_t skip = 0;
  for (const engine::Slice& slice : batches) {
    engine::Bytes rest = slice.bytes;
    while (!rest.empty()) {
      if (skip > 0) {
        const std::size_t piece = std::min<std::uint64_t>(skip, rest.size());
        rest = rest.subspan(piece);
        skip -= piece;
        continue;
      }
      const std::size_t piece = std::min(sizeof header - have, rest.size());
      std::memcpy(header + have, rest.data(), piece);
      have += piece;
      rest = rest.subspan(piece);
      if (have < sizeof header) break;
      const auto batch = engine::log::read_batch_header(header);
      if (!batch || !visit(*batch)) return;
      skip = batch->size_bytes() - sizeof header;
      have = 0;
    }
  }
}

bool holds_zstd(const engine::SliceList& batches) {
  bool found = false;
  visit_headers(batches, [&](const engine::log::BatchHeader& batch) {
    found = batch.codec() == Codec::zstd;
    return !found;
  });
  return found;
}

/// Behind the last of the batches; 0 where there are none.
Offset end_of(const engine::SliceList& batches) {
  Offset end;
  visit_headers(batches, [&](const engine::log::BatchHeader& batch) {
    end = batch.next_offset();
    return true;
  });
  return end;
}

}  // namespace

bool expect_fetched(Partition& partition, const FetchPartition& wanted, bool read_committed,
                    engine::log::ReadLimits limits) {
  return partition.log().expect(wanted.offset, partition.readable_below(read_committed), limits);
}

Task<FetchAnswer> read_fetched(Partition& partition, FetchPartition wanted, bool read_committed,
                               bool zstd_allowed, engine::log::ReadLimits limits) {
  FetchAnswer answer;
  engine::log::Log& log = partition.log();
  answer.error = partition.check_epoch(wanted.current_leader_epoch);
  if (answer.error != ApiErrc::none) co_return answer;

  answer.diverging = find_divergence(partition, wanted);
  const Offset below = partition.readable_below(read_committed);
  if (answer.diverging) {
    // Where the reader is means nothing here: it goes back to what is common first.
  } else if (wanted.offset < log.log_start_offset() || wanted.offset > log.log_end_offset()) {
    answer.error = ApiErrc::offset_out_of_range;
  } else if (wanted.offset < below) {
    Result<engine::log::ReadResult> read = co_await log.read(wanted.offset, below, limits);
    if (!read) {
      answer.error = to_api_error(read.error());
    } else if (!zstd_allowed && holds_zstd(read->batches)) {
      answer.error = ApiErrc::unsupported_compression_type;
    } else {
      answer.records = std::move(read->batches);
    }
  }
  if (read_committed && answer.error == ApiErrc::none) {
    auto aborted = co_await log.aborted_transactions(wanted.offset, end_of(answer.records));
    if (aborted) {
      answer.aborted_transactions = std::move(*aborted);
    } else {  // without them, aborted records would pass for committed ones
      answer.records.clear();
      answer.error = to_api_error(aborted.error());
    }
  }
  if (answer.error != ApiErrc::none) co_return answer;
  // After the read: what moved meanwhile is told as it is now. A reader may never be given a
  // record above the high watermark it is told; the watermark only grows.
  answer.high_watermark = partition.high_watermark().value();
  answer.last_stable_offset = partition.last_stable_offset().value();
  answer.log_start_offset = log.log_start_offset().value();
  co_return answer;
}

Task<ApiResult<OffsetAnswer>> find_offset(Partition& partition, std::int64_t timestamp_ms,
                                          bool read_committed) {
  engine::log::Log& log = partition.log();
  const Offset below = partition.readable_below(read_committed);
  const auto at = [&](Offset offset, engine::LeaderEpoch epoch) {
    return OffsetAnswer{engine::kNoTimestamp, offset.value(), epoch};
  };
  switch (timestamp_ms) {
    case kLatestTime: co_return at(below, partition.epoch());
    case kEarliestTime:
    case kEarliestLocalTime: {
      const Offset start = log.log_start_offset();
      co_return at(start, log.epoch_of(start));
    }
    case kLatestTieredTime:
    case kEarliestPendingUploadTime: co_return OffsetAnswer{};
    default: break;
  }
  if (timestamp_ms < kMaxTime) co_return refuse(ApiErrc::unsupported_version);
  Result<std::optional<engine::log::TimestampOffset>> found;
  if (timestamp_ms == kMaxTime) {
    found = co_await log.find_max_time(below);
  } else {
    found = co_await log.find_time(timestamp_ms, below);
  }
  if (!found) co_return refuse(to_api_error(found.error()));
  if (!*found) co_return OffsetAnswer{};
  const engine::log::TimestampOffset& record = **found;
  co_return OffsetAnswer{record.timestamp_ms, record.offset.value(), record.leader_epoch};
}

Task<ApiResult<std::int64_t>> delete_records_before(Partition& partition, std::int64_t offset) {
  engine::log::Log& log = partition.log();
  if (!log.config().cleanup_delete && log.config().cleanup_compact) {
    co_return refuse(ApiErrc::policy_violation,
                     "records of a compacted topic go by key, not by offset");
  }
  const Offset high_watermark = partition.high_watermark();
  const Offset wanted = offset == kNoOffset ? high_watermark : Offset{offset};
  if (wanted > high_watermark || wanted < Offset{0}) {
    co_return refuse(ApiErrc::offset_out_of_range);
  }
  if (wanted > log.log_start_offset()) {
    const Result<void> moved = co_await log.advance_start(wanted);
    if (!moved) co_return refuse(to_api_error(moved.error()));
  }
  co_return log.log_start_offset().value();
}

engine::log::EpochEnd find_epoch_end(Partition& partition, engine::LeaderEpoch epoch) {
  engine::log::Log& log = partition.log();
  const engine::log::EpochEnd unknown{engine::kNoLeaderEpoch, Offset{kNoOffset}};
  if (epoch < engine::LeaderEpoch{0} || epoch > partition.epoch()) return unknown;
  if (epoch == partition.epoch()) return {epoch, log.log_end_offset()};
  return log.epoch_end(epoch).value_or(unknown);
}

}  // namespace keelson::replication
