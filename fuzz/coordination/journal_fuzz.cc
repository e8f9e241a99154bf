// Any bytes as `keelson.coordinator`: a verdict, never a crash; what is accepted can be written on.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "coordination/local/journal_format.h"

using namespace keelson::coordination;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const JournalScan scan = scan_journal(bytes);
  if (scan.verdict != JournalVerdict::intact && scan.verdict != JournalVerdict::torn_tail) return 0;
  if (scan.end_bytes > size) std::abort();
  std::string next{bytes.substr(0, scan.end_bytes)};
  next += encode_transaction(scan.file_id, scan.end_bytes, scan.map.version() + 1, {{"k", "v"}});
  const JournalScan again = scan_journal(next);
  if (again.verdict != JournalVerdict::intact || again.end_bytes != next.size()) std::abort();
  if (!again.map.get("k") || again.map.get("k")->value != "v") std::abort();
  return 0;
}
