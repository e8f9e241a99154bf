// engine/log/producer_history.h: what a snapshot of producers holds beyond Kafka's entries: the
// batches before the last of each producer, so that a repeat of any of them is known as one after
// a restart.
//
// Stands behind the entries of `<20 digits>.snapshot` (producer_snapshot.h), where it says more:
//
//   off size field                          per producer, in the order of the entries
//    0   8   "KEELSONP"                      0  4  contiguous: sequences up to the last one that
//    8   2   version, 1                            are known to be in the log; 0 without a batch
//   10   4   CRC-32C of the entries and      4  1  count of batches before the last, at most 4
//            what follows, going on from     5  …  those, the oldest first, 24 bytes each:
//            the log's identity and the            0 8 first offset   12 4 first sequence
//            snapshot's offset                     8 4 offset delta   16 8 timestamp, ms
//   14   …   producers
//
// Big-endian. In Kafka's file and under its CRC, which reaches to the end of the file, and not in
// one beside it: so entries and history are of one moment, and a crash leaves both or none. Kafka
// reads as many entries as it counted, looks no further, and writes no history itself (source:
// ProducerStateManager.readSnapshot). One that is not sound is as if it were not there.
#pragma once

#include <string>

#include "engine/log/log.h"
#include "engine/log/producer_state.h"
#include "engine/types.h"

namespace keelson::engine::log {

/// Appends the history of `producers` to `snapshot`, which holds their entries as of `at` in the
/// order of their ids, and renews the file's CRC. Nothing where the entries say it all.
void append_producer_history(std::string& snapshot, const ProducerStates& producers,
                             const LogIdentity& identity, Offset at);

/// Completes `producers`, who were read from the entries of `snapshot` (sound, as of `at`). False
/// where it has no history, or none that can be believed; they stay as they are then.
bool read_producer_history(Bytes snapshot, const LogIdentity& identity, Offset at,
                           ProducerStates& producers);

}  // namespace keelson::engine::log
