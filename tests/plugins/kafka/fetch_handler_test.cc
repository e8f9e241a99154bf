// Fetch sessions as a client sees them (KIP-227), through the dispatcher.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "tests/plugins/kafka/broker_world.h"

namespace keelson::test {
namespace {

using kafka::messages::FetchRequest;
using kafka::messages::FetchResponse;
using kafka::messages::ProduceRequest;
using kafka::messages::ProduceResponse;

class FetchHandler : public ::testing::Test {
 protected:
  void SetUp() override { broker.create_topic("t", 3); }

  void produce(std::int32_t partition, std::size_t value_bytes = 1) {
    std::vector<std::byte> batch = batch_of(1, std::string(value_bytes, 'v'));
    ProduceRequest request;
    request.acks = -1;
    request.timeout_ms = 1000;
    auto& data = request.topic_data.emplace_back();
    data.name = "t";
    auto& one = data.partition_data.emplace_back();
    one.index = partition;
    one.records = engine::MutableBytes(batch);
    const auto response = broker.call<ProduceResponse>(request, 9);
    ASSERT_EQ(response.responses.at(0).partition_responses.at(0).error_code, 0);
  }
  static FetchRequest request(std::int32_t id, std::int32_t epoch,
                              std::vector<std::pair<std::int32_t, std::int64_t>> partitions) {
    FetchRequest request;
    request.max_wait_ms = 0;
    request.min_bytes = 1;
    request.session_id = id;
    request.session_epoch = epoch;
    if (partitions.empty()) return request;
    auto& topic = request.topics.emplace_back();
    topic.topic = "t";
    for (const auto& [partition, offset] : partitions) {
      auto& one = topic.partitions.emplace_back();
      one.partition = partition;
      one.fetch_offset = offset;
      one.partition_max_bytes = 1 << 20;
    }
    return request;
  }
  FetchResponse fetch(const FetchRequest& asked, std::int16_t version = 12,
                      std::uint32_t shard = 0) {
    return broker.call<FetchResponse>(asked, version, shard);
  }
  static std::vector<std::int32_t> partitions_of(const FetchResponse& response) {
    std::vector<std::int32_t> partitions;
    for (const auto& topic : response.responses) {
      for (const auto& one : topic.partitions) partitions.push_back(one.partition_index);
    }
    return partitions;
  }
  /// Bytes of records, by partition.
  static std::map<std::int32_t, std::size_t> sizes_of(const FetchResponse& response) {
    std::map<std::int32_t, std::size_t> sizes;
    for (const auto& topic : response.responses) {
      for (const auto& one : topic.partitions) {
        if (one.records) sizes[one.partition_index] = engine::total_bytes(*one.records);
      }
    }
    return sizes;
  }
  static std::size_t total_of(const FetchResponse& response) {
    std::size_t total = 0;
    for (const auto& [partition, bytes] : sizes_of(response)) total += bytes;
    return total;
  }
  static ApiErrc error_of(const FetchResponse& response) {
    return static_cast<ApiErrc>(response.error_code);
  }
  using Partitions = std::vector<std::int32_t>;
  BrokerWorld broker;
};

TEST_F(FetchHandler, ASessionTellsOnlyWhatChanged) {
  const FetchResponse full = fetch(request(0, 0, {{0, 0}, {1, 0}, {2, 0}}));
  EXPECT_GT(full.session_id, 0);
  EXPECT_EQ(partitions_of(full), (Partitions{0, 1, 2}));
  const std::int32_t id = full.session_id;
  EXPECT_EQ(partitions_of(fetch(request(id, 1, {}))), Partitions{});
  produce(1);
  const FetchResponse one = fetch(request(id, 2, {}));
  EXPECT_EQ(one.session_id, id);
  EXPECT_EQ(partitions_of(one), Partitions{1});
  // The client goes on behind what it got; then there is nothing.
  EXPECT_EQ(partitions_of(fetch(request(id, 3, {{1, 1}}))), Partitions{});
  produce(0);
  produce(2);
  EXPECT_EQ(partitions_of(fetch(request(id, 4, {}))), (Partitions{0, 2}));
}

TEST_F(FetchHandler, WhoWasServedGoesToTheEndOfTheLine) {
  for (std::int32_t i = 0; i < 3; ++i) produce(i);
  FetchRequest first = request(0, 0, {{0, 0}, {1, 0}, {2, 0}});
  first.max_bytes = 1;  // one batch for all
  const FetchResponse full = fetch(first);
  const auto served = [](const FetchResponse& response) {
    Partitions partitions;
    for (const auto& topic : response.responses) {
      for (const auto& one : topic.partitions) {
        if (one.records && !one.records->empty()) partitions.push_back(one.partition_index);
      }
    }
    return partitions;
  };
  EXPECT_EQ(served(full), Partitions{0});
  for (std::int32_t epoch = 1; epoch <= 5; ++epoch) {
    FetchRequest next = request(full.session_id, epoch, {});
    next.max_bytes = 1;
    EXPECT_EQ(served(fetch(next)), Partitions{epoch % 3}) << epoch;
  }
}

TEST_F(FetchHandler, WrongEpochsAreRefusedAndChangeNothing) {
  const std::int32_t id = fetch(request(0, 0, {{0, 0}})).session_id;
  EXPECT_EQ(error_of(fetch(request(id, 2, {}))), ApiErrc::invalid_fetch_session_epoch);
  EXPECT_EQ(error_of(fetch(request(id, 1, {}))), ApiErrc::none);
  EXPECT_EQ(error_of(fetch(request(id, 1, {}))), ApiErrc::invalid_fetch_session_epoch);
  EXPECT_EQ(error_of(fetch(request(id, 2, {}))), ApiErrc::none);
  EXPECT_EQ(error_of(fetch(request(id + 1, 1, {}))), ApiErrc::fetch_session_id_not_found);
}

TEST_F(FetchHandler, ForgottenPartitionsAreSilent) {
  const std::int32_t id = fetch(request(0, 0, {{0, 0}, {1, 0}})).session_id;
  FetchRequest forget = request(id, 1, {{2, 0}});
  auto& forgotten = forget.forgotten_topics_data.emplace_back();
  forgotten.topic = "t";
  forgotten.partitions = {0};
  EXPECT_EQ(partitions_of(fetch(forget)), Partitions{2});  // new in the session: told once
  for (std::int32_t i = 0; i < 3; ++i) produce(i);
  EXPECT_EQ(partitions_of(fetch(request(id, 2, {}))), (Partitions{1, 2}));
}

TEST_F(FetchHandler, ClosedSessionsAreGone) {
  const std::int32_t id = fetch(request(0, 0, {{0, 0}})).session_id;
  EXPECT_EQ(fetch(request(id, -1, {{0, 0}})).session_id, 0);
  EXPECT_EQ(error_of(fetch(request(id, 1, {}))), ApiErrc::fetch_session_id_not_found);
  EXPECT_EQ(fetch(request(0, -1, {{0, 0}})).session_id, 0);  // without any
  // A new one in place of an old.
  const std::int32_t second = fetch(request(0, 0, {{0, 0}})).session_id;
  const std::int32_t third = fetch(request(second, 0, {{0, 0}})).session_id;
  EXPECT_EQ(error_of(fetch(request(second, 1, {}))), ApiErrc::fetch_session_id_not_found);
  EXPECT_EQ(error_of(fetch(request(third, 1, {}))), ApiErrc::none);
}

TEST_F(FetchHandler, NamesAndIdsDoNotMixInASession) {
  const std::int32_t id = fetch(request(0, 0, {{0, 0}})).session_id;
  EXPECT_EQ(error_of(fetch(request(id, 1, {}), 13)), ApiErrc::fetch_session_topic_id_error);
}

TEST_F(FetchHandler, TopicsByIdAndTheirDeletion) {
  FetchRequest asked = request(0, 0, {{0, 0}});
  asked.topics[0].topic = "";
  asked.topics[0].topic_id = broker.topic("t").id;
  produce(0);
  const FetchResponse full = fetch(asked, 13);
  EXPECT_EQ(full.responses.at(0).partitions.at(0).error_code, 0);
  EXPECT_EQ(full.responses.at(0).topic_id, broker.topic("t").id);
  asked.topics[0].topic_id = engine::make_uuid(4, 5);
  const FetchResponse unknown = fetch(asked, 13);
  EXPECT_EQ(static_cast<ApiErrc>(unknown.responses.at(0).partitions.at(0).error_code),
            ApiErrc::unknown_topic_id);
}

TEST_F(FetchHandler, AnErrorIsToldEachTimeAndItsEndOnce) {
  const FetchResponse full = fetch(request(0, 0, {{0, 5}, {1, 0}}));
  EXPECT_EQ(static_cast<ApiErrc>(full.responses.at(0).partitions.at(0).error_code),
            ApiErrc::offset_out_of_range);
  EXPECT_EQ(partitions_of(fetch(request(full.session_id, 1, {}))), Partitions{0});
  EXPECT_EQ(partitions_of(fetch(request(full.session_id, 2, {}))), Partitions{0});
  EXPECT_EQ(partitions_of(fetch(request(full.session_id, 3, {{0, 0}}))), Partitions{0});
  EXPECT_EQ(partitions_of(fetch(request(full.session_id, 4, {}))), Partitions{});
}

// The empty request of a client without an assignment is held for its time, not answered in a spin.
TEST_F(FetchHandler, NothingToFetchIsWaitedWith) {
  FetchRequest nothing = request(0, -1, {});
  nothing.max_wait_ms = 500;
  const std::int64_t before_ns = broker.world.now_ns();
  fetch(nothing);
  EXPECT_GE(broker.world.now_ns() - before_ns, 500'000'000);
}

// However much a client allows, a response is of a size that is made and sent quickly; what it
// left out comes first the next time.
TEST_F(FetchHandler, ALargeAppetiteIsServedInPieces) {
  constexpr std::size_t kBatchBytes = 900'000;
  constexpr int kBatches = 5;
  for (int i = 0; i < kBatches; ++i) {
    for (std::int32_t partition = 0; partition < 3; ++partition) produce(partition, kBatchBytes);
  }
  std::map<std::int32_t, std::int64_t> next{{0, 0}, {1, 0}, {2, 0}};
  const auto ask = [&](std::int32_t min_bytes) {
    FetchRequest asked = request(0, -1, {});
    asked.max_bytes = 50 << 20;
    asked.min_bytes = min_bytes;
    auto& topic = asked.topics.emplace_back();
    topic.topic = "t";
    for (const auto& [partition, offset] : next) {
      auto& one = topic.partitions.emplace_back();
      one.partition = partition;
      one.fetch_offset = offset;
      one.partition_max_bytes = 3 << 20;
    }
    return asked;
  };
  // Who waits for more gets more.
  const std::size_t more = total_of(fetch(ask(6 << 20)));
  EXPECT_GE(more, std::size_t{5} << 20);
  EXPECT_LE(more, std::size_t{6} << 20);

  int responses = 0;
  for (std::size_t left = 3 * kBatches; left > 0; ++responses) {
    ASSERT_LT(responses, 20);
    const FetchResponse response = fetch(ask(1));
    EXPECT_LE(total_of(response), std::size_t{4} << 20);
    const auto sizes = sizes_of(response);
    std::size_t came = 0;
    for (const auto& [partition, bytes] : sizes) {
      next[partition] += static_cast<std::int64_t>(bytes / kBatchBytes);
      came += bytes / kBatchBytes;
    }
    ASSERT_GT(came, 0u);
    ASSERT_LE(came, left);
    left -= came;
  }
  EXPECT_GE(responses, 4);
  for (const auto& [partition, offset] : next) EXPECT_EQ(offset, kBatches);
}

// Within a session, who found no room is at the front of the next response.
TEST_F(FetchHandler, WhoFoundNoRoomComesFirst) {
  for (int i = 0; i < 4; ++i) {
    for (std::int32_t partition = 0; partition < 3; ++partition) produce(partition, 900'000);
  }
  FetchRequest first = request(0, 0, {{0, 0}, {1, 0}, {2, 0}});
  first.max_bytes = 50 << 20;
  for (auto& one : first.topics.at(0).partitions) one.partition_max_bytes = 4 << 20;
  const FetchResponse full = fetch(first);
  EXPECT_GT(sizes_of(full)[0], 0u);
  EXPECT_EQ(sizes_of(full)[2], 0u);
  FetchRequest second = request(full.session_id, 1, {});
  second.max_bytes = 50 << 20;
  const auto sizes = sizes_of(fetch(second));
  EXPECT_GT(sizes.contains(1) ? sizes.at(1) : 0, 0u);
}

}  // namespace
}  // namespace keelson::test
