#include "coordination/store/watch_hub.h"

#include <algorithm>
#include <utility>

namespace keelson::coordination {

struct WatchHub::Watcher {
  std::string prefix;
  Coordinator::WatchCallback callback;
  bool ended = false;
};

struct WatchHub::List {
  std::vector<std::shared_ptr<Watcher>> watchers;
};

class WatchHub::Handle final : public Coordinator::Watch {
 public:
  Handle(std::shared_ptr<List> list, std::shared_ptr<Watcher> watcher)
      : list_(std::move(list)), watcher_(std::move(watcher)) {}
  ~Handle() override {
    watcher_->ended = true;
    std::erase(list_->watchers, watcher_);
  }

 private:
  const std::shared_ptr<List> list_;
  const std::shared_ptr<Watcher> watcher_;
};

WatchHub::WatchHub() : list_(std::make_shared<List>()) {}
WatchHub::~WatchHub() { close(); }

std::unique_ptr<Coordinator::Watch> WatchHub::watch(std::string prefix,
                                                    Coordinator::WatchCallback callback) {
  auto watcher = std::make_shared<Watcher>(Watcher{std::move(prefix), std::move(callback)});
  list_->watchers.push_back(watcher);
  return std::make_unique<Handle>(list_, std::move(watcher));
}

void WatchHub::tell(const std::vector<KeyEvent>& events) {
  const std::vector<std::shared_ptr<Watcher>> now = list_->watchers;  // callbacks may change it
  for (const std::shared_ptr<Watcher>& watcher : now) {
    if (watcher->ended) continue;
    std::vector<KeyEvent> fitting;
    std::copy_if(events.begin(), events.end(), std::back_inserter(fitting),
                 [&](const KeyEvent& event) { return event.key.starts_with(watcher->prefix); });
    if (!fitting.empty()) watcher->callback(fitting);
  }
}

bool WatchHub::empty() const { return list_->watchers.empty(); }

void WatchHub::close() {
  for (const std::shared_ptr<Watcher>& watcher : list_->watchers) watcher->ended = true;
  list_->watchers.clear();
}

}  // namespace keelson::coordination
