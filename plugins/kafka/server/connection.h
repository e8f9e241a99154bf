// plugins/kafka/server/connection.h: one client: requests in, responses out in the same order.
//
// Three tasks on one shard: the reader cuts frames and queues them, the processor runs handlers,
// the writer sends what is answered. Produce requests run side by side, started in the order they
// came, so that their appends share commits; any other request waits for those before it, as on a
// Kafka broker. A peer that stops sending ends long polls early; what it had asked is answered.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "engine/io/shard.h"
#include "engine/io/sync.h"
#include "engine/slice.h"
#include "engine/task.h"
#include "plugins/kafka/server/frame.h"
#include "plugins/kafka/server/frame_reader.h"

namespace keelson::kafka {

/// What a handler makes of a request.
struct Reply {
  enum class Action : std::uint8_t { answer, no_answer, close };
  Action action = Action::close;
  engine::SliceList bytes;  // with the size prefix; for `answer`
  std::int64_t mute_ms = 0;
};

/// What handlers may know of the connection a request came by.
struct ConnectionContext {
  engine::io::Shard& shard;
  engine::io::Event& cancelled;  // set when the peer has gone or the server stops
  std::string listener;          // "PLAINTEXT"
  std::string peer_host;
  std::uint64_t id = 0;       // of the connection, unique in this process
  std::string software_name;  // from ApiVersions; for log lines and metrics
  std::string software_version;
};

class RequestHandler {
 public:
  virtual ~RequestHandler() = default;
  /// True where requests of this kind may run before earlier ones of the connection have ended.
  /// Looks at the first bytes only.
  virtual bool may_overlap(engine::Bytes frame) const = 0;
  /// Runs one request. Side effects that must keep the order of requests happen before the first
  /// suspension.
  [[nodiscard]] virtual engine::Task<Reply> handle(ConnectionContext& connection, Frame frame) = 0;
};

struct ConnectionLimits {
  std::uint32_t frame_bytes_max = 104'857'600;              // socket.request.max.bytes
  std::uint32_t queued_requests_max = 64;                   // read and not answered, per connection
  std::uint64_t output_bytes_max = std::uint64_t{4} << 20;  // held for a peer that does not read
};

class Connection {
 public:
  Connection(engine::io::Shard& shard, int fd, std::uint64_t id, RequestHandler& handler,
             ConnectionLimits limits, engine::io::Semaphore& request_memory);
  ~Connection();
  Connection(const Connection&) = delete;

  ConnectionContext& context() { return context_; }

  /// Serves until the peer leaves or shut_down(); then closes the socket.
  [[nodiscard]] engine::Task<void> serve();
  /// Answers what was read and ends; `at_once` drops it. Shard's thread.
  void shut_down(bool at_once);

  /// Bytes moved or a request under way: when last, by Clock::now_ns().
  std::int64_t last_active_ns() const;
  bool idle() const { return slots_.empty(); }
  /// A response is ready and the peer does not take it.
  bool output_waiting() const { return output_bytes_ > 0; }

 private:
  /// A response's place in line.
  struct Slot {
    bool ready = false;
    Reply reply;
  };

  engine::Task<void> read_requests();
  engine::Task<void> process_requests();
  engine::Task<void> write_responses();
  engine::Task<void> run(Frame frame, std::shared_ptr<Slot> slot);
  engine::Task<bool> send(engine::SliceList bytes);
  void fail_connection();

  engine::io::Shard& shard_;
  const int fd_;
  RequestHandler& handler_;
  const ConnectionLimits limits_;
  engine::io::Event cancelled_;
  ConnectionContext context_;
  FrameReader reader_;

  std::deque<Frame> requests_;               // read, not started
  std::deque<std::shared_ptr<Slot>> slots_;  // started, not sent; in order
  std::size_t running_ = 0;
  bool alone_running_ = false;      // a request that may not overlap is among them
  std::uint64_t output_bytes_ = 0;  // answered, not sent
  std::int64_t last_sent_ns_ = 0;
  bool reading_done_ = false;
  bool processing_done_ = false;
  bool broken_ = false;        // nothing more can be sent
  engine::io::Event changed_;  // something above moved
};

}  // namespace keelson::kafka
