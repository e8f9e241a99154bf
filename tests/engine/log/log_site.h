// tests/engine/log/log_site.h: a data directory with one log in it, served as a broker does, and
// all that is to be looked at after a crash.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "engine/io/shard.h"
#include "engine/log/data_directory.h"
#include "engine/log/log.h"
#include "engine/log/log_context.h"
#include "engine/log/verify.h"
#include "engine/task.h"
#include "tests/engine/log/reference_log.h"

namespace keelson::test {

inline const std::string kSiteDir = "data";
inline const std::string kSiteLog = "orders-3";

struct Site {
  std::unique_ptr<engine::log::DataDirectory> directory;
  std::unique_ptr<engine::log::LogContext> context;
  std::unique_ptr<engine::log::Log> log;
};

inline engine::log::LogLimits site_limits() {
  engine::log::LogLimits limits;
  limits.cache_bytes = 32 << 10;  // older records are read from disk
  limits.disk_reserve_bytes = 1 << 20;
  limits.producer_draft_bytes = 3'000;
  limits.removal_step_bytes = 4096;  // so that files are cut while others read
  limits.sidecar_delay_ms = 2;
  limits.idle_after_ms = 20;
  return limits;
}

/// As the store of a broker does it (plugins/storage).
engine::Task<engine::Result<Site>> open_site(engine::io::Shard& shard,
                                             engine::log::LogConfig config);
/// Side files and the directory's checkpoints, with a recovery point of `highest` at most.
engine::Task<engine::Result<void>> checkpoint_site(Site& site,
                                                   engine::Offset highest = engine::Offset{
                                                       std::numeric_limits<std::int64_t>::max()});
/// The process lets go of everything and leaves the files as a crash does.
engine::Task<void> abandon_site(Site& site);
/// A clean stop.
engine::Task<engine::Result<void>> close_site(Site& site);

/// Everything that can be seen against the model, whose log ends at `required` at least; where it
/// does end in `end`. What was found is a failure of the running test.
engine::Task<void> check_site(engine::io::Shard& shard, Site& site, const ReferenceLog& model,
                              std::int64_t required, std::int64_t& end);
/// What recovery told must be the traces of a crash and nothing worse.
void check_findings(const engine::log::RecoveryReport& report, const ReferenceLog& model);
/// After a clean stop: every file against every other, as a rebuild would have them.
engine::Task<void> check_files(engine::io::Shard& shard);

}  // namespace keelson::test
