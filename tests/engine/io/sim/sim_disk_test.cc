// What a simulated disk keeps, against a reference model that says what it may keep.
#include "engine/io/sim/sim_disk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <span>
#include <string>

#include "engine/io/file.h"
#include "engine/io/sim/sim_world.h"

namespace keelson::engine::io {
namespace {

constexpr OpenFlags kCreate{.write = true, .create = true};

Bytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }
SyncCover all_reaped() { return SyncCover{.last = ~std::uint64_t{0}, .unreaped = {}}; }

/// For each byte and the size: the durable value and those written since.
class AllowedFile {
 public:
  void write(std::uint64_t position, const std::string& bytes) {
    if (position + bytes.size() > current_.size()) resize(position + bytes.size());
    current_.replace(position, bytes.size(), bytes);
    for (std::size_t i = 0; i < bytes.size(); ++i) allowed(position + i) |= bit_of(bytes[i]);
  }
  void resize(std::uint64_t size) {
    if (size < current_.size()) {
      for (std::size_t i = size; i < current_.size(); ++i) allowed(i) |= bit_of('\0');
    }
    current_.resize(size, '\0');
    sizes_.insert(size);
  }
  void sync_range(std::uint64_t position, std::uint64_t bytes) {
    for (std::uint64_t i = position; i < position + bytes; ++i) allowed(i) = bit_of(current_[i]);
    sizes_ = {current_.size()};
  }
  void sync() {
    sync_range(0, current_.size());
    allowed_.resize(current_.size());
  }
  void check(const std::string& found) const {
    ASSERT_TRUE(sizes_.contains(found.size())) << "size " << found.size();
    for (std::size_t i = 0; i < found.size(); ++i) {
      const bool fits =
          i < allowed_.size() ? (allowed_[i] & bit_of(found[i])) != 0 : found[i] == '\0';
      ASSERT_TRUE(fits) << "byte " << i << " is " << int{found[i]};
    }
  }
  void become(const std::string& found) {
    current_ = found;
    sync();
  }
  const std::string& current() const { return current_; }

 private:
  /// Files hold 'a' to 'z' and zeros.
  static std::uint32_t bit_of(char byte) {
    return std::uint32_t{1} << (byte == '\0' ? 0 : byte - 'a' + 1);
  }
  std::uint32_t& allowed(std::uint64_t i) {
    while (i >= allowed_.size()) allowed_.push_back(bit_of('\0'));
    return allowed_[i];
  }

