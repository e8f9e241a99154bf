// engine/io/awaitables.h: one backend operation as something to co_await.
#pragma once

#include <coroutine>
#include <cstdint>

#include "engine/io/backend.h"
#include "engine/io/shard.h"

namespace keelson::engine::io {

/// Submits one Operation and resumes with its result: >= 0, or -errno.
/// The buffers it points to must live in the awaiting frame or longer.
struct IoAwaiter : Operation {
  explicit IoAwaiter(Shard& shard) : shard(shard) {}

  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> awaiting) {
    handle = awaiting;
    on_complete = [](Operation& self) {
      auto& done = static_cast<IoAwaiter&>(self);
      done.shard.schedule(done.handle);
    };
    shard.backend().submit(*this);
  }
  std::int64_t await_resume() const { return result; }

  Shard& shard;
  std::coroutine_handle<> handle;
};

/// The same for a metadata operation.
struct FsAwaiter : FsOperation {
  explicit FsAwaiter(Shard& shard) : shard(shard) {}

  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> awaiting) {
    handle = awaiting;
    on_complete = [](FsOperation& self) {
      auto& done = static_cast<FsAwaiter&>(self);
      done.shard.schedule(done.handle);
    };
    shard.backend().submit(static_cast<FsOperation&>(*this));
  }
  std::int64_t await_resume() const { return result; }

  Shard& shard;
  std::coroutine_handle<> handle;
};

/// Runs `computation`, of the awaiting frame, on the thread for background work, which gives way to
/// the shards, while this shard goes on. What it touches is its own until it is done: nothing of
/// the shard's, of its files or of its tasks. It takes no recycled memory (engine/buffer_memory.h):
/// that thread may be put off for long, and whoever wants the list that it holds would spin. It
/// calls give_way() (engine/io/give_way.h) as it goes.
template <class Computation>
auto compute_aside(Shard& shard, Computation& computation) {
  FsAwaiter operation(shard);
  operation.code = FsCode::compute;
  operation.computation = [](void* subject) { (*static_cast<Computation*>(subject))(); };
  operation.subject = &computation;
  return operation;
}

}  // namespace keelson::engine::io
