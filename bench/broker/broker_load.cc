// bench/broker/broker_load.cc: one load on one broker, through librdkafka; prints one line of JSON.
//
//   broker_load produce --brokers H:P --topic T --partitions N --size BYTES --count RECORDS
//               [--rate RECORDS_PER_S] [--keys KEYS] [--codec none] [--acks -1] [--idempotence]
//               [--linger 5]
//   broker_load consume --brokers H:P --topic T --partitions N --count RECORDS [--tail]
//
// With --rate the load is open-loop: record i is due at start + i / rate, sent then or as soon
// after as can be, and its latency is counted from when it was due (no coordinated omission).
#include <librdkafka/rdkafka.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "bench/histogram.h"

namespace keelson::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string brokers;
  std::string topic;
  std::int32_t partitions = 1;
  std::size_t size = 1024;
  std::uint64_t count = 1'000'000;
  double rate = 0;
  std::uint64_t keys = 0;
  std::string codec = "none";
  std::string acks = "-1";
  bool idempotence = false;
  std::string linger_ms = "5";
  bool tail = false;
  int timeout_s = 120;
};

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "broker_load: %s\n", why.c_str());
  std::exit(1);
}

/// Of a clock that all processes share, to tell who ended first.
double wall_s() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void set(rd_kafka_conf_t* conf, const char* name, const std::string& value) {
  char error[512];
  if (rd_kafka_conf_set(conf, name, value.c_str(), error, sizeof error) != RD_KAFKA_CONF_OK) {
    die(error);
  }
}

/// Text-like bytes: words of a small vocabulary, so that codecs have what they have in practice.
std::string make_payload(std::size_t size) {
  std::mt19937_64 random(20260101);
  std::vector<std::string> words;
  for (int i = 0; i < 2000; ++i) {
    std::string word;
    for (std::uint64_t left = 2 + random() % 9; left > 0; --left) {
      word += static_cast<char>('a' + random() % 26);
    }
    words.push_back(word + ' ');
  }
  std::string text;
  while (text.size() < size) text += words[random() % words.size()];
  text.resize(size);
  return text;
}

/// Keys that repeat in no order: each of `count` once before any comes again, then shuffled anew.
class Keys {
 public:
  explicit Keys(std::uint64_t count) : order_(count) {
    for (std::uint64_t i = 0; i < count; ++i) order_[i] = i;
  }
  bool any() const { return !order_.empty(); }
  std::string next() {
    if (at_ == 0) std::shuffle(order_.begin(), order_.end(), random_);
    const std::string key = "key-" + std::to_string(order_[at_]);
    at_ = (at_ + 1) % order_.size();
    return key;
  }

 private:
  std::mt19937_64 random_{20260102};
  std::vector<std::uint64_t> order_;
  std::size_t at_ = 0;
};

/// What the delivery reports say; librdkafka calls it from rd_kafka_poll() on the main thread.
struct Deliveries {
  std::vector<Clock::time_point> due;  // by record; empty where the load is closed
  Histogram latency;
  std::uint64_t delivered = 0;
  std::uint64_t failed = 0;
  rd_kafka_resp_err_t first_error = RD_KAFKA_RESP_ERR_NO_ERROR;

  static void on_report(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
    auto& self = *static_cast<Deliveries*>(opaque);
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      if (self.failed++ == 0) self.first_error = message->err;
      return;
    }
    ++self.delivered;
    if (self.due.empty()) return;
    const auto index = reinterpret_cast<std::uintptr_t>(message->_private);
    self.latency.add(
        std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - self.due[index])
            .count());
  }
};

struct Close {
  void operator()(rd_kafka_t* handle) const { rd_kafka_destroy(handle); }
  void operator()(rd_kafka_topic_t* topic) const { rd_kafka_topic_destroy(topic); }
};
using Handle = std::unique_ptr<rd_kafka_t, Close>;
using Topic = std::unique_ptr<rd_kafka_topic_t, Close>;

Handle open_handle(rd_kafka_type_t type, rd_kafka_conf_t* conf) {
  char error[512];
  rd_kafka_t* const handle = rd_kafka_new(type, conf, error, sizeof error);
  if (handle == nullptr) die(error);
  return Handle(handle);
}

