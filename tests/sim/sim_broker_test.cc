// The whole broker on simulated machines, seed by seed.
//
//   sim_broker_test                     the seeds of seeds.txt, then --seeds 1000
//   sim_broker_test --seed N            one seed, its course on stderr
//   sim_broker_test --from N --seeds M  M seeds; --twice K runs the first K of them twice
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "tests/sim/support/scenario.h"

namespace {

using keelson::test::Outcome;

constexpr std::uint64_t kBatchSeeds = 10;  // per process: abandoned worlds keep their memory

class StderrLogger final : public keelson::engine::Logger {
 public:
  void write(keelson::engine::LogLevel, std::string_view component,
             std::string_view line) override {
    std::fprintf(stderr, "    [%.*s] %.*s\n", static_cast<int>(component.size()), component.data(),
                 static_cast<int>(line.size()), line.data());
  }
  bool enabled(keelson::engine::LogLevel) const override { return true; }
};

struct Totals {
  std::uint64_t seeds = 0;
  std::uint64_t sent = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t seen = 0;
  std::uint64_t crashes = 0;
  double virtual_seconds = 0;
  std::vector<std::uint64_t> failed;
  std::map<std::uint64_t, std::uint64_t> hashes;
};

/// In a process of its own: one line per seed on `out`.
void run_batch(const std::vector<std::uint64_t>& seeds, std::FILE* out) {
  keelson::engine::NullLogger logger;
  for (const std::uint64_t seed : seeds) {
    std::fprintf(out, "begin %llu\n", static_cast<unsigned long long>(seed));
    std::fflush(out);
    const Outcome outcome = keelson::test::run_scenario(seed, logger, false);
    for (const std::string& violation : outcome.violations) {
      std::fprintf(out, "violation %llu %s\n", static_cast<unsigned long long>(seed),
                   violation.c_str());
    }
    std::fprintf(out, "end %llu %zu %llu %zu %zu %zu %zu %lld\n",
                 static_cast<unsigned long long>(seed), outcome.violations.size(),
                 static_cast<unsigned long long>(outcome.trace_hash), outcome.sent,
                 outcome.acknowledged, outcome.seen, outcome.crashes,
                 static_cast<long long>(outcome.virtual_ns));
    std::fflush(out);
  }
}

void read_line(const std::string& line, Totals& totals, std::uint64_t& begun) {
  std::istringstream words(line);
  std::string kind;
  std::uint64_t seed = 0;
  words >> kind >> seed;
  if (kind == "begin") {
    begun = seed;
  } else if (kind == "violation") {
    std::printf("%s\n", line.c_str());
  } else if (kind == "end") {
    std::uint64_t violations = 0, hash = 0, sent = 0, acknowledged = 0, seen = 0, crashes = 0;
    std::int64_t virtual_ns = 0;
    words >> violations >> hash >> sent >> acknowledged >> seen >> crashes >> virtual_ns;
    ++totals.seeds;
    totals.sent += sent;
    totals.acknowledged += acknowledged;
    totals.seen += seen;
    totals.crashes += crashes;
    totals.virtual_seconds += static_cast<double>(virtual_ns) / 1e9;
    if (violations > 0) totals.failed.push_back(seed);
    const auto [known, first] = totals.hashes.emplace(seed, hash);
    if (!first && known->second != hash) {
      std::printf("violation %llu two runs of this seed differ\n",
                  static_cast<unsigned long long>(seed));
      totals.failed.push_back(seed);
    }
    begun = 0;
  }
}

void fork_batch(std::vector<std::uint64_t> seeds, Totals& totals) {
  while (!seeds.empty()) {
    int ends[2];
    if (pipe(ends) != 0) std::abort();
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
      close(ends[0]);
      run_batch(seeds, fdopen(ends[1], "w"));
      std::_Exit(0);
    }
    close(ends[1]);
    std::FILE* const in = fdopen(ends[0], "r");
    std::string line;
    std::uint64_t begun = 0;
    for (int c = std::fgetc(in); c != EOF; c = std::fgetc(in)) {
      if (c != '\n') {
        line += static_cast<char>(c);
        continue;
      }
      read_line(line, totals, begun);
      line.clear();
    }
    std::fclose(in);
    int status = 0;
    waitpid(child, &status, 0);
    if (begun == 0) return;
    std::printf("violation %llu the process died, status %d\n",
                static_cast<unsigned long long>(begun), status);
    totals.failed.push_back(begun);
    while (!seeds.empty() && seeds.front() != begun) seeds.erase(seeds.begin());
    if (!seeds.empty()) seeds.erase(seeds.begin());
  }
}

std::vector<std::uint64_t> kept_seeds() {
  std::vector<std::uint64_t> seeds;
  std::ifstream file(KEELSON_SIM_SEEDS);
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line[0] != '#') seeds.push_back(std::stoull(line));
  }
  return seeds;
}

void run_all(const std::vector<std::uint64_t>& seeds, Totals& totals) {
  for (std::size_t at = 0; at < seeds.size(); at += kBatchSeeds) {
    const std::size_t count = std::min<std::size_t>(kBatchSeeds, seeds.size() - at);
    fork_batch({seeds.begin() + static_cast<std::ptrdiff_t>(at),
                seeds.begin() + static_cast<std::ptrdiff_t>(at + count)},
               totals);
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t from = 1;
  std::uint64_t count = 1'000;
  std::uint64_t twice = 50;
  bool kept = true;
  bool one = false;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::uint64_t value = std::strtoull(argv[i + 1], nullptr, 10);
    if (std::strcmp(argv[i], "--seed") == 0) {
      one = true;
      from = value;
    } else if (std::strcmp(argv[i], "--from") == 0) {
      from = value;
      kept = false;
      twice = 0;
    } else if (std::strcmp(argv[i], "--seeds") == 0) {
      count = value;
    } else if (std::strcmp(argv[i], "--twice") == 0) {
      twice = value;
    } else {
      std::fprintf(stderr, "usage: %s [--seed N | --from N --seeds M --twice K]\n", argv[0]);
      return 2;
    }
  }
  if (one) {
    StderrLogger logger;
    const Outcome outcome = keelson::test::run_scenario(from, logger, true);
    std::fprintf(stderr, "trace %016llx, %zu violations\n",
                 static_cast<unsigned long long>(outcome.trace_hash), outcome.violations.size());
    std::_Exit(outcome.violations.empty() ? 0 : 1);
  }
  const auto begun = std::chrono::steady_clock::now();
  Totals totals;
  std::vector<std::uint64_t> seeds;
  for (std::uint64_t i = 0; i < count; ++i) seeds.push_back(from + i);
  if (kept) run_all(kept_seeds(), totals);
  run_all(seeds, totals);
  seeds.resize(std::min<std::size_t>(seeds.size(), twice));
  run_all(seeds, totals);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  std::printf(
      "%llu runs in %.1f s: %.0f simulated s, %llu crashes, %llu records sent, "
      "%llu acknowledged, %llu seen; %zu failed\n",
      static_cast<unsigned long long>(totals.seeds), seconds, totals.virtual_seconds,
      static_cast<unsigned long long>(totals.crashes), static_cast<unsigned long long>(totals.sent),
      static_cast<unsigned long long>(totals.acknowledged),
      static_cast<unsigned long long>(totals.seen), totals.failed.size());
  return totals.failed.empty() ? 0 : 1;
}
