#include <algorithm>
#include <iostream>
#include <optional>
#include <vector>

#include "engine/log/checkpoint_file.h"
#include "engine/log/data_directory.h"
#include "engine/log/entry_cursor.h"
#include "engine/log/index_format.h"
#include "engine/log/leader_epoch_file.h"
#include "engine/log/log_scanner.h"
#include "engine/log/log_side_files.h"
#include "engine/log/manifest.h"
#include "engine/log/partition_metadata.h"
#include "engine/log/producer_snapshot.h"
#include "engine/log/record_reader.h"
#include "engine/log/segment.h"
#include "engine/log/verify.h"
#include "plugins/broker/commands/item_printer.h"
#include "plugins/broker/commands/log_commands.h"

namespace keelson::broker {
namespace {

using engine::Bytes;
using engine::Errc;
using engine::Offset;
using engine::Result;
using engine::Task;
using engine::io::Shard;
using namespace engine::log;

constexpr std::size_t kSideFileBytesMax = std::size_t{256} << 20;
constexpr std::size_t kRecordBatchBytesMax = std::size_t{256} << 20;

const char* name_of(Codec codec) {
  switch (codec) {
    case Codec::none: return "none";
    case Codec::gzip: return "gzip";
    case Codec::snappy: return "snappy";
    case Codec::lz4: return "lz4";
    case Codec::zstd: return "zstd";
  }
  return "unknown";  // five of eight numbers are codecs
}

Item describe(const BatchHeader& header, std::uint64_t position_bytes, bool crc_holds) {
  Item item = {{"base_offset", header.base_offset.value()},
               {"last_offset", header.base_offset.value() + header.last_offset_delta},
               {"position", position_bytes},
               {"size", header.size_bytes()},
               {"records", header.record_count},
               {"codec", name_of(header.codec())},
               {"epoch", header.leader_epoch.value()},
               {"crc", crc_holds ? "ok" : "WRONG"},
               {"time", header.is_log_append_time() ? "append" : "create"},
               {"base_timestamp", header.base_timestamp},
               {"max_timestamp", header.max_timestamp}};
  if (header.has_producer()) {
    item["producer"] = header.producer_id.value();
    item["producer_epoch"] = header.producer_epoch.value();
    item["sequence"] = header.base_sequence;
  }
  if (header.is_transactional()) item["transactional"] = true;
  if (header.is_control()) item["control"] = true;
  return item;
}

class Dump {
 public:
  Dump(Shard& shard, const DumpOptions& options)
      : shard_(shard), options_(options), printer_(options.output) {}

  Task<void> dump_directory(std::string path);
  Task<void> dump_file(std::string path);
  int code() const { return code_; }

 private:
  Task<void> dump_segment(std::string path);
  Task<void> dump_records(engine::io::File& file, BatchHeader header, std::uint64_t position_bytes);
  Task<void> dump_entries(std::string path);
  void dump_side_file(const std::string& name, const std::string& content);
  bool dump_table(const std::string& name, const std::string& content);
  bool dump_index(const std::string& name, Bytes content);
  void dump_manifest(const Manifest& manifest);
  void print(std::string_view type, const Item& item) { printer_.print(type, item, 2); }
  void fail(const std::string& path, const std::string& text) {
    std::cout << std::flush;
    std::cerr << "keelson: " << escape(path) << ": " << text << '\n';
    code_ = kExitFailed;
  }
  void fail(const std::string& path, const engine::Error& error) {
    fail(path, engine::concat("cannot be read: ", engine::to_string(error.code), ", errno ",
                              error.sys_errno));
  }

