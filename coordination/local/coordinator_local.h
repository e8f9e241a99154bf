// coordination/local/coordinator_local.h: the coordinator of a broker that is alone: one file.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "coordination/local/journal_format.h"
#include "coordination/store/versioned_map.h"
#include "coordination/store/watch_hub.h"
#include "engine/io/file.h"
#include "engine/io/shard.h"
#include "engine/io/sync.h"
#include "plugins/registry/coordinator.h"

namespace keelson::coordination {

struct LocalOptions {
  std::string path;  // "<data directory>/keelson.coordinator"; beside it "….tmp" while compacting
  /// The journal is rewritten when it passes floor + factor * state_bytes().
  std::size_t compact_floor_bytes = std::size_t{1} << 20;
  std::size_t compact_factor = 4;
};
inline constexpr const char* kLocalFileName = "keelson.coordinator";

/// Keeps keys in memory and every transaction in an append-only file (local/journal_format.h).
/// Whoever opens it holds the data directory's lock: two openers would overwrite each other.
///
/// A failed write or sync is final. That commit answers outcome_unknown, for its bytes may be on
/// the disk; every later call, reads too, answers io until the file is opened again. A full disk
/// is not final: the tail is cut off again, and the commit answers no_space.
///
/// Leased keys last until the next open().
class CoordinatorLocal final : public Coordinator {
 public:
  CoordinatorLocal(engine::io::Shard& shard, LocalOptions options);
  ~CoordinatorLocal() override;

  /// Reads the file, or makes it. A torn tail is cut. Damage to what was durable refuses the start
  /// with a message that says what to do; the file stays as it is.
  [[nodiscard]] engine::Task<ApiResult<void>> open() override;
  engine::Task<void> stop() override;

  [[nodiscard]] engine::Task<engine::Result<std::vector<KeyValue>>> list(
      std::string prefix) override;
  [[nodiscard]] engine::Task<engine::Result<std::optional<KeyValue>>> get(std::string key) override;
  [[nodiscard]] engine::Task<engine::Result<KeyVersion>> commit(
      std::vector<Compare> compares, std::vector<KeyWrite> writes) override;
  [[nodiscard]] std::unique_ptr<Watch> watch(std::string prefix, WatchCallback callback) override;
  std::int64_t lease_deadline_ns() const override {
    return std::numeric_limits<std::int64_t>::max();
  }

  std::uint64_t journal_bytes() const { return end_bytes_; }

 private:
  engine::Task<engine::Result<KeyVersion>> commit_alone(std::vector<Compare> compares,
                                                        std::vector<KeyWrite> writes);
  engine::Task<engine::Error> write_failed(engine::Error error);
  engine::Task<ApiResult<void>> load(std::uint64_t size_bytes);
  engine::Task<engine::Result<void>> end_leases();
  engine::Task<void> write_mark(bool durable);
  engine::Task<void> compact_if_large();
  /// Writes the state into a new file and goes on in it. Errors: no_space: the old file serves on.
  /// Any other: neither file can be trusted to be the one a restart finds.
  engine::Task<engine::Result<void>> switch_file();
  engine::Task<engine::Result<void>> write_whole(std::string path, std::string content);
  engine::Result<void> usable() const;

  engine::io::Shard& shard_;
  const LocalOptions options_;
  engine::io::Semaphore turn_;  // one commit, compaction or stop at a time
  engine::io::File file_;
  engine::Uuid file_id_;
  VersionedMap map_;
  WatchHub hub_;
  std::uint64_t end_bytes_ = 0;   // where the next transaction goes; all before it is durable
  std::uint64_t compact_at_ = 0;  // no compaction before the journal is this large
  std::optional<engine::Error> failure_;  // set once, never cleared
  bool open_ = false;
};

}  // namespace keelson::coordination
