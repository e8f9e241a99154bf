#include "plugins/offsets/partition_coordinator.h"

#include <algorithm>
#include <cassert>
#include <cctype>
#include <limits>

#include "engine/io/random_uuid.h"
#include "engine/logger.h"
#include "plugins/offsets/consumer_classic.h"
#include "plugins/offsets/partition_group.h"

namespace keelson::offsets {

using engine::Task;
using Pass = engine::io::Gate::Pass;

namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;
constexpr std::int64_t kLoadRetryMs = 100;
constexpr std::string_view kClassicType = "classic";
constexpr std::string_view kConsumerType = "consumer";

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& letter : out)
    letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  return out;
}

/// Whether `name` is among `wanted`, whatever the case of letters; an empty list wants all.
bool matches(const std::vector<std::string>& wanted, std::string_view name) {
  if (wanted.empty()) return true;
  const std::string plain = lower(name);
  return std::any_of(wanted.begin(), wanted.end(),
                     [&](const std::string& one) { return lower(one) == plain; });
}

JoinGroupAnswer refused_join(ApiErrc error, std::string member_id) {
  JoinGroupAnswer answer;
  answer.error = error;
  answer.member_id = std::move(member_id);
  return answer;
}

}  // namespace

// What a group asks for ---------------------------------------------------------------------------

void PartitionCoordinator::Group::answer(RequestId request, JoinGroupAnswer answer) {
  owner.answer(request, std::move(answer));
}

void PartitionCoordinator::Group::answer(RequestId request, SyncGroupAnswer answer) {
  owner.answer(request, std::move(answer));
}

void PartitionCoordinator::Group::arm(GroupTimer kind, const std::string& member_id,
                                      std::int64_t delay_ms) {
  engine::io::Shard& shard = owner.parts_.shard;
  DueTimer& timer = timers[{kind, member_id}];
  shard.timers().disarm(timer);
  if (timer.group == nullptr) {
    timer.group = this;
    timer.kind = kind;
    timer.member_id = member_id;
    timer.on_due = [](engine::io::Timer& self) {
      auto& due = static_cast<DueTimer&>(self);
      // The call may free the timer and the group: nothing of them is touched afterwards.
      const std::string group_id = due.group->classic.group_id();
      const std::string member = due.member_id;
      PartitionCoordinator& coordinator = due.group->owner;
      coordinator.on_timer(group_id, due.kind, member);
    };
  }
  const std::int64_t delay_ns = std::max<std::int64_t>(delay_ms, 0) * kNsPerMs;
  shard.timers().arm(timer, shard.clock().now_ns() + delay_ns);
}

void PartitionCoordinator::Group::disarm(GroupTimer kind, const std::string& member_id) {
  const auto found = timers.find({kind, member_id});
  if (found == timers.end()) return;
  owner.parts_.shard.timers().disarm(found->second);
  timers.erase(found);
}

void PartitionCoordinator::Group::persist(ClassicGroupState state,
                                          std::move_only_function<void(ApiErrc)> done) {
  std::vector<GroupRecord> records;
  records.push_back(ClassicGroupRecord{classic.group_id(), std::move(state)});
  owner.write(std::move(records), std::move(done));  // sweep() spares us until it is done
}

std::string PartitionCoordinator::Group::new_uuid() {
  const engine::Uuid uuid = engine::io::random_uuid(owner.parts_.shard.rng());
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (std::size_t i = 0; i < uuid.bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += kDigits[std::to_integer<unsigned>(uuid.bytes[i] >> 4)];
    text += kDigits[std::to_integer<unsigned>(uuid.bytes[i] & std::byte{15})];
  }
  return text;
}

// Life --------------------------------------------------------------------------------------------

PartitionCoordinator::PartitionCoordinator(PartitionCoordinatorParts parts)
    : parts_(std::move(parts)),
      loaded_(parts_.shard),
      stopping_(parts_.shard),
      gate_(parts_.shard) {}

PartitionCoordinator::~PartitionCoordinator() { assert(gate_.inside() == 0 && parked_.empty()); }

void PartitionCoordinator::start() {
  parts_.shard.spawn(load());
  parts_.shard.spawn(expire_periodically());
  gate_.enter();  // left by load()
  gate_.enter();  // left by expire_periodically()
}

