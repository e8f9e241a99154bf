// What a broker answers to requests that no client should send: the rows of Kafka 4.3.1, observed.
#include <gtest/gtest.h>

#include "engine/crc32c.h"
#include "plugins/kafka/messages/api_versions.h"
#include "plugins/kafka/messages/describe_configs.h"
#include "plugins/kafka/messages/describe_topic_partitions.h"
#include "plugins/kafka/messages/find_coordinator.h"
#include "plugins/kafka/messages/init_producer_id.h"
#include "plugins/kafka/messages/join_group.h"
#include "plugins/kafka/messages/list_offsets.h"
#include "plugins/kafka/messages/metadata.h"
#include "plugins/kafka/messages/offset_commit.h"
#include "tests/plugins/kafka/broker_world.h"

namespace keelson::test {
namespace {

using kafka::Reply;
using kafka::messages::ApiVersionsRequest;
using kafka::messages::ApiVersionsResponse;
using kafka::messages::CreateTopicsRequest;
using kafka::messages::CreateTopicsResponse;
using kafka::messages::DescribeConfigsRequest;
using kafka::messages::DescribeConfigsResponse;
using kafka::messages::DescribeTopicPartitionsRequest;
using kafka::messages::DescribeTopicPartitionsResponse;
using kafka::messages::FetchRequest;
using kafka::messages::FetchResponse;
using kafka::messages::FindCoordinatorRequest;
using kafka::messages::FindCoordinatorResponse;
using kafka::messages::InitProducerIdRequest;
using kafka::messages::InitProducerIdResponse;
using kafka::messages::JoinGroupRequest;
using kafka::messages::JoinGroupResponse;
using kafka::messages::ListOffsetsRequest;
using kafka::messages::ListOffsetsResponse;
using kafka::messages::MetadataRequest;
using kafka::messages::MetadataResponse;
using kafka::messages::OffsetCommitRequest;
using kafka::messages::OffsetCommitResponse;
using kafka::messages::ProduceRequest;
using kafka::messages::ProduceResponse;

ApiErrc code(std::int16_t number) { return static_cast<ApiErrc>(number); }

class BadRequests : public ::testing::Test {
 protected:
  /// `bytes` in hexadecimal, blanks allowed.
  Reply raw_hex(std::string_view hex) {
    std::string bytes;
    std::string digits;
    for (const char c : hex) {
      if (c == ' ') continue;
      digits += c;
      if (digits.size() < 2) continue;
      bytes += static_cast<char>(std::stoi(digits, nullptr, 16));
      digits.clear();
    }
    return broker.raw(std::move(bytes));
  }
  bool closes(std::string_view hex) { return raw_hex(hex).action == Reply::Action::close; }

  ProduceRequest produce_request(std::string_view topic, std::int32_t partition,
                                 std::optional<engine::MutableBytes> records,
                                 std::int16_t acks = -1) {
    ProduceRequest request;
    request.acks = acks;
    request.timeout_ms = 1000;
    auto& data = request.topic_data.emplace_back();
    data.name = topic;
    auto& one = data.partition_data.emplace_back();
    one.index = partition;
    one.records = records;
    return request;
  }
  ProduceResponse::PartitionProduceResponse produce(std::string_view topic, std::int32_t partition,
                                                    std::vector<std::byte> batch,
                                                    std::int16_t acks = -1,
                                                    std::int16_t version = 12) {
    const auto request = produce_request(topic, partition, engine::MutableBytes(batch), acks);
    const auto response = broker.call<ProduceResponse>(request, version);
    return response.responses.at(0).partition_responses.at(0);
  }
  ApiErrc produce_error(std::vector<std::byte> batch) {
    return code(produce("t", 0, std::move(batch)).error_code);
  }
  static std::vector<std::byte> with_crc(std::vector<std::byte> batch) {
    engine::store_big_endian(batch.data() + 17, engine::crc32c(engine::Bytes(batch).subspan(21)));
    return batch;
  }
  FetchRequest fetch_request(std::string_view topic, std::int64_t offset) {
    FetchRequest request;
    request.max_wait_ms = 0;
    request.min_bytes = 1;
    auto& data = request.topics.emplace_back();
    data.topic = topic;
    auto& one = data.partitions.emplace_back();
    one.partition = 0;
    one.fetch_offset = offset;
    one.partition_max_bytes = 1 << 20;
    return request;
  }
  ApiErrc create(CreateTopicsRequest::CreatableTopic topic) {
    CreateTopicsRequest request;
    request.topics.push_back(std::move(topic));
    request.timeout_ms = 1000;
    return code(broker.call<CreateTopicsResponse>(request, 7).topics.at(0).error_code);
  }
  static CreateTopicsRequest::CreatableTopic new_topic(std::string_view name,
                                                       std::int32_t partitions = 1,
                                                       std::int16_t factor = 1) {
    CreateTopicsRequest::CreatableTopic topic;
    topic.name = name;
    topic.num_partitions = partitions;
    topic.replication_factor = factor;
    return topic;
  }

