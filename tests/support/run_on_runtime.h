// tests/support/run_on_runtime.h: one coroutine, run to its end on a real shard.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

#include "engine/io/runtime.h"

namespace keelson::test {

/// A started runtime; ends the program where it does not start.
inline std::unique_ptr<engine::io::Runtime> start_runtime(engine::io::RuntimeOptions options = {}) {
  engine::Result<std::unique_ptr<engine::io::Runtime>> runtime =
      engine::io::Runtime::start(std::move(options));
  if (!runtime) {
    std::fprintf(stderr, "runtime: %s, errno %d\n",
                 std::string(engine::to_string(runtime.error().code)).c_str(),
                 runtime.error().sys_errno);
    std::abort();
  }
  return std::move(*runtime);
}

/// Starts one shard, runs `function(Shard&)`, which returns a Task<R>, and stops it. Returns R.
/// `function` may capture: it is called as a plain function, and lives until the task has ended.
template <class F>
auto run_on_runtime(F function, engine::io::RuntimeOptions options = {}) {
  const std::unique_ptr<engine::io::Runtime> runtime = start_runtime(std::move(options));
  return runtime->run(0, [&] { return function(runtime->shard(0)); });
}

}  // namespace keelson::test
