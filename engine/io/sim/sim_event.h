// engine/io/sim/sim_event.h: what is going to happen in a simulated world, and operations under
// way.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/io/backend.h"
#include "engine/io/sim/fault_plan.h"
#include "engine/io/sim/sim_file.h"

namespace keelson::engine::io {

class SimBackend;

enum class EventCode : std::uint8_t {
  apply,   // subject: pending operation, detail: its generation
  action,  // subject: action
  // Packets. subject: connection, side: the receiving end
  syn,
  syn_ack,
  refused,
  data,
  fin,
  reset,
  window,           // window: detail bytes were consumed
  connect_timeout,  // subject: pending operation, detail: its generation
};

struct SimEvent {
  std::int64_t at_ns = 0;
  std::uint64_t tie = 0;       // by seed, where the order is free
  std::uint64_t sequence = 0;  // makes the order total
  EventCode code{};
  std::uint8_t side = 0;
  std::uint64_t subject = 0;
  std::uint64_t detail = 0;
};

/// An operation from submit() until its completion ran.
struct PendingOp {
  enum class State : std::uint8_t { free, submitted, parked, hung, done };

  State state = State::free;
  std::uint64_t generation = 0;  // grows with each use of this place
  std::uint64_t order = 0;       // of submission
  SimBackend* backend = nullptr;
  Operation* operation = nullptr;  // one of the two
  FsOperation* fs_operation = nullptr;
  FaultAction fault = FaultAction::none;
  int fault_errno = 0;
  std::uint64_t write_number = 0;
  SyncCover cover;  // sync_data
  std::int64_t result = 0;
};

}  // namespace keelson::engine::io
