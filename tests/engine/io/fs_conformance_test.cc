// Every metadata operation, on every backend.
#include <cerrno>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/io/awaitables.h"
#include "engine/io/file.h"
#include "engine/io/sync.h"
#include "tests/engine/io/conformance.h"

namespace keelson::engine::io {
namespace {

using testing::ElementsAre;
using testing::Field;
using testing::IsEmpty;

class FsConformance : public Conformance {};
INSTANTIATE_TEST_SUITE_P(Backends, FsConformance, testing::ValuesIn(backend_sources()),
                         [](const auto& info) { return info.param.name; });

Task<void> open_flags(Shard& shard, std::string path) {
  const Result<File> absent = co_await File::open(shard, path, OpenFlags{});
  EXPECT_EQ(absent.error(), (Error{Errc::not_found, ENOENT}));
  {
    const OpenFlags create{.write = true, .create = true};
    Result<File> made = co_await File::open(shard, path, create);
    CO_ASSERT(made.has_value());
    const Result<void> written = co_await made->write_at(0, pattern(10, 1));
    EXPECT_TRUE(written.has_value());
  }
  const OpenFlags exclusive{.write = true, .create = true, .exclusive = true};
  const Result<File> refused = co_await File::open(shard, path, exclusive);
  EXPECT_EQ(refused.error(), (Error{Errc::already_exists, EEXIST}));
  {
    const Result<File> kept = co_await File::open(shard, path, OpenFlags{});
    EXPECT_TRUE(kept.has_value());
  }
  const Result<FileStat> before = co_await stat(shard, path);
  EXPECT_EQ(before->size_bytes, 10u);
  const OpenFlags truncate{.write = true, .truncate = true};
  const Result<File> emptied = co_await File::open(shard, path, truncate);
  EXPECT_TRUE(emptied.has_value());
  const Result<FileStat> after = co_await stat(shard, path);
  EXPECT_EQ(after->size_bytes, 0u);
}

TEST_P(FsConformance, OpensAsTheFlagsSay) { bed_->run(open_flags(shard(), path("file"))); }

Task<void> compute_one(Shard& shard, std::vector<int>& order, int name, std::thread::id& where) {
  auto computation = [&] {
    order.push_back(name);
    where = std::this_thread::get_id();
  };
  co_await compute_aside(shard, computation);
}

Task<void> compute_some(Shard& shard, bool native) {
  std::vector<int> order;  // theirs, one at a time
  std::vector<std::thread::id> where(50);
  TaskGroup group(shard);
  for (int i = 0; i < 50; ++i) {
    group.start(compute_one(shard, order, i, where[static_cast<std::size_t>(i)]));
  }
  co_await group.wait();
  EXPECT_EQ(order.size(), 50u);
  if (!native) co_return;
  EXPECT_TRUE(std::ranges::is_sorted(order));
  EXPECT_THAT(where,
              testing::Each(testing::AllOf(where[0], testing::Ne(std::this_thread::get_id()))));
}

TEST_P(FsConformance, ComputationsRunAsideOneAtATime) {
  bed_->run(compute_some(shard(), bed_->is_native()));
}

Task<void> rename_and_unlink(Shard& shard, std::string old_path, std::string new_path) {
  co_await replace_file(shard, old_path, "old");
  co_await replace_file(shard, new_path, "replaced");
  const Result<void> renamed = co_await rename(shard, old_path, new_path);
  EXPECT_TRUE(renamed.has_value());
  const Result<std::string> content = co_await read_file(shard, new_path, 100);
  EXPECT_EQ(content, "old");
  const Result<void> gone = co_await rename(shard, old_path, new_path);
  EXPECT_EQ(gone, fail(Errc::not_found, ENOENT));
  const Result<void> unlinked = co_await unlink(shard, new_path);
  EXPECT_TRUE(unlinked.has_value());
  const Result<void> again = co_await unlink(shard, new_path);
  EXPECT_EQ(again, fail(Errc::not_found, ENOENT));
}

TEST_P(FsConformance, RenamesAndUnlinks) {
  bed_->run(rename_and_unlink(shard(), path("old"), path("new")));
}

Task<void> directories(Shard& shard, std::string dir) {
  const Result<void> made = co_await make_dir(shard, dir);
  EXPECT_TRUE(made.has_value());
  const Result<void> again = co_await make_dir(shard, dir);
  EXPECT_EQ(again, fail(Errc::already_exists, EEXIST));
  const Result<std::vector<DirEntry>> none = co_await list_dir(shard, dir);
  CO_ASSERT(none.has_value());
  EXPECT_THAT(*none, IsEmpty());

  // Neither the order of creation nor that of the file system's hash.
  for (const char* name : {"b", "00000000000000000010.log", "a", "00000000000000000009.log", "Z"}) {
    const Result<void> written = co_await replace_file(shard, dir + "/" + name, "");
    EXPECT_TRUE(written.has_value());
  }
  co_await make_dir(shard, dir + "/inner");
  const Result<std::vector<DirEntry>> listed = co_await list_dir(shard, dir);
  CO_ASSERT(listed.has_value());
  std::vector<std::string> names;
  for (const DirEntry& entry : *listed) {
    names.push_back(entry.name);
    EXPECT_EQ(entry.is_dir, entry.name == "inner");
  }
  EXPECT_THAT(names, ElementsAre("00000000000000000009.log", "00000000000000000010.log", "Z", "a",
                                 "b", "inner"));

  const Result<void> full = co_await remove_dir(shard, dir);
  EXPECT_EQ(full, fail(Errc::io, ENOTEMPTY));
  const Result<void> removed = co_await remove_dir(shard, dir + "/inner");
  EXPECT_TRUE(removed.has_value());
  const Result<void> absent = co_await remove_dir(shard, dir + "/inner");
  EXPECT_EQ(absent, fail(Errc::not_found, ENOENT));
  const Result<std::vector<DirEntry>> no_list = co_await list_dir(shard, dir + "/inner");
  EXPECT_EQ(no_list.error(), (Error{Errc::not_found, ENOENT}));
  const Result<std::vector<DirEntry>> no_dir = co_await list_dir(shard, dir + "/a");
  EXPECT_EQ(no_dir.error(), (Error{Errc::io, ENOTDIR}));
}

TEST_P(FsConformance, ListsDirectoriesByName) { bed_->run(directories(shard(), path("dir"))); }

Task<void> facts(Shard& shard, std::string dir, std::string path) {
  const Result<FileStat> absent = co_await stat(shard, path);
  EXPECT_EQ(absent.error(), (Error{Errc::not_found, ENOENT}));
  co_await replace_file(shard, path, "12345");
  const Result<FileStat> file = co_await stat(shard, path);
  CO_ASSERT(file.has_value());
  EXPECT_EQ(file->size_bytes, 5u);
  EXPECT_FALSE(file->is_dir);
  EXPECT_NE(file->inode, 0u);
  EXPECT_LE(std::abs(file->modified_ms - shard.clock().wall_ms()), 60'000);
  const Result<FileStat> directory = co_await stat(shard, dir);
  CO_ASSERT(directory.has_value());
  EXPECT_TRUE(directory->is_dir);
  EXPECT_NE(directory->inode, file->inode);
  const Result<void> synced = co_await sync_dir(shard, dir);
  EXPECT_TRUE(synced.has_value());
  const Result<void> not_synced = co_await sync_dir(shard, path + "-absent");
  EXPECT_EQ(not_synced, fail(Errc::not_found, ENOENT));
  const Result<DiskSpace> space = co_await disk_space(shard, dir);
  CO_ASSERT(space.has_value());
  EXPECT_GT(space->free_bytes, 0u);
  EXPECT_LE(space->free_bytes, space->total_bytes);
  const Result<DiskSpace> no_space = co_await disk_space(shard, path + "-absent");
  EXPECT_EQ(no_space.error(), (Error{Errc::not_found, ENOENT}));
}

TEST_P(FsConformance, TellsFactsOfFilesAndDirectories) {
  bed_->run(facts(shard(), bed_->directory(), path("file")));
}

Task<void> sizes(Shard& shard, std::string path) {
  Result<File> file = co_await File::open(shard, path, {.write = true, .create = true});
  CO_ASSERT(file.has_value());
  const Result<void> allocated = co_await file->allocate(100'000);
  EXPECT_TRUE(allocated.has_value());
  const Result<FileStat> grown = co_await stat(shard, path);
  EXPECT_EQ(grown->size_bytes, 100'000u);
  std::vector<std::byte> found(100, std::byte{7});
  const Result<std::size_t> read = co_await file->read_at(50'000, found);
  EXPECT_EQ(read, std::size_t{100});
  EXPECT_EQ(found, std::vector<std::byte>(100));
  const Result<void> cut = co_await file->truncate(10);
  EXPECT_TRUE(cut.has_value());
  const Result<FileStat> small = co_await stat(shard, path);
  EXPECT_EQ(small->size_bytes, 10u);
  const Result<void> extended = co_await file->truncate(20);
  EXPECT_TRUE(extended.has_value());
  const Result<FileStat> larger = co_await stat(shard, path);
  EXPECT_EQ(larger->size_bytes, 20u);
}

TEST_P(FsConformance, SetsSizes) { bed_->run(sizes(shard(), path("file"))); }

Task<void> contend(Shard& shard, std::string path) {
  const OpenFlags flags{.write = true, .create = true};
  Result<File> first = co_await File::open(shard, path, flags);
  Result<File> second = co_await File::open(shard, path, flags);
  CO_ASSERT(first.has_value() && second.has_value());
  const Result<void> taken = co_await first->lock();
  EXPECT_TRUE(taken.has_value());
  const Result<void> refused = co_await second->lock();
  EXPECT_EQ(refused, fail(Errc::locked, EWOULDBLOCK));
  {
    // Another descriptor of the file that closes leaves the lock alone.
    const Result<File> third = co_await File::open(shard, path, flags);
    EXPECT_TRUE(third.has_value());
  }
  const Result<void> still = co_await second->lock();
  EXPECT_EQ(still, fail(Errc::locked, EWOULDBLOCK));
  first->close();
  const Result<void> free_again = co_await second->lock();
  EXPECT_TRUE(free_again.has_value());
}

TEST_P(FsConformance, OneOpenFileHoldsTheLock) { bed_->run(contend(shard(), path("lock"))); }

Task<void> nested_path(Shard& shard, std::string path) {
  const Result<void> made = co_await make_dir(shard, path + "/a/b");
  EXPECT_EQ(made, fail(Errc::not_found, ENOENT));
  const Result<File> opened =
      co_await File::open(shard, path + "/a/b", {.write = true, .create = true});
  EXPECT_EQ(opened.error(), (Error{Errc::not_found, ENOENT}));
}

TEST_P(FsConformance, MissingParentsAreErrors) { bed_->run(nested_path(shard(), path("none"))); }

}  // namespace
}  // namespace keelson::engine::io
