// plugins/kafka/handlers/handlers.h: one function per API; the dispatcher's table names them all.
//
// A handler gets a decoded request whose views point into the frame, which lives until the answer
// is encoded. It runs on the connection's shard and answers errors as Kafka 4.3.1 does.
#pragma once

#include "engine/task.h"
#include "plugins/kafka/messages/alter_configs.h"
#include "plugins/kafka/messages/alter_partition_reassignments.h"
#include "plugins/kafka/messages/api_versions.h"
#include "plugins/kafka/messages/consumer_group_describe.h"
#include "plugins/kafka/messages/consumer_group_heartbeat.h"
#include "plugins/kafka/messages/create_partitions.h"
#include "plugins/kafka/messages/create_topics.h"
#include "plugins/kafka/messages/delete_groups.h"
#include "plugins/kafka/messages/delete_records.h"
#include "plugins/kafka/messages/delete_topics.h"
#include "plugins/kafka/messages/describe_cluster.h"
#include "plugins/kafka/messages/describe_configs.h"
#include "plugins/kafka/messages/describe_groups.h"
#include "plugins/kafka/messages/describe_log_dirs.h"
#include "plugins/kafka/messages/describe_producers.h"
#include "plugins/kafka/messages/describe_topic_partitions.h"
#include "plugins/kafka/messages/elect_leaders.h"
#include "plugins/kafka/messages/fetch.h"
#include "plugins/kafka/messages/find_coordinator.h"
#include "plugins/kafka/messages/heartbeat.h"
#include "plugins/kafka/messages/incremental_alter_configs.h"
#include "plugins/kafka/messages/init_producer_id.h"
#include "plugins/kafka/messages/join_group.h"
#include "plugins/kafka/messages/leave_group.h"
#include "plugins/kafka/messages/list_config_resources.h"
#include "plugins/kafka/messages/list_groups.h"
#include "plugins/kafka/messages/list_offsets.h"
#include "plugins/kafka/messages/list_partition_reassignments.h"
#include "plugins/kafka/messages/metadata.h"
#include "plugins/kafka/messages/offset_commit.h"
#include "plugins/kafka/messages/offset_delete.h"
#include "plugins/kafka/messages/offset_fetch.h"
#include "plugins/kafka/messages/offset_for_leader_epoch.h"
#include "plugins/kafka/messages/produce.h"
#include "plugins/kafka/messages/sync_group.h"
#include "plugins/kafka/request_context.h"

namespace keelson::kafka {

// What the request asks of api X is in its schema, plugins/kafka/schema/X.schema.
#define KEELSON_KAFKA_HANDLER(function, Api) \
  engine::Task<Answered<messages::Api##Response>> function(RequestContext&, messages::Api##Request)

// Records.
KEELSON_KAFKA_HANDLER(handle_produce, Produce);
KEELSON_KAFKA_HANDLER(handle_fetch, Fetch);
KEELSON_KAFKA_HANDLER(handle_list_offsets, ListOffsets);
KEELSON_KAFKA_HANDLER(handle_offset_for_leader_epoch, OffsetForLeaderEpoch);
KEELSON_KAFKA_HANDLER(handle_delete_records, DeleteRecords);
KEELSON_KAFKA_HANDLER(handle_init_producer_id, InitProducerId);
KEELSON_KAFKA_HANDLER(handle_describe_producers, DescribeProducers);

// The cluster and its topics.
KEELSON_KAFKA_HANDLER(handle_api_versions, ApiVersions);
KEELSON_KAFKA_HANDLER(handle_metadata, Metadata);
KEELSON_KAFKA_HANDLER(handle_describe_cluster, DescribeCluster);
KEELSON_KAFKA_HANDLER(handle_describe_topic_partitions, DescribeTopicPartitions);
KEELSON_KAFKA_HANDLER(handle_describe_log_dirs, DescribeLogDirs);
KEELSON_KAFKA_HANDLER(handle_create_topics, CreateTopics);
KEELSON_KAFKA_HANDLER(handle_delete_topics, DeleteTopics);
KEELSON_KAFKA_HANDLER(handle_create_partitions, CreatePartitions);
KEELSON_KAFKA_HANDLER(handle_elect_leaders, ElectLeaders);
KEELSON_KAFKA_HANDLER(handle_list_partition_reassignments, ListPartitionReassignments);

// Settings.
KEELSON_KAFKA_HANDLER(handle_describe_configs, DescribeConfigs);
KEELSON_KAFKA_HANDLER(handle_alter_configs, AlterConfigs);
KEELSON_KAFKA_HANDLER(handle_incremental_alter_configs, IncrementalAlterConfigs);
KEELSON_KAFKA_HANDLER(handle_list_config_resources, ListConfigResources);

// Groups.
KEELSON_KAFKA_HANDLER(handle_find_coordinator, FindCoordinator);
KEELSON_KAFKA_HANDLER(handle_join_group, JoinGroup);
KEELSON_KAFKA_HANDLER(handle_sync_group, SyncGroup);
KEELSON_KAFKA_HANDLER(handle_heartbeat, Heartbeat);
KEELSON_KAFKA_HANDLER(handle_leave_group, LeaveGroup);
KEELSON_KAFKA_HANDLER(handle_consumer_group_heartbeat, ConsumerGroupHeartbeat);
KEELSON_KAFKA_HANDLER(handle_consumer_group_describe, ConsumerGroupDescribe);
KEELSON_KAFKA_HANDLER(handle_offset_commit, OffsetCommit);
KEELSON_KAFKA_HANDLER(handle_offset_fetch, OffsetFetch);
KEELSON_KAFKA_HANDLER(handle_offset_delete, OffsetDelete);
KEELSON_KAFKA_HANDLER(handle_describe_groups, DescribeGroups);
KEELSON_KAFKA_HANDLER(handle_list_groups, ListGroups);
KEELSON_KAFKA_HANDLER(handle_delete_groups, DeleteGroups);

#undef KEELSON_KAFKA_HANDLER

/// Topics that a Metadata request names and that are not there, made where settings and the
/// request allow. What stands in the view afterwards is found there.
engine::Task<void> create_missing_topics(RequestContext& context, std::vector<std::string> names);

}  // namespace keelson::kafka
