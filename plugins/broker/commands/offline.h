// plugins/broker/commands/offline.h: one shard for commands that read files or ask a broker.
#pragma once

#include <iostream>
#include <memory>
#include <utility>

#include "engine/io/runtime.h"
#include "plugins/broker/commands/options.h"

namespace keelson::broker {

/// Runs `work(shard)`, a coroutine that returns Task<int>, and gives its exit code. The plain
/// backend: it works everywhere, and nothing here is worth a ring.
template <class Work>
int run_on_one_shard(Work work) {
  auto runtime = engine::io::Runtime::start(
      {.shards = 1, .backend = engine::io::BackendChoice::threads, .logger = nullptr});
  if (!runtime) {
    std::cerr << "keelson: cannot start, errno " << runtime.error().sys_errno
              << ": are threads or descriptors used up?\n";
    return kExitFailed;
  }
  const int code = (*runtime)->run(0, [&] { return work((*runtime)->shard(0)); });
  (*runtime)->stop();
  return code;
}

}  // namespace keelson::broker
