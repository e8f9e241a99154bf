// tests/engine/log/log_workload.h: what may happen to a log, at random: appends alone and side by
// side, repeats, reads, questions about time, retention, DeleteRecords, compaction, cuts of the
// end, checkpoints, idleness, clean restarts. Each is checked against the model as it is done.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/io/shard.h"
#include "engine/task.h"
#include "tests/engine/log/log_site.h"
#include "tests/engine/log/log_writer.h"
#include "tests/engine/log/reference_log.h"

namespace keelson::test {

enum class Deed : std::uint8_t {
  append,
  burst,
  repeat,
  read,
  observe,
  ask_time,
  flush,
  checkpoint,
  retention,
  advance_start,
  delete_beside,
  compact,
  cut,
  pause,
  long_pause,
  next_epoch,
  restart,
};

/// A kind of log and what is done to it: deeds are drawn by weight.
struct Profile {
  std::string name;
  LogConfig config;
  Load load;
  std::vector<std::pair<Deed, std::uint32_t>> deeds;
};

/// Each stresses something else; all have appends, reads, pauses and checkpoints.
std::vector<Profile> profiles();

/// Lives in a task of the simulated process; `model`, `done` and `listener` outlive that.
class Workload {
 public:
  Workload(io::Shard& shard, const Profile& profile, ReferenceLog& model, std::uint64_t& done,
           ModelListener* listener = nullptr)
      : shard_(shard), profile_(profile), model_(model), done_(done), listener_(listener) {}

  /// Opens the site, does `count` random things, and closes it. Ends early where the log fails;
  /// without `may_fail` that is a failure of the running test. False where it was not closed.
  Task<bool> run(std::uint64_t count, bool may_fail);

 private:
  std::uint64_t random(std::uint64_t below) { return shard_.rng().next() % below; }
  Deed draw();
  Log& log() { return *site_.log; }
  void tell();
  Writer writer();

  Task<bool> open();
  Task<bool> close();
  Task<bool> perform(Deed deed);
  Task<bool> append();
  Task<bool> burst();
  Task<bool> read();
  Task<bool> observe();
  Task<bool> ask_time();
  Task<bool> flush();
  Task<bool> retention(bool alone);
  Task<bool> advance_start();
  Task<bool> delete_beside();
  Task<bool> compact();
  Task<bool> cut();
  Task<bool> restart();
  void check_read(Offset from, const ReadResult& read);
  void check_retention(std::int64_t start_before, std::uint64_t size_before, std::int64_t now_ms);

  io::Shard& shard_;
  const Profile& profile_;
  ReferenceLog& model_;
  std::uint64_t& done_;
  ModelListener* const listener_;
  Site site_;
  bool may_fail_ = false;
};

}  // namespace keelson::test
