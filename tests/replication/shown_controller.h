// tests/replication/shown_controller.h: a controller for tests of those who listen to one.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "plugins/registry/cluster.h"

namespace keelson::test {

/// Shows what it is told to; knows no changes.
class ShownController final : public ClusterController {
 public:
  std::shared_ptr<const ClusterView> view() const override { return view_; }
  void add_listener(Listener& listener) override { listener_ = &listener; }
  engine::Task<ApiResult<void>> show(std::shared_ptr<const ClusterView> next) {
    ApiResult<void> applied = co_await listener_->apply(view_, next);
    if (applied) view_ = std::move(next);
    co_return applied;
  }
  engine::Task<ApiResult<void>> register_broker(BrokerView) override { co_return no(); }
  engine::Task<ApiResult<std::shared_ptr<const TopicView>>> create_topic(engine::io::Shard&,
                                                                         NewTopic, bool) override {
    co_return no();
  }
  engine::Task<ApiResult<void>> delete_topic(engine::io::Shard&, engine::Uuid) override {
    co_return no();
  }
  engine::Task<ApiResult<void>> create_partitions(engine::io::Shard&, std::string, std::int32_t,
                                                  std::optional<std::vector<std::vector<BrokerId>>>,
                                                  bool) override {
    co_return no();
  }
  engine::Task<ApiResult<void>> alter_settings(engine::io::Shard&, ConfigResource, std::string,
                                               std::vector<SettingChange>, bool, bool) override {
    co_return no();
  }
  engine::Task<ApiResult<engine::ProducerId>> next_producer_id(engine::io::Shard&) override {
    co_return no();
  }

 private:
  static std::unexpected<ApiError> no() { return refuse(ApiErrc::unsupported_version); }
  std::shared_ptr<const ClusterView> view_ = std::make_shared<ClusterView>();
  Listener* listener_ = nullptr;
};

}  // namespace keelson::test