  Shard& shard_;
  const DumpOptions& options_;
  ItemPrinter printer_;
  int code_ = 0;
};

bool is_segment(std::string_view name) { return name.ends_with(".log"); }

std::string_view last_part(std::string_view path) { return path.substr(path.rfind('/') + 1); }

Task<void> Dump::dump_directory(std::string path) {
  Result<std::vector<engine::io::DirEntry>> entries = co_await engine::io::list_dir(shard_, path);
  if (!entries) {
    fail(path, entries.error());
    co_return;
  }
  for (const engine::io::DirEntry& entry : *entries) {
    if (!printer_.wanted()) co_return;
    const std::string inside = engine::concat(path, "/", entry.name);
    if (entry.is_dir) {
      if (parse_log_name(entry.name)) co_await dump_directory(inside);
    } else if (is_segment(entry.name) || !options_.batches_only) {
      co_await dump_file(inside);
    }
  }
}

Task<void> Dump::dump_file(std::string path) {
  const std::string name(last_part(path));
  if (is_segment(name)) {
    co_await dump_segment(path);
    co_return;
  }
  if (name.ends_with(".integrity")) {
    co_await dump_entries(path);
    co_return;
  }
  if (name == ".lock" || name.ends_with(".tmp")) co_return;
  const Result<std::string> content =
      co_await engine::io::read_file(shard_, path, kSideFileBytesMax);
  if (!content) {
    fail(path, content.error());
    co_return;
  }
  printer_.print("file", {{"path", path}, {"size", content->size()}});
  dump_side_file(name, *content);
}

// --- batches
// --------------------------------------------------------------------------------------

Task<void> Dump::dump_segment(std::string path) {
  const Result<engine::io::FileStat> stat = co_await engine::io::stat(shard_, path);
  Result<engine::io::File> file = co_await engine::io::File::open(shard_, path, {});
  if (!stat || !file) {
    fail(path, stat ? file.error() : stat.error());
    co_return;
  }
  printer_.print("file", {{"path", path}, {"size", stat->size_bytes}});
  LogScanner scanner(*file, stat->size_bytes);
  std::uint64_t position = 0;
  while (printer_.wanted()) {
    scanner.start(position, Offset{0}, engine::kNoLeaderEpoch, true);
    const Result<bool> more = co_await scanner.next();
    if (!more) {
      fail(path, more.error());
      co_return;
    }
    if (!*more && scanner.stop() == ScanStop::end_of_file) co_return;
    BatchHeader header = *more ? scanner.batch().header : BatchHeader{};
    if (!*more && scanner.stop() == ScanStop::bad_crc) {
      const Result<BatchHeader> found = co_await scanner.header_at(position);
      if (found) header = *found;
    }
    if (!*more && header.magic != kMagic) {
      const std::string_view what = scanner.stop() == ScanStop::zeros ? "zeros" : "no batch";
      print("rest", {{"position", position},
                     {"size", stat->size_bytes - position},
                     {"holds", std::string(what)}});
      co_return;
    }
    print("batch", describe(header, position, *more));
    if (*more && options_.records) co_await dump_records(*file, header, position);
    position += header.size_bytes();
  }
}

Item describe(const Record& record) {
  Item item = {{"offset", record.offset.value()}, {"timestamp", record.timestamp_ms}};
  const auto put = [&](const char* name, const std::optional<Bytes>& bytes) {
    if (bytes) {
      put_bytes(item, name, *bytes);
    } else {
      item[name] = nullptr;
    }
  };
  put("key", record.key);
  put("value", record.value);
  if (record.header_count > 0) {
    item["headers"] = record.header_count;
    put_bytes(item, "header_bytes", record.headers);
  }
  return item;
}

Task<void> Dump::dump_records(engine::io::File& file, BatchHeader header,
                              std::uint64_t position_bytes) {
  if (header.size_bytes() > kRecordBatchBytesMax) {
    print("note", {{"text", "the batch is too large to show its records"}});
    co_return;
  }
  std::vector<std::byte> batch(header.size_bytes());  // within the file: the scanner saw its end
  const Result<std::size_t> read = co_await file.read_at(position_bytes, batch);
  if (!read || *read < batch.size()) co_return;
  RecordReader reader(batch);
  while (printer_.wanted()) {
    const Result<std::optional<Record>> record = reader.next();
    if (!record) {
      print("note", {{"text", "the records that follow are garbled"}});
      code_ = kExitFailed;
      co_return;
    }
    if (!*record) co_return;
    printer_.print("record", describe(**record), 4);
  }
}

// --- side files
// -----------------------------------------------------------------------------------

Task<void> Dump::dump_entries(std::string path) {
  const std::string dir = engine::io::parent_of(path);
  const std::optional<Offset> base = parse_segment_stem(last_part(path).substr(0, 20));
  const Result<std::string> content = co_await engine::io::read_file(
      shard_, engine::concat(dir, "/", kManifestName), kManifestBytesMax);
  const Result<Manifest> manifest =
      content ? decode_manifest(*content) : engine::fail(Errc::not_found);
  if (!base || !manifest) {
    fail(path, "integrity entries can be read beside a sound keelson.manifest only");
    co_return;
  }
  printer_.print("file", {{"path", path}});
  EntryFile entries(shard_, path);
  const Result<void> started = co_await entries.start(0, integrity_seed(manifest->identity, *base));
  if (!started) {
    fail(path, started.error());
    co_return;
  }
  while (printer_.wanted()) {
    const Result<std::optional<IntegrityEntry>> next = co_await entries.next();
    if (!next || !*next) break;
    const IntegrityEntry& entry = **next;
    Item item = {{"position", entry.position_bytes},
                 {"size", entry.size_bytes},
                 {"last_offset", base->value() + entry.relative_last_offset},
                 {"max_timestamp", entry.max_timestamp_ms},
                 {"durable_up_to", entry.durable_upto_bytes},
                 {"header_crc", entry.header_crc},
                 {"chain", entry.chain}};
    if (entry.begins_epoch) item["begins_epoch"] = true;
    if (entry.has_producer) item["has_producer"] = true;
    if (entry.damaged) item["damaged"] = true;
    print("integrity", item);
  }
  if (entries.broken()) print("rest", {{"entry", entries.number()}, {"holds", "a broken chain"}});
}

void Dump::dump_side_file(const std::string& name, const std::string& content) {
  const bool parsed =
      dump_index(name, std::as_bytes(std::span(content))) || dump_table(name, content);
  if (parsed) return;
  const bool is_text = name.ends_with(".properties") || name == ".kafka_cleanshutdown";
  if (is_text) {
    print("text", {{"text", content}});
    return;
  }
  print("note", {{"text", "not a file that a log has, or garbled"}});
}

/// False where the name is another's, or the content is garbled.
bool Dump::dump_index(const std::string& name, Bytes content) {
  if (name.ends_with(".index")) {
    const auto entries = parse_offset_index(content);
    if (!entries) return false;
    for (const OffsetIndexEntry& entry : *entries) {
      print("index",
            {{"relative_offset", entry.relative_offset}, {"position", entry.position_bytes}});
    }
    return true;
  }
  if (name.ends_with(".timeindex")) {
    const auto entries = parse_time_index(content);
    if (!entries) return false;
    for (const TimeIndexEntry& entry : *entries) {
      print("timeindex",
            {{"timestamp", entry.timestamp_ms}, {"relative_offset", entry.relative_offset}});
    }
    return true;
  }
  if (name.ends_with(".txnindex")) {
    const auto entries = parse_transaction_index(content);
    if (!entries) return false;
    for (const TransactionIndexEntry& entry : *entries) {
      print("aborted", {{"producer", entry.producer_id.value()},
                        {"first_offset", entry.first_offset.value()},
                        {"last_offset", entry.last_offset.value()},
                        {"last_stable_offset", entry.last_stable_offset.value()}});
    }
    return true;
  }
  if (!name.ends_with(".snapshot")) return false;
  const auto producers = parse_producer_snapshot(content);
  if (!producers) return false;
  for (const ProducerSnapshotEntry& entry : *producers) {
    print("producer", {{"producer", entry.producer_id.value()},
                       {"producer_epoch", entry.producer_epoch.value()},
                       {"last_sequence", entry.last_sequence},
                       {"last_offset", entry.last_offset.value()},
                       {"offset_delta", entry.offset_delta},
                       {"timestamp", entry.timestamp_ms},
                       {"coordinator_epoch", entry.coordinator_epoch},
                       {"transaction_start", entry.transaction_start.value()}});
  }
  return true;
}

bool Dump::dump_table(const std::string& name, const std::string& content) {
  if (name == kEpochFileName) {
    const auto entries = parse_leader_epochs(content);
    if (!entries) return false;
    for (const LeaderEpochEntry& entry : *entries) {
      print("epoch", {{"epoch", entry.epoch.value()}, {"start", entry.start_offset.value()}});
    }
    return true;
  }
  if (name == kPartitionMetadataName) {
    const Result<engine::Uuid> id = parse_partition_metadata(content);
    if (id) print("topic_id", {{"topic_id", engine::to_string(*id)}});
    return id.has_value();
  }
  if (name == kManifestName) {
    const Result<Manifest> manifest = decode_manifest(content);
    if (manifest) dump_manifest(*manifest);
    return manifest.has_value();
  }
  if (!name.ends_with("-checkpoint")) return false;
  const auto entries = parse_checkpoints(content);
  if (!entries) return false;
  for (const CheckpointEntry& entry : *entries) {
    print(
        "checkpoint",
        {{"topic", entry.topic}, {"partition", entry.partition}, {"offset", entry.offset.value()}});
  }
  return true;
}

void Dump::dump_manifest(const Manifest& manifest) {
  print("manifest", {{"topic_id", engine::to_string(manifest.identity.id)},
                     {"partition", manifest.identity.partition},
                     {"clean", manifest.clean},
                     {"log_start", manifest.log_start_offset.value()},
                     {"recovery_point", manifest.recovery_point.value()}});
  for (const ManifestSegment& segment : manifest.segments) {
    print("segment", {{"base_offset", segment.base_offset.value()},
                      {"next_offset", segment.next_offset.value()},
                      {"size", segment.size_bytes},
                      {"batches", segment.batch_count},
                      {"max_timestamp", segment.max_timestamp_ms},
                      {"sealed", segment.sealed},
                      {"dropped", segment.dropped}});
  }
  for (const EpochStart& epoch : manifest.epochs) {
    print("epoch", {{"epoch", epoch.epoch.value()}, {"start", epoch.start_offset.value()}});
  }
}

}  // namespace

Task<int> dump_path(Shard& shard, DumpOptions options) {
  while (options.path.size() > 1 && options.path.ends_with('/')) options.path.pop_back();
  const Result<engine::io::FileStat> stat = co_await engine::io::stat(shard, options.path);
  if (!stat) {
    const bool gone = stat.error().code == Errc::not_found;
    std::cerr << "keelson: " << options.path
              << (gone ? " is not there\n" : " cannot be read: may you?\n");
    co_return kExitUsage;
  }
  if (stat->is_dir) {
    const Result<engine::io::File> lock = co_await engine::log::lock_at_rest(shard, options.path);
    if (!lock) {
      std::cerr << "keelson: a broker serves this directory: the ends of its logs are in motion\n";
    }
  }
  Dump dump(shard, options);
  if (stat->is_dir) {
    co_await dump.dump_directory(options.path);
  } else {
    co_await dump.dump_file(options.path);
  }
  std::cout << std::flush;
  co_return dump.code();
}

}  // namespace keelson::broker
