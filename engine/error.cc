#include "engine/error.h"

namespace keelson::engine {

std::string_view to_string(Errc code) {
  switch (code) {
    case Errc::io: return "io";
    case Errc::no_space: return "no_space";
    case Errc::corrupt: return "corrupt";
    case Errc::not_found: return "not_found";
    case Errc::already_exists: return "already_exists";
    case Errc::locked: return "locked";
    case Errc::unsupported: return "unsupported";
    case Errc::invalid_argument: return "invalid_argument";
    case Errc::overloaded: return "overloaded";
    case Errc::timed_out: return "timed_out";
    case Errc::cancelled: return "cancelled";
    case Errc::closed: return "closed";
    case Errc::end_of_stream: return "end_of_stream";
    case Errc::conflict: return "conflict";
    case Errc::outcome_unknown: return "outcome_unknown";
    case Errc::corrupt_message: return "corrupt_message";
    case Errc::invalid_record: return "invalid_record";
    case Errc::invalid_timestamp: return "invalid_timestamp";
    case Errc::message_too_large: return "message_too_large";
    case Errc::record_list_too_large: return "record_list_too_large";
    case Errc::unsupported_compression_type: return "unsupported_compression_type";
    case Errc::offset_out_of_range: return "offset_out_of_range";
    case Errc::out_of_order_sequence_number: return "out_of_order_sequence_number";
    case Errc::duplicate_sequence_number: return "duplicate_sequence_number";
    case Errc::invalid_producer_epoch: return "invalid_producer_epoch";
    case Errc::fenced_leader_epoch: return "fenced_leader_epoch";
    case Errc::unknown_leader_epoch: return "unknown_leader_epoch";
    case Errc::quarantined: return "quarantined";
    case Errc::policy_violation: return "policy_violation";
  }
  return "unnamed";
}

}  // namespace keelson::engine