  void SetUp() override { broker.create_topic("t", 2); }
  BrokerWorld broker;
};

TEST_F(BadRequests, HeadersThatCannotBeReadClose) {
  EXPECT_TRUE(closes(""));
  EXPECT_TRUE(closes("00"));
  EXPECT_TRUE(closes("0012 0000 0000004d"));                        // cut ahead of the client id
  EXPECT_TRUE(closes("0003 0000 0000004d 0040 7465"));              // client id past the end
  EXPECT_TRUE(closes("0012 0003 0000004d ffff ffffffff0f 01 01"));  // 2^32-1 header tags
}

TEST_F(BadRequests, UnknownKeysAndVersionsClose) {
  for (const char* key : {"0004", "0005", "0006", "0007", "0034", "0035", "0038", "003a", "003e",
                          "003f", "7fff", "ffff", "8000", "0080", "0100"}) {
    EXPECT_TRUE(closes(std::string(key) + " 0000 0000004d 0000 00000000")) << key;
  }
  EXPECT_TRUE(closes("0003 000e 0000004d 0000 00 00 00 00"));  // Metadata 14
  EXPECT_TRUE(closes("0003 ffff 0000004d 0000 00 00 00 00"));
  EXPECT_TRUE(
      closes("0000 0002 0000004d 0000 00 00 00 00"));  // Produce 2, advertised and not spoken
}

TEST_F(BadRequests, ApiVersionsOfUnknownVersionIsAnswered) {
  for (const char* version : {"ffff", "0005", "7fff", "8000"}) {
    const Reply reply = raw_hex(std::string("0012 ") + version + " 0000004d 0000 00 ff ff");
    const auto response = BrokerWorld::decode<ApiVersionsResponse>(reply, 0);
    EXPECT_EQ(code(response.error_code), ApiErrc::unsupported_version);
    ASSERT_EQ(response.api_keys.size(), 1u);
    EXPECT_EQ(response.api_keys[0].api_key, 18);
    EXPECT_EQ(response.api_keys[0].min_version, 0);
    EXPECT_EQ(response.api_keys[0].max_version, 4);
  }
}

TEST_F(BadRequests, ApiVersionsWantsANameAndAVersion) {
  for (const char* name : {"", " ", "-a", "a-", "a b", "\n", "a\x7f"}) {
    ApiVersionsRequest request;
    request.client_software_name = name;
    request.client_software_version = "1";
    const auto response = broker.call<ApiVersionsResponse>(request, 3);
    EXPECT_EQ(code(response.error_code), ApiErrc::invalid_request) << name;
  }
  EXPECT_TRUE(closes("0012 0003 0000004d 0000 00 00 00 00"));  // null name
  EXPECT_TRUE(closes("0012 0003 0000004d 0000 00"));           // no body
}

TEST_F(BadRequests, BytesBehindTheBodyAreIgnored) {
  ApiVersionsRequest request;
  request.client_software_name = "a";
  request.client_software_version = "1";
  std::string bytes = BrokerWorld::encode(request, 3) + std::string(1 << 20, '\x55');
  EXPECT_EQ(broker.raw(std::move(bytes)).action, Reply::Action::answer);
}

TEST_F(BadRequests, CountsPastTheEndClose) {
  EXPECT_TRUE(closes("0003 0001 0000004d 0000 7fffffff"));  // Metadata 1
  EXPECT_TRUE(closes("0003 0001 0000004d 0000 00000001 0040 61"));
  EXPECT_TRUE(closes("0013 0002 0000004d 0000 fffffffe"));  // CreateTopics 2
  EXPECT_TRUE(closes("0013 0002 0000004d 0000 ffffffff 00000000 00"));
}

TEST_F(BadRequests, ProduceWithoutAcksIsSilentOrCloses) {
  std::vector<std::byte> batch = batch_of(1);
  auto good = produce_request("t", 0, engine::MutableBytes(batch), 0);
  EXPECT_EQ(broker.raw(BrokerWorld::encode(good, 9)).action, Reply::Action::no_answer);
  batch[30] ^= std::byte{1};
  auto bad = produce_request("t", 0, engine::MutableBytes(batch), 0);
  EXPECT_EQ(broker.raw(BrokerWorld::encode(bad, 9)).action, Reply::Action::close);
  auto nowhere = produce_request("nowhere", 0, engine::MutableBytes(batch), 0);
  EXPECT_EQ(broker.raw(BrokerWorld::encode(nowhere, 9)).action, Reply::Action::close);
}

TEST_F(BadRequests, ProduceWithNullRecordsIsAnswered) {
  const auto response = broker.call<ProduceResponse>(produce_request("t", 0, std::nullopt), 9);
  EXPECT_EQ(code(response.responses.at(0).partition_responses.at(0).error_code),
            ApiErrc::invalid_record);
}

TEST_F(BadRequests, ProduceToWhereNothingIs) {
  EXPECT_EQ(code(produce("nowhere", 0, batch_of(1)).error_code),
            ApiErrc::unknown_topic_or_partition);
  EXPECT_EQ(code(produce("a/b", 0, batch_of(1)).error_code), ApiErrc::unknown_topic_or_partition);
  for (const std::int32_t partition : {2, -1, 0x7fffffff}) {
    EXPECT_EQ(code(produce("t", partition, batch_of(1)).error_code),
              ApiErrc::unknown_topic_or_partition);
  }
  for (const std::int16_t acks : {2, -2, 32767}) {
    EXPECT_EQ(code(produce("t", 0, batch_of(1), acks).error_code), ApiErrc::invalid_required_acks);
  }
}

TEST_F(BadRequests, ProduceOfBadBatches) {
  std::vector<std::byte> bad = batch_of(2);
  bad[61] ^= std::byte{1};
  EXPECT_EQ(produce_error(bad), ApiErrc::corrupt_message);
  for (const int magic : {3, -1}) {
    bad = batch_of(2);
    bad[16] = static_cast<std::byte>(magic);
    EXPECT_EQ(produce_error(bad), ApiErrc::corrupt_message) << magic;
  }
  for (const int magic : {0, 1}) {
    bad = batch_of(2);
    bad[16] = static_cast<std::byte>(magic);
    EXPECT_EQ(produce_error(bad), ApiErrc::invalid_record) << magic;
  }
  bad = batch_of(2);
  bad[7] = std::byte{1};  // base offset
  EXPECT_EQ(produce_error(bad), ApiErrc::invalid_record);
  bad = batch_of(2);
  engine::store_big_endian<std::int32_t>(bad.data() + 57, 3);  // count
  EXPECT_EQ(produce_error(with_crc(bad)), ApiErrc::invalid_record);
  bad = batch_of(2);
  const std::vector<std::byte> second = batch_of(1);
  bad.insert(bad.end(), second.begin(), second.end());
  EXPECT_EQ(produce_error(bad), ApiErrc::invalid_record);
  EXPECT_EQ(produce_error({}), ApiErrc::invalid_record);
  EXPECT_EQ(produce_error(std::vector<std::byte>(10)), ApiErrc::invalid_record);
  // None of it left a trace.
  EXPECT_EQ(produce("t", 0, batch_of(1)).base_offset, 0);
}

TEST_F(BadRequests, FetchOfWhatIsNotThere) {
  const auto error_of = [&](const FetchRequest& request) {
    return code(
        broker.call<FetchResponse>(request, 12).responses.at(0).partitions.at(0).error_code);
  };
  EXPECT_EQ(error_of(fetch_request("t", 1)), ApiErrc::offset_out_of_range);
  EXPECT_EQ(error_of(fetch_request("t", -1)), ApiErrc::offset_out_of_range);
  EXPECT_EQ(error_of(fetch_request("t", 0)), ApiErrc::none);
  EXPECT_EQ(error_of(fetch_request("nowhere", 0)), ApiErrc::unknown_topic_or_partition);
  EXPECT_EQ(error_of(fetch_request("", 0)), ApiErrc::unknown_topic_or_partition);
  EXPECT_EQ(error_of(fetch_request("a b", 0)), ApiErrc::unknown_topic_or_partition);
  FetchRequest request = fetch_request("t", 0);
  request.max_wait_ms = -1;
  request.max_bytes = 0;
  request.topics[0].partitions[0].partition_max_bytes = 0;
  EXPECT_EQ(error_of(request), ApiErrc::none);
  request.topics[0].partitions[0].partition_max_bytes = -1;
  EXPECT_EQ(error_of(request), ApiErrc::invalid_request);
  request.topics[0].partitions[0].partition = -1;
  EXPECT_EQ(error_of(request), ApiErrc::unknown_topic_or_partition);
}

TEST_F(BadRequests, FetchSessionsThatAreNotThere) {
  FetchRequest request = fetch_request("t", 0);
  request.session_id = 12345;
  request.session_epoch = 1;
  auto response = broker.call<FetchResponse>(request, 12);
  EXPECT_EQ(code(response.error_code), ApiErrc::fetch_session_id_not_found);
  EXPECT_EQ(response.session_id, 0);
  request.session_id = 0;
  request.session_epoch = 5;
  response = broker.call<FetchResponse>(request, 12);
  EXPECT_EQ(code(response.error_code), ApiErrc::fetch_session_id_not_found);
}

TEST_F(BadRequests, TopicNames) {
  const std::string long_name(250, 'n');
  for (const std::string_view name :
       {std::string_view(""), std::string_view("."), std::string_view(".."),
        std::string_view(long_name), std::string_view("a/b"), std::string_view("a\0b", 3),
        std::string_view("a b"), std::string_view("a\n"), std::string_view("a:b"),
        std::string_view("*"), std::string_view("\xc3\xa4")}) {
    EXPECT_EQ(create(new_topic(name)), ApiErrc::invalid_topic_exception) << name;
    MetadataRequest request;
    request.topics.emplace();
    request.topics->emplace_back().name = name;
    request.allow_auto_topic_creation = true;
    const auto response = broker.call<MetadataResponse>(request, 12);
    EXPECT_EQ(code(response.topics.at(0).error_code), ApiErrc::invalid_topic_exception) << name;
  }
  const std::string longest(249, 'n');
  for (const std::string_view name : {std::string_view("..."), std::string_view("-"),
                                      std::string_view(longest), std::string_view("a.b")}) {
    EXPECT_EQ(create(new_topic(name)), ApiErrc::none) << name;
  }
  EXPECT_EQ(create(new_topic("a_b")), ApiErrc::invalid_topic_exception);
}

TEST_F(BadRequests, CreateTopics) {
  EXPECT_EQ(create(new_topic("n", 0)), ApiErrc::invalid_partitions);
  EXPECT_EQ(create(new_topic("n", -5)), ApiErrc::invalid_partitions);
  EXPECT_EQ(create(new_topic("n", 0x7fffffff)), ApiErrc::policy_violation);
  EXPECT_EQ(create(new_topic("n", 1, 0)), ApiErrc::invalid_replication_factor);
  EXPECT_EQ(create(new_topic("n", 1, 32767)), ApiErrc::invalid_replication_factor);
  const auto with = [](std::string_view name, std::optional<std::string_view> value) {
    auto topic = new_topic("n");
    auto& setting = topic.configs.emplace_back();
    setting.name = name;
    setting.value = value;
    return topic;
  };
  EXPECT_EQ(create(with("no.such.setting", "1")), ApiErrc::invalid_config);
  EXPECT_EQ(create(with("retention.ms", "soon")), ApiErrc::invalid_config);
  EXPECT_EQ(create(with("retention.ms", std::nullopt)), ApiErrc::invalid_config);
  EXPECT_EQ(create(with("segment.bytes", "10")), ApiErrc::invalid_config);
  const auto assigned = [](std::int32_t count,
                           std::vector<std::pair<std::int32_t, std::int32_t>> assignment) {
    auto topic = new_topic("n", count, count == -1 ? std::int16_t{-1} : std::int16_t{1});
    for (const auto& [partition, id] : assignment) {
      auto& one = topic.assignments.emplace_back();
      one.partition_index = partition;
      one.broker_ids = {id};
    }
    return topic;
  };
  EXPECT_EQ(create(assigned(-1, {{0, 77}})), ApiErrc::invalid_replica_assignment);
  EXPECT_EQ(create(assigned(-1, {{0, 1}, {5, 1}})), ApiErrc::invalid_replica_assignment);
  EXPECT_EQ(create(assigned(2, {{0, 1}})), ApiErrc::invalid_request);
  EXPECT_EQ(create(new_topic("t")), ApiErrc::topic_already_exists);
  EXPECT_EQ(create(new_topic("n")), ApiErrc::none);
}

// A name of 30 KB comes back in an answer that can be written.
TEST_F(BadRequests, HugeNamesAreAnswered) {
  const std::string huge(32'700, 'n');
  EXPECT_EQ(create(new_topic(huge)), ApiErrc::invalid_topic_exception);
  DescribeConfigsRequest request;
  auto& resource = request.resources.emplace_back();
  resource.resource_type = 4;
  resource.resource_name = huge;
  const auto response = broker.call<DescribeConfigsResponse>(request, 4);
  EXPECT_EQ(code(response.results.at(0).error_code), ApiErrc::invalid_request);
  auto topic = new_topic("n");
  auto& setting = topic.configs.emplace_back();
  setting.name = huge;
  setting.value = huge;
  EXPECT_EQ(create(std::move(topic)), ApiErrc::invalid_config);
}

// A request that repeats itself gets each answer once: its answer stays in proportion.
TEST_F(BadRequests, RepetitionsAreAnsweredOnce) {
  MetadataRequest metadata;
  metadata.topics.emplace();
  for (int i = 0; i < 1000; ++i) metadata.topics->emplace_back().name = "t";
  EXPECT_EQ(broker.call<MetadataResponse>(metadata, 12).topics.size(), 1u);
  DescribeConfigsRequest configs;
  for (int i = 0; i < 1000; ++i) {
    auto& resource = configs.resources.emplace_back();
    resource.resource_type = 2;
    resource.resource_name = "t";
  }
  EXPECT_EQ(broker.call<DescribeConfigsResponse>(configs, 4).results.size(), 1u);
  ListOffsetsRequest offsets;
  offsets.replica_id = -1;
  auto& topic = offsets.topics.emplace_back();
  topic.name = "t";
  for (int i = 0; i < 20'000; ++i) topic.partitions.emplace_back().timestamp = -1;
  const auto response = broker.call<ListOffsetsResponse>(offsets, 7);
  EXPECT_EQ(response.topics.at(0).partitions.size(), 20'000u);
  EXPECT_EQ(code(response.topics.at(0).partitions.at(0).error_code), ApiErrc::invalid_request);
}

TEST_F(BadRequests, DescribeTopicPartitionsPages) {
  broker.create_topic("u", 3);
  DescribeTopicPartitionsRequest request;
  request.topics.emplace_back().name = "u";
  request.topics.emplace_back().name = "t";
  request.response_partition_limit = 2;
  auto response = broker.call<DescribeTopicPartitionsResponse>(request, 0);
  ASSERT_EQ(response.topics.size(), 1u);
  EXPECT_EQ(response.topics[0].name, "t");
  ASSERT_TRUE(response.next_cursor.has_value());
  EXPECT_EQ(response.next_cursor->topic_name, "u");
  EXPECT_EQ(response.next_cursor->partition_index, 0);
  request.cursor.emplace();
  request.cursor->topic_name = "u";
  request.cursor->partition_index = 1;
  request.response_partition_limit = 0;  // taken as 1
  response = broker.call<DescribeTopicPartitionsResponse>(request, 0);
  ASSERT_EQ(response.topics.size(), 1u);
  ASSERT_EQ(response.topics[0].partitions.size(), 1u);
  EXPECT_EQ(response.topics[0].partitions[0].partition_index, 1);
  EXPECT_EQ(response.next_cursor->partition_index, 2);
}

TEST_F(BadRequests, CoordinatorsAndProducers) {
  FindCoordinatorRequest find;
  find.key_type = 9;
  find.coordinator_keys.push_back("g");
  EXPECT_EQ(code(broker.call<FindCoordinatorResponse>(find, 6).coordinators.at(0).error_code),
            ApiErrc::invalid_request);
  InitProducerIdRequest init;
  init.transactional_id = "";
  init.transaction_timeout_ms = 1000;
  EXPECT_EQ(code(broker.call<InitProducerIdResponse>(init, 4).error_code),
            ApiErrc::invalid_request);
  init.transactional_id = "x";
  init.transaction_timeout_ms = 0x7fffffff;
  EXPECT_EQ(code(broker.call<InitProducerIdResponse>(init, 4).error_code),
            ApiErrc::invalid_transaction_timeout);
}

TEST_F(BadRequests, Groups) {
  FindCoordinatorRequest find;
  find.coordinator_keys.push_back("g");
  find.coordinator_keys.push_back("unknown");
  EXPECT_EQ(code(broker.call<FindCoordinatorResponse>(find, 4).coordinators.at(0).error_code),
            ApiErrc::none);
  broker.world.run_for(1'000'000'000);
  JoinGroupRequest join;
  join.group_id = "";
  join.session_timeout_ms = 10'000;
  join.rebalance_timeout_ms = 10'000;
  join.protocol_type = "consumer";
  auto& protocol = join.protocols.emplace_back();
  protocol.name = "range";
  const auto error_of = [&] { return code(broker.call<JoinGroupResponse>(join, 3).error_code); };
  EXPECT_EQ(error_of(), ApiErrc::invalid_group_id);
  join.group_id = "g";
  for (const std::int32_t timeout : {0, -1, 0x7fffffff}) {
    join.session_timeout_ms = timeout;
    EXPECT_EQ(error_of(), ApiErrc::invalid_session_timeout) << timeout;
  }
  join.session_timeout_ms = 10'000;
  join.member_id = "nobody";
  EXPECT_EQ(error_of(), ApiErrc::unknown_member_id);
  join.member_id = "";
  join.protocol_type = "";
  EXPECT_EQ(error_of(), ApiErrc::inconsistent_group_protocol);
  join.protocol_type = "consumer";
  join.protocols.clear();
  EXPECT_EQ(error_of(), ApiErrc::inconsistent_group_protocol);

  OffsetCommitRequest commit;
  commit.group_id = "g";
  commit.generation_id_or_member_epoch = -1;
  auto& topic = commit.topics.emplace_back();
  topic.name = "t";
  auto& partition = topic.partitions.emplace_back();
  const std::string metadata(5000, 'm');
  partition.committed_metadata = metadata;
  const auto commit_error = [&] {
    return code(
        broker.call<OffsetCommitResponse>(commit, 8).topics.at(0).partitions.at(0).error_code);
  };
  EXPECT_EQ(commit_error(), ApiErrc::offset_metadata_too_large);
  partition.committed_metadata = "";
  partition.partition_index = 9;
  EXPECT_EQ(commit_error(), ApiErrc::unknown_topic_or_partition);
  partition.partition_index = 0;
  partition.committed_offset = -5;
  EXPECT_EQ(commit_error(), ApiErrc::none);
  commit.generation_id_or_member_epoch = 4;
  commit.group_id = "unknown";
  EXPECT_EQ(commit_error(), ApiErrc::illegal_generation);
}

}  // namespace
}  // namespace keelson::test