Task<void> PartitionCoordinator::load() {
  const Pass pass(gate_);
  while (phase_ == Phase::loading) {
    groups_.clear();
    log_ =
        std::make_unique<GroupLog>(GroupLogParts{.shard = parts_.shard,
                                                 .replicator = parts_.replicator,
                                                 .key = parts_.key,
                                                 .read_bytes_max = parts_.settings.load_bytes,
                                                 .timeout_ms = parts_.settings.commit_timeout_ms},
                                   [this](GroupRecord record) { apply(std::move(record)); });
    const ApiResult<void> read = co_await log_->load();
    if (phase_ != Phase::loading) break;
    if (read) {
      begin_serving();
    } else if (read.error().code == ApiErrc::corrupt_message) {
      phase_ = Phase::failed;
      parts_.shard.logger().write(
          engine::LogLevel::error, "groups",
          engine::concat("partition ", parts_.key.partition, " of ", kOffsetsTopic,
                         " cannot be read: ", read.error().message,
                         ". Its groups are not served; repair or remove the damaged range"));
    } else {
      const std::int64_t now_ns = parts_.shard.clock().now_ns();
      co_await stopping_.wait_until(now_ns + kLoadRetryMs * kNsPerMs);
    }
  }
  loaded_.set();
}

void PartitionCoordinator::begin_serving() {
  phase_ = Phase::active;
  std::vector<std::string> ids;
  for (const auto& [id, group] : groups_) ids.push_back(id);
  for (const std::string& id : ids) {
    groups_.at(id)->classic.begin();
    begin_consumers(*groups_.at(id));
    sweep(id);
  }
}

Task<void> PartitionCoordinator::wait_loaded(std::int64_t deadline_ns) {
  if (!gate_.enter()) co_return;
  const Pass pass(gate_);
  co_await loaded_.wait_until(deadline_ns);
}

Task<void> PartitionCoordinator::drain(std::int64_t deadline_ns) {
  if (!gate_.enter()) co_return;
  const Pass pass(gate_);
  phase_ = Phase::stopping;
  stopping_.set();
  if (log_) co_await log_->wait_idle(deadline_ns);
}

Task<void> PartitionCoordinator::stop() {
  phase_ = Phase::stopping;
  stopping_.set();
  // Answering may not change the map that is walked: groups are only dropped by sweep().
  for (const auto& [id, group] : groups_) group->classic.abandon_all(ApiErrc::not_coordinator);
  for (const auto& [request, parked] : parked_) parked->woken.set();
  if (log_) co_await log_->stop();
  co_await gate_.close();
  groups_.clear();
}

ApiErrc PartitionCoordinator::refusal() const {
  switch (phase_) {
    case Phase::loading: return ApiErrc::coordinator_load_in_progress;
    case Phase::active: return ApiErrc::none;
    case Phase::failed:
    case Phase::stopping: return ApiErrc::not_coordinator;
  }
  std::unreachable();
}

// Groups and records ------------------------------------------------------------------------------

PartitionCoordinator::Group* PartitionCoordinator::find(const std::string& group_id) const {
  const auto found = groups_.find(group_id);
  return found == groups_.end() ? nullptr : found->second.get();
}

PartitionCoordinator::Group& PartitionCoordinator::find_or_make(const std::string& group_id) {
  std::unique_ptr<Group>& group = groups_[group_id];
  if (!group) group = std::make_unique<Group>(*this, group_id);
  return *group;
}

void PartitionCoordinator::sweep(const std::string& group_id) {
  const auto found = groups_.find(group_id);
  if (found == groups_.end()) return;
  const Group& group = *found->second;
  if (group.has_record || group.consumer || !group.offsets.empty()) return;
  if (group.writes_under_way > 0 || group.visitors > 0 || group.doubtful) return;
  if (group.classic.state() != ClassicState::empty) return;
  if (group.classic.pending_member_count() > 0) return;
  past_rebalances_ += group.classic.rebalances();
  groups_.erase(found);
}

bool PartitionCoordinator::is_visible(const Group& group) const {
  return group.has_record || group.consumer || group.offsets.stored_count() > 0 ||
         group.classic.pending_member_count() > 0 || group.classic.state() != ClassicState::empty;
}

void PartitionCoordinator::apply(GroupRecord record) {
  if (auto* offset = std::get_if<OffsetRecord>(&record)) return apply_offset(std::move(*offset));
  if (auto* classic = std::get_if<ClassicGroupRecord>(&record)) {
    return apply_group(std::move(*classic));
  }
  apply_consumer(record);
}

void PartitionCoordinator::apply_offset(OffsetRecord record) {
  if (!record.value && find(record.group_id) == nullptr) return;
  Group& group = find_or_make(record.group_id);
  group.offsets.apply(record.topic, record.partition, std::move(record.value));
  if (phase_ == Phase::loading) sweep(record.group_id);
}

void PartitionCoordinator::apply_group(ClassicGroupRecord record) {
  if (!record.value) {
    if (Group* group = find(record.group_id)) {
      group->has_record = false;
      group->record_hash = 0;
      if (phase_ == Phase::loading || group->consumer) group->classic.restore({});
      sweep(record.group_id);
    }
    return;
  }
  Group& group = find_or_make(record.group_id);
  group.has_record = true;
  group.consumer.reset();  // its tombstones came before this
  group.record_hash = hash_of(record);
  // Once serving, the members in memory are newer than any record of them.
  if (phase_ == Phase::loading || group.becomes_classic) group.classic.restore(*record.value);
}

