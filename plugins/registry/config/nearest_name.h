// plugins/registry/config/nearest_name.h: "did you mean …?"
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace keelson {

/// Keeps the nearest of the names offered, by edit distance (insert, delete, replace, swap of
/// neighbours). The names must outlive it.
class NearestName {
 public:
  explicit NearestName(std::string_view wanted) : wanted_(wanted) {}
  void offer(std::string_view candidate);
  /// Empty where no name is within a third of the wanted one's length.
  std::string_view found() const { return found_; }

 private:
  std::string_view wanted_;
  std::string_view found_;
  std::size_t distance_ = static_cast<std::size_t>(-1);
};

/// `; did you mean "name"?`, or nothing where there is no name.
std::string did_you_mean(std::string_view name);

}  // namespace keelson
