#include "plugins/registry/assembly.h"

#include <algorithm>
#include <cassert>
#include <map>
#include <set>

#include "plugins/registry/config/nearest_name.h"

namespace keelson {

using engine::concat;

namespace {

struct Planned {
  const PluginInstance* instance = nullptr;
  const Factory* factory = nullptr;
  ConfigView config;
  std::vector<std::vector<std::string>> bound;  // instances, for each of factory->needs
};

/// Decides who is bound to whom, and in which order they are made.
class Plan {
 public:
  Plan(const Registry& registry, const Config& config) : registry_(registry), config_(config) {}

  void run() {
    problems_ = registry_.problems();
    for (const auto& [name, instance] : config_.instances()) add_instance(instance);
    if (!problems_.empty()) return;  // unknown types would look like missing bindings
    check_uses();
    for (auto& [name, planned] : planned_) bind_needs(planned);
    if (!problems_.empty()) return;
    for (const auto& [name, planned] : planned_) visit(name);
  }

  const std::vector<std::string>& problems() const { return problems_; }
  const std::vector<std::string>& order() const { return order_; }
  const Planned& at(const std::string& name) const { return planned_.at(name); }

 private:
  void add_instance(const PluginInstance& instance) {
    const Factory* factory = registry_.find(instance.type);
    if (factory == nullptr) {
      NearestName nearest(instance.type);
      std::string known;
      for (const auto& [type, other] : registry_.factories()) {
        nearest.offer(type);
        if (other.kind == instance.kind()) known += (known.empty() ? "" : ", ") + type;
      }
      std::string hint = did_you_mean(nearest.found());
      if (hint.empty()) {
        hint = known.empty()
                   ? concat("; this program has no plugin of kind \"", instance.kind(), "\"")
                   : concat("; this program has ", known);
      }
      return complain(instance.type_origin,
                      concat("[plugins.", instance.name, "]: there is no plugin type \"",
                             instance.type, "\"", hint));
    }
    std::expected<ConfigView, ConfigProblems> view = config_.view(instance, factory->schema);
    if (!view) {
      problems_.push_back(to_text(view.error()));
      return;
    }
    planned_.emplace(instance.name, Planned{&instance, factory, *std::move(view), {}});
  }

  void check_uses() {
    std::set<std::string_view> slots;
    for (const auto& [name, planned] : planned_) {
      for (const Requirement& need : planned.factory->needs) slots.insert(need.slot);
    }
    for (const auto& [slot, use] : config_.uses()) {
      if (slots.contains(slot)) continue;
      NearestName nearest(slot);
      for (const std::string_view known : slots) nearest.offer(known);
      complain(use.origin,
               concat("no plugin has a slot \"", slot, "\"", did_you_mean(nearest.found())));
    }
  }

  void bind_needs(Planned& planned) {
    for (const Requirement& need : planned.factory->needs) {
      const auto use = config_.uses().find(need.slot);
      planned.bound.push_back(use != config_.uses().end() ? bind_used(planned, need, use->second)
                                                          : bind_found(planned, need));
    }
  }

  std::vector<std::string> bind_used(const Planned& planned, const Requirement& need,
                                     const SlotUse& use) {
    for (const std::string& name : use.instances) {
      const Factory& factory = *planned_.at(name).factory;
      if (factory.kind != need.kind) {
        complain(use.origin,
                 concat("slot \"", need.slot, "\" of ", planned.instance->name, " takes a ",
                        need.kind, ", but \"", name, "\" is a ", factory.type()));
      }
    }
    if (need.count != Count::any && use.instances.size() > 1) {
      complain(use.origin, concat("slot \"", need.slot, "\" of ", planned.instance->name,
                                  " takes one instance; ", use.instances.size(), " are named"));
    }
    if (need.count == Count::one && use.instances.empty()) {
      complain(use.origin, concat("slot \"", need.slot, "\" of ", planned.instance->name,
                                  " needs an instance; name one"));
    }
    return use.instances;
  }

  std::vector<std::string> bind_found(const Planned& planned, const Requirement& need) {
    std::vector<std::string> found;
    for (const auto& [name, other] : planned_) {
      if (other.factory->kind == need.kind) found.push_back(name);
    }
    if (need.count == Count::any) return found;
    if (found.size() > 1) {
      std::string names;
      for (const std::string& name : found) names += (names.empty() ? "" : ", ") + name;
      complain({}, concat(planned.instance->name, " (", planned.factory->type(), ") needs one ",
                          need.kind, " and there are ", names, ": say which, [broker] use = { ",
                          need.slot, " = \"", found.front(), "\" }"));
    }
    if (found.empty() && need.count == Count::one) {
      complain(
          {}, concat(planned.instance->name, " (", planned.factory->type(), ") needs a ", need.kind,
                     " and there is none: add [plugins.<name>] with type = \"", need.kind, ".…\""));
    }
    return found;
  }

