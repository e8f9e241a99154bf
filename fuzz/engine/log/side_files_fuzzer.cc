// Any bytes as each of the files beside a log. What is accepted must be written again as it was,
// where the format has one way to write it.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/byte_order.h"
#include "engine/crc32c.h"
#include "engine/log/checkpoint_file.h"
#include "engine/log/clean_shutdown_file.h"
#include "engine/log/index_format.h"
#include "engine/log/leader_epoch_file.h"
#include "engine/log/meta_properties.h"
#include "engine/log/partition_metadata.h"
#include "engine/log/producer_snapshot.h"

namespace keelson::engine::log {
namespace {

void check(bool holds) {
  if (!holds) std::abort();
}

void same_bytes(const std::string& written, Bytes file) {
  check(std::ranges::equal(std::as_bytes(std::span(written)), file));
}

template <class Entries>
void same_entries(const Entries& entries, Bytes file) {
  if (!entries) return;
  std::string out;
  for (const auto& entry : *entries) append_entry(out, entry);
  same_bytes(out, file);
}

void snapshot(Bytes file) {
  std::string copy(reinterpret_cast<const char*>(file.data()), file.size());
  const MutableBytes bytes = std::as_writable_bytes(std::span(copy));
  if (bytes.size() >= 6) store_big_endian(bytes.data() + 2, crc32c(bytes.subspan(6)));
  const auto producers = parse_producer_snapshot(bytes);
  if (!producers) return;
  // Behind the entries may stand our history, which the CRC at 2 covers too.
  const std::string entries = encode_producer_snapshot(*producers);
  check(entries.size() <= copy.size());
  check(std::string_view(entries).substr(6) ==
        std::string_view(copy).substr(6, entries.size() - 6));
}

/// Numbers may have leading zeros, so the second writing is what must not differ.
template <class Parse, class Encode>
void settles(std::string_view text, Parse parse, Encode encode) {
  const auto first = parse(text);
  if (!first) return;
  const std::string written = encode(*first);
  const auto second = parse(std::string_view(written));
  check(second && *second == *first && encode(*second) == written);
}

/// A file of version 0 may lack ids that a written one must have.
Result<MetaProperties> parse_whole_properties(std::string_view text) {
  Result<MetaProperties> properties = parse_meta_properties(text);
  if (properties && !(properties->node_id && properties->cluster_id)) return fail(Errc::not_found);
  return properties;
}

void run(Bytes input) {
  if (input.empty()) return;
  const Bytes file = input.subspan(1);
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  switch (static_cast<unsigned>(input[0]) % 9) {
    case 0: same_entries(parse_offset_index(file), file); break;
    case 1: same_entries(parse_time_index(file), file); break;
    case 2: same_entries(parse_transaction_index(file), file); break;
    case 3: snapshot(file); break;
    case 4: settles(text, parse_leader_epochs, encode_leader_epochs); break;
    case 5: settles(text, parse_checkpoints, encode_checkpoints); break;
    case 6: settles(text, parse_partition_metadata, encode_partition_metadata); break;
    case 7: settles(text, parse_whole_properties, encode_meta_properties); break;
    case 8: settles(text, parse_clean_shutdown, encode_clean_shutdown); break;
  }
}

}  // namespace
}  // namespace keelson::engine::log

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, unsigned long size) {
  keelson::engine::log::run(std::as_bytes(std::span(data, size)));
  return 0;
}
