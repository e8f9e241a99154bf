// tests/adopt/recycled_images.cc: partitions as power cuts leave them, for Kafka to open.
//
//   recycled_images DIR COUNT
//
// Each is a folder DIR/<n> with the segment files of a simulated log at its retention limit, and
// one line on stdout: n, first offset, the end that is expected, and the end of what was
// acknowledged. The last segment's file is a recycled one.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/engine/log/recycled_log.h"

namespace keelson::test {
namespace {

namespace fs = std::filesystem;

void write_image(const fs::path& folder, const engine::io::SimDisk& disk) {
  fs::create_directories(folder);
  for (const auto& [base, path] : segment_files(disk)) {
    std::ofstream file(folder / fs::path(path).filename(), std::ios::binary);
    const std::string content = *disk.content(path);
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
  }
}

int run(const fs::path& home, int count) {
  const std::vector<RecycledLoad> loads = recycled_loads();
  int made = 0;
  for (std::uint64_t seed = 1; made < count && seed < 100'000; ++seed) {
    const RecycledLoad& load = loads[seed % loads.size()];
    engine::io::SimWorld world(seed);
    engine::io::SimNode& node = world.start_node("n");
    RecycledHistory history;
    node.shard().spawn(serve_recycled(node.shard(), load, history));
    world.run_for(load.round_ns_max / 2 +
                  static_cast<std::int64_t>(world.rng().next() %
                                            static_cast<std::uint64_t>(load.round_ns_max / 2)));
    world.power_cut(node);
    if (!last_is_recycled(node.disk())) continue;
    write_image(home / std::to_string(made), node.disk());
    const auto files = segment_files(node.disk());
    const auto [last_base, last_path] = *files.rbegin();
    const KafkaWalk walk = walk_as_kafka(*node.disk().content(last_path), last_base);
    std::printf("%d %lld %lld %lld\n", made, static_cast<long long>(files.begin()->first),
                static_cast<long long>(walk.next_offset),
                static_cast<long long>(history.acknowledged_end));
    ++made;
  }
  return made == count ? 0 : 1;
}

}  // namespace
}  // namespace keelson::test

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: recycled_images DIR COUNT\n");
    return 2;
  }
  return keelson::test::run(argv[1], std::atoi(argv[2]));
}
