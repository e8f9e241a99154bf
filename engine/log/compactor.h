// engine/log/compactor.h: one compaction of one log.
//
// A run maps the keys of the dirty part to their last offsets, then copies every segment below the
// end of that part, group by group, without what is superseded, and swaps each group for its copy.
// Copying disturbs nobody: it reads sealed files and writes *.cleaned. The swap is one manifest:
//
//   1 *.cleaned, complete and synced, get the names *.swap; directory synced
//   2 the manifest says that the first source is what *.swap hold, and the other sources dropped
//   3 sources' files renamed to *.deleted; directory synced; *.swap get their final names
//   4 directory synced; the next manifest says nothing of a swap
//
// A crash before 2 leaves the sources, and Recovery removes *.cleaned and *.swap. From 2 on it
// finishes what is left of 3. Kafka, given the directory, decides by its own rules, for the names
// are its own: with a *.cleaned it goes on from the sources; with *.swap and no *.cleaned it takes
// those. Either is whole. The next swap of a log begins only after 4, so that no two are mixed up.
//
// Records are read, mapped and filtered on the thread for background work, a window of the file at
// a time; files, and everything of the log, are the shard's.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/log/compaction.h"
#include "engine/log/compaction_filter.h"
#include "engine/log/compaction_output.h"
#include "engine/log/compaction_source.h"
#include "engine/log/key_map.h"
#include "engine/log/log_impl.h"

namespace keelson::engine::log {

class Compactor {
 public:
  /// Both outlive the compactor. One at a time for a log; the caller holds a pass of its gate.
  Compactor(LogImpl& log, Pace& pace, CompactionOptions options);

  /// Errors: as Log::compact().
  [[nodiscard]] Task<Result<CompactionReport>> run();

 private:
  using SegmentPtr = LogImpl::SegmentPtr;

  Task<Result<CompactionReport>> compact();
  Task<void> watch_for_stop();
  Task<Result<void>> map_keys(Offset from, Offset below);
  Task<Result<bool>> map_segment(SegmentPtr segment, Offset from, Offset below,
                                 CompactionTransactions& transactions);
  Result<bool> map_loaded(CompactionSource& source, Offset from, Offset below,
                          CompactionTransactions& transactions);
  Result<bool> map_records(Bytes batch, Offset from);
  Task<Result<void>> compact_group(std::vector<SegmentPtr> sources);
  Task<Result<void>> copy(SegmentPtr source, BatchFilter& filter, CompactionOutput& output);
  Result<bool> copy_loaded(CompactionSource& source, BatchFilter& filter, CompactionOutput& output,
                           Bytes& held);
  Task<Result<bool>> load(CompactionSource& source, SegmentPtr segment);
  template <class Computation>
  Task<void> compute(CompactionSource& source, Computation& computation);
  std::unexpected<Error> give_up(const CompactionSource& source, const SegmentPtr& segment,
                                 Error error);

  // compaction_swap.cc
  Task<Result<void>> swap(std::vector<SegmentPtr> sources, CompactionOutput& output);
  bool still_there(const std::vector<SegmentPtr>& sources) const;
  Task<Result<void>> rename_all(std::vector<std::string> names, std::string_view from,
                                std::string_view to);
  Task<Result<void>> settle();
  Task<Result<void>> put_in_place(const std::vector<SegmentPtr>& sources, SegmentPtr result,
                                  const std::vector<std::string_view>& endings,
                                  std::vector<std::string>& leftover);
  void publish(const std::vector<SegmentPtr>& sources, const SegmentPtr& result);

  LogImpl& log_;
  io::Shard& shard_;
  Pace& pace_;
  const CompactionOptions options_;
  KeyMap keys_;
  CompactionRound round_;
  CompactionTransactions transactions_;  // of the copying
  Offset mapped_to_;                     // exclusive
  CompactionReport report_;
  std::atomic<bool> halt_{false};  // for computations
  io::Event over_;
};

}  // namespace keelson::engine::log
