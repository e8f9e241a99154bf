#include "plugins/registry/config/nearest_name.h"

#include <algorithm>
#include <vector>

namespace keelson {

namespace {

constexpr std::size_t kNameBytesMax = 128;  // longer ones are no typing errors

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
    std::swap(before_last, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

}  // namespace

void NearestName::offer(std::string_view candidate) {
  if (wanted_.empty() || wanted_.size() > kNameBytesMax || candidate.size() > kNameBytesMax) return;
  const std::size_t allowed = std::max<std::size_t>(1, wanted_.size() / 3);
  const std::size_t apart = wanted_.size() > candidate.size() ? wanted_.size() - candidate.size()
                                                              : candidate.size() - wanted_.size();
  if (apart > allowed || apart >= distance_) return;
  const std::size_t distance = edit_distance(wanted_, candidate);
  if (distance > allowed || distance >= distance_) return;
  distance_ = distance;
  found_ = candidate;
}

std::string did_you_mean(std::string_view name) {
  if (name.empty()) return {};
  return "; did you mean \"" + std::string(name) + "\"?";
}

}  // namespace keelson
