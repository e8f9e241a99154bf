// engine/io/posix/helper_pool.h: threads that make the blocking calls of one shard.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/huge_pages.h"
#include "engine/io/backend.h"
#include "engine/io/posix/doorbell.h"
#include "engine/io/posix/operation_list.h"
#include "engine/io/posix/operation_stack.h"

namespace keelson::engine::io {

/// Takes operations from the shard's thread, runs them on threads of its own, and keeps them until
/// the shard takes them back. Threads start when first needed and stay. Metadata operations use
/// at most `metadata_threads_max` of them, so that a slow fallocate or fsync of a directory does
/// not stop reads and writes.
class HelperPool {
 public:
  struct Limits {
    std::size_t threads_max = 4;
    std::size_t metadata_threads_max = 2;
  };

  /// `bell` is nudged when something is finished; it outlives the pool.
  HelperPool(Doorbell& bell, CommitPrimitive commit, Limits limits);
  HelperPool(const HelperPool&) = delete;
  /// Ends the threads. Nothing may be under way.
  ~HelperPool();

  void submit(Operation& operation);
  void submit(FsOperation& operation);

  /// Has a thread prepare huge pages where some are wanted (engine/huge_pages.h), when it has
  /// nothing else to do. Cheap where none are.
  void prepare_memory() {
    if (huge_pages_wanted()) ask_for_memory();
  }

  /// Moves what is finished, oldest first, to the ends of the lists.
  void take_finished(OperationList& operations, FsOperationList& fs_operations);
  /// Whether take_finished() would find something. For the look between
  /// Doorbell::prepare_to_sleep() and the sleep.
  bool has_finished() const { return !finished_.empty() || !finished_fs_.empty(); }

 private:
  void ask_for_memory();
  void added(std::unique_lock<std::mutex>& lock);
  bool start_thread();
  void serve();
  void run_one(std::unique_lock<std::mutex>& lock, Operation& operation);
  void run_one(std::unique_lock<std::mutex>& lock, FsOperation& operation);

  Doorbell& bell_;
  const CommitPrimitive commit_;
  const Limits limits_;

  std::mutex mutex_;  // guards everything down to `threads_`
  std::condition_variable work_or_stop_;
  OperationList queued_;
  FsOperationList queued_fs_;
  std::size_t queued_count_ = 0;
  std::size_t idle_count_ = 0;
  std::size_t metadata_running_ = 0;
  bool memory_asked_ = false;
  bool stopping_ = false;
  std::vector<std::thread> threads_;

  OperationStack<Operation> finished_;
  OperationStack<FsOperation> finished_fs_;
};

}  // namespace keelson::engine::io
