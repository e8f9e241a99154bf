#include "plugins/storage/kafka_metadata_log.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "engine/io/file.h"
#include "engine/log/record_batch.h"
#include "engine/logger.h"
#include "plugins/storage/kafka_metadata.h"

namespace keelson::storage {

using engine::concat;
using engine::Errc;
using engine::Result;
using engine::Task;
using engine::io::Shard;

namespace {

constexpr std::size_t kChunkBytes = std::size_t{1} << 20;
constexpr std::size_t kBatchBytesMax = std::size_t{64} << 20;  // Kafka's own are at most 8 MiB
constexpr std::size_t kOffsetDigits = 20;

/// "<20 digits>" and what follows.
std::optional<std::int64_t> leading_offset(std::string_view name) {
  if (name.size() < kOffsetDigits) return std::nullopt;
  std::int64_t offset = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + kOffsetDigits, offset);
  if (error != std::errc{} || end != name.data() + kOffsetDigits) return std::nullopt;
  return offset;
}

enum class FileEnd : std::uint8_t {
  sound,    // read to the end, or to zeros up to the end
  torn,     // the last batch is cut by the end of the file
  damaged,  // something that is no batch stands before the end
};

bool is_zero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

FileEnd judge_rest(std::span<const std::byte> rest) {
  if (is_zero(rest)) return FileEnd::sound;
  if (rest.size() < engine::log::kBatchHeaderBytes) return FileEnd::torn;
  const auto header = engine::log::read_batch_header(rest);
  return header && header->size_bytes() > rest.size() ? FileEnd::torn : FileEnd::damaged;
}

/// Feeds a file, a chunk at a time.
Task<Result<FileEnd>> feed_file(Shard& shard, std::string path, KafkaMetadata& metadata) {
  Result<engine::io::File> file = co_await engine::io::File::open(shard, std::move(path), {});
  if (!file) co_return std::unexpected(file.error());
  std::vector<std::byte> buffer;
  std::uint64_t position_bytes = 0;
  while (true) {
    const std::size_t held = buffer.size();
    buffer.resize(held + kChunkBytes);
    const std::span<std::byte> into = std::span(buffer).subspan(held);
    const Result<std::size_t> read = co_await file->read_at(position_bytes, into);
    if (!read) co_return std::unexpected(read.error());
    buffer.resize(held + *read);
    position_bytes += *read;
    const std::size_t taken = metadata.feed(buffer);
    buffer.erase(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(taken));
    const bool at_end = *read < kChunkBytes;
    if (at_end) co_return judge_rest(buffer);
    const FileEnd so_far = judge_rest(buffer);
    if (so_far == FileEnd::damaged || buffer.size() > kBatchBytesMax) co_return FileEnd::damaged;
  }
}

/// The state of the newest snapshot that can be read to its end; else that of none.
Task<Result<KafkaMetadata>> load_snapshot(Shard& shard, std::string dir,
                                          std::map<std::int64_t, std::string> snapshots,
                                          std::vector<std::string>& findings) {
  for (; !snapshots.empty(); snapshots.erase(std::prev(snapshots.end()))) {
    const auto [offset, name] = *std::prev(snapshots.end());
    KafkaMetadata metadata;
    const Result<FileEnd> end = co_await feed_file(shard, concat(dir, "/", name), metadata);
    if (!end && end.error().code == Errc::io) co_return std::unexpected(end.error());
    if (end && *end == FileEnd::sound) {
      metadata.end_snapshot(offset);
      co_return metadata;
    }
    findings.push_back(concat("Kafka's metadata snapshot ", name, " is damaged: passed over"));
  }
  co_return KafkaMetadata{};
}

}  // namespace

Task<Result<std::optional<AdoptedMetadata>>> read_kafka_metadata(Shard& shard, std::string dir) {
  const Result<std::vector<engine::io::DirEntry>> entries =
      co_await engine::io::list_dir(shard, dir);
  if (!entries && entries.error().code == Errc::not_found) {
    co_return std::optional<AdoptedMetadata>{};
  }
  if (!entries) co_return std::unexpected(entries.error());
  std::map<std::int64_t, std::string> snapshots;
  std::map<std::int64_t, std::string> logs;
  for (const engine::io::DirEntry& entry : *entries) {
    const std::optional<std::int64_t> offset = leading_offset(entry.name);
    if (!offset || entry.is_dir) continue;
    if (entry.name.ends_with(".checkpoint")) snapshots[*offset] = entry.name;
    if (entry.name.size() == kOffsetDigits + 4 && entry.name.ends_with(".log")) {
      logs[*offset] = entry.name;
    }
  }

  std::vector<std::string> findings;
  Result<KafkaMetadata> metadata =
      co_await load_snapshot(shard, dir, std::move(snapshots), findings);
  if (!metadata) co_return std::unexpected(metadata.error());
  bool complete = true;
  for (auto log = logs.begin(); log != logs.end(); ++log) {
    const auto following = std::next(log);
    if (following != logs.end() && following->first <= metadata->next_offset()) continue;
    if (log->first > metadata->next_offset()) {
      complete = false;
      findings.push_back(concat("Kafka's metadata from offset ", metadata->next_offset(), " to ",
                                log->first - 1, " is missing"));
    }
    const Result<FileEnd> end = co_await feed_file(shard, concat(dir, "/", log->second), *metadata);
    if (!end) co_return std::unexpected(end.error());
    if (*end == FileEnd::sound) continue;
    // What a crash tore was not yet in force.
    if (*end == FileEnd::torn && following == logs.end()) continue;
    complete = false;
    findings.push_back(concat("Kafka's metadata is damaged behind offset ", metadata->next_offset(),
                              " (", log->second, ")"));
    break;
  }
  if (metadata->misunderstood() > 0) {
    complete = false;
    findings.push_back(
        concat(metadata->misunderstood(), " records of Kafka's metadata are not understood"));
  }
  AdoptedMetadata found = metadata->result();
  found.complete = complete;
  found.findings = std::move(findings);
  co_return std::optional<AdoptedMetadata>(std::move(found));
}

}  // namespace keelson::storage
