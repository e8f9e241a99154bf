#include "engine/io/runtime.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <system_error>
#include <thread>

#include "engine/counters.h"
#include "engine/io/posix/clock.h"
#include "engine/io/posix/rng.h"
#include "engine/io/posix/signals.h"
#include "engine/io/probe.h"
#include "engine/io/threads/threads_backend.h"
#include "engine/io/uring/uring_backend.h"

namespace keelson::engine::io {
namespace {

thread_local bool is_shard_thread = false;

NullLogger& silence() {
  static NullLogger logger;
  return logger;
}

/// The processors this process may use, in order; empty where the system does not say.
std::vector<int> allowed_processors() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  std::vector<int> processors;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) return processors;
  for (int processor = 0; processor < CPU_SETSIZE; ++processor) {
    if (CPU_ISSET(processor, &allowed)) processors.push_back(processor);
  }
  return processors;
}

void pin_this_thread(std::uint32_t index, const std::vector<int>& processors) {
  if (processors.empty()) return;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(processors[index % processors.size()], &one);
  ::pthread_setaffinity_np(::pthread_self(), sizeof one, &one);  // a wish: unpinned works too
}

}  // namespace

/// What start() and the shards' threads tell each other. Each thread goes through: make its parts,
/// wait for all, run, wait for all, destroy its parts. A backend is made and destroyed on its
/// thread, and not destroyed while another shard may still ring its bell.
class Runtime::Member {
 public:
  /// Counts arrivals; shared by the members of a runtime.
  struct Steps {
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t made = 0;      // parts made, or failed to be
    std::size_t returned = 0;  // run() returned
    bool all_told = false;     // stop() touches the shards no more
    bool decided = false;      // start() says go on,
    bool go = false;           // to run or to give up
  };

  struct Plan {
    std::uint32_t count = 1;
    bool use_uring = false;
    RuntimeOptions options;
    BackendInfo info;
    std::vector<int> processors;
  };

  Member(std::uint32_t index, const Plan& plan, std::shared_ptr<Steps> steps)
      : index_(index), plan_(plan), steps_(std::move(steps)) {}

  Result<void> launch() {
    const BlockedSignals blocked;
    try {
      thread_ = std::thread([this] { live(); });
    } catch (const std::system_error& error) {
      return fail(Errc::io, error.code().value());
    }
    return {};
  }
  void told_all() {
    const std::scoped_lock lock(steps_->mutex);
    steps_->all_told = true;
    steps_->changed.notify_all();
  }
  void join() {
    if (thread_.joinable()) thread_.join();
  }

  Shard* shard() { return shard_ ? &*shard_ : nullptr; }
  const Error& error() const { return error_; }
  const BackendInfo& info() const { return backend_->info(); }

 private:
  void live() {
    is_shard_thread = true;
    const std::string name = concat("keelson-", index_);
    ::pthread_setname_np(::pthread_self(), name.substr(0, 15).c_str());
    if (plan_.options.pin) pin_this_thread(index_, plan_.processors);
    make_parts();
    if (wait_for_go()) {
      shard_->run();
      std::unique_lock lock(steps_->mutex);
      ++steps_->returned;
      steps_->changed.notify_all();
      steps_->changed.wait(lock,
                           [this] { return steps_->returned == plan_.count && steps_->all_told; });
    }
    shard_.reset();
    backend_.reset();
  }

  void make_parts() {
    Result<std::unique_ptr<Backend>> made = make_backend();
    if (made) {
      backend_ = std::move(*made);
      Logger& logger = plan_.options.logger == nullptr ? silence() : *plan_.options.logger;
      shard_.emplace(index_, plan_.count, ShardParts{*backend_, clock_, rng_, logger});
    } else {
      error_ = made.error();
    }
  }

  Result<std::unique_ptr<Backend>> make_backend() {
    if (plan_.use_uring) return UringBackend::create(clock_, plan_.info);
    const std::size_t threads = std::max<std::size_t>(1, plan_.options.file_threads_per_shard);
    return ThreadsBackend::create(
        clock_, plan_.info,
        {.threads_max = threads, .metadata_threads_max = std::max<std::size_t>(1, threads / 2)});
  }

  bool wait_for_go() {
    std::unique_lock lock(steps_->mutex);
    ++steps_->made;
    steps_->changed.notify_all();
    steps_->changed.wait(lock, [this] { return steps_->decided; });
    return steps_->go;
  }

  const std::uint32_t index_;
  const Plan plan_;
  const std::shared_ptr<Steps> steps_;
  std::thread thread_;
  PosixClock clock_;
  SystemRng rng_;
  Error error_{Errc::io};
  std::unique_ptr<Backend> backend_;
  std::optional<Shard> shard_;
};

namespace {

/// Which backend and why. Errors: unsupported where uring was demanded and is not there.
Result<bool> choose_uring(const RuntimeOptions& options, BackendInfo& info) {
  if (options.backend == BackendChoice::threads) {
    info.reason = "chosen by configuration";
    return false;
  }
  const UringProbe probe = probe_uring();
  info.reason = probe.reason;
  if (!probe.available && options.backend == BackendChoice::uring) {
    return fail(Errc::unsupported, probe.sys_errno);
  }
  return probe.available;
}

void measure_directory(const std::string& directory, BackendInfo& info) {
  if (directory.empty()) return;
  info.direct_align_bytes = probe_direct_io(directory).align_bytes;
  info.commit = calibrate_commit(directory).chosen;
}

}  // namespace

Result<std::unique_ptr<Runtime>> Runtime::start(RuntimeOptions options) {
  if (options.shards == 0) return fail(Errc::invalid_argument);
  attach_counters();
  Member::Plan plan;
  plan.count = options.shards;
  const Result<bool> use_uring = choose_uring(options, plan.info);
  if (!use_uring) return std::unexpected(use_uring.error());
  plan.use_uring = *use_uring;
  measure_directory(options.data_dir_for_probe, plan.info);
  if (options.pin) plan.processors = allowed_processors();
  plan.options = std::move(options);

  std::unique_ptr<Runtime> runtime(new Runtime());
  const auto steps = std::make_shared<Member::Steps>();
  std::optional<Error> error;
  for (std::uint32_t index = 0; index < plan.count && !error; ++index) {
    auto member = std::make_unique<Member>(index, plan, steps);
    const Result<void> launched = member->launch();
    if (!launched) {
      error = launched.error();
      break;
    }
    runtime->members_.push_back(std::move(member));
  }
  {
    std::unique_lock lock(steps->mutex);
    steps->changed.wait(lock, [&] { return steps->made == runtime->members_.size(); });
    for (const auto& member : runtime->members_) {
      if (member->shard() == nullptr && !error) error = member->error();
    }
    if (!error) {
      runtime->info_ = runtime->members_.front()->info();
      for (const auto& member : runtime->members_) runtime->group_.add(*member->shard());
      runtime->group_.connect();
    }
    steps->decided = true;
    steps->go = !error;
    steps->changed.notify_all();
  }
  if (error) {
    for (const auto& member : runtime->members_) member->join();
    runtime->stopped_ = true;
    return std::unexpected(*error);
  }
  return runtime;
}

Runtime::~Runtime() { stop(); }

void Runtime::stop() {
  if (std::exchange(stopped_, true)) return;
  for (std::uint32_t index = 0; index < group_.size(); ++index) group_.at(index).request_stop();
  members_.front()->told_all();
  for (const auto& member : members_) member->join();
}

void Runtime::refuse_on_a_shard() const { assert(!is_shard_thread && !stopped_); }

}  // namespace keelson::engine::io
