#include "engine/io/give_way.h"

namespace keelson::engine::io {
namespace {

constexpr std::size_t kStretchBytes = std::size_t{32} << 10;  // some 20 us of records

thread_local void (*let_others_run_here)() = nullptr;
thread_local std::size_t worked_bytes = 0;

}  // namespace

void give_way(std::size_t bytes) {
  if (let_others_run_here == nullptr) return;
  worked_bytes += bytes;
  if (worked_bytes < kStretchBytes) return;
  worked_bytes = 0;
  let_others_run_here();
}

void set_give_way(void (*let_others_run)()) { let_others_run_here = let_others_run; }

}  // namespace keelson::engine::io
