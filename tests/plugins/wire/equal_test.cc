#include "plugins/wire/equal.h"

#include <gtest/gtest.h>

#include <limits>
#include <string_view>

namespace keelson::wire {
namespace {

engine::SliceList cut(std::initializer_list<std::string_view> texts) {
  engine::SliceList slices;
  for (const auto text : texts) slices.push_back({nullptr, std::as_bytes(std::span(text))});
  return slices;
}

TEST(Equal, SlicesAreTheirRunOfBytes) {
  EXPECT_TRUE(equal(cut({"abc", "", "def"}), cut({"", "a", "bcdef", ""})));
  EXPECT_TRUE(equal(cut({}), cut({""})));
  EXPECT_FALSE(equal(cut({"abc"}), cut({"abd"})));
  EXPECT_FALSE(equal(cut({"ab", "c"}), cut({"ab"})));
}

TEST(Equal, NullIsNotEmpty) {
  const std::optional<engine::SliceList> null, empty{std::in_place};
  EXPECT_FALSE(equal(null, empty));
  EXPECT_TRUE(equal(null, null));
  EXPECT_TRUE(equal(empty, empty));
}

TEST(Equal, FloatsByBits) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(equal(nan, nan));
  EXPECT_FALSE(equal(0.0, -0.0));
}

}  // namespace
}  // namespace keelson::wire
