// Reads, writes, syncs and direct I/O, on every backend.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "engine/io/aligned_buffer.h"
#include "engine/io/awaitables.h"
#include "engine/io/file.h"
#include "engine/io/sync.h"
#include "tests/engine/io/conformance.h"

namespace keelson::engine::io {
namespace {

class FileConformance : public Conformance {};
INSTANTIATE_TEST_SUITE_P(Backends, FileConformance, testing::ValuesIn(backend_sources()),
                         [](const auto& info) { return info.param.name; });

constexpr OpenFlags kNew{.write = true, .create = true, .exclusive = true};

Task<void> write_and_read_back(Shard& shard, std::string path, bool durable) {
  Result<File> file = co_await File::open(shard, path, kNew);
  CO_ASSERT(file.has_value());
  std::uint64_t position = 0;
  const std::vector<std::size_t> sizes{1, 7, 511, 512, 4095, 4096, 4097, 65'536, 1'048'577};
  for (const std::size_t size : sizes) {
    const std::vector<std::byte> bytes = pattern(size, position);
    const Result<void> written = co_await file->write_at(position, bytes, durable);
    EXPECT_TRUE(written.has_value()) << size;
    position += size;
  }
  const Result<void> synced = co_await file->sync_data();
  EXPECT_TRUE(synced.has_value());
  position = 0;
  for (const std::size_t size : sizes) {
    std::vector<std::byte> found(size);
    const Result<std::size_t> read = co_await file->read_at(position, found);
    CO_ASSERT(read.has_value());
    EXPECT_EQ(*read, size);
    EXPECT_EQ(found, pattern(size, position)) << size;
    position += size;
  }
}

TEST_P(FileConformance, ReadsBackWhatWasWritten) {
  bed_->run(write_and_read_back(shard(), path("plain"), false));
}

TEST_P(FileConformance, ReadsBackWhatWasWrittenDurably) {
  bed_->run(write_and_read_back(shard(), path("durable"), true));
}

/// Copied within submit(), told of by a later poll().
struct AtOnce : Operation {
  AtOnce(const File& file, std::uint64_t position, const iovec& source) {
    code = OpCode::write;
    at_once = true;
    fd = file.fd();
    buffers = &source;
    buffer_count = 1;
    position_bytes = position;
    on_complete = [](Operation& self) { static_cast<AtOnce&>(self).done = true; };
  }
  bool done = false;
};

// As a log's writer has it: the same file through two descriptors, and nobody misses a byte.
Task<void> write_at_once(Shard& shard, std::string path) {
  Result<File> file = co_await File::open(shard, path, kNew);
  CO_ASSERT(file.has_value());
  Result<File> direct = co_await File::open(shard, path, OpenFlags{.write = true, .direct = true});
  if (!direct) direct = co_await File::open(shard, path, OpenFlags{.write = true});
  CO_ASSERT(direct.has_value());
  const Result<void> reserved = co_await direct->allocate(64 * kBlockBytes);
  EXPECT_TRUE(reserved.has_value());
  for (std::uint64_t block = 0; block < 8; ++block) {
    AlignedBuffer bytes(kBlockBytes);
    const std::uint64_t at = block * kBlockBytes;
    std::ranges::copy(pattern(kBlockBytes, at), bytes.data());
    const iovec source{bytes.data(), kBlockBytes};
    AtOnce write(*file, at, source);
    shard.backend().submit(write);
    EXPECT_FALSE(write.done) << "within the call";
    while (!write.done) co_await shard.yield();
    EXPECT_EQ(write.result, static_cast<std::int64_t>(kBlockBytes));
    AlignedBuffer found(kBlockBytes);
    const Result<std::size_t> read = co_await direct->read_at(at, found.bytes());
    EXPECT_TRUE(read.has_value() && *read == kBlockBytes);
    EXPECT_TRUE(std::ranges::equal(found.bytes(), bytes.bytes())) << block;
  }
  const Result<void> synced = co_await direct->sync_data();
  EXPECT_TRUE(synced.has_value());
  const Result<void> dropped = co_await file->drop_cache(0, 8 * kBlockBytes);
  EXPECT_TRUE(dropped.has_value());
  std::vector<std::byte> all(8 * kBlockBytes);
  const Result<std::size_t> read = co_await file->read_at(0, all);
  EXPECT_TRUE(read.has_value() && *read == all.size());
  for (std::uint64_t at = 0; at < all.size(); at += kBlockBytes) {
    EXPECT_TRUE(std::ranges::equal(Bytes(all).subspan(at, kBlockBytes), pattern(kBlockBytes, at)));
  }
}

TEST_P(FileConformance, WritesToThePageCacheAtOnce) {
  bed_->run(write_at_once(shard(), path("cached")));
}

Task<void> several_buffers(Shard& shard, std::string path) {
  Result<File> file = co_await File::open(shard, path, kNew);
  CO_ASSERT(file.has_value());
  const std::vector<std::byte> bytes = pattern(10'000, 3);
  auto* const start = const_cast<std::byte*>(bytes.data());
  const iovec parts[3] = {{start, 1}, {start + 1, 4999}, {start + 5000, 5000}};
  for (const bool durable : {false, true}) {
    IoAwaiter write{shard};
    write.code = OpCode::write;
    write.durable = durable;
    write.fd = file->fd();
    write.buffers = parts;
    write.buffer_count = 3;
    write.position_bytes = durable ? 10'000 : 0;
    const std::int64_t written = co_await write;
    EXPECT_EQ(written, 10'000);
  }
  std::vector<std::byte> found(20'000);
  const iovec into[2] = {{found.data(), 12'345}, {found.data() + 12'345, 20'000 - 12'345}};
  IoAwaiter read{shard};
  read.code = OpCode::read;
  read.fd = file->fd();
  read.buffers = into;
  read.buffer_count = 2;
  const std::int64_t count = co_await read;
  EXPECT_EQ(count, 20'000);
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), found.begin()));
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), found.begin() + 10'000));
}

TEST_P(FileConformance, TransfersSeveralBuffersAsOne) {
  bed_->run(several_buffers(shard(), path("vectors")));
}

Task<void> read_past_the_end(Shard& shard, std::string path) {
  Result<File> file = co_await File::open(shard, path, kNew);
  CO_ASSERT(file.has_value());
  const Result<void> written = co_await file->write_at(0, pattern(1000, 0));
  CO_ASSERT(written.has_value());
  std::vector<std::byte> found(4096);
  const std::int64_t tail = co_await read_once(shard, file->fd(), 900, found);
  EXPECT_EQ(tail, 100);
  const std::int64_t at_end = co_await read_once(shard, file->fd(), 1000, found);
  EXPECT_EQ(at_end, 0);
  const std::int64_t beyond = co_await read_once(shard, file->fd(), 1'000'000, found);
  EXPECT_EQ(beyond, 0);
  const Result<std::size_t> all = co_await file->read_at(0, found);
  EXPECT_EQ(all, std::size_t{1000});
}

TEST_P(FileConformance, ReadsAreShortAtTheEnd) {
  bed_->run(read_past_the_end(shard(), path("short")));
}

Task<void> direct_transfers(Shard& shard, std::string path, bool& supported) {
  OpenFlags flags = kNew;
  flags.direct = true;
  Result<File> file = co_await File::open(shard, path, flags);
  supported = file.has_value() || file.error().sys_errno != EINVAL;
  if (!supported) co_return;
  CO_ASSERT(file.has_value());
  AlignedBuffer buffer(16 * kBlockBytes);
  const std::vector<std::byte> bytes = pattern(buffer.size_bytes(), 9);
  std::memcpy(buffer.data(), bytes.data(), bytes.size());
  const Result<void> written = co_await file->write_at(kBlockBytes, buffer.bytes(), true);
  EXPECT_TRUE(written.has_value());

  AlignedBuffer found(32 * kBlockBytes);
  const Result<std::size_t> read = co_await file->read_at(0, found.bytes());
  EXPECT_EQ(read, std::size_t{17 * kBlockBytes});
  EXPECT_EQ(std::memcmp(found.data() + kBlockBytes, bytes.data(), bytes.size()), 0);

  // Neither a position nor memory beside a sector can be had.
  const std::int64_t odd_position =
      co_await write_once(shard, file->fd(), 1, {buffer.data(), kBlockBytes}, false);
  EXPECT_EQ(odd_position, -EINVAL);
  const std::int64_t odd_memory =
      co_await write_once(shard, file->fd(), 0, {buffer.data() + 1, kBlockBytes}, false);
  EXPECT_EQ(odd_memory, -EINVAL);

  // A file that ends inside a block is read to its end.
  const Result<void> cut = co_await file->truncate(3 * kBlockBytes + 100);
  CO_ASSERT(cut.has_value());
  const Result<std::size_t> tail = co_await file->read_at(0, found.bytes());
  EXPECT_EQ(tail, std::size_t{3 * kBlockBytes + 100});
}

TEST_P(FileConformance, DirectTransfersAreWholeBlocks) {
  bool supported = true;
  bed_->run(direct_transfers(shard(), path("direct"), supported));
  if (!supported) GTEST_SKIP() << "no O_DIRECT in " << bed_->directory();
}

Task<void> wrong_descriptors(Shard& shard, std::string path) {
  std::vector<std::byte> bytes(10);
  const std::int64_t none = co_await read_once(shard, -1, 0, bytes);
  EXPECT_EQ(none, -EBADF);
  const Result<void> made = co_await replace_file(shard, path, "content");
  CO_ASSERT(made.has_value());
  Result<File> readable = co_await File::open(shard, path, OpenFlags{});
  CO_ASSERT(readable.has_value());
  const std::int64_t refused = co_await write_once(shard, readable->fd(), 0, bytes, true);
  EXPECT_EQ(refused, -EBADF);
  const Result<void> unlocked = co_await readable->lock();
  EXPECT_EQ(unlocked, fail(Errc::io, EBADF));
}

TEST_P(FileConformance, RefusesWrongDescriptors) {
  bed_->run(wrong_descriptors(shard(), path("readable")));
}

Task<void> leave_the_cache(Shard& shard, std::string path) {
  Result<File> file = co_await File::open(shard, path, kNew);
  CO_ASSERT(file.has_value());
  const std::vector<std::byte> bytes = pattern(64 * kBlockBytes, 4);
  const Result<void> written = co_await file->write_at(0, bytes, true);
  CO_ASSERT(written.has_value());
  // Every other part is dropped from the page cache: reads meet what is there and what is not.
  for (std::uint64_t block = 0; block < 64; block += 8) {
    ::posix_fadvise(file->fd(), static_cast<off_t>(block * kBlockBytes), 4 * kBlockBytes,
                    POSIX_FADV_DONTNEED);
  }
  for (const std::size_t step : {kBlockBytes / 2, 3 * kBlockBytes, 40 * kBlockBytes}) {
    std::vector<std::byte> found(bytes.size());
    for (std::size_t done = 0; done < found.size(); done += step) {
      const std::size_t count = std::min(step, found.size() - done);
      const MutableBytes into = MutableBytes(found).subspan(done, count);
      const Result<std::size_t> read = co_await file->read_at(done, into);
      EXPECT_EQ(read, count);
    }
    EXPECT_EQ(found, bytes);
  }
}

TEST_P(FileConformance, ReadsWhatIsPartlyCached) {
  if (!bed_->is_native()) GTEST_SKIP() << "no page cache here";
  bed_->run(leave_the_cache(shard(), path("cached")));
}

struct Block {
  std::uint64_t index = 0;
  bool durable = false;
};

Task<void> write_block(File& file, Block block) {
  const std::vector<std::byte> bytes = pattern(kBlockBytes, block.index);
  const Result<void> written =
      co_await file.write_at(block.index * kBlockBytes, bytes, block.durable);
  EXPECT_TRUE(written.has_value());
}

Task<void> check_block(File& file, std::uint64_t index, std::size_t& checked) {
  std::vector<std::byte> found(kBlockBytes);
  const Result<std::size_t> read = co_await file.read_at(index * kBlockBytes, found);
  EXPECT_EQ(read, kBlockBytes);
  EXPECT_EQ(found, pattern(kBlockBytes, index));
  ++checked;
}

// More than the submission queue of a ring holds, and more than there are helper threads.
Task<void> thousands_at_once(Shard& shard, std::string path) {
  constexpr std::uint64_t kCount = 3000;
  Result<File> file = co_await File::open(shard, path, kNew);
  CO_ASSERT(file.has_value());
  TaskGroup writes(shard);
  for (std::uint64_t i = 0; i < kCount; ++i) {
    writes.start(write_block(*file, {i, i % 500 == 0}));
  }
  co_await writes.wait();
  std::size_t checked = 0;
  TaskGroup reads(shard);
  for (std::uint64_t i = 0; i < kCount; ++i) reads.start(check_block(*file, i, checked));
  co_await reads.wait();
  EXPECT_EQ(checked, kCount);
}

TEST_P(FileConformance, RunsThousandsOfOperationsAtOnce) {
  bed_->run(thousands_at_once(shard(), path("many")));
}

// submit() never completes within itself: whoever submits has not finished its own bookkeeping.
Task<void> not_within_submit(Shard& shard, std::string path) {
  Result<File> file = co_await File::open(shard, path, kNew);
  CO_ASSERT(file.has_value());
  struct Counted : Operation {
    bool completed = false;
  };
  Counted operation;
  std::byte byte{1};
  const iovec buffer{&byte, 1};
  operation.code = OpCode::write;
  operation.fd = file->fd();
  operation.buffers = &buffer;
  operation.buffer_count = 1;
  operation.on_complete = [](Operation& self) { static_cast<Counted&>(self).completed = true; };
  shard.backend().submit(operation);
  EXPECT_FALSE(operation.completed);
  while (!operation.completed) co_await shard.yield();
  EXPECT_EQ(operation.result, 1);
}

TEST_P(FileConformance, CompletesOnlyWithinPoll) {
  bed_->run(not_within_submit(shard(), path("later")));
}

}  // namespace
}  // namespace keelson::engine::io