void PartitionCoordinator::note_write(const std::vector<GroupRecord>& records, bool begins) {
  for (const GroupRecord& record : records) {
    if (const auto* offset = std::get_if<OffsetRecord>(&record)) {
      Group& group = begins ? find_or_make(offset->group_id) : *find(offset->group_id);
      begins ? group.offsets.begin_write(offset->topic, offset->partition)
             : group.offsets.end_write(offset->topic, offset->partition);
    } else {
      Group& group = *find(std::visit([](const auto& any) { return any.group_id; }, record));
      begins ? ++group.writes_under_way : --group.writes_under_way;
    }
  }
}

void PartitionCoordinator::write(std::vector<GroupRecord> records, GroupLog::Done done) {
  note_write(records, true);
  // The log takes the records; what is needed of them afterwards is their names.
  std::vector<GroupRecord> names = records;
  for (GroupRecord& name : names) {
    std::visit([](auto& record) { record.value.reset(); }, name);
  }
  log_->write(std::move(records),
              [this, names = std::move(names), done = std::move(done)](ApiErrc error) mutable {
                note_write(names, false);
                done(error);
                for (const GroupRecord& name : names) {
                  sweep(std::visit([](const auto& record) { return record.group_id; }, name));
                }
              });
}

Task<ApiErrc> PartitionCoordinator::write_and_wait(std::vector<GroupRecord> records) {
  engine::io::Event written(parts_.shard);
  ApiErrc outcome = ApiErrc::none;
  write(std::move(records), [&written, &outcome](ApiErrc error) {
    outcome = error;
    written.set();
  });
  co_await written.wait();
  co_return outcome;
}

Task<ApiErrc> PartitionCoordinator::write_in_pieces(std::vector<GroupRecord> records) {
  constexpr std::size_t kPieceBytes =
      256 * 1024;  // names of tombstones; well below a batch's bound
  std::vector<std::vector<GroupRecord>> pieces;
  std::size_t bytes = kPieceBytes;
  for (GroupRecord& record : records) {
    if (bytes >= kPieceBytes) {
      pieces.emplace_back();
      bytes = 0;
    }
    const auto* offset = std::get_if<OffsetRecord>(&record);
    bytes += 64 + std::visit([](const auto& any) { return any.group_id.size(); }, record) +
             (offset == nullptr ? 0 : offset->topic.size());
    pieces.back().push_back(std::move(record));
  }
  if (pieces.empty()) co_return ApiErrc::none;
  engine::io::Event written(parts_.shard);
  std::size_t pieces_left = pieces.size();
  ApiErrc outcome = ApiErrc::none;
  for (std::vector<GroupRecord>& piece : pieces) {
    write(std::move(piece), [&](ApiErrc error) {
      if (outcome == ApiErrc::none) outcome = error;
      if (--pieces_left == 0) written.set();
    });
  }
  co_await written.wait();
  co_return outcome;
}

void PartitionCoordinator::answer(RequestId request, JoinGroupAnswer answer) {
  const auto found = parked_.find(request);
  if (found == parked_.end()) return;  // its client has gone
  found->second->joined = std::move(answer);
  found->second->woken.set();
}

void PartitionCoordinator::answer(RequestId request, SyncGroupAnswer answer) {
  const auto found = parked_.find(request);
  if (found == parked_.end()) return;
  found->second->synced = std::move(answer);
  found->second->woken.set();
}

void PartitionCoordinator::on_timer(const std::string& group_id, GroupTimer timer,
                                    const std::string& member_id) {
  Group* const group = find(group_id);
  group->timers.erase({timer, member_id});
  if (phase_ != Phase::active) return;
  const bool of_doubt = timer == GroupTimer::session && member_id.empty();
  if (group->consumer || of_doubt) {
    if (gate_.enter()) parts_.shard.spawn(end_member(group_id, timer, member_id));
    return;
  }
  if (group->becomes_consumer) {
    constexpr std::int64_t kLaterMs = 100;
    return group->arm(timer, member_id, kLaterMs);
  }
  group->classic.on_timer(timer, member_id);
  sweep(group_id);
}

// Members -----------------------------------------------------------------------------------------

