#include "plugins/broker/commands/stop_signals.h"

#include <signal.h>
#include <unistd.h>

#include <string_view>

#include "plugins/broker/commands/options.h"

namespace keelson::broker {
namespace {

sigset_t stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

void say(std::string_view line) {
  // Not worth an error: the terminal may be gone.
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace

StopSignals::StopSignals() {
  const sigset_t signals = stop_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  listener_ = std::thread([this] { listen(); });
}

StopSignals::~StopSignals() {
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
  }
  pthread_kill(listener_.native_handle(), SIGTERM);
  listener_.join();
}

void StopSignals::listen() {
  const sigset_t signals = stop_signals();
  while (true) {
    int signal = 0;
    if (sigwait(&signals, &signal) != 0) continue;
    const std::scoped_lock lock(mutex_);
    if (ending_) return;
    if (requested_) {
      say("keelson: stopped at once; the next start recovers\n");
      _exit(kExitFailed);
    }
    requested_ = true;
    say("keelson: stopping; a second signal stops at once\n");
    changed_.notify_all();
  }
}

}  // namespace keelson::broker
