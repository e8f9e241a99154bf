#include "engine/io/posix/background_pool.h"

namespace keelson::engine::io {

BackgroundPool::BackgroundPool(Doorbell& bell, const Clock& clock)
    : clock_(clock),
      idle_(bell, {}, {.threads_max = 1, .metadata_threads_max = 1, .rank = ThreadRank::idle}),
      pressed_(bell, {}, {.threads_max = 1, .metadata_threads_max = 1, .rank = ThreadRank::low}) {}

void BackgroundPool::submit(FsOperation& operation) {
  if (turns_left_ > 0) {
    --turns_left_;
    return pressed_.submit(operation);
  }
  if (under_way_++ == 0) waiting_since_ns_ = clock_.now_ns();
  idle_.submit(operation);
}

void BackgroundPool::take_finished(OperationList& operations, FsOperationList& fs_operations) {
  pressed_.take_finished(operations, fs_operations);
  if (!idle_.has_finished()) return;
  const std::size_t finished = idle_.take_finished(operations, fs_operations);
  under_way_ -= finished;
  const std::int64_t now_ns = clock_.now_ns();
  if (now_ns - waiting_since_ns_ > kTooLongNs) turns_left_ = kPressedTurns;
  waiting_since_ns_ = now_ns;
}

}  // namespace keelson::engine::io
