#include "tests/sim/support/workload.h"

namespace keelson::test {

bool is_transient(std::int16_t error) {
  switch (static_cast<ApiErrc>(error)) {
    case ApiErrc::kafka_storage_error:
    case ApiErrc::not_leader_or_follower:
    case ApiErrc::leader_not_available:
    case ApiErrc::broker_not_available:
    case ApiErrc::request_timed_out:
    case ApiErrc::coordinator_load_in_progress:
    case ApiErrc::coordinator_not_available:
    case ApiErrc::not_coordinator:
    case ApiErrc::not_controller:
    case ApiErrc::not_enough_replicas:
    case ApiErrc::not_enough_replicas_after_append: return true;
    default: return false;
  }
}

}  // namespace keelson::test
