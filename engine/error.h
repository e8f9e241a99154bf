// engine/error.h: what can go wrong in the engine, as values.
#pragma once

#include <cstdint>
#include <expected>
#include <string_view>

namespace keelson::engine {

/// One code per reaction a caller can have; the detail belongs in the log line.
enum class Errc : std::uint8_t {
  io,                // the system refused or failed; `sys_errno` says how. Final for that file.
  no_space,          // refused before the disk is full; retry after space was freed
  corrupt,           // stored bytes fail their check; quarantine the range
  not_found,         // no such file, log or key
  already_exists,    // creation of something that is there
  locked,            // another process holds the data directory
  unsupported,       // a version, codec or kernel feature this build or machine does not offer
  invalid_argument,  // the caller's value is refused; nothing changed
  overloaded,        // a budget is used up; retry later
  timed_out,         // the deadline passed; the outcome may be unknown
  cancelled,         // the operation was withdrawn; it may have had an effect
  closed,            // the object was stopped
  end_of_stream,     // the peer closed the connection
  conflict,          // compare-and-write found another version; re-read and decide again
  outcome_unknown,   // compare-and-write may or may not have happened; re-read first

  // Refusals of a log. Names as Kafka's error codes.
  corrupt_message,               // wrong CRC, size or magic in a batch that a client sent
  invalid_record,                // a batch that contradicts itself
  invalid_timestamp,             // outside message.timestamp.{before,after}.max.ms
  message_too_large,             // batch above max.message.bytes
  record_list_too_large,         // batch above segment.bytes
  unsupported_compression_type,  // codec not allowed for this request version
  offset_out_of_range,           // outside [log start offset, log end offset]
  out_of_order_sequence_number,  // gap in an idempotent producer's sequence
  duplicate_sequence_number,     // older than the batches remembered of this producer
  invalid_producer_epoch,        // an older producer epoch than the log knows
  fenced_leader_epoch,           // an older leader epoch than the log knows
  unknown_leader_epoch,          // a newer leader epoch than the log knows
  quarantined,                   // the range is damaged and withheld
  policy_violation,              // not allowed by the topic's settings
};

/// The name of a code, for log lines. Never null.
std::string_view to_string(Errc code);

struct Error {
  Errc code;
  int sys_errno = 0;  // errno where the system said one, else 0

  friend bool operator==(const Error&, const Error&) = default;
};

template <class T>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(Errc code, int sys_errno = 0) {
  return std::unexpected(Error{code, sys_errno});
}

}  // namespace keelson::engine
