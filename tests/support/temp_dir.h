// tests/support/temp_dir.h: a directory for one test.
#pragma once

#include <string>

namespace keelson::test {

/// An empty directory under $KEELSON_TEST_DIR, else $TMPDIR, else /tmp; removed with everything
/// in it at the end. Ends the program where it cannot be made.
class TempDir {
 public:
  TempDir();
  TempDir(const TempDir&) = delete;
  ~TempDir();

  const std::string& path() const { return path_; }
  /// path() / name
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace keelson::test
