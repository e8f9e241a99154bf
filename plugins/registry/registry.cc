#include "plugins/registry/registry.h"

#include <algorithm>
#include <set>

namespace keelson {

using engine::concat;

namespace {

/// What may stand in a type: "kind.name", each of letters, digits and underscores.
bool is_word(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

std::vector<std::string> check(const Factory& factory) {
  const std::string type = factory.type();
  std::vector<std::string> problems;
  if (!is_word(factory.kind) || !is_word(factory.name)) {
    problems.push_back(
        concat("plugin type \"", type, "\": use lower-case letters, digits and underscores"));
  }
  if (!factory.make) problems.push_back(concat("plugin type ", type, " cannot be made"));
  std::set<std::string_view> keys;
  for (const SchemaEntry& entry : factory.schema) {
    if (!keys.insert(entry.key).second) {
      problems.push_back(concat("plugin type ", type, " has the key \"", entry.key, "\" twice"));
    }
  }
  Schema without_required = factory.schema;
  std::erase_if(without_required, [](const SchemaEntry& entry) { return entry.required; });
  if (const auto defaults = schema_defaults(without_required); !defaults) {
    for (const ConfigProblem& problem : defaults.error()) {
      problems.push_back(concat("plugin type ", type, ": ", problem.message));
    }
  }
  std::set<std::string_view> slots;
  for (const Requirement& need : factory.needs) {
    if (!slots.insert(need.slot).second) {
      problems.push_back(concat("plugin type ", type, " requires the slot \"", need.slot,
                                "\" twice; give one of them another name"));
    }
  }
  return problems;
}

}  // namespace

std::string_view to_string(Stability stability) {
  switch (stability) {
    case Stability::experimental: return "experimental";
    case Stability::beta: return "beta";
    case Stability::stable: return "stable";
    case Stability::deprecated: return "deprecated";
  }
  return "";
}

void Registry::add(Factory factory) {
  std::vector<std::string> found = check(factory);
  std::string type = factory.type();
  if (factories_.contains(type)) {
    found.push_back(concat("plugin type ", type,
                           " is registered twice; register it once, or "
                           "give one of the two another name"));
  }
  problems_.insert(problems_.end(), found.begin(), found.end());
  if (found.empty()) factories_.emplace(std::move(type), std::move(factory));
}

const Factory* Registry::find(std::string_view type) const {
  const auto found = factories_.find(type);
  return found == factories_.end() ? nullptr : &found->second;
}

}  // namespace keelson