Task<JoinGroupAnswer> PartitionCoordinator::join(JoinGroupCall call, Parked& parked) {
  if (!gate_.enter()) co_return refused_join(ApiErrc::not_coordinator, call.member_id);
  const Pass pass(gate_);
  if (const ApiErrc error = refusal(); error != ApiErrc::none) {
    co_return refused_join(error, call.member_id);
  }
  const ApiErrc wrong = ClassicGroup::check_join(call, parts_.settings.classic);
  if (wrong != ApiErrc::none) co_return refused_join(wrong, call.member_id);
  if (!call.member_id.empty() && find(call.group_id) == nullptr) {
    co_return refused_join(ApiErrc::unknown_member_id, call.member_id);
  }
  Group& group = find_or_make(call.group_id);
  RequestId request = 0;
  {
    Group::Visit visit(group);
    co_await group.turn.take(1);
    visit.begin();
    ApiErrc error = refusal();
    if (error == ApiErrc::none) error = co_await clear_doubt(group);
    if (error == ApiErrc::none && group.consumer) {
      if (!group.consumer->members().empty()) {
        co_return co_await join_consumer(group, std::move(call));
      }
      error = co_await leave_consumer_protocol(group);
    }
    if (error != ApiErrc::none) co_return refused_join(error, call.member_id);
    request = next_request_++;
    parked_.emplace(request, &parked);
    group.classic.join(request, call);
  }
  co_await parked.woken.wait();
  parked_.erase(request);
  if (parked.joined) co_return std::move(*parked.joined);
  co_return refused_join(ApiErrc::not_coordinator, call.member_id);  // nobody reads it
}

Task<SyncGroupAnswer> PartitionCoordinator::sync(SyncGroupCall call, Parked& parked) {
  SyncGroupAnswer refused;
  refused.error = ApiErrc::not_coordinator;
  if (!gate_.enter()) co_return refused;
  const Pass pass(gate_);
  refused.error = call.group_id.empty() ? ApiErrc::invalid_group_id : refusal();
  if (refused.error != ApiErrc::none) co_return refused;
  Group* const group = find(call.group_id);
  refused.error = ApiErrc::unknown_member_id;
  if (group == nullptr) co_return refused;
  if (group->consumer) co_return sync_consumer(*group, call);
  refused.error = ApiErrc::coordinator_not_available;
  if (group->becomes_consumer) co_return refused;

  const RequestId request = next_request_++;
  parked_.emplace(request, &parked);
  group->classic.sync(request, call);
  co_await parked.woken.wait();
  parked_.erase(request);
  if (parked.synced) co_return std::move(*parked.synced);
  refused.error = ApiErrc::not_coordinator;  // nobody reads it
  co_return refused;
}

ApiErrc PartitionCoordinator::heartbeat(const HeartbeatCall& call) {
  if (call.group_id.empty()) return ApiErrc::invalid_group_id;
  if (const ApiErrc error = refusal(); error != ApiErrc::none) return error;
  Group* const group = find(call.group_id);
  if (group == nullptr) return ApiErrc::unknown_member_id;
  if (group->consumer) return heartbeat_consumer(*group, call);
  return group->becomes_consumer ? ApiErrc::coordinator_not_available
                                 : group->classic.heartbeat(call);
}

// Administration ----------------------------------------------------------------------------------

DescribedGroup PartitionCoordinator::describe(const std::string& group_id, bool unknown_is_error) {
  DescribedGroup answer;
  answer.group_id = group_id;
  answer.error = refusal();
  if (answer.error != ApiErrc::none) return answer;
  const Group* const group = find(group_id);
  const bool is_consumer = group != nullptr && group->consumer;
  if (group != nullptr && !is_consumer && is_visible(*group)) return group->classic.describe();
  answer.state = to_string(ClassicState::dead);
  if (unknown_is_error) {
    answer.error = ApiErrc::group_id_not_found;
    answer.message = engine::concat("Group ", group_id,
                                    is_consumer ? " is not a classic group." : " not found.");
  }
  return answer;
}

ApiErrc PartitionCoordinator::list(const ListGroupsCall& call,
                                   std::vector<ListedGroup>& groups) const {
  if (phase_ == Phase::loading) return ApiErrc::coordinator_load_in_progress;
  if (phase_ != Phase::active) return ApiErrc::none;
  const bool classic_wanted = matches(call.types, kClassicType);
  const bool consumer_wanted = matches(call.types, kConsumerType);
  for (const auto& [id, group] : groups_) {
    const bool is_consumer = group->consumer != nullptr;
    if (!is_visible(*group) || !(is_consumer ? consumer_wanted : classic_wanted)) continue;
    const std::string_view state =
        is_consumer ? to_string(group->consumer->state()) : to_string(group->classic.state());
    if (!matches(call.states, state)) continue;
    groups.push_back({id, is_consumer ? kConsumerProtocolType : group->classic.protocol_type(),
                      std::string(state), std::string(is_consumer ? kConsumerType : kClassicType)});
  }
  return ApiErrc::none;
}

}  // namespace keelson::offsets