  std::string current_;
  std::vector<std::uint32_t> allowed_;
  std::set<std::uint64_t> sizes_{0};
};

void mutate_randomly(SimDisk& disk, InodeId file, AllowedFile& model, SimRng& rng) {
  const std::uint64_t position = rng.below(12'000);
  switch (rng.below(6)) {
    case 0:
      disk.sync(file, all_reaped(), rng);
      model.sync();
      return;
    case 1: {
      disk.truncate(file, position, 1, 0, rng);
      model.resize(position);
      return;
    }
    default: {
      const bool aligned = rng.coin();
      const std::uint64_t at = aligned ? position / 512 * 512 : position;
      const std::string bytes(1 + rng.below(6'000), static_cast<char>('a' + rng.below(26)));
      ASSERT_EQ(disk.write(file, at, bytes_of(bytes), 1, 0, rng),
                static_cast<std::int64_t>(bytes.size()));
      model.write(at, bytes);
      if (rng.below(4) != 0) return;
      disk.sync_range(file, at, bytes.size());
      model.sync_range(at, bytes.size());
    }
  }
}

TEST(SimDisk, KeepsWhatIsSyncedAndInventsNothing) {
  std::size_t lossy_cuts = 0;
  for (std::uint64_t seed = 1; seed <= 1'000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SimRng rng(seed);
    SimDisk disk;
    AllowedFile model;
    disk.put("/f", "");
    for (int round = 0; round < 3; ++round) {
      InodeId file = 0;
      ASSERT_EQ(disk.open("/f", kCreate, 0, 1, rng, file), 0);
      for (std::uint64_t left = rng.below(12); left > 0; --left) {
        mutate_randomly(disk, file, model, rng);
        ASSERT_EQ(disk.content("/f"), model.current());
      }
      disk.process_gone();
      ASSERT_EQ(disk.content("/f"), model.current());  // kill -9 loses nothing
      disk.power_cut(rng);
      const std::string found = disk.content("/f").value();
      model.check(found);
      if (HasFatalFailure()) return;
      lossy_cuts += found != model.current() ? 1 : 0;
      model.become(found);
    }
  }
  EXPECT_GT(lossy_cuts, 500u);  // the model was put to work
}

TEST(SimDisk, SyncCoversOnlyWhatWasReapedBefore) {
  bool lost = false;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    SimRng rng(seed);
    SimDisk disk;
    disk.put("/f", std::string(1024, 'o'));
    InodeId file = 0;
    ASSERT_EQ(disk.open("/f", kCreate, 0, 1, rng, file), 0);
    disk.write(file, 0, bytes_of(std::string(512, 'a')), 1, 0, rng);
    disk.write(file, 512, bytes_of(std::string(512, 'b')), 2, 0, rng);
    disk.sync(file, SyncCover{.last = 3, .unreaped = {2}}, rng);
    disk.power_cut(rng);
    const std::string found = disk.content("/f").value();
    ASSERT_EQ(found.substr(0, 512), std::string(512, 'a'));
    lost |= found[512] == 'o';
  }
  EXPECT_TRUE(lost);
}

TEST(SimDisk, EntriesAreDurableOnlyAfterSyncDir) {
  std::set<bool> unsynced_create;
  std::set<std::string> renamed;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SimRng rng(seed);
    SimDisk disk;
    disk.put("/d/old", "1");
    disk.put("/e/x", "x");
    InodeId file = 0;
    ASSERT_EQ(disk.open("/d/kept", kCreate, 0, 1, rng, file), 0);
    ASSERT_EQ(disk.sync_dir("/d"), 0);
    ASSERT_EQ(disk.open("/d/maybe", kCreate, 0, 1, rng, file), 0);
    disk.sync(file, all_reaped(), rng);  // the file, not its name
    ASSERT_EQ(disk.rename("/d/old", "/e/new"), 0);
    disk.power_cut(rng);
    EXPECT_TRUE(disk.exists("/d/kept"));
    unsynced_create.insert(disk.exists("/d/maybe"));
    ASSERT_NE(disk.exists("/d/old"), disk.exists("/e/new")) << "seed " << seed;
    renamed.insert(disk.exists("/d/old") ? "old" : "new");
    EXPECT_EQ(disk.content(disk.exists("/d/old") ? "/d/old" : "/e/new"), "1");
  }
  EXPECT_EQ(unsynced_create.size(), 2u);
  EXPECT_EQ(renamed.size(), 2u);
}

// Without sync_dir a later change may be there and an earlier one not; those of one name are in
// order.
TEST(SimDisk, ChangesOfDifferentNamesHaveNoOrder) {
  std::set<std::string> found;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SimRng rng(seed);
    SimDisk disk;
    disk.put("/d/a", "1");
    disk.put("/d/b", "2");
    ASSERT_EQ(disk.rename("/d/a", "/d/c"), 0);
    ASSERT_EQ(disk.rename("/d/b", "/d/e"), 0);
    ASSERT_EQ(disk.rename("/d/c", "/d/f"), 0);  // rests on the first
    disk.power_cut(rng);
    std::string names;
    for (const std::string& path : disk.files()) names += path.substr(3);
    found.insert(names);
  }
  const std::set<std::string> possible = {"ab", "bc", "bf", "ae", "ce", "ef"};
  EXPECT_EQ(found, possible);
}

// A choice for each that is not synced, in order; equal images have equal hashes.
TEST(SimDisk, APowerCutKeepsWhatItIsTold) {
  SimRng rng(1);
  SimDisk disk;
  disk.put("/f", std::string(2'048, 'o'));
  InodeId file = 0;
  ASSERT_EQ(disk.open("/f", kCreate, 0, 1, rng, file), 0);
  disk.write(file, 0, bytes_of(std::string(4'096, 'n')), 1, 0, rng);
  InodeId made = 0;
  ASSERT_EQ(disk.open("/g", kCreate, 0, 1, rng, made), 0);
  ASSERT_EQ(disk.unsynced(), 10u);  // an entry, a size, eight sectors
  std::set<std::uint64_t> hashes;
  for (std::size_t kept = 0; kept <= 10; ++kept) {
    SimDisk image = disk;
    image.power_cut([&](const Unsynced& asked) { return asked.number < kept; });
    EXPECT_EQ(image.exists("/g"), kept > 0);
    const std::string content = image.content("/f").value();
    EXPECT_EQ(content.size(), kept > 1 ? 4'096u : 2'048u);
    EXPECT_EQ(static_cast<std::size_t>(std::ranges::count(content, 'n')),
              kept > 2 ? (kept - 2) * kSectorBytes : 0u);
    hashes.insert(image.content_hash());
    EXPECT_EQ(image.content_hash(), SimDisk(image).content_hash());
  }
  EXPECT_EQ(hashes.size(), 11u);
}

TEST(SimDisk, FailedSyncLeavesCleanSectorsThatThePowerCutTakes) {
  std::size_t lost = 0;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    SimRng rng(seed);
    SimDisk disk;
    disk.put("/f", std::string(512, 'o'));
    InodeId file = 0;
    ASSERT_EQ(disk.open("/f", kCreate, 0, 1, rng, file), 0);
    disk.write(file, 0, bytes_of(std::string(512, 'n')), 1, 0, rng);
    disk.fail_sync(file, rng);
    disk.sync(file, all_reaped(), rng);  // succeeds and proves nothing
    std::byte direct{};
    disk.read(file, 0, MutableBytes(&direct, 1), /*direct=*/true, rng);
    disk.power_cut(rng);
    const char found = disk.content("/f").value()[0];
    EXPECT_EQ(found, static_cast<char>(direct));  // a direct read saw the medium
    lost += found == 'o' ? 1 : 0;
  }
  EXPECT_GT(lost, 10u);
}

TEST(SimDisk, FullDiskWritesWhatFitsAndGivesSpaceBack) {
  SimRng rng(1);
  SimDisk disk(8 * kPageBytes);
  InodeId file = 0;
  ASSERT_EQ(disk.open("/f", kCreate, 0, 1, rng, file), 0);
  ASSERT_EQ(disk.allocate(file, 4 * kPageBytes, 0), 0);
  EXPECT_EQ(disk.allocate(file, 9 * kPageBytes, 0), -ENOSPC);
  const std::string bytes(10 * kPageBytes, 'x');
  EXPECT_EQ(disk.write(file, 100, bytes_of(bytes), 1, 0, rng),
            static_cast<std::int64_t>(8 * kPageBytes - 100));
  EXPECT_EQ(disk.write(file, 8 * kPageBytes, bytes_of(bytes), 1, 0, rng), -ENOSPC);
  EXPECT_EQ(disk.free_bytes(), 0u);
  ASSERT_EQ(disk.unlink("/f"), 0);
  EXPECT_EQ(disk.free_bytes(), 0u);  // still open
  disk.close(file);
  EXPECT_EQ(disk.free_bytes(), 8 * kPageBytes);
}

TEST(SimDisk, ChangesAtRest) {
  SimDisk disk;
  disk.put("/a/b", "hello");
  const SimDisk before = disk;
  EXPECT_TRUE(disk.flip_bit("/a/b", 1, 0));
  EXPECT_EQ(disk.content("/a/b"), "hdllo");
  EXPECT_TRUE(disk.resize("/a/b", 2));
  EXPECT_EQ(disk.content("/a/b"), "hd");
  EXPECT_TRUE(disk.erase("/a/b"));
  EXPECT_FALSE(disk.flip_bit("/a/b", 0, 0));
  disk = before;
  EXPECT_EQ(disk.content("/a/b"), "hello");
  EXPECT_EQ(disk.files(), std::vector<std::string>{"/a/b"});
}

// Every crash image of replace_file holds the old content or the new.
TEST(CrashImages, ReplaceFileIsAtomic) {
  SimWorld world(1);
  SimNode& node = world.start_node("a");
  node.disk().put("/d/f", "old");
  const SimDisk before = node.disk();
  node.disk().start_recording();
  const std::string fresh(5'000, 'n');
  ASSERT_TRUE(world.run_task(node.shard(), replace_file(node.shard(), "/d/f", fresh)));
  std::set<std::string> seen;
  std::size_t images_made = 0;
  CrashImages images(before, node.disk().changes());
  do {
    for (std::uint64_t seed = 1; seed <= 20; ++seed, ++images_made) {
      const std::string found = images.image(seed).content("/d/f").value_or("missing");
      ASSERT_TRUE(found == "old" || found == fresh) << images.position() << ": " << found.size();
      seen.insert(found);
      if (images.position() == images.size()) {
        ASSERT_EQ(found, fresh);
      }
    }
  } while (images.advance());
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_GT(images_made, 100u);
}

// Failing the n-th operation, for every n: an error comes out, and a power cut finds old or new.
TEST(FaultPlan, SweepOfReplaceFile) {
  std::uint64_t operations = 0;
  for (std::uint64_t nth = 0; nth <= operations; ++nth) {
    SimWorld world(nth + 1);
    SimNode& node = world.start_node("a");
    node.disk().put("/d/f", "old");
    if (nth > 0) node.fail_nth(OpKind::any_disk, nth);
    const Result<void> replaced =
        world.run_task(node.shard(), replace_file(node.shard(), "/d/f", "new"));
    EXPECT_EQ(replaced.has_value(), nth == 0) << "operation " << nth;
    if (nth == 0) operations = node.count(OpKind::any_disk);
    world.power_cut(node);
    const std::string found = node.disk().content("/d/f").value_or("missing");
    EXPECT_TRUE(found == "new" || (nth > 0 && found == "old")) << nth << ": " << found;
  }
  EXPECT_EQ(operations, 5u);  // open, write, sync, rename, sync_dir
}

}  // namespace
}  // namespace keelson::engine::io
