// What a backend tells, and has done, for the threads beside its shard.
#include "engine/huge_pages.h"
#include "engine/io/awaitables.h"
#include "engine/io/file.h"
#include "engine/io/posix/stand_back.h"
#include "tests/engine/io/conformance.h"

namespace keelson::engine::io {
namespace {

class BesideConformance : public Conformance {
 protected:
  void SetUp() override {
    Conformance::SetUp();
    if (bed_ != nullptr && !bed_->is_native()) GTEST_SKIP() << "no threads beside a simulated one";
  }
};

INSTANTIATE_TEST_SUITE_P(Backends, BesideConformance, testing::ValuesIn(backend_sources()),
                         [](const auto& info) { return info.param.name; });

struct Write : Operation {
  bool done = false;
  bool counted_then = true;
};

/// Whether it was counted while it was under way, and no more when it was told.
Task<void> write_is_counted(Shard& shard, std::string path, bool durable) {
  Result<File> file = co_await File::open(shard, path, {.write = true, .create = true});
  CO_ASSERT(file.has_value());
  std::byte byte{1};
  const iovec buffer{&byte, 1};
  Write write;
  write.code = OpCode::write;
  write.durable = durable;
  write.fd = file->fd();
  write.buffers = &buffer;
  write.buffer_count = 1;
  write.on_complete = [](Operation& self) {
    auto& told = static_cast<Write&>(self);
    told.counted_then = foreground.has_durable_writes();
    told.done = true;
  };
  EXPECT_FALSE(foreground.has_durable_writes());
  shard.backend().submit(write);
  EXPECT_EQ(foreground.has_durable_writes(), durable);
  while (!write.done) co_await shard.rest();
  EXPECT_EQ(write.result, 1);
  EXPECT_FALSE(write.counted_then);
}

TEST_P(BesideConformance, DurableWritesAreCountedWhileTheyAreUnderWay) {
  for (const bool durable : {true, false}) {
    bed_->run(write_is_counted(shard(), path("counted"), durable));
  }
}

Task<void> request_is_told(Shard& shard) {
  const Connection connection = co_await connect_pair(shard);
  // Times of this run's own: what others left behind is over.
  static std::int64_t ahead_ns = 0;
  ahead_ns += 10 * Foreground::kQuietNs;
  std::int64_t now_ns = shard.clock().now_ns() + ahead_ns;
  (void)foreground.is_busy(now_ns);
  now_ns += Foreground::kQuietNs;
  EXPECT_FALSE(foreground.is_busy(now_ns));
  const std::byte byte{1};
  std::byte into{0};
  const std::int64_t sent = co_await send_once(shard, connection.client, Bytes(&byte, 1));
  EXPECT_EQ(sent, 1);
  EXPECT_FALSE(foreground.is_busy(now_ns));
  const std::int64_t received =
      co_await receive_once(shard, connection.server, MutableBytes(&into, 1));
  EXPECT_EQ(received, 1);
  EXPECT_TRUE(foreground.is_busy(now_ns));
  shard.backend().close(connection.client);
  shard.backend().close(connection.server);
}

TEST_P(BesideConformance, WhatASocketBringsIsTold) { bed_->run(request_is_told(shard())); }

TEST_P(BesideConformance, HugePagesAreMadeReadyByAHelper) {
  while (std::byte* const page = take_prepared_page()) unmap_pages(page, kHugePageBytes);
  const std::int64_t limit_ns = shard().clock().now_ns() + 10'000'000'000;
  // The first poll asks; the rest give the helper time.
  std::byte* page = nullptr;
  while (page == nullptr && shard().clock().now_ns() < limit_ns) {
    shard().backend().poll(shard().clock().now_ns() + 1'000'000);
    page = take_prepared_page();
  }
  ASSERT_NE(page, nullptr);
  unmap_pages(page, kHugePageBytes);
}

}  // namespace
}  // namespace keelson::engine::io
