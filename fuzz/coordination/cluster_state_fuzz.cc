// Hostile keys and values in the coordinator: a state that holds together, or an error.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "coordination/controller/cluster_state.h"
#include "coordination/store/byte_cursor.h"

using namespace keelson;
using namespace keelson::coordination;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Keys keys{"/k", "c"};
  ByteReader in{std::string_view(reinterpret_cast<const char*>(data), size)};
  std::vector<KeyValue> listed;
  while (in.ok() && !in.at_end()) {
    std::string key = keys.prefix() + std::string(in.text(200));
    std::string value{in.text(4096)};
    listed.push_back({std::move(key), std::move(value), listed.size() + 1, listed.size() + 1});
  }
  const auto state = read_state(keys, listed, nullptr);
  if (!state) return 0;
  std::int64_t partitions = 0;
  for (const auto& [id, entry] : state->topics) {
    if (entry.view == nullptr || entry.view->id != id || entry.view->partitions.empty()) {
      std::abort();
    }
    partitions += static_cast<std::int64_t>(entry.view->partitions.size());
  }
  if (partitions != state->partitions_total) std::abort();
  if (state->names.size() != state->topics.size()) std::abort();
  return 0;
}
