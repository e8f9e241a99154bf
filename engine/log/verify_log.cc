#include "engine/log/verify_log.h"

#include <algorithm>
#include <utility>

#include "engine/log/data_directory.h"
#include "engine/log/leader_epoch_file.h"
#include "engine/log/log_side_files.h"
#include "engine/log/partition_metadata.h"
#include "engine/log/producer_snapshot.h"
#include "engine/log/segment.h"
#include "engine/log/verify_segment.h"

namespace keelson::engine::log {
namespace {

/// Files that a deletion, a replacement, a compaction or a recovery leaves.
constexpr std::string_view kLeftoverEndings[] = {".deleted", ".cleaned",   ".swap",
                                                 ".tmp",     ".set-aside", ".damaged"};

std::optional<Offset> offset_in_name(std::string_view name, std::string_view ending) {
  if (!name.ends_with(ending)) return std::nullopt;
  return parse_segment_stem(name.substr(0, name.size() - ending.size()));
}

}  // namespace

Task<std::optional<std::string>> LogWalk::read(std::string file, std::size_t bytes_max) {
  Result<std::string> content = co_await io::read_file(shard, path(file), bytes_max);
  if (content) co_return std::move(*content);
  if (content.error().code == Errc::invalid_argument) {
    find(FindingKind::unreadable, file, "is larger than any that a broker writes");
  } else {
    unreadable(file, content.error());
  }
  co_return std::nullopt;
}

LogVerify::LogVerify(io::Shard& shard, VerifyReport& report, VerifyOptions options, std::string dir,
                     std::string name, LogContextFacts facts, std::set<std::string> names)
    : walk_{.shard = shard,
            .report = report,
            .options = options,
            .dir = std::move(dir),
            .name = std::move(name),
            .facts = facts,
            .files = std::move(names),
            .manifest = {},
            .identity = {},
            .next_offset = {},
            .epochs = {},
            .producers = {},
            .transactions = {},
            .first_there = {}} {
  for (const std::string& file : walk_.files) {
    if (const auto base = offset_in_name(file, ".log")) segments_[*base] = file;
  }
}

Task<void> LogVerify::run() {
  ++walk_.report.summary.logs;
  co_await read_manifest();
  co_await check_identity();
  const Manifest* const manifest = walk_.manifest ? &*walk_.manifest : nullptr;
  walk_.clean = manifest != nullptr ? manifest->clean : walk_.facts.clean_stop.value_or(true);
  check_names();
  co_await begin_transactions();
  co_await walk_segments();
  if (!segments_.empty()) log_start_offset_ = segments_.begin()->first;
  if (manifest != nullptr) {
    log_start_offset_ = std::max(log_start_offset_, manifest->log_start_offset);
  }
  if (walk_.facts.log_start_offset) {
    log_start_offset_ = std::max(log_start_offset_, *walk_.facts.log_start_offset);
  }
  co_await check_epochs();
  co_await check_snapshots();
  check_facts();
}

Task<void> LogVerify::read_manifest() {
  const std::string name(kManifestName);
  if (!walk_.files.contains(name)) co_return;
  const std::optional<std::string> content = co_await walk_.read(name, kManifestBytesMax);
  if (!content) co_return;
  Result<Manifest> manifest = decode_manifest(*content);
  if (!manifest && manifest.error().code == Errc::unsupported) {
    walk_.find(FindingKind::manifest, name, "a later version of Keelson wrote it");
  } else if (!manifest || manifest->segments.empty()) {
    walk_.find(FindingKind::manifest, name, "is garbled");
  } else if (walk_.facts.other_writer) {
    walk_.note(FindingKind::manifest, name,
               "is from before Apache Kafka served this directory; not looked at");
    walk_.identity = manifest->identity;
  } else if (std::ranges::any_of(manifest->segments, &ManifestSegment::swapping)) {
    walk_.note(FindingKind::manifest, name,
               "tells of a compaction that was interrupted at its swap: the next start ends it");
    walk_.identity = manifest->identity;
    walk_.facts.compacted = true;
  } else {
    walk_.identity = manifest->identity;
    if (manifest->first_dirty) walk_.facts.compacted = true;
    walk_.manifest = std::move(*manifest);
  }
}

Task<void> LogVerify::check_identity() {
  const std::optional<LogName> named = parse_log_name(walk_.name);
  if (walk_.identity && named && named->partition != walk_.identity->partition) {
    walk_.find(FindingKind::manifest, kManifestName,
               concat("is of partition ", walk_.identity->partition));
  }
  const std::string name(kPartitionMetadataName);
  if (!walk_.files.contains(name)) {
    walk_.find(FindingKind::partition_metadata, name, "is missing");
    co_return;
  }
  const std::optional<std::string> content = co_await walk_.read(name, kPartitionMetadataBytesMax);
  if (!content) co_return;
  const Result<Uuid> id = parse_partition_metadata(*content);
  if (!id) {
    walk_.find(FindingKind::partition_metadata, name, "is garbled");
  } else if (walk_.identity && walk_.identity->id != *id) {
    walk_.find(FindingKind::partition_metadata, name,
               concat("names topic id ", to_string(*id), ", the manifest ",
                      to_string(walk_.identity->id)));
  }
}

void LogVerify::check_names() {
  for (const std::string& file : walk_.files) {
    for (const std::string_view ending : kLeftoverEndings) {
      if (!file.ends_with(ending)) continue;
      walk_.note(FindingKind::segment, file, "is left over and serves nobody");
    }
  }
  if (segments_.empty()) {
    const bool told_of = walk_.manifest && !walk_.manifest->segments.empty();
    if (!told_of) walk_.find_if_clean(FindingKind::segment, {}, "there is no segment file");
  }
}

Task<void> LogVerify::walk_segments() {
  std::map<Offset, const ManifestSegment*> listed;
  if (walk_.manifest) {
    for (const ManifestSegment& segment : walk_.manifest->segments) {
      if (segment.dropped) {
        segments_.erase(segment.base_offset);  // on its way out: there or not
        continue;
      }
      listed[segment.base_offset] = &segment;
    }
  }
  std::set<Offset> bases;
  for (const auto& [base, file] : segments_) bases.insert(base);
  for (const auto& [base, segment] : listed) bases.insert(base);
  if (!bases.empty()) walk_.next_offset = *bases.begin();
  for (const Offset base : bases) {
    const auto known = listed.find(base);
    const ManifestSegment* const told = known == listed.end() ? nullptr : known->second;
    const auto file = segments_.find(base);
    if (file == segments_.end()) {
      check_missing(*told);
      walk_.transactions_known = false;
      continue;
    }
    if (walk_.manifest && told == nullptr) {
      // A crash between making a segment and naming it leaves this.
      walk_.find_if_clean(FindingKind::segment, file->second,
                          "is not named by the manifest: its records are not served");
      continue;
    }
    if (base > walk_.next_offset && !walk_.facts.compacted && told == nullptr) {
      walk_.find(FindingKind::offsets, file->second,
                 concat("offsets ", walk_.next_offset.value(), " to ", base.value() - 1,
                        " before it are in no segment: is a file missing?"),
                 {}, walk_.next_offset);
    } else if (base < walk_.next_offset) {
      walk_.find(
          FindingKind::offsets, file->second,
          concat("begins below the end of the segment before it, ", walk_.next_offset.value()));
    }
    SegmentVerify segment(walk_, base, told, base == *bases.rbegin());
    co_await segment.run();
  }
}

void LogVerify::check_missing(const ManifestSegment& listed) {
  const std::string file = segment_stem(listed.base_offset) + ".log";
  if (!listed.sealed && !walk_.clean) {
    walk_.note(FindingKind::segment, file,
               "is named by the manifest and not there, with no record");
    return;
  }
  if (listed.next_offset == listed.base_offset) {
    walk_.find(FindingKind::segment, file, "is missing; it held no record");
    return;
  }
  walk_.find(FindingKind::segment, file,
             concat("is missing, and offsets ", listed.base_offset.value(), " to ",
                    listed.next_offset.value() - 1, " with it"),
             {}, listed.base_offset);
  walk_.next_offset = std::max(walk_.next_offset, listed.next_offset);
}

/// The file must give every batch the epoch that stands in it.
Task<void> LogVerify::check_epochs() {
  const std::string name(kEpochFileName);
  if (!walk_.files.contains(name)) {
    if (!walk_.epochs.empty()) {
      walk_.find_if_clean(FindingKind::leader_epochs, name, "is missing");
    }
    co_return;
  }
  const std::optional<std::string> content = co_await walk_.read(name, kEpochFileBytesMax);
  if (!content) co_return;
  const Result<std::vector<LeaderEpochEntry>> entries = parse_leader_epochs(*content);
  if (!entries) {
    walk_.find(FindingKind::leader_epochs, name, "is garbled");
    co_return;
  }
  for (const EpochRun& run : walk_.epochs) {
    const Offset offset = std::max(run.start_offset, log_start_offset_);
    if (offset >= run.end_offset) continue;  // none of its batches says anything of that
    LeaderEpoch found = kNoLeaderEpoch;
    for (const LeaderEpochEntry& entry : *entries) {
      if (entry.start_offset <= offset) found = entry.epoch;
    }
    if (found == run.epoch) continue;
    walk_.find_if_clean(FindingKind::leader_epochs, name,
                        concat("says that offset ", offset.value(), " is of epoch ", found.value(),
                               "; the batch says ", run.epoch.value()));
  }
  if (!entries->empty() && entries->back().start_offset > walk_.next_offset) {
    walk_.find(FindingKind::leader_epochs, name,
               concat("epoch ", entries->back().epoch.value(), " begins at ",
                      entries->back().start_offset.value(), ", behind the end of the log, ",
                      walk_.next_offset.value()));
  }
}

Task<void> LogVerify::check_snapshots() {
  for (const std::string& file : walk_.files) {
    const std::optional<Offset> offset = offset_in_name(file, ".snapshot");
    if (offset) co_await check_snapshot(file, *offset);
  }
}

Task<void> LogVerify::check_snapshot(std::string file, Offset offset) {
  const std::optional<std::string> content = co_await walk_.read(file, kSnapshotBytesMax);
  if (!content) co_return;
  const auto producers = parse_producer_snapshot(std::as_bytes(std::span(*content)));
  if (!producers) {
    walk_.find(FindingKind::producer_snapshot, file, "is garbled");
    co_return;
  }
  if (offset > walk_.next_offset) {
    walk_.find_if_clean(FindingKind::producer_snapshot, file,
                        concat("is of a time when the log ended behind ", walk_.next_offset.value(),
                               ", where it ends now"));
    co_return;
  }
  for (const ProducerSnapshotEntry& producer : *producers) {
    if (producer.last_offset >= offset) {
      walk_.find(FindingKind::producer_snapshot, file,
                 concat("producer ", producer.producer_id.value(), " has offset ",
                        producer.last_offset.value(), ", not below the snapshot's own"));
    }
    if (offset != walk_.next_offset || !walk_.producers_complete) continue;
    if (producer.last_offset < log_start_offset_) continue;  // its batches are deleted, or none
    const auto seen = walk_.producers.find(producer.producer_id.value());
    const bool same = seen != walk_.producers.end() &&
                      seen->second.last_offset == producer.last_offset &&
                      seen->second.last_sequence == producer.last_sequence;
    if (same) continue;
    walk_.find(FindingKind::producer_snapshot, file,
               concat("says that producer ", producer.producer_id.value(), " ended at offset ",
                      producer.last_offset.value(), " with sequence ", producer.last_sequence,
                      "; the batches say otherwise"));
  }
}

/// What the checkpoints and the manifest promise of the log as a whole.
void LogVerify::check_facts() {
  const auto must_not_pass = [this](std::optional<Offset> offset, std::string_view file,
                                    std::string_view what) {
    if (!offset || *offset <= walk_.next_offset) return;
    walk_.find(FindingKind::checkpoint, file,
               concat(what, " ", offset->value(), " is behind the end of the log, ",
                      walk_.next_offset.value(), ": records are lost, or the file is wrong"),
               {}, walk_.next_offset);
  };
  must_not_pass(walk_.facts.recovery_point, "../recovery-point-offset-checkpoint",
                "the recovery point");
  must_not_pass(walk_.facts.log_start_offset, "../log-start-offset-checkpoint", "the log start");
  must_not_pass(walk_.facts.high_watermark, "../replication-offset-checkpoint",
                "the high watermark");
  if (!walk_.manifest) return;
  must_not_pass(walk_.manifest->recovery_point, kManifestName, "the recovery point");
  must_not_pass(walk_.manifest->log_start_offset, kManifestName, "the log start");
}

}  // namespace keelson::engine::log
