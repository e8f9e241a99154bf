#include "plugins/broker/client/connection.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>

#include "engine/byte_order.h"
#include "engine/logger.h"

namespace keelson::broker {
namespace {

using engine::concat;
using engine::Result;
using engine::Task;
using engine::io::Endpoint;
using engine::io::IoAwaiter;
using engine::io::OpCode;

constexpr std::uint16_t kDefaultPort = 9092;
constexpr std::int32_t kFrameBytesMax = 256 << 20;
constexpr std::size_t kReceiveStepBytes = std::size_t{1} << 20;

/// Asks an operation to end when its time is over.
struct Deadline : engine::io::Timer {
  Deadline(engine::io::Shard& shard, IoAwaiter& operation, std::int64_t until_ns)
      : shard(shard), operation(operation) {
    on_due = [](engine::io::Timer& self) {
      auto& due = static_cast<Deadline&>(self);
      due.shard.backend().cancel(due.operation);
    };
    shard.timers().arm(*this, until_ns);
  }
  ~Deadline() { shard.timers().disarm(*this); }
  Deadline(const Deadline&) = delete;

  engine::io::Shard& shard;
  IoAwaiter& operation;
};

ClientResult<std::vector<Endpoint>> look_up(const ServerAddress& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int problem = getaddrinfo(address.host.c_str(), nullptr, &hints, &found);
  if (problem != 0) {
    return std::unexpected(concat("cannot find the address of ", address.host, ": ",
                                  std::string_view(gai_strerror(problem)),
                                  "; check --bootstrap-server"));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  std::vector<Endpoint> endpoints;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    char host[NI_MAXHOST];
    const int named =
        getnameinfo(at->ai_addr, at->ai_addrlen, host, sizeof host, nullptr, 0, NI_NUMERICHOST);
    if (named == 0) endpoints.push_back({host, address.port});
  }
  return endpoints;
}

}  // namespace

ClientResult<ServerAddress> parse_server_address(const std::string& text) {
  ServerAddress address{text, kDefaultPort};
  const std::size_t colon = text.rfind(':');
  const bool bare_ipv6 = colon != std::string::npos && text.find(':') != colon && text[0] != '[';
  if (colon != std::string::npos && !bare_ipv6 && !text.ends_with(']')) {
    const char* const end = text.data() + text.size();
    const auto [stop, problem] = std::from_chars(text.data() + colon + 1, end, address.port);
    if (problem != std::errc{} || stop != end || address.port == 0) {
      return std::unexpected(concat("\"", text, "\" is not HOST:PORT"));
    }
    address.host = text.substr(0, colon);
  }
  if (address.host.starts_with('[') && address.host.ends_with(']')) {
    address.host = address.host.substr(1, address.host.size() - 2);
  }
  if (address.host.empty()) return std::unexpected(concat("\"", text, "\" is not HOST:PORT"));
  return address;
}

ClientConnection::~ClientConnection() {
  if (fd_ >= 0) shard_.backend().close(fd_);
}

std::string ClientConnection::explain(std::int64_t result) const {
  switch (-result) {
    case ECONNREFUSED:
      return concat("nothing listens on ", name_,
                    ": is the broker running? Start it with `keelson serve`, or name another "
                    "with --bootstrap-server HOST:PORT");
    case ECANCELED:
    case ETIMEDOUT:
      return concat("no answer from ", name_, " in ", timeout_ms_,
                    " ms: is it a broker, and can this machine reach it? See --timeout-ms");
    case 0:
    case ECONNRESET:
    case EPIPE:
      return concat(name_,
                    " closed the connection: is it a broker that speaks Kafka's protocol "
                    "without TLS?");
    case EHOSTUNREACH:
    case ENETUNREACH: return concat("no way to ", name_, " from this machine");
    default: return concat("the connection to ", name_, " failed, errno ", -result);
  }
}

/// Runs the operation to its end, which a passed deadline brings forward.
Task<std::int64_t> ClientConnection::run(IoAwaiter& operation, std::int64_t deadline_ns) {
  const Deadline deadline(shard_, operation, deadline_ns);
  co_return co_await operation;
}

Task<ClientResult<void>> ClientConnection::connect(ServerAddress address) {
  name_ = concat(address.host, ":", address.port);
  const ClientResult<std::vector<Endpoint>> endpoints = look_up(address);
  if (!endpoints) co_return std::unexpected(endpoints.error());
  ClientResult<void> outcome = std::unexpected(concat(address.host, " has no address"));
  for (const Endpoint& endpoint : *endpoints) {
    outcome = co_await attempt(endpoint);
    if (outcome) break;
  }
  co_return outcome;
}

Task<ClientResult<void>> ClientConnection::attempt(Endpoint endpoint) {
  const Result<int> fd = shard_.backend().connect_socket(endpoint);
  if (!fd) co_return std::unexpected(explain(-fd.error().sys_errno));
  IoAwaiter operation{shard_};
  operation.code = OpCode::connect;
  operation.fd = *fd;
  const std::int64_t until_ns = shard_.clock().now_ns() + timeout_ms_ * 1'000'000;
  const std::int64_t result = co_await run(operation, until_ns);
  if (result < 0) {
    shard_.backend().close(*fd);
    co_return std::unexpected(explain(result));
  }
  fd_ = *fd;
  co_return ClientResult<void>{};
}

Task<ClientResult<void>> ClientConnection::receive(engine::MutableBytes into,
                                                   std::int64_t deadline_ns) {
  while (!into.empty()) {
    const iovec part{into.data(), into.size()};
    IoAwaiter operation{shard_};
    operation.code = OpCode::receive;
    operation.fd = fd_;
    operation.buffers = &part;
    operation.buffer_count = 1;
    const std::int64_t result = co_await run(operation, deadline_ns);
    if (result <= 0) co_return std::unexpected(explain(result));
    into = into.subspan(static_cast<std::size_t>(result));
  }
  co_return ClientResult<void>{};
}

Task<ClientResult<std::vector<std::byte>>> ClientConnection::exchange(
    std::vector<std::byte> frame) {
  const std::int64_t until_ns = shard_.clock().now_ns() + timeout_ms_ * 1'000'000;
  engine::MutableBytes rest(frame);
  while (!rest.empty()) {
    const iovec part{rest.data(), rest.size()};
    IoAwaiter operation{shard_};
    operation.code = OpCode::send;
    operation.fd = fd_;
    operation.buffers = &part;
    operation.buffer_count = 1;
    const std::int64_t result = co_await run(operation, until_ns);
    if (result <= 0) co_return std::unexpected(explain(result));
    rest = rest.subspan(static_cast<std::size_t>(result));
  }
  std::byte prefix[4];
  const ClientResult<void> sized = co_await receive(prefix, until_ns);
  if (!sized) co_return std::unexpected(sized.error());
  const auto size_bytes = engine::load_big_endian<std::int32_t>(prefix);
  if (size_bytes <= 0 || size_bytes > kFrameBytesMax) {
    co_return std::unexpected(concat(name_, " does not speak Kafka's protocol, or only with TLS"));
  }
  std::vector<std::byte> answer;
  while (answer.size() < static_cast<std::size_t>(size_bytes)) {
    // Memory follows what came, not what was announced.
    const std::size_t start = answer.size();
    const std::size_t step = std::min(kReceiveStepBytes, size_bytes - start);
    answer.resize(start + step);
    const ClientResult<void> received =
        co_await receive(engine::MutableBytes(answer).subspan(start), until_ns);
    if (!received) co_return std::unexpected(received.error());
  }
  co_return std::move(answer);
}

}  // namespace keelson::broker