int produce(const Options& options) {
  Deliveries deliveries;
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", options.brokers);
  set(conf, "acks", options.acks);
  set(conf, "linger.ms", options.linger_ms);
  set(conf, "compression.codec", options.codec);
  set(conf, "enable.idempotence", options.idempotence ? "true" : "false");
  set(conf, "queue.buffering.max.messages", "500000");
  rd_kafka_conf_set_opaque(conf, &deliveries);
  rd_kafka_conf_set_dr_msg_cb(conf, Deliveries::on_report);
  const Handle handle = open_handle(RD_KAFKA_PRODUCER, conf);
  const Topic topic(rd_kafka_topic_new(handle.get(), options.topic.c_str(), nullptr));

  // Connections and metadata are not what is measured: one record to each partition first.
  const std::string payload = make_payload(options.size + 4096);
  for (std::int32_t partition = 0; partition < options.partitions; ++partition) {
    rd_kafka_produce(topic.get(), partition, 0, const_cast<char*>(payload.data()), options.size,
                     "first", 5, nullptr);
  }
  if (rd_kafka_flush(handle.get(), options.timeout_s * 1000) != RD_KAFKA_RESP_ERR_NO_ERROR ||
      deliveries.failed > 0) {
    die("the broker does not take the first records: " +
        std::string(rd_kafka_err2str(deliveries.first_error)));
  }
  deliveries.delivered = 0;

  const bool open_loop = options.rate > 0;
  if (open_loop) deliveries.due.resize(options.count);
  Keys keys(options.keys);
  const Clock::time_point start = Clock::now();
  const Clock::time_point limit = start + std::chrono::seconds(options.timeout_s);
  for (std::uint64_t i = 0; i < options.count; ++i) {
    if (open_loop) {
      const Clock::time_point due = start + std::chrono::nanoseconds(static_cast<std::int64_t>(
                                                1e9 * static_cast<double>(i) / options.rate));
      deliveries.due[i] = due;
      // Reports are served until the record is due, by a wait that ends with the first report.
      for (auto left = due - Clock::now(); left.count() > 0; left = due - Clock::now()) {
        const auto left_ms = std::chrono::duration_cast<std::chrono::milliseconds>(left).count();
        if (left_ms >= 1) {
          rd_kafka_poll(handle.get(), static_cast<int>(left_ms));
        } else if (rd_kafka_poll(handle.get(), 0) == 0) {
          std::this_thread::sleep_for(
              std::min<Clock::duration>(left, std::chrono::microseconds(50)));
        }
      }
    }
    // A window that moves over the text, so that no two records are alike.
    char* const value = const_cast<char*>(payload.data()) + (i % 4096);
    const auto partition =
        static_cast<std::int32_t>(i % static_cast<std::uint64_t>(options.partitions));
    const std::string key = keys.any() ? keys.next() : std::string();
    while (rd_kafka_produce(topic.get(), partition, 0, value, options.size,
                            keys.any() ? key.data() : nullptr, key.size(),
                            reinterpret_cast<void*>(static_cast<std::uintptr_t>(i))) != 0) {
      if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
        die(rd_kafka_err2str(rd_kafka_last_error()));
      }
      rd_kafka_poll(handle.get(), 5);
      if (Clock::now() > limit) die("not done in time");
    }
    if (i % 256 == 0) rd_kafka_poll(handle.get(), 0);
  }
  while (deliveries.delivered + deliveries.failed < options.count && Clock::now() < limit) {
    rd_kafka_poll(handle.get(), 100);
  }
  const double seconds = seconds_since(start);
  if (deliveries.delivered != options.count) {
    die(std::to_string(options.count - deliveries.delivered) + " records were not acknowledged, " +
        std::to_string(deliveries.failed) +
        " with an error: " + rd_kafka_err2str(deliveries.first_error));
  }
  const double bytes = static_cast<double>(options.count) * static_cast<double>(options.size);
  std::printf(
      "{\"records\": %llu, \"bytes\": %.0f, \"seconds\": %.6f, \"mb_per_s\": %.3f, "
      "\"ended_s\": %.6f",
      static_cast<unsigned long long>(options.count), bytes, seconds, bytes / seconds / 1e6,
      wall_s());
  if (open_loop) {
    for (const auto& [name, share] : {std::pair{"p50_ms", 0.5},
                                      {"p90_ms", 0.9},
                                      {"p99_ms", 0.99},
                                      {"p999_ms", 0.999},
                                      {"max_ms", 1.0}}) {
      std::printf(", \"%s\": %.4f", name,
                  static_cast<double>(deliveries.latency.percentile(share)) / 1e6);
    }
  }
  std::printf("}\n");
  return 0;
}

/// How far the reader is behind what the broker has shown it, over all partitions.
class Lag {
 public:
  Lag(rd_kafka_t* handle, const Options& options)
      : handle_(handle),
        topic_(options.topic),
        next_(static_cast<std::size_t>(options.partitions)) {}

