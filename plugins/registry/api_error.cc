#include "plugins/registry/api_error.h"

namespace keelson {

ApiErrc to_api_error(const engine::Error& error) {
  using engine::Errc;
  switch (error.code) {
    case Errc::io:
    case Errc::no_space:
    case Errc::corrupt:
    case Errc::quarantined:
    case Errc::locked:
    case Errc::already_exists: return ApiErrc::kafka_storage_error;
    case Errc::not_found: return ApiErrc::unknown_topic_or_partition;
    case Errc::unsupported: return ApiErrc::unsupported_version;
    case Errc::invalid_argument: return ApiErrc::invalid_request;
    case Errc::overloaded:
    case Errc::timed_out:
    case Errc::outcome_unknown:
    case Errc::conflict: return ApiErrc::request_timed_out;
    case Errc::cancelled:
    case Errc::closed: return ApiErrc::not_leader_or_follower;
    case Errc::end_of_stream: return ApiErrc::unknown_server_error;
    case Errc::corrupt_message: return ApiErrc::corrupt_message;
    case Errc::invalid_record: return ApiErrc::invalid_record;
    case Errc::invalid_timestamp: return ApiErrc::invalid_timestamp;
    case Errc::message_too_large: return ApiErrc::message_too_large;
    case Errc::record_list_too_large: return ApiErrc::record_list_too_large;
    case Errc::unsupported_compression_type: return ApiErrc::unsupported_compression_type;
    case Errc::offset_out_of_range: return ApiErrc::offset_out_of_range;
    // An old duplicate is reported as a gap, as brokers do since Kafka 2.0.
    case Errc::out_of_order_sequence_number:
    case Errc::duplicate_sequence_number: return ApiErrc::out_of_order_sequence_number;
    case Errc::invalid_producer_epoch: return ApiErrc::invalid_producer_epoch;
    case Errc::fenced_leader_epoch: return ApiErrc::fenced_leader_epoch;
    case Errc::unknown_leader_epoch: return ApiErrc::unknown_leader_epoch;
    case Errc::policy_violation: return ApiErrc::policy_violation;
  }
  return ApiErrc::unknown_server_error;
}

}  // namespace keelson
