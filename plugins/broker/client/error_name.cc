#include <string>

#include "plugins/broker/client/kafka_client.h"
#include "plugins/registry/api_error.h"

namespace keelson::broker {
namespace {

/// Nothing for a code that is not in the table. No default: the compiler finds the gap.
const char* name_of(ApiErrc code) {
  switch (code) {
    case ApiErrc::unknown_server_error: return "UNKNOWN_SERVER_ERROR";
    case ApiErrc::none: return "NONE";
    case ApiErrc::offset_out_of_range: return "OFFSET_OUT_OF_RANGE";
    case ApiErrc::corrupt_message: return "CORRUPT_MESSAGE";
    case ApiErrc::unknown_topic_or_partition: return "UNKNOWN_TOPIC_OR_PARTITION";
    case ApiErrc::leader_not_available: return "LEADER_NOT_AVAILABLE";
    case ApiErrc::not_leader_or_follower: return "NOT_LEADER_OR_FOLLOWER";
    case ApiErrc::request_timed_out: return "REQUEST_TIMED_OUT";
    case ApiErrc::broker_not_available: return "BROKER_NOT_AVAILABLE";
    case ApiErrc::message_too_large: return "MESSAGE_TOO_LARGE";
    case ApiErrc::offset_metadata_too_large: return "OFFSET_METADATA_TOO_LARGE";
    case ApiErrc::coordinator_load_in_progress: return "COORDINATOR_LOAD_IN_PROGRESS";
    case ApiErrc::coordinator_not_available: return "COORDINATOR_NOT_AVAILABLE";
    case ApiErrc::not_coordinator: return "NOT_COORDINATOR";
    case ApiErrc::invalid_topic_exception: return "INVALID_TOPIC_EXCEPTION";
    case ApiErrc::record_list_too_large: return "RECORD_LIST_TOO_LARGE";
    case ApiErrc::not_enough_replicas: return "NOT_ENOUGH_REPLICAS";
    case ApiErrc::not_enough_replicas_after_append: return "NOT_ENOUGH_REPLICAS_AFTER_APPEND";
    case ApiErrc::invalid_required_acks: return "INVALID_REQUIRED_ACKS";
    case ApiErrc::illegal_generation: return "ILLEGAL_GENERATION";
    case ApiErrc::inconsistent_group_protocol: return "INCONSISTENT_GROUP_PROTOCOL";
    case ApiErrc::invalid_group_id: return "INVALID_GROUP_ID";
    case ApiErrc::unknown_member_id: return "UNKNOWN_MEMBER_ID";
    case ApiErrc::invalid_session_timeout: return "INVALID_SESSION_TIMEOUT";
    case ApiErrc::rebalance_in_progress: return "REBALANCE_IN_PROGRESS";
    case ApiErrc::topic_authorization_failed: return "TOPIC_AUTHORIZATION_FAILED";
    case ApiErrc::group_authorization_failed: return "GROUP_AUTHORIZATION_FAILED";
    case ApiErrc::cluster_authorization_failed: return "CLUSTER_AUTHORIZATION_FAILED";
    case ApiErrc::invalid_timestamp: return "INVALID_TIMESTAMP";
    case ApiErrc::unsupported_sasl_mechanism: return "UNSUPPORTED_SASL_MECHANISM";
    case ApiErrc::illegal_sasl_state: return "ILLEGAL_SASL_STATE";
    case ApiErrc::unsupported_version: return "UNSUPPORTED_VERSION";
    case ApiErrc::topic_already_exists: return "TOPIC_ALREADY_EXISTS";
    case ApiErrc::invalid_partitions: return "INVALID_PARTITIONS";
    case ApiErrc::invalid_replication_factor: return "INVALID_REPLICATION_FACTOR";
    case ApiErrc::invalid_replica_assignment: return "INVALID_REPLICA_ASSIGNMENT";
    case ApiErrc::invalid_config: return "INVALID_CONFIG";
    case ApiErrc::not_controller: return "NOT_CONTROLLER";
    case ApiErrc::invalid_request: return "INVALID_REQUEST";
    case ApiErrc::policy_violation: return "POLICY_VIOLATION";
    case ApiErrc::out_of_order_sequence_number: return "OUT_OF_ORDER_SEQUENCE_NUMBER";
    case ApiErrc::duplicate_sequence_number: return "DUPLICATE_SEQUENCE_NUMBER";
    case ApiErrc::invalid_producer_epoch: return "INVALID_PRODUCER_EPOCH";
    case ApiErrc::invalid_txn_state: return "INVALID_TXN_STATE";
    case ApiErrc::invalid_producer_id_mapping: return "INVALID_PRODUCER_ID_MAPPING";
    case ApiErrc::invalid_transaction_timeout: return "INVALID_TRANSACTION_TIMEOUT";
    case ApiErrc::concurrent_transactions: return "CONCURRENT_TRANSACTIONS";
    case ApiErrc::transactional_id_authorization_failed:
      return "TRANSACTIONAL_ID_AUTHORIZATION_FAILED";
    case ApiErrc::security_disabled: return "SECURITY_DISABLED";
    case ApiErrc::kafka_storage_error: return "KAFKA_STORAGE_ERROR";
    case ApiErrc::log_dir_not_found: return "LOG_DIR_NOT_FOUND";
    case ApiErrc::no_reassignment_in_progress: return "NO_REASSIGNMENT_IN_PROGRESS";
    case ApiErrc::non_empty_group: return "NON_EMPTY_GROUP";
    case ApiErrc::group_id_not_found: return "GROUP_ID_NOT_FOUND";
    case ApiErrc::fetch_session_id_not_found: return "FETCH_SESSION_ID_NOT_FOUND";
    case ApiErrc::invalid_fetch_session_epoch: return "INVALID_FETCH_SESSION_EPOCH";
    case ApiErrc::topic_deletion_disabled: return "TOPIC_DELETION_DISABLED";
    case ApiErrc::fenced_leader_epoch: return "FENCED_LEADER_EPOCH";
    case ApiErrc::unknown_leader_epoch: return "UNKNOWN_LEADER_EPOCH";
    case ApiErrc::unsupported_compression_type: return "UNSUPPORTED_COMPRESSION_TYPE";
    case ApiErrc::offset_not_available: return "OFFSET_NOT_AVAILABLE";
    case ApiErrc::member_id_required: return "MEMBER_ID_REQUIRED";
    case ApiErrc::group_max_size_reached: return "GROUP_MAX_SIZE_REACHED";
    case ApiErrc::fenced_instance_id: return "FENCED_INSTANCE_ID";
    case ApiErrc::election_not_needed: return "ELECTION_NOT_NEEDED";
    case ApiErrc::group_subscribed_to_topic: return "GROUP_SUBSCRIBED_TO_TOPIC";
    case ApiErrc::invalid_record: return "INVALID_RECORD";
    case ApiErrc::unstable_offset_commit: return "UNSTABLE_OFFSET_COMMIT";
    case ApiErrc::resource_not_found: return "RESOURCE_NOT_FOUND";
    case ApiErrc::duplicate_resource: return "DUPLICATE_RESOURCE";
    case ApiErrc::unknown_topic_id: return "UNKNOWN_TOPIC_ID";
    case ApiErrc::inconsistent_topic_id: return "INCONSISTENT_TOPIC_ID";
    case ApiErrc::fetch_session_topic_id_error: return "FETCH_SESSION_TOPIC_ID_ERROR";
    case ApiErrc::fenced_member_epoch: return "FENCED_MEMBER_EPOCH";
    case ApiErrc::unreleased_instance_id: return "UNRELEASED_INSTANCE_ID";
    case ApiErrc::unsupported_assignor: return "UNSUPPORTED_ASSIGNOR";
    case ApiErrc::stale_member_epoch: return "STALE_MEMBER_EPOCH";
    case ApiErrc::invalid_regular_expression: return "INVALID_REGULAR_EXPRESSION";
  }
  return nullptr;
}

}  // namespace

std::string kafka_error_name(std::int16_t code) {
  const char* const name = name_of(static_cast<ApiErrc>(code));
  return name != nullptr ? name : "error " + std::to_string(code);
}

}  // namespace keelson::broker
