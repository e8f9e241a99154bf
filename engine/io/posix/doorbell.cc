#include "engine/io/posix/doorbell.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "engine/counters.h"

namespace keelson::engine::io {

Doorbell::Doorbell() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (fd_ < 0) fd_ = -errno;
}

Doorbell::~Doorbell() {
  if (fd_ >= 0) ::close(fd_);
}

void Doorbell::write_event() {
  tally(Counter::wake_ups);
  const std::uint64_t one = 1;
  while (::write(fd_, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

void Doorbell::ring() {
  if (rung_.exchange(true)) return;  // whoever set it writes the event
  if (sleeping_.load()) write_event();
}

void Doorbell::nudge() {
  if (sleeping_.load()) write_event();
}

bool Doorbell::prepare_to_sleep() {
  sleeping_.store(true);
  if (!rung_.exchange(false)) return true;
  sleeping_.store(false);
  return false;
}

void Doorbell::awake() {
  sleeping_.store(false);
  rung_.exchange(false);  // an exchange, to see what the ringer wrote before it rang
}

}  // namespace keelson::engine::io
