// plugins/registry/assembly.h: the plugins of one broker, made from a registry and a configuration.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/task.h"
#include "plugins/registry/config/config.h"
#include "plugins/registry/registry.h"

namespace keelson {

/// Made on shard 0, used there, destroyed after shutdown(). Owns the plugins; those that others
/// need are made first and destroyed last.
class Assembly {
 public:
  /// Makes every instance. Does no I/O. `config` is not kept, `host` must outlive the assembly.
  /// Errors: invalid_config: what a registration, the wiring or a plugin's keys have wrong, all of
  /// it, one line each, with what to do; or what a factory refused.
  [[nodiscard]] static ApiResult<std::unique_ptr<Assembly>> make(const Registry& registry,
                                                                 const Config& config,
                                                                 const PluginHost& host);
  ~Assembly();
  Assembly(const Assembly&) = delete;  // tasks hold its address
  Assembly& operator=(const Assembly&) = delete;

  /// Opens every plugin in order. The first failure stops all of them, in reverse, and is
  /// returned with the instance's name before its message.
  [[nodiscard]] engine::Task<ApiResult<void>> open();
  /// After open(). Starts every plugin in order; failures as there.
  [[nodiscard]] engine::Task<ApiResult<void>> start();
  /// Drains what was started, in reverse, each until `deadline_ns`; then stops everything, in
  /// reverse: accepted work may need any plugin, so none stops before all are drained. Idempotent;
  /// legal whenever neither open() nor start() runs.
  engine::Task<void> shutdown(std::int64_t deadline_ns);

  /// Instances in the order they were made.
  struct Part {
    std::string instance;
    const Factory* factory;  // the registry's; null for tests that add by hand
    std::unique_ptr<Plugin> plugin;
  };
  const std::vector<Part>& parts() const { return parts_; }

  /// The plugin of an instance; null where it is not there or of another kind.
  template <PluginKind Kind>
  Kind* find(std::string_view instance) const {
    for (const Part& part : parts_) {
      if (part.instance == instance) return dynamic_cast<Kind*>(part.plugin.get());
    }
    return nullptr;
  }
  /// All of a kind, in order.
  template <PluginKind Kind>
  std::vector<Kind*> all() const {
    std::vector<Kind*> found;
    for (const Part& part : parts_) {
      if (auto* plugin = dynamic_cast<Kind*>(part.plugin.get())) found.push_back(plugin);
    }
    return found;
  }

 private:
  enum class State : std::uint8_t { made, opened, started, stopped };

  explicit Assembly(const PluginHost& host) : host_(host) {}
  engine::Task<void> stop_all();
  void log(engine::LogLevel level, std::string_view line) const;

  const PluginHost& host_;
  std::vector<Part> parts_;
  std::size_t started_ = 0;  // the first so many of parts_
  State state_ = State::made;
};

}  // namespace keelson