  /// Depth first: what an instance needs comes before it.
  void visit(const std::string& name) {
    if (done_.contains(name)) return;
    if (const auto again = std::ranges::find(trail_, name); again != trail_.end()) {
      std::string cycle;
      for (auto step = again; step != trail_.end(); ++step) cycle += *step + " -> ";
      problems_.push_back(concat("plugins need each other in a circle: ", cycle, name,
                                 "; bind one of these slots to another instance in [broker] use"));
      return;
    }
    trail_.push_back(name);
    for (const std::vector<std::string>& bound : planned_.at(name).bound) {
      for (const std::string& needed : bound) {
        visit(needed);
        if (!problems_.empty()) return;
      }
    }
    trail_.pop_back();
    done_.insert(name);
    order_.push_back(name);
  }

  void complain(const Origin& where, std::string message) {
    problems_.push_back(to_text(ConfigProblems{{where, std::move(message)}}));
  }

  const Registry& registry_;
  const Config& config_;
  std::map<std::string, Planned> planned_;
  std::vector<std::string> problems_;
  std::vector<std::string> trail_;
  std::set<std::string> done_;
  std::vector<std::string> order_;
};

std::unexpected<ApiError> refuse_all(const std::vector<std::string>& problems) {
  std::string message;
  for (const std::string& problem : problems) message += (message.empty() ? "" : "\n") + problem;
  return refuse(ApiErrc::invalid_config, std::move(message));
}

}  // namespace

ApiResult<std::unique_ptr<Assembly>> Assembly::make(const Registry& registry, const Config& config,
                                                    const PluginHost& host) {
  Plan plan(registry, config);
  plan.run();
  if (!plan.problems().empty()) return refuse_all(plan.problems());

  std::unique_ptr<Assembly> assembly(new Assembly(host));
  std::map<std::string, Plugin*> made;
  for (const std::string& name : plan.order()) {
    const Planned& planned = plan.at(name);
    const Factory& factory = *planned.factory;
    Deps deps(host, name);
    for (std::size_t i = 0; i < factory.needs.size(); ++i) {
      std::vector<Plugin*> plugins;
      for (const std::string& needed : planned.bound[i]) {
        Plugin* plugin = made.at(needed);
        if (factory.needs[i].is_kind != nullptr && !factory.needs[i].is_kind(*plugin)) {
          return refuse(ApiErrc::invalid_config,
                        concat("\"", needed, "\" says it is a ", factory.needs[i].kind,
                               " and has not that interface: its plugin was built wrongly"));
        }
        plugins.push_back(plugin);
      }
      deps.bind(factory.needs[i], std::move(plugins));
    }
    ApiResult<std::unique_ptr<Plugin>> plugin = factory.make(deps, planned.config);
    if (!plugin) {
      return refuse(plugin.error().code, concat(name, ": ", plugin.error().message));
    }
    assert(*plugin != nullptr);  // make() gives a plugin or an error
    made.emplace(name, plugin->get());
    assembly->parts_.push_back({name, &factory, *std::move(plugin)});
    if (factory.stability != Stability::stable) {
      // Deprecated is for the user to act on; the others are to be known.
      assembly->log(factory.stability == Stability::deprecated ? engine::LogLevel::warning
                                                               : engine::LogLevel::info,
                    concat(name, ": ", factory.type(), " is ", to_string(factory.stability)));
    }
  }
  return assembly;
}

Assembly::~Assembly() {
  assert(state_ == State::made || state_ == State::stopped);  // shutdown() comes first
  while (!parts_.empty()) parts_.pop_back();
}

void Assembly::log(engine::LogLevel level, std::string_view line) const {
  host_.logger.write(level, "assembly", line);
}

engine::Task<ApiResult<void>> Assembly::open() {
  assert(state_ == State::made);
  state_ = State::opened;
  for (const Part& part : parts_) {
    ApiResult<void> opened = co_await part.plugin->open();
    if (!opened) {
      ApiError error{opened.error().code, concat(part.instance, ": ", opened.error().message)};
      co_await stop_all();
      co_return std::unexpected(std::move(error));
    }
  }
  co_return ApiResult<void>{};
}

engine::Task<ApiResult<void>> Assembly::start() {
  assert(state_ == State::opened);
  state_ = State::started;
  for (const Part& part : parts_) {
    ApiResult<void> running = co_await part.plugin->start();
    if (!running) {
      ApiError error{running.error().code, concat(part.instance, ": ", running.error().message)};
      co_await stop_all();
      co_return std::unexpected(std::move(error));
    }
    ++started_;
  }
  co_return ApiResult<void>{};
}

engine::Task<void> Assembly::shutdown(std::int64_t deadline_ns) {
  if (state_ == State::stopped) co_return;
  for (std::size_t i = started_; i > 0; --i) {
    co_await parts_[i - 1].plugin->drain(deadline_ns);
  }
  co_await stop_all();
}

engine::Task<void> Assembly::stop_all() {
  state_ = State::stopped;
  for (std::size_t i = parts_.size(); i > 0; --i) {
    co_await parts_[i - 1].plugin->stop();
  }
}

}  // namespace keelson
