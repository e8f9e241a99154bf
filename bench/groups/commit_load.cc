// bench/groups/commit_load.cc: offset commits of many groups on one broker; prints one line of
// JSON.
//
//   commit_load --port P --topic T --partitions N --groups G --count COMMITS
//               [--connections 256] [--rate COMMITS_PER_S] [--members] [--prefix NAME]
//
// Each commit is one OffsetCommit of one partition; a connection has one under way. The groups take
// turns, each its partitions in turn. With --members each group first gets a member, which commits;
// else the groups have offsets alone. With --rate the load is open-loop: commit i is due at
// start + i / rate, and its latency is counted from then.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "bench/histogram.h"
#include "engine/byte_order.h"
#include "plugins/kafka/header.h"
#include "plugins/kafka/messages/join_group.h"
#include "plugins/kafka/messages/offset_commit.h"
#include "plugins/kafka/messages/sync_group.h"

namespace keelson::bench {
namespace {

namespace messages = kafka::messages;

struct Options {
  std::uint16_t port = 9092;
  std::string topic;
  std::int32_t partitions = 10;
  std::size_t groups = 10'000;
  std::size_t count = 1'000'000;
  std::size_t connections = 256;
  double rate = 0;
  bool members = false;
  std::string prefix = "bench-group";
};

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "commit_load: %s\n", why.c_str());
  std::exit(1);
}

std::int64_t now_ns() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

/// A blocking connection of which epoll says when its answer is there.
struct Connection {
  int fd = -1;
  std::size_t group = 0;  // that the request under way is of
  std::int64_t due_ns = 0;
  std::vector<std::byte> frame;

  void open(std::uint16_t port) {
    fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("no broker");
  }

  template <class Request>
  void send(const Request& request, std::int16_t version) const {
    const messages::ApiInfo& api = *messages::api_info(Request::kApiKey);
    wire::Writer writer;
    writer.begin_frame();
    kafka::encode_request_header(writer, {&api, version, 1, "commit-load"});
    if (!request.encode(writer, version)) die("a request cannot be encoded");
    writer.end_frame();
    const engine::Bytes bytes = writer.contiguous();
    if (write(fd, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
      die("the broker has closed the connection");
    }
  }

  template <class Response>
  Response receive(std::int16_t version) {
    std::array<std::byte, 4> size{};
    read_all(size.data(), size.size());
    frame.resize(engine::load_big_endian<std::uint32_t>(size.data()));
    read_all(frame.data(), frame.size());
    wire::Reader reader{engine::Bytes(frame)};
    const messages::ApiInfo& api = *messages::api_info(Response::kApiKey);
    if (!kafka::decode_response_header(reader, api, version)) die("not a response");
    engine::Result<Response> response = Response::decode(reader, version);
    if (!response) die("a response cannot be decoded");
    return std::move(*response);
  }

  void read_all(std::byte* into, std::size_t size) const {
    while (size > 0) {
      const ssize_t got = read(fd, into, size);
      if (got <= 0) die("the broker has closed the connection");
      into += got;
      size -= static_cast<std::size_t>(got);
    }
  }
};

struct Group {
  std::string id;
  std::string member_id;
  std::int32_t generation = -1;
};

class Load {
 public:
  explicit Load(const Options& options) : options_(options), connections_(options.connections) {
    for (std::size_t i = 0; i < options.groups; ++i) {
      char number[16];
      std::snprintf(number, sizeof number, "-%06zu", i);
      groups_.push_back({options.prefix + number, {}, -1});
    }
    epoll_ = epoll_create1(0);
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      connections_[i].open(options.port);
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u64 = i;
      epoll_ctl(epoll_, EPOLL_CTL_ADD, connections_[i].fd, &event);
    }
  }

  void run() {
    if (options_.members) {
      each_group([&](Connection& c) { send_join(c); }, [&](Connection& c) { take_join(c); });
      each_group([&](Connection& c) { send_sync(c); }, [&](Connection& c) { take_sync(c); });
    }
    const std::int64_t start = now_ns();
    const double gap_ns = options_.rate > 0 ? 1e9 / options_.rate : 0;
    work(
        options_.count,
        [&](Connection& c, std::size_t i) {
          c.group = i % options_.groups;
          c.due_ns = gap_ns > 0 ? start + static_cast<std::int64_t>(static_cast<double>(i) * gap_ns)
                                : now_ns();
          send_commit(c, i);
        },
        [&](Connection& c) { take_commit(c); },
        [&](std::size_t i) {
          return gap_ns == 0 ||
                 now_ns() >= start + static_cast<std::int64_t>(static_cast<double>(i) * gap_ns);
        });
    const double seconds = static_cast<double>(now_ns() - start) / 1e9;
    const auto ms = [&](double share) {
      return static_cast<double>(latency_.percentile(share)) / 1e6;
    };
    std::printf(
        "{\"commits\":%zu,\"seconds\":%.3f,\"commits_per_s\":%.0f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,"
        "\"max_ms\":%.3f}\n",
        options_.count, seconds, static_cast<double>(options_.count) / seconds, ms(0.5), ms(0.99),
        ms(1));
  }

