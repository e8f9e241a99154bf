#include <liburing.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>

#include "engine/io/probe.h"
#include "engine/io/uring/uring_backend.h"
#include "engine/logger.h"

namespace keelson::engine::io {
namespace {

constexpr const char* kAllowByFilter =
    "allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile (Docker: "
    "--security-opt seccomp=PROFILE)";
constexpr const char* kNewerKernel = "use a newer kernel";

/// The value of kernel.io_uring_disabled; negative where the kernel has no such setting.
int disabled_setting() {
  std::ifstream file("/proc/sys/kernel/io_uring_disabled");
  int value = -1;
  if (!(file >> value)) return -1;
  return value;
}

void explain_refusal(UringProbe& probe) {
  const std::string said = concat("io_uring_setup: ", std::strerror(probe.sys_errno));
  const int disabled = disabled_setting();
  switch (probe.sys_errno) {
    case EPERM:
    case EACCES:
      if (disabled > 0) {
        probe.reason = concat(said, ": kernel.io_uring_disabled is ", disabled);
        probe.remedy = disabled == 1
                           ? "sysctl kernel.io_uring_disabled=0, or add this user's group to "
                             "kernel.io_uring_group"
                           : "sysctl kernel.io_uring_disabled=0";
        return;
      }
      probe.reason = said + ": forbidden by a seccomp filter or a security module";
      probe.remedy = kAllowByFilter;
      return;
    case ENOSYS:
      probe.reason = said + ": the kernel has none, or a seccomp filter hides it";
      probe.remedy = concat(kNewerKernel, ", or ", kAllowByFilter);
      return;
    case ENOMEM:
      probe.reason = said + ": the limit of locked memory (RLIMIT_MEMLOCK) or memory is used up";
      probe.remedy = "raise the limit of locked memory (ulimit -l, LimitMEMLOCK=)";
      return;
    case EMFILE:
    case ENFILE:
      probe.reason = said;
      probe.remedy = "raise the limit of open files (ulimit -n, LimitNOFILE=)";
      return;
    case EOPNOTSUPP:
      probe.reason = "io_uring of this kernel lacks what is needed (Linux 5.13)";
      probe.remedy = kNewerKernel;
      return;
    default: probe.reason = said; return;
  }
}

void add(UringProbe& probe, const char* name, bool present, const char* remedy) {
  probe.features.push_back({name, present, present ? "" : remedy});
}

void try_features(UringProbe& probe, io_uring& ring, const RingSetup& setup) {
  add(probe, "SINGLE_ISSUER", (setup.flags & IORING_SETUP_SINGLE_ISSUER) != 0, "Linux 6.0");
  add(probe, "DEFER_TASKRUN", (setup.flags & IORING_SETUP_DEFER_TASKRUN) != 0, "Linux 6.1");
  add(probe, "SUBMIT_ALL", (setup.flags & IORING_SETUP_SUBMIT_ALL) != 0, "Linux 5.18");
  const bool ring_fd = ::io_uring_register_ring_fd(&ring) == 1;
  add(probe, "registered ring descriptor", ring_fd, "Linux 5.18");
  unsigned workers[2] = {0, 0};
  const bool bounded = ::io_uring_register_iowq_max_workers(&ring, workers) == 0;
  add(probe, "bounded kernel workers", bounded, "Linux 5.15");

  // Registered buffers are charged to locked memory; nothing but trying tells.
  constexpr std::size_t kBytes = std::size_t{4} << 20;
  const std::unique_ptr<void, void (*)(void*)> memory(std::aligned_alloc(4096, kBytes), std::free);
  const iovec buffer{memory.get(), kBytes};
  const bool buffers = memory != nullptr && ::io_uring_register_buffers(&ring, &buffer, 1) == 0;
  add(probe, "4 MiB of registered buffers", buffers,
      "raise the limit of locked memory (ulimit -l, LimitMEMLOCK=)");

  io_uring_probe* const codes = ::io_uring_get_probe_ring(&ring);
  const auto has = [codes](int code) {
    return codes != nullptr && ::io_uring_opcode_supported(codes, code) != 0;
  };
  add(probe, "MSG_RING", has(IORING_OP_MSG_RING), "Linux 5.18");
  add(probe, "SEND_ZC", has(IORING_OP_SEND_ZC), "Linux 6.0");
  if (codes != nullptr) ::io_uring_free_probe(codes);
}

}  // namespace

UringProbe probe_uring() {
  UringProbe probe;
  io_uring ring{};
  const Result<RingSetup> setup = set_up_ring(ring);
  if (!setup) {
    probe.sys_errno = setup.error().sys_errno;
    explain_refusal(probe);
    return probe;
  }
  probe.available = true;
  probe.reason = concat("io_uring works: ", setup->description);
  try_features(probe, ring, *setup);
  ::io_uring_queue_exit(&ring);
  return probe;
}

}  // namespace keelson::engine::io
