#include "engine/io/sim/sim_backend.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

namespace keelson::engine::io {
namespace {

std::uint64_t bytes_of(const Operation& operation) {
  std::uint64_t bytes = 0;
  for (std::uint32_t i = 0; i < operation.buffer_count; ++i) bytes += operation.buffers[i].iov_len;
  return bytes;
}

/// Whether O_DIRECT would take it.
bool is_aligned(const Operation& operation, std::uint64_t align) {
  if (operation.position_bytes % align != 0) return false;
  for (std::uint32_t i = 0; i < operation.buffer_count; ++i) {
    const iovec& buffer = operation.buffers[i];
    if (buffer.iov_len % align != 0) return false;
    if (reinterpret_cast<std::uintptr_t>(buffer.iov_base) % align != 0) return false;
  }
  return true;
}

bool changes_disk(const FsOperation& operation) {
  switch (operation.code) {
    case FsCode::open: return operation.flags.write || operation.flags.create;
    case FsCode::rename:
    case FsCode::unlink:
    case FsCode::make_dir:
    case FsCode::remove_dir:
    case FsCode::truncate:
    case FsCode::allocate: return true;
    case FsCode::list_dir:
    case FsCode::read_file:
    case FsCode::stat:
    case FsCode::sync_dir:
    case FsCode::drop_cache:
    case FsCode::lock:
    case FsCode::space:
    case FsCode::compute: return false;
  }
  return false;
}

bool can_fail(OpKind kind) { return kind != OpKind::compute; }

bool is_network(OpKind kind) {
  return kind == OpKind::accept || kind == OpKind::connect || kind == OpKind::receive ||
         kind == OpKind::send;
}

constexpr std::int64_t kSyscallNsMax = 5'000;

}  // namespace

OpKind kind_of(OpCode code) {
  switch (code) {
    case OpCode::read: return OpKind::read;
    case OpCode::write: return OpKind::write;
    case OpCode::sync_data: return OpKind::sync_data;
    case OpCode::accept: return OpKind::accept;
    case OpCode::connect: return OpKind::connect;
    case OpCode::receive: return OpKind::receive;
    case OpCode::send: return OpKind::send;
  }
  std::unreachable();
}

OpKind kind_of(FsCode code) {
  switch (code) {
    case FsCode::open: return OpKind::open;
    case FsCode::rename: return OpKind::rename;
    case FsCode::unlink: return OpKind::unlink;
    case FsCode::make_dir: return OpKind::make_dir;
    case FsCode::remove_dir: return OpKind::remove_dir;
    case FsCode::list_dir: return OpKind::list_dir;
    case FsCode::read_file: return OpKind::read_file;
    case FsCode::stat: return OpKind::stat;
    case FsCode::sync_dir: return OpKind::sync_dir;
    case FsCode::truncate: return OpKind::truncate;
    case FsCode::allocate: return OpKind::allocate;
    case FsCode::drop_cache: return OpKind::drop_cache;
    case FsCode::lock: return OpKind::lock;
    case FsCode::space: return OpKind::space;
    case FsCode::compute: return OpKind::compute;
  }
  std::unreachable();
}

SimBackend::SimBackend(SimWorld& world, SimNode& node, SimNode::Process& process,
                       std::uint32_t index)
    : world_(world), node_(node), process_(process), index_(index) {
  info_.name = "sim";
  info_.reason = "simulation";
}

void SimBackend::draw_fault(PendingOp& pending, OpKind kind, const std::string& path) {
  pending.fault = FaultAction::none;
  ++node_.counts_[static_cast<std::size_t>(kind)];
  if (!can_fail(kind)) return;
  if (!is_network(kind)) ++node_.counts_[static_cast<std::size_t>(OpKind::any_disk)];
  for (NthFault& fault : node_.faults_.nth) {
    const bool fits = fault.kind == kind || (fault.kind == OpKind::any_disk && !is_network(kind));
    if (!fits || path.find(fault.path_contains) == std::string::npos) continue;
    if (++fault.seen != fault.nth) continue;
    pending.fault = fault.action;
    pending.fault_errno = fault.sys_errno;
  }
  if (pending.fault == FaultAction::none) draw_chance_fault(pending, kind);
}

void SimBackend::draw_chance_fault(PendingOp& pending, OpKind kind) {
  const FaultPlan& plan = node_.faults_;
  SimRng& rng = node_.rng_;
  const auto draw = [&](std::uint32_t ppm, FaultAction action, int sys_errno = 0) {
    if (pending.fault != FaultAction::none || !rng.chance_ppm(ppm)) return;
    pending.fault = action;
    pending.fault_errno = sys_errno;
  };
  switch (kind) {
    case OpKind::read:
      draw(plan.read_error_ppm, FaultAction::fail, EIO);
      draw(plan.short_read_ppm, FaultAction::short_transfer);
      break;
    case OpKind::write:
      draw(plan.write_error_ppm, FaultAction::fail, EIO);
      draw(plan.no_space_ppm, FaultAction::fail, plan.no_space_errno);
      draw(plan.short_write_ppm, FaultAction::short_transfer);
      draw(plan.lost_write_ppm, FaultAction::lost_write);
      draw(plan.misdirected_write_ppm, FaultAction::misdirected_write);
      break;
    case OpKind::sync_data:
    case OpKind::sync_dir: draw(plan.sync_error_ppm, FaultAction::fail, EIO); break;
    case OpKind::receive: draw(plan.short_receive_ppm, FaultAction::short_transfer); break;
    case OpKind::send: draw(plan.short_send_ppm, FaultAction::short_transfer); break;
    case OpKind::accept:
    case OpKind::connect: break;
    case OpKind::read_file: draw(plan.read_error_ppm, FaultAction::fail, EIO); break;
    default:
      draw(plan.meta_error_ppm, FaultAction::fail, EIO);
      if (kind == OpKind::open || kind == OpKind::make_dir || kind == OpKind::allocate) {
        draw(plan.no_space_ppm, FaultAction::fail, plan.no_space_errno);
      }
  }
  if (is_network(kind)) return;
  draw(plan.hang_ppm, FaultAction::hang);
  draw(plan.stall_ppm, FaultAction::stall);
}

std::uint32_t SimBackend::start(OpKind kind, const std::string& path, std::int64_t delay_ns) {
  const std::uint32_t index = world_.new_pending();
  PendingOp& pending = world_.pending(index);
  pending.backend = this;
  pending.operation = nullptr;
  pending.fs_operation = nullptr;
  draw_fault(pending, kind, path);
  if (pending.fault == FaultAction::stall) {
    const std::int64_t longest = node_.faults_.stall_max_ns;
    delay_ns += node_.rng_.between(longest / 2, longest);
  }
  pending.state = PendingOp::State::submitted;
  if (pending.fault == FaultAction::hang) {
    pending.state = PendingOp::State::hung;
    return index;
  }
  world_.schedule_event(SimEvent{.at_ns = world_.now_ns_ + delay_ns,
                                 .tie = node_.rng_.next(),
                                 .code = EventCode::apply,
                                 .subject = index,
                                 .detail = pending.generation});
  return index;
}

void SimBackend::submit(Operation& operation) {
  assert(process_.alive);
  const OpKind kind = kind_of(operation.code);
  const SimNode::Descriptor* const file = node_.descriptor(operation.fd);
  const FaultPlan& plan = node_.faults_;
  assert(!operation.at_once || (operation.code == OpCode::write && !operation.durable));
  std::int64_t delay_ns = 0;
  if (is_network(kind)) {
    delay_ns = node_.rng_.between(500, kSyscallNsMax);
  } else if (!operation.at_once) {
    delay_ns = node_.rng_.between(plan.disk_delay_min_ns, plan.disk_delay_max_ns);
  }
  static const std::string kNoPath;
  const std::uint32_t index = start(kind, file == nullptr ? kNoPath : file->path, delay_ns);
  PendingOp& pending = world_.pending(index);
  pending.operation = &operation;
  operation.backend_word = index;
  pending.write_number = node_.next_write_number_++;
  if (operation.code == OpCode::write) node_.unreaped_writes_.push_back(pending.write_number);
  if (operation.code == OpCode::sync_data) {
    pending.cover = SyncCover{pending.write_number, node_.unreaped_writes_};
  }
}

void SimBackend::submit(FsOperation& operation) {
  assert(process_.alive);
  const FaultPlan& plan = node_.faults_;
  const SimNode::Descriptor* const file = node_.descriptor(operation.fd);
  const std::uint32_t index =
      start(kind_of(operation.code), file == nullptr ? operation.path : file->path,
            node_.rng_.between(plan.disk_delay_min_ns, plan.disk_delay_max_ns));
  PendingOp& pending = world_.pending(index);
  pending.fs_operation = &operation;
  operation.backend_word = index;
  pending.write_number = node_.next_write_number_++;
}

void SimBackend::cancel(Operation& operation) {
  const std::uint32_t index = static_cast<std::uint32_t>(operation.backend_word);
  PendingOp& pending = world_.pending(index);
  if (pending.operation != &operation || !is_network(kind_of(operation.code))) return;
  if (pending.state == PendingOp::State::submitted) {
    ++pending.generation;  // its event finds another generation and does nothing
  } else if (pending.state == PendingOp::State::parked) {
    const SimNode::Descriptor* const socket = node_.descriptor(operation.fd);
    if (socket == nullptr || !world_.network_.cancel(index, socket->socket)) return;
  } else {
    return;
  }
  world_.complete(index, -ECANCELED);
}

std::size_t SimBackend::poll(std::optional<std::int64_t> deadline_ns) {
  if (done_.empty() && !world_.in_turn_) world_.sleep_in_poll(*this, deadline_ns);
  if (done_.empty()) return 0;
  std::vector<std::uint32_t> delivered = std::exchange(done_, {});
  for (std::size_t i = delivered.size(); i > 1; --i) {
    std::swap(delivered[i - 1], delivered[node_.rng_.below(i)]);
  }
  for (const std::uint32_t index : delivered) {
    const PendingOp pending = world_.pending(index);
    world_.trace(0x20, pending.order, static_cast<std::uint64_t>(pending.result));
    if (pending.operation != nullptr && pending.operation->code == OpCode::write) {
      std::erase(node_.unreaped_writes_, pending.write_number);
    }
    world_.free_pending(index);
    if (pending.operation != nullptr) {
      pending.operation->result = pending.result;
      pending.operation->on_complete(*pending.operation);
    } else {
      pending.fs_operation->result = pending.result;
      pending.fs_operation->on_complete(*pending.fs_operation);
    }
  }
  return delivered.size();
}

void SimBackend::wake() {
  if (!process_.alive) return;
  woken_ = true;
  world_.make_runnable(*this);
}

void SimBackend::close(int fd) {
  if (!process_.alive) return;  // the kernel has done it
  SimNode::Descriptor* const open = node_.descriptor(fd);
  assert(open != nullptr);
  const SimNode::Descriptor closed = std::exchange(*open, {});
  if (closed.kind == SimNode::Descriptor::Kind::socket) {
    world_.network_.close(closed.socket);
    return;
  }
  const auto held = node_.locks_.find(closed.inode);
  if (held != node_.locks_.end() && held->second == fd) node_.locks_.erase(held);
  node_.disk_.close(closed.inode);
}

void SimBackend::shutdown(int fd) {
  if (!process_.alive) return;
  SimNode::Descriptor* const open = node_.descriptor(fd);
  assert(open != nullptr && open->kind == SimNode::Descriptor::Kind::socket);
  world_.network_.shutdown(open->socket);
}

Result<int> SimBackend::listen(Endpoint& endpoint, int backlog) {
  return world_.network_.listen(node_, endpoint, backlog);
}

Result<int> SimBackend::connect_socket(const Endpoint& endpoint) {
  return world_.network_.connect_socket(node_, endpoint);
}

Result<Endpoint> SimBackend::peer(int fd) { return world_.network_.peer(node_, fd); }

std::int64_t SimBackend::apply(PendingOp& pending) {
  if (pending.fs_operation != nullptr) return apply_fs(pending);
  const Operation& operation = *pending.operation;
  const SimNode::Descriptor* const file = node_.descriptor(operation.fd);
  if (file == nullptr) return -EBADF;
  if (file->kind != SimNode::Descriptor::Kind::file) return -EINVAL;
  switch (operation.code) {
    case OpCode::read: return apply_read(pending, *file);
    case OpCode::write: return apply_write(pending, *file);
    case OpCode::sync_data: return apply_sync(pending, *file);
    default: return -ENOTSOCK;
  }
}

std::int64_t SimBackend::apply_read(PendingOp& pending, const SimNode::Descriptor& file) {
  const Operation& operation = *pending.operation;
  if (file.direct && !is_aligned(operation, info_.direct_align_bytes)) return -EINVAL;
  if (pending.fault == FaultAction::fail) return -pending.fault_errno;
  std::uint64_t left = bytes_of(operation);
  if (pending.fault == FaultAction::short_transfer && left > 1) {
    left = 1 + node_.rng_.below(left - 1);
  }
  std::int64_t done = 0;
  for (std::uint32_t i = 0; i < operation.buffer_count && left > 0; ++i) {
    const iovec& buffer = operation.buffers[i];
    const MutableBytes into(static_cast<std::byte*>(buffer.iov_base),
                            std::min<std::uint64_t>(buffer.iov_len, left));
    const std::int64_t part =
        node_.disk_.read(file.inode, operation.position_bytes + static_cast<std::uint64_t>(done),
                         into, file.direct, node_.rng_);
    if (part < 0) return part;
    done += part;
    left -= static_cast<std::uint64_t>(part);
    if (static_cast<std::uint64_t>(part) < into.size()) break;
  }
  return done;
}

std::int64_t SimBackend::apply_write(PendingOp& pending, const SimNode::Descriptor& file) {
  const Operation& operation = *pending.operation;
  if (!file.write) return -EBADF;
  if (node_.faults_.read_only) return -EROFS;
  if (file.direct && !is_aligned(operation, info_.direct_align_bytes)) return -EINVAL;
  std::vector<std::byte> gathered(bytes_of(operation));
  std::size_t at = 0;
  for (std::uint32_t i = 0; i < operation.buffer_count; ++i) {
    if (operation.buffers[i].iov_len == 0) continue;
    std::memcpy(&gathered[at], operation.buffers[i].iov_base, operation.buffers[i].iov_len);
    at += operation.buffers[i].iov_len;
  }
  SimRng& rng = node_.rng_;
  SimDisk& disk = node_.disk_;
  Bytes bytes(gathered);
  const bool fails = pending.fault == FaultAction::fail;
  if (fails) {
    const bool nothing = pending.fault_errno == ENOSPC || pending.fault_errno == EDQUOT;
    bytes = bytes.first(nothing ? 0 : rng.below(bytes.size() + 1));
  } else if (pending.fault == FaultAction::short_transfer && bytes.size() > 1) {
    bytes = bytes.first(1 + rng.below(bytes.size() - 1));
  } else if (pending.fault == FaultAction::lost_write) {
    return static_cast<std::int64_t>(bytes.size());
  }
  InodeId inode = file.inode;
  std::uint64_t position_bytes = operation.position_bytes;
  if (pending.fault == FaultAction::misdirected_write) {
    const InodeId other = disk.random_file(rng);
    if (other != 0) inode = other;
    position_bytes = rng.below(position_bytes / kSectorBytes + 1) * kSectorBytes;
  }
  const std::int64_t written =
      disk.write(inode, position_bytes, bytes, pending.write_number, node_.clock_.wall_ms(), rng);
  if (written > 0 && operation.durable) {
    const std::uint64_t range = static_cast<std::uint64_t>(written);
    if (fails) {
      disk.fail_sync_range(inode, position_bytes, range, rng);
    } else {
      disk.sync_range(inode, position_bytes, range);
    }
  }
  return fails ? -pending.fault_errno : written;
}

std::int64_t SimBackend::apply_sync(PendingOp& pending, const SimNode::Descriptor& file) {
  if (pending.fault == FaultAction::fail) {
    node_.disk_.fail_sync(file.inode, node_.rng_);
    return -pending.fault_errno;
  }
  node_.disk_.sync(file.inode, pending.cover, node_.rng_);
  return 0;
}

std::int64_t SimBackend::apply_fs(PendingOp& pending) {
  FsOperation& operation = *pending.fs_operation;
  SimDisk& disk = node_.disk_;
  if (pending.fault == FaultAction::fail) return -pending.fault_errno;
  // Opening what is there for writing fails as well; a missing file stays ENOENT.
  const bool missing =
      operation.code == FsCode::open && !operation.flags.create && !disk.exists(operation.path);
  if (node_.faults_.read_only && changes_disk(operation) && !missing) return -EROFS;
  switch (operation.code) {
    case FsCode::open: return apply_open(pending);
    case FsCode::rename: return disk.rename(operation.path, operation.other_path);
    case FsCode::unlink: return disk.unlink(operation.path);
    case FsCode::make_dir: return disk.make_dir(operation.path, node_.clock_.wall_ms());
    case FsCode::remove_dir: return disk.remove_dir(operation.path);
    case FsCode::list_dir: return disk.list_dir(operation.path, operation.entries);
    case FsCode::read_file:
      return disk.read_file(operation.path, operation.size_bytes, operation.content, node_.rng_);
    case FsCode::stat: return disk.stat(operation.path, operation.stat);
    case FsCode::sync_dir: return disk.sync_dir(operation.path);
    case FsCode::compute: operation.computation(operation.subject); return 0;
    case FsCode::space:
      operation.free_bytes = disk.free_bytes();
      operation.total_bytes = disk.total_bytes();
      return disk.exists(operation.path) ? 0 : -ENOENT;
    case FsCode::truncate:
    case FsCode::allocate:
    case FsCode::drop_cache:
    case FsCode::lock: {
      const SimNode::Descriptor* const file = node_.descriptor(operation.fd);
      if (file == nullptr) return -EBADF;
      if (file->kind != SimNode::Descriptor::Kind::file) return -EINVAL;
      return apply_to_file(pending, *file);
    }
  }
  std::unreachable();
}

std::int64_t SimBackend::apply_to_file(PendingOp& pending, const SimNode::Descriptor& file) {
  const FsOperation& operation = *pending.fs_operation;
  if (operation.code == FsCode::lock) {
    if (!file.write) return -EBADF;
    const auto [held, taken] = node_.locks_.try_emplace(file.inode, operation.fd);
    return taken || held->second == operation.fd ? 0 : -EWOULDBLOCK;
  }
  if (operation.code == FsCode::drop_cache) {
    node_.disk_.drop_cache(file.inode);
    return 0;
  }
  if (!file.write) return operation.code == FsCode::truncate ? -EINVAL : -EBADF;
  if (operation.code == FsCode::truncate) {
    return node_.disk_.truncate(file.inode, operation.size_bytes, pending.write_number,
                                node_.clock_.wall_ms(), node_.rng_);
  }
  return node_.disk_.allocate(file.inode, operation.size_bytes, node_.clock_.wall_ms());
}

std::int64_t SimBackend::apply_open(PendingOp& pending) {
  const FsOperation& operation = *pending.fs_operation;
  if (node_.descriptors_open() >= node_.descriptors_max_) return -EMFILE;
  SimNode::Descriptor file;
  file.kind = SimNode::Descriptor::Kind::file;
  file.path = operation.path;
  file.write = operation.flags.write;
  file.direct = operation.flags.direct;
  const std::int64_t opened =
      node_.disk_.open(operation.path, operation.flags, node_.clock_.wall_ms(),
                       pending.write_number, node_.rng_, file.inode);
  if (opened < 0) return opened;
  return node_.add_descriptor(std::move(file));
}

}  // namespace keelson::engine::io