 private:
  static constexpr std::int16_t kJoinVersion = 3;  // joins at once, without a member id first
  static constexpr std::int16_t kSyncVersion = 2;
  static constexpr std::int16_t kCommitVersion = 8;

  /// Sends requests 0 to `count` over whatever connection is free and takes their answers.
  template <class Send, class Take, class IsDue>
  void work(std::size_t count, Send send, Take take, IsDue is_due) {
    std::vector<std::size_t> idle;
    for (std::size_t i = 0; i < connections_.size(); ++i) idle.push_back(i);
    std::size_t sent = 0;
    std::size_t taken = 0;
    std::vector<epoll_event> events(connections_.size());
    while (taken < count) {
      while (sent < count && !idle.empty() && is_due(sent)) {
        send(connections_[idle.back()], sent++);
        idle.pop_back();
      }
      const bool waits_for_time = sent < count && !idle.empty();
      const int ready = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()),
                                   waits_for_time ? 0 : -1);
      for (int i = 0; i < ready; ++i) {
        const std::size_t index = events[static_cast<std::size_t>(i)].data.u64;
        take(connections_[index]);
        idle.push_back(index);
        ++taken;
      }
    }
  }

  template <class Send, class Take>
  void each_group(Send send, Take take) {
    work(
        options_.groups,
        [&](Connection& c, std::size_t i) {
          c.group = i;
          send(c);
        },
        take, [](std::size_t) { return true; });
  }

  void send_join(const Connection& c) const {
    messages::JoinGroupRequest request;
    request.group_id = groups_[c.group].id;
    request.session_timeout_ms = 1'800'000;
    request.rebalance_timeout_ms = 60'000;
    request.protocol_type = "consumer";
    auto& protocol = request.protocols.emplace_back();
    protocol.name = "range";
    protocol.metadata = subscription_;
    c.send(request, kJoinVersion);
  }
  void take_join(Connection& c) {
    auto answer = c.receive<messages::JoinGroupResponse>(kJoinVersion);
    if (answer.error_code != 0) die("JoinGroup: error " + std::to_string(answer.error_code));
    groups_[c.group].member_id = std::move(answer.member_id);
    groups_[c.group].generation = answer.generation_id;
  }
  void send_sync(const Connection& c) const {
    messages::SyncGroupRequest request;
    const Group& group = groups_[c.group];
    request.group_id = group.id;
    request.generation_id = group.generation;
    request.member_id = group.member_id;
    auto& given = request.assignments.emplace_back();
    given.member_id = group.member_id;
    given.assignment = subscription_;
    c.send(request, kSyncVersion);
  }
  void take_sync(Connection& c) {
    const auto answer = c.receive<messages::SyncGroupResponse>(kSyncVersion);
    if (answer.error_code != 0) die("SyncGroup: error " + std::to_string(answer.error_code));
  }
  void send_commit(const Connection& c, std::size_t number) const {
    messages::OffsetCommitRequest request;
    const Group& group = groups_[c.group];
    request.group_id = group.id;
    request.generation_id_or_member_epoch = group.generation;
    request.member_id = group.member_id;
    auto& topic = request.topics.emplace_back();
    topic.name = options_.topic;
    auto& partition = topic.partitions.emplace_back();
    const std::size_t turn = number / options_.groups;
    partition.partition_index =
        static_cast<std::int32_t>(turn % static_cast<std::size_t>(options_.partitions));
    partition.committed_offset = static_cast<std::int64_t>(turn);
    c.send(request, kCommitVersion);
  }
  void take_commit(Connection& c) {
    const auto answer = c.receive<messages::OffsetCommitResponse>(kCommitVersion);
    const std::int16_t error = answer.topics.at(0).partitions.at(0).error_code;
    if (error != 0) die("OffsetCommit: error " + std::to_string(error));
    latency_.add(now_ns() - c.due_ns);
  }

  const Options& options_;
  std::vector<Connection> connections_;
  std::vector<Group> groups_;
  // Version 0, one topic "bench", no user data.
  std::vector<std::byte> subscription_ = [] {
    const char bytes[] = "\0\0\0\0\0\1\0\5bench\0\0\0\0";
    std::vector<std::byte> data(sizeof bytes - 1);
    std::memcpy(data.data(), bytes, data.size());
    return data;
  }();
  int epoll_ = -1;
  Histogram latency_;
};

}  // namespace
}  // namespace keelson::bench

int main(int argc, char** argv) {
  using namespace keelson::bench;
  Options options;
  CLI::App program{"Offset commits of many groups on one broker"};
  program.add_option("--port", options.port)->required();
  program.add_option("--topic", options.topic)->required();
  program.add_option("--partitions", options.partitions)->check(CLI::Range(1, 10'000));
  program.add_option("--groups", options.groups)->check(CLI::Range(1, 999'999));
  program.add_option("--count", options.count);
  program.add_option("--connections", options.connections)->check(CLI::Range(1, 10'000));
  program.add_option("--rate", options.rate);
  program.add_flag("--members", options.members);
  program.add_option("--prefix", options.prefix);
  CLI11_PARSE(program, argc, argv);
  Load load(options);
  load.run();
  return 0;
}
