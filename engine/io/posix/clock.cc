#include "engine/io/posix/clock.h"

#include <time.h>

namespace keelson::engine::io {
namespace {

std::int64_t read_clock_ns(clockid_t id) {
  timespec now{};
  ::clock_gettime(id, &now);  // cannot fail for these clocks
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

std::int64_t PosixClock::now_ns() const { return read_clock_ns(CLOCK_BOOTTIME); }

std::int64_t PosixClock::wall_ms() const { return read_clock_ns(CLOCK_REALTIME) / 1'000'000; }

}  // namespace keelson::engine::io
