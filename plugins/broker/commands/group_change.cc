// Sets the offsets of groups, and deletes groups.
#include <chrono>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <utility>

#include "plugins/broker/commands/group_commands.h"
#include "plugins/broker/commands/group_query.h"
#include "plugins/broker/commands/item_printer.h"
#include "plugins/broker/commands/table_printer.h"
#include "plugins/kafka/messages/delete_groups.h"
#include "plugins/kafka/messages/metadata.h"
#include "plugins/kafka/messages/offset_commit.h"
#include "plugins/registry/api_error.h"

namespace keelson::broker {
namespace {

using engine::concat;
using engine::Task;
using engine::io::Shard;
using kafka::messages::DeleteGroupsRequest;
using kafka::messages::DeleteGroupsResponse;
using kafka::messages::MetadataRequest;
using kafka::messages::MetadataResponse;
using kafka::messages::OffsetCommitRequest;
using kafka::messages::OffsetCommitResponse;
using Client = ClientResult<std::unique_ptr<KafkaClient>>;

constexpr std::int16_t kLastNamedCommit = 9;  // OffsetCommit: later versions have topic ids

bool is_code(std::int16_t code, ApiErrc wanted) {
  return code == static_cast<std::int16_t>(wanted);
}

/// The command line, understood: nothing of it can be wrong in form any more.
struct Reset {
  ResetTo to;
  std::vector<TopicChoice> topics;
  std::int64_t time_ms = 0;  // of `time` or `duration`
  OffsetPlan plan;
};

Parsed<Reset> understand(const GroupOptions& options) {
  Reset reset{options.to, {}, 0, {}};
  const ResetTo& to = options.to;
  const int ways = int{to.earliest} + int{to.latest} + int{to.current} +
                   int{to.offset.has_value()} + int{to.shift.has_value()} + int{!to.time.empty()} +
                   int{!to.duration.empty()} + int{!to.file.empty()};
  if (ways != 1) {
    return std::unexpected(
        "say where to, once: --to-earliest, --to-latest, --to-current, "
        "--to-offset, --shift-by, --to-datetime, --by-duration or --from-file");
  }
  const bool has_topics = options.all_topics || !options.topics.empty();
  if (to.file.empty() != has_topics) {
    return std::unexpected(to.file.empty() ? "say of which topics: --topic or --all-topics"
                                           : "the file says of which topics, not the command line");
  }
  for (const std::string& text : options.topics) {
    Parsed<TopicChoice> choice = parse_topic_choice(text);
    if (!choice) return std::unexpected(choice.error());
    reset.topics.push_back(std::move(*choice));
  }
  if (!to.time.empty()) {
    const Parsed<std::int64_t> time_ms = parse_time_ms(to.time);
    if (!time_ms) return std::unexpected(time_ms.error());
    reset.time_ms = *time_ms;
  }
  if (!to.duration.empty()) {
    const Parsed<std::int64_t> duration_ms = parse_duration_ms(to.duration);
    if (!duration_ms) return std::unexpected(duration_ms.error());
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const std::int64_t now_ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
    reset.time_ms = *duration_ms > now_ms ? 0 : now_ms - *duration_ms;
  }
  if (!to.file.empty()) {
    std::ifstream file(to.file, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (!file) return std::unexpected("cannot read " + to.file);
    Parsed<OffsetPlan> plan = parse_offset_plan(text);
    if (!plan) return std::unexpected(concat(to.file, ": ", plan.error()));
    reset.plan = std::move(*plan);
  }
  return reset;
}

/// The partitions of the topics that were chosen. Errors: one that is not there.
Task<ClientResult<std::vector<TopicPartition>>> chosen_partitions(KafkaClient& client,
                                                                  const Reset& reset) {
  std::vector<TopicPartition> partitions;
  MetadataRequest request;
  request.allow_auto_topic_creation = false;
  request.topics.emplace();
  for (const TopicChoice& choice : reset.topics) request.topics->emplace_back().name = choice.topic;
  const ClientResult<MetadataResponse> answer =
      co_await client.ask<MetadataResponse>(std::move(request));
  if (!answer) co_return std::unexpected(answer.error());
  for (const TopicChoice& choice : reset.topics) {
    const auto topic = std::ranges::find(answer->topics, choice.topic,
                                         [](const auto& t) { return t.name.value_or(""); });
    if (topic == answer->topics.end() || topic->error_code != 0) {
      co_return std::unexpected(concat(
          "topic ", escape(choice.topic), ": ",
          kafka_error_name(topic == answer->topics.end() ? std::int16_t{3} : topic->error_code)));
    }
    std::set<std::int32_t> wanted = choice.partitions;
    for (const auto& partition : topic->partitions) {
      if (!choice.partitions.empty() && wanted.erase(partition.partition_index) == 0) continue;
      partitions.push_back({choice.topic, partition.partition_index});
    }
    if (!wanted.empty()) {
      co_return std::unexpected(
          concat("topic ", escape(choice.topic), " has no partition ", *wanted.begin()));
    }
  }
  std::ranges::sort(partitions);
  partitions.erase(std::ranges::unique(partitions).begin(), partitions.end());
  co_return std::move(partitions);
}

/// What to set, before it is cut to the logs' ends.
Task<ClientResult<PartitionOffsets>> wanted_offsets(KafkaClient& client, const Reset& reset,
                                                    const PartitionOffsets& committed,
                                                    std::vector<TopicPartition> partitions) {
  const ResetTo& to = reset.to;
  PartitionOffsets wanted;
  if (to.earliest || to.latest || to.current || !to.time.empty() || !to.duration.empty()) {
    std::int64_t time_ms = reset.time_ms;
    if (to.earliest) time_ms = kEarliestOffset;
    if (to.latest || to.current) time_ms = kLatestOffset;
    ClientResult<PartitionOffsets> found = co_await read_log_offsets(client, partitions, time_ms);
    if (!found) co_return std::unexpected(found.error());
    const ClientResult<PartitionOffsets> ends =
        co_await read_log_offsets(client, partitions, kLatestOffset);
    if (!ends) co_return std::unexpected(ends.error());
    for (const auto& [partition, offset] : *found) {
      // Nothing is as late as that time: its end.
      wanted[partition] = offset < 0 && ends->contains(partition) ? ends->at(partition) : offset;
      if (to.current && committed.contains(partition)) {
        wanted[partition] = committed.at(partition);
      }
    }
    co_return std::move(wanted);
  }
  for (const TopicPartition& partition : partitions) {
    if (to.offset) wanted[partition] = *to.offset;
    if (to.shift) {
      const auto current = committed.find(partition);
      if (current == committed.end()) {
        co_return std::unexpected(concat(escape(partition.topic), "-", partition.partition,
                                         " has no offset that could be shifted"));
      }
      std::int64_t shifted = 0;
      const bool overflows = __builtin_add_overflow(current->second, *to.shift, &shifted);
      wanted[partition] = overflows ? std::numeric_limits<std::int64_t>::max() : shifted;
    }
  }
  co_return std::move(wanted);
}

/// Brings each into its log. Errors: a partition that is not there.
Task<ClientResult<void>> cut_to_logs(KafkaClient& client, PartitionOffsets& wanted) {
  std::vector<TopicPartition> partitions;
  for (const auto& [partition, offset] : wanted) partitions.push_back(partition);
  const ClientResult<PartitionOffsets> starts =
      co_await read_log_offsets(client, partitions, kEarliestOffset);
  if (!starts) co_return std::unexpected(starts.error());
  const ClientResult<PartitionOffsets> ends =
      co_await read_log_offsets(client, partitions, kLatestOffset);
  if (!ends) co_return std::unexpected(ends.error());
  for (auto& [partition, offset] : wanted) {
    if (!starts->contains(partition) || !ends->contains(partition)) {
      co_return std::unexpected(
          concat(escape(partition.topic), "-", partition.partition, " cannot be asked"));
    }
    const std::int64_t in_log = std::clamp(offset, starts->at(partition), ends->at(partition));
    if (in_log != offset) {
      std::cerr << "keelson: " << escape(partition.topic) << '-' << partition.partition
                << ": offset " << offset << " is outside the log, so " << in_log << '\n';
    }
    offset = in_log;
  }
  co_return ClientResult<void>{};
}

Task<ClientResult<void>> commit(KafkaClient& client, const std::string& group,
                                const PartitionOffsets& offsets) {
  OffsetCommitRequest request;
  request.group_id = group;
  for (const auto& [partition, offset] : offsets) {
    if (request.topics.empty() || request.topics.back().name != partition.topic) {
      request.topics.emplace_back().name = partition.topic;
    }
    auto& added = request.topics.back().partitions.emplace_back();
    added.partition_index = partition.partition;
    added.committed_offset = offset;
  }
  const ClientResult<OffsetCommitResponse> answer =
      co_await client.ask<OffsetCommitResponse>(std::move(request), kLastNamedCommit);
  if (!answer) co_return std::unexpected(answer.error());
  for (const auto& topic : answer->topics) {
    for (const auto& partition : topic.partitions) {
      if (partition.error_code == 0) continue;
      co_return std::unexpected(concat(escape(topic.name), "-", partition.partition_index, ": ",
                                       kafka_error_name(partition.error_code)));
    }
  }
  co_return ClientResult<void>{};
}

struct Change {
  PartitionOffsets before;
  PartitionOffsets after;
};

Task<ClientResult<Change>> plan_group(KafkaClient& client, const Reset& reset, std::string group,
                                      bool all_topics) {
  ClientResult<PartitionOffsets> committed = co_await read_committed(client, group);
  if (!committed) co_return std::unexpected(committed.error());
  Change change{std::move(*committed), {}};
  if (!reset.to.file.empty()) {
    const auto own = reset.plan.contains(group) ? reset.plan.find(group) : reset.plan.find("");
    if (own != reset.plan.end()) change.after = own->second;
  } else {
    std::vector<TopicPartition> partitions;
    if (all_topics) {
      for (const auto& [partition, offset] : change.before) partitions.push_back(partition);
    } else {
      ClientResult<std::vector<TopicPartition>> chosen = co_await chosen_partitions(client, reset);
      if (!chosen) co_return std::unexpected(chosen.error());
      partitions = std::move(*chosen);
    }
    ClientResult<PartitionOffsets> wanted =
        co_await wanted_offsets(client, reset, change.before, std::move(partitions));
    if (!wanted) co_return std::unexpected(wanted.error());
    change.after = std::move(*wanted);
  }
  const ClientResult<void> cut = co_await cut_to_logs(client, change.after);
  if (!cut) co_return std::unexpected(cut.error());
  if (change.after.empty()) co_return std::unexpected("no partition to set an offset of");
  co_return std::move(change);
}

void print(const std::vector<std::pair<std::string, Change>>& changes,
           const GroupOptions& options) {
  ItemPrinter printer(options.output);
  std::vector<std::vector<std::string>> rows;
  for (const auto& [group, change] : changes) {
    for (const auto& [partition, offset] : change.after) {
      const auto before = change.before.find(partition);
      const bool known = before != change.before.end();
      if (options.output == Output::json) {
        printer.print("offset", {{"group", group},
                                 {"topic", partition.topic},
                                 {"partition", partition.partition},
                                 {"offset", known ? Item(before->second) : Item(nullptr)},
                                 {"new_offset", offset},
                                 {"executed", options.execute}});
      } else {
        rows.push_back({escape(group), escape(partition.topic), std::to_string(partition.partition),
                        known ? std::to_string(before->second) : "-", std::to_string(offset)});
      }
    }
  }
  print_table({"GROUP", "TOPIC", "PARTITION", "OFFSET", "NEW-OFFSET"}, rows);
}

}  // namespace

Task<int> reset_group_offsets(Shard& shard, GroupOptions options) {
  const Parsed<Reset> reset = understand(options);
  if (!reset) {
    std::cerr << "keelson: " << reset.error() << '\n';
    co_return kExitUsage;
  }
  const Client client = co_await KafkaClient::connect(shard, options.server, options.timeout_ms);
  if (!client) co_return report_failure(client.error());
  const ClientResult<std::vector<GroupDetail>> groups =
      co_await read_group_details(**client, options.groups);
  if (!groups) co_return report_failure(groups.error());
  // All of it is known to be possible before the first is changed.
  std::vector<std::pair<std::string, Change>> changes;
  for (const GroupDetail& group : *groups) {
    const std::string name = escape(group.id);
    const bool unknown = is_code(group.error_code, ApiErrc::group_id_not_found);
    if (group.error_code != 0 && !unknown) {
      co_return report_failure(
          concat("group ", name, ": ", explain_error(group.error_code, group.error_message)));
    }
    if (!unknown && group.state != "Empty" && group.state != "Dead") {
      co_return report_failure(concat("group ", name, " is ", group.state, " with ",
                                      group.members.size(), " members: stop them first"));
    }
    ClientResult<Change> change =
        co_await plan_group(**client, *reset, group.id, options.all_topics);
    if (!change) co_return report_failure(concat("group ", name, ": ", change.error()));
    changes.emplace_back(group.id, std::move(*change));
  }
  for (const auto& [group, change] : changes) {
    if (!options.execute) break;
    const ClientResult<void> committed = co_await commit(**client, group, change.after);
    if (!committed)
      co_return report_failure(concat("group ", escape(group), ": ", committed.error()));
  }
  print(changes, options);
  if (!options.execute) std::cerr << "keelson: nothing was changed; --execute does it\n";
  co_return 0;
}

Task<int> delete_groups(Shard& shard, GroupOptions options) {
  const Client client = co_await KafkaClient::connect(shard, options.server, options.timeout_ms);
  if (!client) co_return report_failure(client.error());
  DeleteGroupsRequest request;
  request.groups_names.assign(options.groups.begin(), options.groups.end());
  const ClientResult<DeleteGroupsResponse> answer =
      co_await (*client)->ask<DeleteGroupsResponse>(std::move(request));
  if (!answer) co_return report_failure(answer.error());
  int code = 0;
  ItemPrinter printer(options.output);
  for (const auto& group : answer->results) {
    if (is_code(group.error_code, ApiErrc::group_id_not_found) && options.if_exists) {
      printer.print("absent", {{"group", group.group_id}});
    } else if (group.error_code != 0) {
      code = report_failure(
          concat("group ", escape(group.group_id), ": ", kafka_error_name(group.error_code)));
    } else {
      printer.print("deleted", {{"group", group.group_id}});
    }
  }
  co_return code;
}

}  // namespace keelson::broker
