// coordination/store/watch_hub.h: who watches which prefix of a coordinator.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "plugins/registry/coordinator.h"

namespace keelson::coordination {

/// Hands events to watchers. One shard. Callbacks may begin and end watches, their own included,
/// and may be told no more once their Watch is destroyed. Watches may outlive the hub.
class WatchHub {
 public:
  WatchHub();
  ~WatchHub();
  WatchHub(const WatchHub&) = delete;

  std::unique_ptr<Coordinator::Watch> watch(std::string prefix,
                                            Coordinator::WatchCallback callback);
  /// Calls every watcher whose prefix fits some of `events`, with those.
  void tell(const std::vector<KeyEvent>& events);
  bool empty() const;
  /// Drops every callback: nobody is told any more.
  void close();

 private:
  struct Watcher;
  struct List;
  class Handle;

  std::shared_ptr<List> list_;
};

}  // namespace keelson::coordination
