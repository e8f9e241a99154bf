#include "tests/engine/log/log_site.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "engine/io/file.h"

namespace keelson::test {

using namespace engine;
using namespace engine::log;

namespace {

std::map<std::string, DataDirectory::Checkpoint> checkpoints_of(Log& log) {
  return {{kSiteLog,
           {.recovery_point = log.recovery_point(),
            .log_start_offset = log.log_start_offset(),
            .high_watermark = log.durable_offset(),
            .start_is_segment_base = false,
            .first_dirty = log.compacted_to()}}};
}

/// Against a walk over all records: the first at or above a time, and the largest time.
Task<void> check_times(io::Shard& shard, Log& log, const Seen& seen) {
  std::int64_t low = 0;
  std::int64_t high = 0;
  for (const auto& [offset, time_ms] : seen.times_ms) {
    low = low == 0 ? time_ms : std::min(low, time_ms);
    high = std::max(high, time_ms);
  }
  const auto range = static_cast<std::uint64_t>(high - low + 3);
  for (int i = 0; i < 3; ++i) {
    const std::int64_t asked = low - 1 + static_cast<std::int64_t>(shard.rng().next() % range);
    const auto expected = std::ranges::find_if(
        seen.times_ms, [&](const auto& record) { return record.second >= asked; });
    const auto found = co_await log.find_time(asked, Offset{seen.end});
    EXPECT_TRUE(found.has_value());
    if (!found) co_return;
    EXPECT_EQ(found->has_value(), expected != seen.times_ms.end()) << "time " << asked;
    if (!*found || expected == seen.times_ms.end()) continue;
    EXPECT_EQ((*found)->offset.value(), expected->first) << "time " << asked;
    EXPECT_EQ((*found)->timestamp_ms, expected->second);
  }
  const auto largest = co_await log.find_max_time(Offset{seen.end});
  EXPECT_TRUE(largest.has_value());
  if (!largest) co_return;
  EXPECT_EQ(largest->has_value(), !seen.times_ms.empty());
  if (!*largest || seen.times_ms.empty()) co_return;
  const auto expected = std::ranges::find_if(
      seen.times_ms, [&](const auto& record) { return record.second == high; });
  EXPECT_EQ((*largest)->timestamp_ms, high);
  EXPECT_EQ((*largest)->offset.value(), expected->first);
}

/// The log knows of every producer the newest sequence that is in it, and every open transaction.
void check_producers(const Log& log, const ReferenceLog& model, const Seen& seen) {
  std::map<ProducerId, std::int32_t> newest;
  for (const SeenBatch& batch : seen.batches) {
    const BatchHeader& header = batch.header;
    if (!header.has_producer() || header.is_control()) continue;
    newest[header.producer_id] = header.last_sequence();
  }
  const std::vector<Log::ProducerInfo> known = log.producers();
  for (const auto& [id, sequence] : newest) {
    const auto info = std::ranges::find(known, id, &Log::ProducerInfo::id);
    EXPECT_NE(info, known.end()) << "producer " << id.value() << " is forgotten";
    if (info != known.end()) EXPECT_EQ(info->last_sequence, sequence) << "of " << id.value();
  }
  std::map<std::int64_t, std::int64_t> open;  // transaction by first offset; as the batches say
  std::map<int, std::int64_t> first_of;
  for (const auto& [base, batch] : model.batches) {
    if (base >= seen.end) break;
    if (batch.transaction < 0) continue;
    if (batch.is_marker) {
      const auto first = first_of.find(batch.transaction);
      if (first != first_of.end()) open.erase(first->second);
    } else if (first_of.try_emplace(batch.transaction, base).second) {
      open[base] = batch.transaction;
    }
  }
  std::erase_if(open, [&](const auto& item) { return item.first < seen.start; });
  std::vector<std::int64_t> told;
  for (const OpenTransaction& transaction : log.open_transactions()) {
    if (transaction.first_offset.value() >= seen.start) {
      told.push_back(transaction.first_offset.value());
    }
  }
  std::vector<std::int64_t> expected;
  for (const auto& [base, transaction] : open) expected.push_back(base);
  EXPECT_EQ(told, expected) << "open transactions";
}

/// Leader epochs begin where the batches say.
void check_epochs(const Log& log, const Seen& seen) {
  for (const SeenBatch& batch : seen.batches) {
    const Offset at = std::max(batch.header.base_offset, Offset{seen.start});
    EXPECT_EQ(log.epoch_of(at), batch.header.leader_epoch) << "at offset " << at.value();
  }
}

struct Findings : VerifyObserver {
  void on_finding(const Finding& finding) override {
    // A draft that a power cut garbled stays where it has the name of a roll's; newer ones count.
    if (finding.kind == FindingKind::producer_snapshot) return;
    if (!finding.is_note) texts.push_back(finding.file + " " + finding.text);
  }
  void on_progress(const VerifyProgress&) override {}
  std::vector<std::string> texts;
};

}  // namespace

Task<Result<Site>> open_site(io::Shard& shard, LogConfig config) {
  Site site;
  Result<std::unique_ptr<DataDirectory>> directory = co_await DataDirectory::open(shard, kSiteDir);
  if (!directory) co_return std::unexpected(directory.error());
  site.directory = std::move(*directory);
  const DirectoryOrigin origin = site.directory->scan().origin;
  EXPECT_TRUE(origin == DirectoryOrigin::empty || origin == DirectoryOrigin::keelson)
      << "a crash left a directory that a broker refuses";
  const Result<void> claimed = co_await site.directory->claim(
      {.cluster_id = "c", .node_id = 1, .directory_id = "AAAAAAAAAAAAAAAAAAAAAA"});
  if (!claimed) co_return std::unexpected(claimed.error());
  const OpenHints hints = site.directory->hints_for(kSiteLog);
  const Result<void> begun = co_await site.directory->begin_serving();
  if (!begun) co_return std::unexpected(begun.error());
  site.context = std::make_unique<LogContext>(shard, site_limits());
  Result<std::unique_ptr<Log>> log = co_await Log::open(
      *site.context, site.directory->path_of(kSiteLog), kIdentity, config, hints);
  if (!log) co_return std::unexpected(log.error());
  site.log = std::move(*log);
  const Result<void> written =
      co_await site.directory->write_checkpoints(checkpoints_of(*site.log));
  if (!written) {
    const Result<void> closed = co_await site.log->close();
    EXPECT_TRUE(closed.has_value() || !written);
    co_return std::unexpected(written.error());
  }
  co_return std::move(site);
}

Task<Result<void>> checkpoint_site(Site& site, Offset highest) {
  const Result<void> side_files = co_await site.log->checkpoint();
  if (!side_files) co_return side_files;
  auto checkpoints = checkpoints_of(*site.log);
  Offset& recovery_point = checkpoints.at(kSiteLog).recovery_point;
  recovery_point = std::min(recovery_point, highest);
  co_return co_await site.directory->write_checkpoints(checkpoints);
}

Task<void> abandon_site(Site& site) {
  site.context->leave_files = true;
  const Result<void> closed = co_await site.log->close();
  EXPECT_TRUE(closed.has_value());
  site = {};
}

Task<Result<void>> close_site(Site& site) {
  const Result<void> closed = co_await site.log->close();
  const auto checkpoints = checkpoints_of(*site.log);
  site.log.reset();
  if (!closed) co_return closed;
  const Result<void> finished = co_await site.directory->finish(checkpoints);
  site.directory.reset();
  co_return finished;
}

Task<void> check_site(io::Shard& shard, Site& site, const ReferenceLog& model,
                      std::int64_t required, std::int64_t& end) {
  Log& log = *site.log;
  end = log.log_end_offset().value();
  EXPECT_EQ(log.durable_offset(), log.log_end_offset());
  EXPECT_GE(end, required) << "acknowledged records are gone";
  EXPECT_GE(log.log_start_offset().value(), model.told_start) << "the start went back";
  EXPECT_LE(log.log_start_offset().value(), std::max(model.told_start, model.coming_start));
  const Result<Seen> seen = co_await observe(log, 1 + shard.rng().next() % 20'000);
  EXPECT_TRUE(seen.has_value()) << (seen ? "" : to_string(seen.error().code));
  if (!seen) co_return;
  model.check_batches(*seen);
  model.check(*seen, required, log.first_dirty().value(), shard.clock().wall_ms(),
              log.config().delete_retention_ms);
  check_producers(log, model, *seen);
  check_epochs(log, *seen);
  co_await check_times(shard, log, *seen);
}

void check_findings(const RecoveryReport& report, const ReferenceLog& model) {
  for (const std::string& finding : report.findings) {
    const bool is_trace =
        finding.find("not known to have been acknowledged") != std::string::npos ||
        finding.find(".snapshot is garbled") != std::string::npos ||
        finding.find("made again") != std::string::npos ||
        finding.find("transaction") != std::string::npos;
    const bool is_of_making = model.batches.empty();  // some of the files
    EXPECT_TRUE(is_trace || is_of_making) << finding;
  }
}

Task<void> check_files(io::Shard& shard) {
  Findings findings;
  const auto verified = co_await verify_directory(shard, kSiteDir, {.records = true}, findings);
  EXPECT_TRUE(verified.has_value());
  EXPECT_THAT(findings.texts, testing::IsEmpty());
  const Result<std::vector<io::DirEntry>> entries =
      co_await io::list_dir(shard, concat(kSiteDir, "/", kSiteLog));
  EXPECT_TRUE(entries.has_value());
  if (!entries) co_return;
  for (const io::DirEntry& entry : *entries) {
    for (const std::string_view ending : {".swap", ".cleaned", ".set-aside", ".tmp"}) {
      EXPECT_FALSE(entry.name.ends_with(ending)) << entry.name;
    }
  }
}

}  // namespace keelson::test
