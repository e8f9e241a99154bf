// tests/coordination/coordinator_conformance.h: how the suite makes the coordinators it tests.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "plugins/registry/coordinator.h"
#include "tests/coordination/ram_disk.h"

namespace keelson::test {

/// A store that outlives its coordinators. A new kind of coordinator joins the suite with one of
/// these.
class CoordinatorWorld {
 public:
  virtual ~CoordinatorWorld() = default;
  /// A coordinator, not open yet, over what earlier ones of this world left.
  virtual std::unique_ptr<Coordinator> make() = 0;
  RamShard ram;
};

struct CoordinatorKind {
  std::string name;
  std::function<std::unique_ptr<CoordinatorWorld>()> make_world;
};

}  // namespace keelson::test
