// engine/io/give_way.h: what a computation beside a shard owes to everybody else.
//
// A kernel that is not built to preempt (Linux with PREEMPT_NONE, since 6.13 also with
// PREEMPT_LAZY) does not interrupt a thread that computes when another processor wakes somebody up
// here: who was woken, a shard or the kernel's own thread that completes a durable write, waits for
// the next tick, 1 to 10 ms, whatever the rank of the one that computes. At each of its system
// calls it is looked whether somebody waits. So a computation makes one every few ten microseconds;
// and for those whom that does not help it sleeps now and then (posix/stand_back.h).
#pragma once

#include <cstddef>

namespace keelson::engine::io {

/// Called within computations of compute_aside(), for each `bytes` that they worked through. Costs
/// an addition, and every 32 KiB a system call or a sleep. Elsewhere it does nothing.
void give_way(std::size_t bytes);

/// Of the calling thread, by its backend: what give_way() calls.
void set_give_way(void (*let_others_run)());

}  // namespace keelson::engine::io
