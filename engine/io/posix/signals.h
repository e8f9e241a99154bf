// engine/io/posix/signals.h: threads that take no signals.
#pragma once

#include <signal.h>

namespace keelson::engine::io {

/// Blocks every signal on this thread for a scope. A thread started within inherits the mask, so
/// that handlers run on the embedder's threads only and no helper's call is interrupted.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  BlockedSignals(const BlockedSignals&) = delete;
  ~BlockedSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

}  // namespace keelson::engine::io
