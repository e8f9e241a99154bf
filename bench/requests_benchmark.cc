// What one request costs in memory: allocations, bytes allocated and bytes copied by the broker
// from the decoded frame to the encoded answer, over the reference plugins on a simulated machine.
//   requests_benchmark
// Counts are exact and repeat; times would tell of the simulation and are not shown.
#include <cstdio>
#include <cstdlib>
#include <new>

#include "tests/plugins/kafka/broker_world.h"

namespace {
bool counting = false;
std::size_t allocations = 0;
std::size_t allocated_bytes = 0;
}  // namespace

void* operator new(std::size_t size) {
  if (counting) {
    ++allocations;
    allocated_bytes += size;
  }
  void* const memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) std::abort();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace keelson::test {
namespace {

using kafka::messages::FetchRequest;
using kafka::messages::ProduceRequest;

/// Hands over the same request many times; the first ones fill caches and are not counted.
void measure(const char* name, BrokerWorld& broker, const std::string& request,
             std::uint32_t shard) {
  constexpr int kWarm = 50;
  constexpr int kCounted = 1000;
  struct Work {
    static engine::Task<bool> run(BrokerWorld& broker, const std::string& request,
                                  std::uint32_t shard) {
      for (int i = 0; i < kWarm + kCounted; ++i) {
        if (i == kWarm) counting = true;
        const kafka::Reply reply = co_await broker.handle(request, shard);
        BrokerWorld::must(reply.action == kafka::Reply::Action::answer, "answer");
      }
      counting = false;
      co_return true;
    }
  };
  allocations = allocated_bytes = 0;
  broker.world.run_task(broker.group.at(shard), Work::run(broker, request, shard));
  std::printf("%-40s %6.1f allocations %9.0f bytes, of which the request's own copy %zu\n", name,
              static_cast<double>(allocations) / kCounted,
              static_cast<double>(allocated_bytes) / kCounted, request.size());
}

std::string produce_request(std::string_view topic, std::int32_t partition,
                            std::vector<std::byte>& batch) {
  ProduceRequest request;
  request.acks = -1;
  request.timeout_ms = 1000;
  auto& data = request.topic_data.emplace_back();
  data.name = topic;
  auto& one = data.partition_data.emplace_back();
  one.index = partition;
  one.records = engine::MutableBytes(batch);
  return BrokerWorld::encode(request, 12);
}

std::string fetch_request(std::string_view topic, std::int32_t partition) {
  FetchRequest request;
  request.max_wait_ms = 0;
  request.min_bytes = 1;
  auto& data = request.topics.emplace_back();
  data.topic = topic;
  auto& one = data.partitions.emplace_back();
  one.partition = partition;
  one.partition_max_bytes = 4096;
  return BrokerWorld::encode(request, 12);
}

void run() {
  BrokerWorld broker(2);
  broker.create_topic("topic", 16);
  const TopicView topic = broker.topic("topic");
  std::int32_t of_shard[2] = {-1, -1};
  for (std::int32_t i = 0; i < 16; ++i) {
    of_shard[broker.services().store.owner({topic.id, i})] = i;
  }
  BrokerWorld::must(of_shard[0] >= 0 && of_shard[1] >= 0, "a partition on each shard");
  std::vector<std::byte> batch = batch_of(10, "a value of some thirty bytes ");
  measure("Produce, partition of this shard", broker, produce_request("topic", of_shard[0], batch),
          0);
  measure("Produce, partition of another shard", broker,
          produce_request("topic", of_shard[1], batch), 0);
  measure("Fetch, partition of this shard", broker, fetch_request("topic", of_shard[0]), 0);
  measure("Fetch, partition of another shard", broker, fetch_request("topic", of_shard[1]), 0);
}

}  // namespace
}  // namespace keelson::test

int main() { keelson::test::run(); }
