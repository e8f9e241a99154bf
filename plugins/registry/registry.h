// plugins/registry/registry.h: the plugins a program knows, and how they are bound together.
//
// A registry is an object that the program fills by calling each plugin's `register_…(Registry&)`;
// two brokers in one process have two. What is made of it, and when, is in assembly.h.
#pragma once

#include <cassert>
#include <concepts>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/io/cross_shard.h"
#include "engine/logger.h"
#include "plugins/registry/api_error.h"
#include "plugins/registry/config/config_view.h"
#include "plugins/registry/config/listener_config.h"
#include "plugins/registry/plugin.h"
#include "plugins/registry/settings/broker_settings.h"

namespace keelson {

/// An interface of plugins: derives from Plugin and names itself in kKind.
template <class T>
concept PluginKind = std::derived_from<T, Plugin> && requires {
  { T::kKind } -> std::convertible_to<std::string_view>;
};

/// What the program gives to every plugin. All outlive the plugins.
struct PluginHost {
  engine::io::ShardGroup& shards;
  engine::Logger& logger;
  const BrokerSettings& settings;
  const std::vector<ListenerConfig>& listeners;  // of all protocols; `protocol` names the instance
  /// Whether the program is told to stop: an open() that takes long ends early then. Any thread;
  /// empty where nobody can tell.
  std::function<bool()> stop_asked = {};
};

enum class Stability : std::uint8_t { experimental, beta, stable, deprecated };
std::string_view to_string(Stability stability);

enum class Count : std::uint8_t { one, optional, any };

/// A plugin that another one needs. Make with require<Kind>() and its kin.
struct Requirement {
  std::string kind;
  std::string slot;  // name of the binding in [broker.use]; the kind's where nothing else is said
  Count count = Count::one;
  bool (*is_kind)(const Plugin&) = nullptr;
};

template <PluginKind Kind>
Requirement require(std::string slot = Kind::kKind, Count count = Count::one) {
  return {Kind::kKind, std::move(slot), count,
          [](const Plugin& plugin) { return dynamic_cast<const Kind*>(&plugin) != nullptr; }};
}
template <PluginKind Kind>
Requirement require_optional(std::string slot = Kind::kKind) {
  return require<Kind>(std::move(slot), Count::optional);
}
/// As many as there are, in the order of [broker.use], else by name.
template <PluginKind Kind>
Requirement require_any(std::string slot = Kind::kKind) {
  return require<Kind>(std::move(slot), Count::any);
}

/// What a factory may use: the plugins it required, by type and slot, and the host. The plugins
/// outlive the one being made; keep references, not the Deps.
class Deps {
 public:
  Deps(const PluginHost& host, std::string instance)
      : host_(host), instance_(std::move(instance)) {}

  const PluginHost& host() const { return host_; }
  /// The name of the instance being made, for log lines.
  const std::string& instance() const { return instance_; }

  /// Asserts that the factory requires exactly one of that kind in that slot: assembly has made
  /// sure that it is there.
  template <PluginKind Kind>
  Kind& get(std::string_view slot = Kind::kKind) const {
    const std::vector<Plugin*>& found = bound(slot, Kind::kKind);
    assert(found.size() == 1);
    return dynamic_cast<Kind&>(*found.front());
  }
  /// Null where an optional requirement is not bound.
  template <PluginKind Kind>
  Kind* find(std::string_view slot = Kind::kKind) const {
    const std::vector<Plugin*>& found = bound(slot, Kind::kKind);
    assert(found.size() <= 1);
    return found.empty() ? nullptr : &dynamic_cast<Kind&>(*found.front());
  }
  template <PluginKind Kind>
  std::vector<Kind*> all(std::string_view slot = Kind::kKind) const {
    std::vector<Kind*> plugins;
    for (Plugin* plugin : bound(slot, Kind::kKind)) {
      plugins.push_back(&dynamic_cast<Kind&>(*plugin));
    }
    return plugins;
  }

  /// For assembly, and for tests that make a plugin by hand.
  void bind(const Requirement& requirement, std::vector<Plugin*> plugins) {
    bound_[requirement.slot] = {requirement.kind, std::move(plugins)};
  }

 private:
  struct Binding {
    std::string kind;
    std::vector<Plugin*> plugins;
  };
  const std::vector<Plugin*>& bound(std::string_view slot, std::string_view kind) const {
    const auto found = bound_.find(slot);
    assert(found != bound_.end());  // not among the factory's `needs`
    assert(found->second.kind == kind);
    return found->second.plugins;
  }

  const PluginHost& host_;
  std::string instance_;
  std::map<std::string, Binding, std::less<>> bound_;
};

using MakePlugin =
    std::function<ApiResult<std::unique_ptr<Plugin>>(const Deps&, const ConfigView&)>;

/// One type of plugin, "kind.name" in a configuration. Make with plugin_factory<Kind>().
struct Factory {
  std::string kind;
  std::string name;
  std::string version;
  Stability stability = Stability::stable;
  std::string doc;  // one line
  Schema schema;
  std::vector<Requirement> needs;
  /// Constructs and checks; no I/O, thread or file.
  MakePlugin make;
  bool (*is_kind)(const Plugin&) = nullptr;

  std::string type() const { return kind + "." + name; }
};

/// The part of a factory that an author fills in.
struct FactoryParts {
  std::string name;
  std::string version;
  Stability stability = Stability::stable;
  std::string doc = {};
  Schema schema = {};
  std::vector<Requirement> needs = {};
};

/// `make` is called as make(const Deps&, const ConfigView&) and gives an
/// ApiResult<std::unique_ptr<T>>, T being a Kind.
template <PluginKind Kind, class Make>
Factory plugin_factory(FactoryParts parts, Make make) {
  Factory factory;
  factory.kind = Kind::kKind;
  factory.name = std::move(parts.name);
  factory.version = std::move(parts.version);
  factory.stability = parts.stability;
  factory.doc = std::move(parts.doc);
  factory.schema = std::move(parts.schema);
  factory.needs = std::move(parts.needs);
  factory.is_kind = [](const Plugin& plugin) {
    return dynamic_cast<const Kind*>(&plugin) != nullptr;
  };
  factory.make = [make = std::move(make)](
                     const Deps& deps,
                     const ConfigView& config) -> ApiResult<std::unique_ptr<Plugin>> {
    auto made = make(deps, config);
    if (!made) return std::unexpected(std::move(made.error()));
    std::unique_ptr<Kind> plugin = *std::move(made);
    return std::unique_ptr<Plugin>(std::move(plugin));
  };
  return factory;
}

class Registry {
 public:
  /// A type that is there already, a bad name or a faulty schema is kept as a problem, which fails
  /// every assembly: a `register_…` needs no error path.
  void add(Factory factory);

  /// By type ("log_store.segment"); null where there is none.
  const Factory* find(std::string_view type) const;
  /// By type.
  const std::map<std::string, Factory, std::less<>>& factories() const { return factories_; }
  /// What add() found wrong; empty when all is well.
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  std::map<std::string, Factory, std::less<>> factories_;
  std::vector<std::string> problems_;
};

}  // namespace keelson