  void take(const rd_kafka_message_t& message) {
    next_[static_cast<std::size_t>(message.partition)] = message.offset + 1;
  }
  /// After some were taken.
  void look() {
    std::int64_t records = 0;
    for (std::size_t i = 0; i < next_.size(); ++i) {
      std::int64_t low = 0;
      std::int64_t high = 0;
      const auto partition = static_cast<std::int32_t>(i);
      // What the last fetch answer said; nothing is asked.
      if (rd_kafka_get_watermark_offsets(handle_, topic_.c_str(), partition, &low, &high) !=
          RD_KAFKA_RESP_ERR_NO_ERROR) {
        continue;
      }
      if (next_[i] > 0 && high > next_[i]) records += high - next_[i];
    }
    max_ = std::max(max_, records);
  }
  std::int64_t max_records() const { return max_; }

 private:
  rd_kafka_t* handle_;
  std::string topic_;
  std::vector<std::int64_t> next_;
  std::int64_t max_ = 0;
};

int consume(const Options& options) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", options.brokers);
  set(conf, "group.id", "bench");
  set(conf, "enable.auto.commit", "false");
  set(conf, "check.crcs", "true");
  const Handle handle = open_handle(RD_KAFKA_CONSUMER, conf);
  rd_kafka_poll_set_consumer(handle.get());
  rd_kafka_topic_partition_list_t* list = rd_kafka_topic_partition_list_new(options.partitions);
  for (std::int32_t partition = 0; partition < options.partitions; ++partition) {
    rd_kafka_topic_partition_list_add(list, options.topic.c_str(), partition)->offset =
        options.tail ? RD_KAFKA_OFFSET_END : RD_KAFKA_OFFSET_BEGINNING;
  }
  rd_kafka_assign(handle.get(), list);
  rd_kafka_topic_partition_list_destroy(list);
  rd_kafka_queue_t* const queue = rd_kafka_queue_get_consumer(handle.get());

  std::vector<rd_kafka_message_t*> messages(1000);
  std::uint64_t records = 0;
  double bytes = 0;
  Lag lag(handle.get(), options);
  Clock::time_point start;
  const Clock::time_point limit = Clock::now() + std::chrono::seconds(options.timeout_s);
  while (records < options.count && Clock::now() < limit) {
    const ssize_t got = rd_kafka_consume_batch_queue(queue, 100, messages.data(), messages.size());
    if (got > 0 && records == 0) start = Clock::now();
    for (ssize_t i = 0; i < got; ++i) {
      rd_kafka_message_t* const message = messages[static_cast<std::size_t>(i)];
      if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        ++records;
        lag.take(*message);
        bytes += static_cast<double>(message->len);
      } else if (message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        die(rd_kafka_message_errstr(message));
      }
      rd_kafka_message_destroy(message);
    }
    if (options.tail) lag.look();
  }
  const double ended_s = wall_s();
  const double seconds = seconds_since(start);
  rd_kafka_queue_destroy(queue);
  rd_kafka_consumer_close(handle.get());
  if (records < options.count) die("only " + std::to_string(records) + " records came");
  std::printf(
      "{\"records\": %llu, \"bytes\": %.0f, \"seconds\": %.6f, \"mb_per_s\": %.3f, "
      "\"ended_s\": %.6f, \"lag_max_records\": %lld}\n",
      static_cast<unsigned long long>(records), bytes, seconds, bytes / seconds / 1e6, ended_s,
      static_cast<long long>(lag.max_records()));
  return 0;
}

}  // namespace
}  // namespace keelson::bench

int main(int argc, char** argv) {
  using keelson::bench::Options;
  Options options;
  CLI::App app("One load on one broker, through librdkafka.");
  app.require_subcommand(1);
  const auto add_common = [&options](CLI::App& command) {
    command.add_option("--brokers", options.brokers)->required();
    command.add_option("--topic", options.topic)->required();
    command.add_option("--partitions", options.partitions)->check(CLI::PositiveNumber);
    command.add_option("--count", options.count)->check(CLI::PositiveNumber);
    command.add_option("--timeout", options.timeout_s, "seconds");
  };
  CLI::App& produce = *app.add_subcommand("produce");
  add_common(produce);
  produce.add_option("--size", options.size, "bytes of each value");
  produce.add_option("--rate", options.rate, "records per second; 0: as fast as it goes");
  produce.add_option("--keys", options.keys, "different keys; 0: records without")
      ->check(CLI::Range(std::uint64_t{0}, std::uint64_t{100'000'000}));
  produce.add_option("--codec", options.codec);
  produce.add_option("--acks", options.acks);
  produce.add_option("--linger", options.linger_ms, "ms");
  produce.add_flag("--idempotence", options.idempotence);
  CLI::App& consume = *app.add_subcommand("consume");
  add_common(consume);
  consume.add_flag("--tail", options.tail, "from the end on, not from the beginning");
  CLI11_PARSE(app, argc, argv);
  return produce.parsed() ? keelson::bench::produce(options) : keelson::bench::consume(options);
}
