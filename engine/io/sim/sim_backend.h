// engine/io/sim/sim_backend.h: the door of one simulated shard.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/io/backend.h"
#include "engine/io/sim/sim_world.h"

namespace keelson::engine::io {

class SimBackend final : public Backend {
 public:
  SimBackend(SimWorld& world, SimNode& node, SimNode::Process& process, std::uint32_t index);

  const BackendInfo& info() const override { return info_; }
  void submit(Operation& operation) override;
  void submit(FsOperation& operation) override;
  void cancel(Operation& operation) override;
  /// Called by the world it never sleeps. Called by others, it lets the world's events happen, but
  /// no shard run, until something is here.
  std::size_t poll(std::optional<std::int64_t> deadline_ns) override;
  void wake() override;
  void close(int fd) override;
  void shutdown(int fd) override;
  Result<int> listen(Endpoint& endpoint, int backlog) override;
  Result<int> connect_socket(const Endpoint& endpoint) override;
  Result<Endpoint> peer(int fd) override;

 private:
  friend class SimWorld;
  friend class SimNetwork;

  std::uint32_t start(OpKind kind, const std::string& path, std::int64_t delay_ns);
  void draw_fault(PendingOp& pending, OpKind kind, const std::string& path);
  void draw_chance_fault(PendingOp& pending, OpKind kind);
  /// The effect of an operation on the disk; what it returns.
  std::int64_t apply(PendingOp& pending);
  std::int64_t apply_read(PendingOp& pending, const SimNode::Descriptor& file);
  std::int64_t apply_write(PendingOp& pending, const SimNode::Descriptor& file);
  std::int64_t apply_sync(PendingOp& pending, const SimNode::Descriptor& file);
  std::int64_t apply_fs(PendingOp& pending);
  std::int64_t apply_open(PendingOp& pending);
  std::int64_t apply_to_file(PendingOp& pending, const SimNode::Descriptor& file);

  SimWorld& world_;
  SimNode& node_;
  SimNode::Process& process_;
  const std::uint32_t index_;
  BackendInfo info_;
  std::vector<std::uint32_t> done_;  // completions to deliver
  bool runnable_ = false;
  bool woken_ = false;  // wake() was called and no sleep has ended by it
};

}  // namespace keelson::engine::io
