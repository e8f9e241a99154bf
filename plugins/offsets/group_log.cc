#include "plugins/offsets/group_log.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "engine/log/batch_builder.h"
#include "engine/logger.h"

namespace keelson::offsets {

using engine::Offset;
using engine::Task;

namespace {

constexpr Offset kNoLimit{std::numeric_limits<std::int64_t>::max()};
constexpr std::int32_t kReadBytesLimit = 128 << 20;
constexpr std::int64_t kRetryMs = 100;
// What a record costs beside key and value: lengths, deltas, attributes as varints.
constexpr std::size_t kRecordOverheadBytes = 40;

/// The bytes of slices in one piece, without a copy where they are one already.
engine::Bytes joined(const engine::SliceList& slices, std::vector<std::byte>& copy) {
  if (slices.empty()) return {};
  if (slices.size() == 1) return slices.front().bytes;
  copy.reserve(engine::total_bytes(slices));
  for (const engine::Slice& slice : slices) {
    copy.insert(copy.end(), slice.bytes.begin(), slice.bytes.end());
  }
  return copy;
}

/// May the records be in the log, or come there, although the append failed?
bool may_have_happened(ApiErrc error) {
  switch (error) {
    case ApiErrc::not_enough_replicas:
    case ApiErrc::fenced_leader_epoch:
    case ApiErrc::unknown_leader_epoch:
    case ApiErrc::unknown_topic_or_partition:
    case ApiErrc::message_too_large:
    case ApiErrc::record_list_too_large:
    case ApiErrc::invalid_record:
    case ApiErrc::corrupt_message: return false;
    default: return true;
  }
}

}  // namespace

ApiErrc write_refusal(ApiErrc produce_error) {
  switch (produce_error) {
    case ApiErrc::none: return ApiErrc::none;
    case ApiErrc::unknown_topic_or_partition:
    case ApiErrc::not_enough_replicas:
    case ApiErrc::not_enough_replicas_after_append:
    case ApiErrc::request_timed_out: return ApiErrc::coordinator_not_available;
    case ApiErrc::not_leader_or_follower:
    case ApiErrc::fenced_leader_epoch:
    case ApiErrc::unknown_leader_epoch:
    case ApiErrc::kafka_storage_error: return ApiErrc::not_coordinator;
    default: return ApiErrc::unknown_server_error;
  }
}

GroupLog::GroupLog(GroupLogParts parts, RecordReplay::Apply applied)
    : parts_(parts),
      applied_(std::move(applied)),
      replay_([this](GroupRecord record) { applied_(std::move(record)); }),
      idle_(parts.shard) {}

// Reading -----------------------------------------------------------------------------------------

/// One read from replay_.next_offset() on; the high watermark it saw.
Task<ApiResult<Offset>> GroupLog::read_some(Offset until, std::int32_t bytes_max) {
  const Offset from = replay_.next_offset();
  ApiResult<FetchAnswer> answer =
      co_await parts_.replicator.read(parts_.shard, parts_.key, from, bytes_max);
  if (!answer) co_return std::unexpected(answer.error());
  if (answer->error != ApiErrc::none) co_return refuse(answer->error);
  std::vector<std::byte> copy;
  const engine::Bytes bytes = joined(answer->records, copy);
  const engine::Result<void> fed = replay_.feed(bytes, until);
  if (!fed) {
    co_return refuse(ApiErrc::corrupt_message,
                     engine::concat("records behind offset ", replay_.next_offset().value(),
                                    " cannot be understood"));
  }
  const Offset high_watermark{answer->high_watermark};
  // Compaction may leave nothing of the last offsets.
  if (bytes.empty()) replay_.advance_to(std::min(high_watermark, until));
  co_return high_watermark;
}

Task<ApiResult<void>> GroupLog::load() {
  const ApiResult<OffsetAnswer> end = co_await parts_.replicator.list_offset(
      parts_.shard, parts_.key, kLatestTime, false, engine::kNoLeaderEpoch);
  if (!end) co_return std::unexpected(end.error());
  epoch_ = end->leader_epoch;
  ApiResult<OffsetAnswer> start = co_await parts_.replicator.list_offset(
      parts_.shard, parts_.key, kEarliestTime, false, epoch_);
  if (!start) co_return std::unexpected(start.error());
  replay_.advance_to(Offset{start->offset});
  std::int32_t bytes_max = parts_.read_bytes_max;
  while (!stopping_) {
    const Offset before = replay_.next_offset();
    ApiResult<Offset> high_watermark = co_await read_some(kNoLimit, bytes_max);
    if (!high_watermark) co_return std::unexpected(high_watermark.error());
    if (replay_.next_offset() >= *high_watermark) co_return ApiResult<void>{};
    if (replay_.next_offset() > before) {
      bytes_max = parts_.read_bytes_max;
    } else if (bytes_max == kReadBytesLimit) {
      co_return refuse(ApiErrc::corrupt_message,
                       engine::concat("no whole batch at offset ", before.value()));
    } else {
      bytes_max = bytes_max > kReadBytesLimit / 2 ? kReadBytesLimit : bytes_max * 2;
    }
    co_await parts_.shard.yield();
  }
  co_return refuse(ApiErrc::not_coordinator);
}

/// Reads what others or lost appends put before `end`, which is below the high watermark.
Task<ApiErrc> GroupLog::read_up_to(Offset end) {
  while (replay_.next_offset() < end) {
    const Offset before = replay_.next_offset();
    ApiResult<Offset> read = co_await read_some(end, parts_.read_bytes_max);
    if (!read && read.error().code == ApiErrc::corrupt_message) co_return read.error().code;
    if (replay_.next_offset() > before) continue;
    if (stopping_) co_return ApiErrc::not_coordinator;
    const std::int64_t now_ns = parts_.shard.clock().now_ns();
    co_await parts_.shard.sleep_until(now_ns + kRetryMs * 1'000'000);
  }
  co_return ApiErrc::none;
}

// Writing -----------------------------------------------------------------------------------------

void GroupLog::write(std::vector<GroupRecord> records, Done done) {
  Write write{std::move(records), {}, 0, ApiErrc::none, std::move(done)};
  for (const GroupRecord& record : write.records) {
    std::optional<EncodedRecord> encoded = encode(record);
    if (!encoded) {
      write.refusal = ApiErrc::unknown_server_error;
      break;
    }
    write.size_bytes += encoded->size_bytes() + kRecordOverheadBytes;
    write.encoded.push_back(std::move(*encoded));
  }
  if (write.size_bytes > parts_.batch_bytes_max) write.refusal = ApiErrc::unknown_server_error;
  if (stopping_) write.refusal = ApiErrc::not_coordinator;
  if (write.refusal != ApiErrc::none) {
    write.encoded.clear();
    write.size_bytes = 0;
  }
  queue_.push_back(std::move(write));
  if (writing_) return;
  writing_ = true;
  parts_.shard.spawn(drain_queue());
}

std::vector<GroupLog::Write> GroupLog::take_batch() {
  std::vector<Write> batch;
  std::size_t size_bytes = 0;
  while (!queue_.empty()) {
    Write& next = queue_.front();
    if (!batch.empty() && size_bytes + next.size_bytes > parts_.batch_bytes_max) break;
    size_bytes += next.size_bytes;
    batch.push_back(std::move(next));
    queue_.pop_front();
  }
  return batch;
}

Task<void> GroupLog::drain_queue() {
  while (!queue_.empty()) {
    std::vector<Write> batch = take_batch();
    ApiErrc error = ApiErrc::not_coordinator;
    if (!stopping_) error = co_await append(batch);
    finish(batch, error);
  }
  writing_ = false;
  idle_.notify();
}

Task<ApiErrc> GroupLog::append(const std::vector<Write>& batch) {
  engine::log::BatchBuilder builder;
  const std::int64_t now_ms = parts_.shard.clock().wall_ms();
  for (const Write& write : batch) {
    for (const EncodedRecord& record : write.encoded) {
      std::optional<engine::Bytes> value;
      if (record.value) value = *record.value;
      builder.add(now_ms, record.key, value);
    }
  }
  if (builder.record_count() == 0) co_return ApiErrc::none;  // barriers only
  const auto bytes = std::make_shared<std::vector<std::byte>>(builder.build());

  ProduceCall call;
  call.acks = Acks::all;
  call.timeout_ms = parts_.timeout_ms;
  call.origin = engine::log::BatchOrigin::internal;
  call.memory = bytes;
  call.partitions.push_back({parts_.key, *bytes, epoch_});
  ++appends_;
  const std::vector<ProduceAnswer> answers =
      co_await parts_.replicator.produce(parts_.shard, std::move(call));
  const ApiErrc error = answers.size() == 1 ? answers[0].error : ApiErrc::unknown_server_error;
  if (error != ApiErrc::none) {
    ++failed_appends_;
    doubtful_ = doubtful_ || may_have_happened(error);
    if (doubtful_) {
      // Best effort: a lost append that is there already should show now, not with the next write.
      (void)co_await read_some(kNoLimit, parts_.read_bytes_max);
    }
    co_return write_refusal(error);
  }
  const Offset base{answers[0].base_offset};
  const ApiErrc gap = co_await read_up_to(base);
  if (gap != ApiErrc::none) {
    ++failed_appends_;
    co_return ApiErrc::not_coordinator;
  }
  doubtful_ = false;
  replay_.advance_to(base + builder.record_count());
  co_return ApiErrc::none;
}

void GroupLog::finish(std::vector<Write>& batch, ApiErrc error) {
  for (Write& write : batch) {
    const ApiErrc outcome = write.refusal != ApiErrc::none ? write.refusal : error;
    if (outcome == ApiErrc::none) {
      for (GroupRecord& record : write.records) applied_(std::move(record));
    }
    write.done(outcome);
  }
}

Task<bool> GroupLog::wait_idle(std::int64_t deadline_ns) {
  while (!idle()) {
    const bool woken = co_await idle_.wait_until(deadline_ns);
    if (!woken) co_return false;
  }
  co_return true;
}

Task<void> GroupLog::stop() {
  stopping_ = true;
  (void)co_await wait_idle(engine::io::kNoDeadline);
}

}  // namespace keelson::offsets
