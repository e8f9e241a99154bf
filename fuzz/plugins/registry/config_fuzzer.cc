// Any text as a configuration file: loads or is refused with a place, never crashes; what loads can
// be shown without a problem.
#include <cstdlib>

#include "plugins/registry/check_config.h"
#include "plugins/registry/config/config.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const keelson::ConfigSources sources{.files = {{"f", text}},
                                       .environment = {{"A", "1"}, {"KEELSON__KAFKA__X", text}},
                                       .sets = {text}};
  const auto all = keelson::Config::load(sources);
  if (!all && keelson::to_text(all.error()).empty()) std::abort();

  const auto config = keelson::Config::load({.files = {{"f", text}}, .environment = {{"A", "1"}}});
  if (!config) {
    if (keelson::to_text(config.error()).empty()) std::abort();
    return 0;
  }
  const keelson::Schema schema = {
      {.key = "size", .type = keelson::ConfigType::bytes, .default_text = "1"},
      {.key = "time", .type = keelson::ConfigType::duration, .default_text = "1s"},
      {.key = "list", .type = keelson::ConfigType::list},
      {.key = "secret", .secret = true}};
  for (const auto& [name, instance] : config->instances()) (void)config->view(instance, schema);
  const keelson::Registry empty;
  (void)keelson::effective_config(empty, *config, false);
  return 0;
}
