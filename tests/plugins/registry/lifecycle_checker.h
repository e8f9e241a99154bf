// tests/plugins/registry/lifecycle_checker.h: does a plugin keep the life that plugin.h promises?
#pragma once

#include <gtest/gtest.h>

#include <coroutine>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/task.h"
#include "plugins/registry/plugin.h"

namespace keelson::testing {

namespace detail {
struct Immediate {
  struct promise_type {
    Immediate get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    [[noreturn]] void unhandled_exception() { std::terminate(); }
  };
};
template <class T>
Immediate finish(engine::Task<T> task, std::optional<T>& result) {
  result.emplace(co_await task);
}
inline Immediate finish(engine::Task<void> task, bool& done) {
  co_await task;
  done = true;
}
}  // namespace detail

/// The result of a task that waits for nothing outside itself.
template <class T>
T run_now(engine::Task<T> task) {
  std::optional<T> result;
  detail::finish(std::move(task), result);
  if (!result) std::terminate();  // the task waits for something: run it on a shard
  return *std::move(result);
}
inline void run_now(engine::Task<void> task) {
  bool done = false;
  detail::finish(std::move(task), done);
  if (!done) std::terminate();
}

/// How a test runs a plugin's tasks to their end: run_now, or a shard that is driven by hand.
struct LifecycleRunner {
  std::function<ApiResult<void>(engine::Task<ApiResult<void>>)> run =
      [](engine::Task<ApiResult<void>> task) { return run_now(std::move(task)); };
  std::function<void(engine::Task<void>)> run_void = [](engine::Task<void> task) {
    run_now(std::move(task));
  };
  std::int64_t drain_deadline_ns = 0;
};

/// Takes a plugin through each life that plugin.h allows; `make` gives a fresh one each time (with
/// what it needs in a state of its own). Fails the test where a step that must succeed does not;
/// crashes and sanitizers find the rest.
inline void check_lifecycle(const std::function<std::unique_ptr<Plugin>()>& make,
                            const LifecycleRunner& runner = {}) {
  {
    SCOPED_TRACE("made and destroyed");
    ASSERT_NE(make(), nullptr);
  }
  {
    SCOPED_TRACE("stopped without open, twice");
    const std::unique_ptr<Plugin> plugin = make();
    runner.run_void(plugin->stop());
    runner.run_void(plugin->stop());
  }
  {
    SCOPED_TRACE("opened and stopped without start");
    const std::unique_ptr<Plugin> plugin = make();
    const ApiResult<void> opened = runner.run(plugin->open());
    EXPECT_TRUE(opened.has_value()) << opened.error().message;
    runner.run_void(plugin->stop());
  }
  {
    SCOPED_TRACE("a whole life, stopped twice");
    const std::unique_ptr<Plugin> plugin = make();
    const ApiResult<void> opened = runner.run(plugin->open());
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    const ApiResult<void> started = runner.run(plugin->start());
    EXPECT_TRUE(started.has_value()) << started.error().message;
    runner.run_void(plugin->drain(runner.drain_deadline_ns));
    runner.run_void(plugin->stop());
    runner.run_void(plugin->stop());
  }
}

}  // namespace keelson::testing
