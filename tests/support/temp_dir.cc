#include "tests/support/temp_dir.h"

#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <system_error>

namespace keelson::test {
namespace {

std::string parent() {
  for (const char* variable : {"KEELSON_TEST_DIR", "TMPDIR"}) {
    if (const char* value = std::getenv(variable); value != nullptr && *value != '\0') return value;
  }
  return "/tmp";
}

}  // namespace

TempDir::TempDir() : path_(parent() + "/keelson-test-XXXXXX") {
  if (::mkdtemp(path_.data()) == nullptr) {
    std::perror(path_.c_str());
    std::abort();
  }
}

TempDir::~TempDir() {
  std::error_code ignored;  // a leftover in /tmp fails no test
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace keelson::test
