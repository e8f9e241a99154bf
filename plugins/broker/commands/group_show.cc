// Lists and describes groups.
#include <iostream>
#include <string>
#include <utility>

#include "plugins/broker/commands/group_commands.h"
#include "plugins/broker/commands/group_query.h"
#include "plugins/broker/commands/item_printer.h"
#include "plugins/broker/commands/table_printer.h"

namespace keelson::broker {
namespace {

using engine::Task;
using engine::io::Shard;
using Client = ClientResult<std::unique_ptr<KafkaClient>>;
using Rows = std::vector<std::vector<std::string>>;

/// A partition that the group has committed or that a member reads.
struct Line {
  std::optional<std::int64_t> committed;
  std::optional<std::int64_t> end;
  const GroupMember* member = nullptr;

  std::optional<std::int64_t> lag() const {
    if (!committed || !end) return std::nullopt;
    return *end > *committed ? *end - *committed : 0;
  }
};
using Lines = std::map<TopicPartition, Line>;

Task<ClientResult<Lines>> read_lines(KafkaClient& client, const GroupDetail& group) {
  const ClientResult<PartitionOffsets> committed = co_await read_committed(client, group.id);
  if (!committed) co_return std::unexpected(committed.error());
  Lines lines;
  for (const auto& [partition, offset] : *committed) lines[partition].committed = offset;
  for (const GroupMember& member : group.members) {
    for (const TopicPartition& partition : member.partitions) lines[partition].member = &member;
  }
  std::vector<TopicPartition> partitions;
  for (const auto& [partition, line] : lines) partitions.push_back(partition);
  const ClientResult<PartitionOffsets> ends =
      co_await read_log_offsets(client, std::move(partitions), kLatestOffset);
  if (!ends) co_return std::unexpected(ends.error());
  for (const auto& [partition, offset] : *ends) lines[partition].end = offset;
  co_return std::move(lines);
}

std::string cell(const std::optional<std::int64_t>& number) {
  return number ? std::to_string(*number) : "-";
}

std::string cell(const std::string& text) { return text.empty() ? "-" : escape(text); }

/// Sorted partitions as "orders:0,1 returns:3".
std::string cell(const std::vector<TopicPartition>& partitions) {
  std::string out;
  const std::string* topic = nullptr;
  for (const TopicPartition& partition : partitions) {
    if (topic == nullptr || *topic != partition.topic) {
      if (topic != nullptr) out += ' ';
      out += escape(partition.topic) + ":";
    } else {
      out += ',';
    }
    out += std::to_string(partition.partition);
    topic = &partition.topic;
  }
  return out.empty() ? "-" : out;
}

struct Tables {
  Rows states;
  Rows members;
  Rows offsets;
};

void add_rows(const GroupDetail& group, const Lines& lines, Tables& tables) {
  const std::string id = escape(group.id);
  tables.states.push_back({id, cell(group.type), cell(group.state), cell(group.protocol_type),
                           cell(group.assignor), std::to_string(group.members.size())});
  for (const GroupMember& member : group.members) {
    tables.members.push_back({id, cell(member.id), cell(member.instance_id.value_or("")),
                              cell(member.host), cell(member.client_id), cell(member.partitions)});
  }
  for (const auto& [partition, line] : lines) {
    const GroupMember none;
    const GroupMember& member = line.member == nullptr ? none : *line.member;
    tables.offsets.push_back({id, escape(partition.topic), std::to_string(partition.partition),
                              cell(line.committed), cell(line.end), cell(line.lag()),
                              cell(member.id), cell(member.host), cell(member.client_id)});
  }
}

template <class T>
Item or_null(const std::optional<T>& value) {
  return value ? Item(*value) : Item(nullptr);
}

Item to_item(const GroupDetail& group, const Lines& lines) {
  Item members = Item::array();
  for (const GroupMember& member : group.members) {
    Item partitions = Item::array();
    for (const TopicPartition& partition : member.partitions) {
      partitions.push_back({{"topic", partition.topic}, {"partition", partition.partition}});
    }
    members.push_back({{"member", member.id},
                       {"instance", or_null(member.instance_id)},
                       {"host", member.host},
                       {"client", member.client_id},
                       {"partitions", partitions}});
  }
  Item offsets = Item::array();
  for (const auto& [partition, line] : lines) {
    offsets.push_back({{"topic", partition.topic},
                       {"partition", partition.partition},
                       {"offset", or_null(line.committed)},
                       {"log_end_offset", or_null(line.end)},
                       {"lag", or_null(line.lag())},
                       {"member", line.member == nullptr ? Item(nullptr) : Item(line.member->id)}});
  }
  return {{"group", group.id},          {"group_type", group.type},
          {"state", group.state},       {"protocol_type", group.protocol_type},
          {"assignor", group.assignor}, {"members", members},
          {"offsets", offsets}};
}

void print(const Tables& tables, const GroupOptions& options) {
  if (options.show_state) {
    print_table({"GROUP", "TYPE", "STATE", "PROTOCOL", "ASSIGNOR", "MEMBERS"}, tables.states);
  }
  if (options.show_members) {
    print_table({"GROUP", "MEMBER", "INSTANCE", "HOST", "CLIENT", "PARTITIONS"}, tables.members);
  }
  if (!options.show_state && !options.show_members) {
    print_table(
        {"GROUP", "TOPIC", "PARTITION", "OFFSET", "LOG-END", "LAG", "MEMBER", "HOST", "CLIENT"},
        tables.offsets);
  }
}

}  // namespace

Task<int> list_groups(Shard& shard, GroupOptions options) {
  const Client client = co_await KafkaClient::connect(shard, options.server, options.timeout_ms);
  if (!client) co_return report_failure(client.error());
  const ClientResult<std::vector<GroupSummary>> groups =
      co_await read_groups(**client, std::move(options.states), std::move(options.types));
  if (!groups) co_return report_failure(groups.error());
  ItemPrinter printer(options.output);
  Rows rows;
  for (const GroupSummary& group : *groups) {
    if (options.output == Output::json) {
      printer.print("group", {{"group", group.id},
                              {"group_type", group.type},
                              {"state", group.state},
                              {"protocol_type", group.protocol_type}});
    } else {
      rows.push_back(
          {escape(group.id), cell(group.type), cell(group.state), cell(group.protocol_type)});
    }
  }
  print_table({"GROUP", "TYPE", "STATE", "PROTOCOL"}, rows);
  co_return 0;
}

Task<int> describe_groups(Shard& shard, GroupOptions options) {
  const Client client = co_await KafkaClient::connect(shard, options.server, options.timeout_ms);
  if (!client) co_return report_failure(client.error());
  std::vector<std::string> ids = options.groups;
  if (ids.empty()) {
    const ClientResult<std::vector<GroupSummary>> all = co_await read_groups(**client, {}, {});
    if (!all) co_return report_failure(all.error());
    for (const GroupSummary& group : *all) ids.push_back(group.id);
  }
  const ClientResult<std::vector<GroupDetail>> groups =
      co_await read_group_details(**client, std::move(ids));
  if (!groups) co_return report_failure(groups.error());
  int code = 0;
  ItemPrinter printer(options.output);
  Tables tables;
  for (const GroupDetail& group : *groups) {
    if (group.error_code != 0) {
      code = report_failure(engine::concat("group ", escape(group.id), ": ",
                                           explain_error(group.error_code, group.error_message)));
      continue;
    }
    const ClientResult<Lines> lines = co_await read_lines(**client, group);
    if (!lines) {
      code = report_failure(
          engine::concat("offsets of group ", escape(group.id), ": ", lines.error()));
      continue;
    }
    if (options.output == Output::json) {
      printer.print("group", to_item(group, *lines));
    } else {
      add_rows(group, *lines, tables);
    }
  }
  print(tables, options);
  co_return code;
}

}  // namespace keelson::broker
