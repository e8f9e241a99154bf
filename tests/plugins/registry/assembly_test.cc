#include "plugins/registry/assembly.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plugins/registry/check_config.h"
#include "tests/plugins/registry/lifecycle_checker.h"

namespace keelson {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::run_now;

using Events = std::vector<std::string>;

class Store : public Plugin {
 public:
  static constexpr const char* kKind = "store";
};
class Server : public Plugin {
 public:
  static constexpr const char* kKind = "server";
};
class Watcher : public Plugin {
 public:
  static constexpr const char* kKind = "watcher";
};

/// A plugin that writes down what is done to it, and fails where it is told to.
template <class Kind>
class Fake : public Kind {
 public:
  Fake(std::string name, Events& events, std::string fails_at = {})
      : name_(std::move(name)), events_(events), fails_at_(std::move(fails_at)) {}
  ~Fake() override { events_.push_back("~" + name_); }
  engine::Task<ApiResult<void>> open() override { co_return step("open"); }
  engine::Task<ApiResult<void>> start() override { co_return step("start"); }
  engine::Task<void> drain(std::int64_t) override {
    (void)step("drain");
    co_return;
  }
  engine::Task<void> stop() override {
    (void)step("stop");
    co_return;
  }

 private:
  ApiResult<void> step(const std::string& what) {
    events_.push_back(what + " " + name_);
    if (what == fails_at_) return refuse(ApiErrc::kafka_storage_error, "told to fail");
    return {};
  }
  std::string name_;
  Events& events_;
  std::string fails_at_;
};

class AssemblyTest : public ::testing::Test {
 protected:
  template <class Kind>
  void add(std::string name, std::vector<Requirement> needs = {}, std::string fails_at = {},
           Schema schema = {}) {
    registry_.add(plugin_factory<Kind>(
        {.name = std::move(name), .version = "1", .schema = std::move(schema), .needs = needs},
        [this, fails_at, needs](const Deps& deps,
                                const ConfigView&) -> ApiResult<std::unique_ptr<Kind>> {
          if (fails_at == "make") return refuse(ApiErrc::invalid_config, "cannot");
          for (const Requirement& need : needs) {
            if (need.kind == "watcher") watchers_ = deps.all<Watcher>(need.slot).size();
            if (need.kind == "store" && need.count == Count::optional) {
              optional_store_ = deps.find<Store>(need.slot);
            }
          }
          return std::make_unique<Fake<Kind>>(deps.instance(), events_, fails_at);
        }));
  }
  /// The six that a broker without a file needs, so that Config::load() has what it names.
  void add_builtins() {
    const auto add_fake = [this](std::string kind, std::string name) {
      Factory factory = plugin_factory<Store>(
          {.name = name, .version = "1"},
          [this](const Deps& deps, const ConfigView&) -> ApiResult<std::unique_ptr<Store>> {
            return std::make_unique<Fake<Store>>(deps.instance(), unseen_);
          });
      factory.kind = kind;
      registry_.add(std::move(factory));
    };
    add_fake("log_store", "segment");
    add_fake("replicator", "single");
    add_fake("coordinator", "local");
    add_fake("controller", "standard");
    add_fake("offset_store", "log");
    add_fake("protocol", "kafka");
  }
  ApiResult<std::unique_ptr<Assembly>> assemble(std::string toml) {
    auto config = Config::load({.files = {{"a.toml", std::move(toml)}}});
    EXPECT_TRUE(config.has_value()) << to_text(config.error());
    return Assembly::make(registry_, *config, host_);
  }
  std::string refusal(std::string toml) {
    const auto made = assemble(std::move(toml));
    return made ? "" : made.error().message;
  }

  void SetUp() override { add_builtins(); }

  engine::io::ShardGroup shards_;
  engine::NullLogger logger_;
  BrokerSettings settings_;
  std::vector<ListenerConfig> listeners_;
  PluginHost host_{shards_, logger_, settings_, listeners_};
  Events events_;
  Events unseen_;
  std::size_t watchers_ = 99;
  Store* optional_store_ = nullptr;
  Registry registry_;
};

constexpr const char* kTwo =
    "[plugins.front]\ntype = \"server.fake\"\n[plugins.back]\ntype = \"store.fake\"\n";

TEST_F(AssemblyTest, LivesInTheOrderOfNeeds) {
  add<Store>("fake");
  add<Server>("fake", {require<Store>()});
  {
    const auto assembly = assemble(kTwo);
    ASSERT_TRUE(assembly.has_value()) << assembly.error().message;
    EXPECT_NE((*assembly)->find<Server>("front"), nullptr);
    EXPECT_EQ((*assembly)->find<Server>("back"), nullptr);
    EXPECT_EQ((*assembly)->all<Server>().size(), 1u);
    EXPECT_TRUE(events_.empty());
    EXPECT_TRUE(run_now((*assembly)->open()).has_value());
    EXPECT_TRUE(run_now((*assembly)->start()).has_value());
    run_now((*assembly)->shutdown(0));
    run_now((*assembly)->shutdown(0));  // once more changes nothing
  }
  EXPECT_THAT(events_,
              ElementsAre("open back", "open front", "start back", "start front", "drain front",
                          "drain back", "stop front", "stop back", "~front", "~back"));
}

TEST_F(AssemblyTest, AFailedOpenStopsAllInReverse) {
  add<Store>("fake");
  add<Server>("fake", {require<Store>()}, "open");
  {
    const auto assembly = assemble(kTwo);
    const ApiResult<void> opened = run_now((*assembly)->open());
    ASSERT_FALSE(opened.has_value());
    EXPECT_EQ(opened.error().code, ApiErrc::kafka_storage_error);
    EXPECT_EQ(opened.error().message, "front: told to fail");
  }
  EXPECT_THAT(events_,
              ElementsAre("open back", "open front", "stop front", "stop back", "~front", "~back"));
}

TEST_F(AssemblyTest, AFailedStartStopsAllWithoutDraining) {
  add<Store>("fake");
  add<Server>("fake", {require<Store>()}, "start");
  const auto assembly = assemble(kTwo);
  ASSERT_TRUE(run_now((*assembly)->open()).has_value());
  EXPECT_FALSE(run_now((*assembly)->start()).has_value());
  EXPECT_THAT(events_, ElementsAre("open back", "open front", "start back", "start front",
                                   "stop front", "stop back"));
}

TEST_F(AssemblyTest, AFactoryThatRefusesFailsAssembly) {
  add<Store>("fake");
  add<Server>("fake", {require<Store>()}, "make");
  EXPECT_EQ(refusal(kTwo), "front: cannot");
  EXPECT_THAT(events_, ElementsAre("~back"));
}

TEST_F(AssemblyTest, MissingNeed) {
  add<Server>("fake", {require<Store>()});
  EXPECT_EQ(refusal("[plugins.front]\ntype = \"server.fake\"\n"),
            "front (server.fake) needs a store and there is none: add [plugins.<name>] with type "
            "= \"store.…\"");
}

TEST_F(AssemblyTest, AmbiguousNeedIsResolvedByUse) {
  add<Store>("fake");
  add<Server>("fake", {require<Store>()});
  const std::string three = std::string(kTwo) + "[plugins.other]\ntype = \"store.fake\"\n";
  EXPECT_EQ(refusal(three),
            "front (server.fake) needs one store and there are back, other: say which, [broker] "
            "use = { store = \"back\" }");
  EXPECT_EQ(refusal("[broker]\nuse = { store = \"other\" }\n" + three), "");
  EXPECT_THAT(refusal("[broker]\nuse = { store = [\"other\", \"back\"] }\n" + three),
              HasSubstr("a.toml:2:9: slot \"store\" of front takes one instance; 2 are named"));
}

TEST_F(AssemblyTest, WronglyTypedBinding) {
  add<Store>("fake");
  add<Server>("fake", {require<Store>()});
  EXPECT_EQ(refusal(std::string("[broker]\nuse = { store = \"front\" }\n") + kTwo),
            "a.toml:2:9: slot \"store\" of front takes a store, but \"front\" is a server.fake");
  EXPECT_THAT(refusal(std::string("[broker]\nuse = { stoer = \"back\" }\n") + kTwo),
              HasSubstr("no plugin has a slot \"stoer\"; did you mean \"store\"?"));
}

TEST_F(AssemblyTest, APluginThatLiesAboutItsKindIsRefused) {
  Factory liar = plugin_factory<Watcher>(
      {.name = "fake", .version = "1"},
      [this](const Deps& deps, const ConfigView&) -> ApiResult<std::unique_ptr<Watcher>> {
        return std::make_unique<Fake<Watcher>>(deps.instance(), events_);
      });
  liar.kind = "store";
  registry_.add(std::move(liar));
  add<Server>("fake", {require<Store>()});
  EXPECT_THAT(refusal(kTwo), HasSubstr("has not that interface"));
}

TEST_F(AssemblyTest, ACycleIsPrinted) {
  add<Store>("fake", {require<Watcher>()});
  add<Watcher>("fake", {require<Server>()});
  add<Server>("fake", {require<Store>()});
  EXPECT_THAT(refusal(std::string(kTwo) + "[plugins.eye]\ntype = \"watcher.fake\"\n"),
              HasSubstr("in a circle: back -> eye -> front -> back;"));
}

TEST_F(AssemblyTest, OptionalAndAnyMayBeEmpty) {
  add<Server>("fake", {require_optional<Store>(), require_any<Watcher>()});
  EXPECT_EQ(refusal("[plugins.front]\ntype = \"server.fake\"\n"), "");
  EXPECT_EQ(watchers_, 0u);
  EXPECT_EQ(optional_store_, nullptr);
}

TEST_F(AssemblyTest, AnyTakesAll) {
  add<Server>("fake", {require_optional<Store>(), require_any<Watcher>()});
  add<Watcher>("fake");
  add<Store>("fake");
  EXPECT_EQ(refusal(std::string(kTwo) + "[plugins.a]\ntype = \"watcher.fake\"\n"
                                        "[plugins.b]\ntype = \"watcher.fake\"\n"),
            "");
  EXPECT_EQ(watchers_, 2u);
  EXPECT_NE(optional_store_, nullptr);
}

TEST_F(AssemblyTest, ADuplicateTypeFailsEveryAssembly) {
  add<Store>("fake");
  add<Store>("fake");
  EXPECT_THAT(refusal(""), HasSubstr("plugin type store.fake is registered twice"));
}

TEST_F(AssemblyTest, FaultyFactoriesAreToldAtAssembly) {
  add<Store>("Bad-Name");
  add<Store>("keys", {}, {}, {{.key = "a"}, {.key = "a"}});
  add<Store>("value", {}, {}, {{.key = "n", .type = ConfigType::integer, .default_text = "many"}});
  const std::string message = refusal("");
  EXPECT_THAT(message, HasSubstr("\"store.Bad-Name\": use lower-case"));
  EXPECT_THAT(message, HasSubstr("has the key \"a\" twice"));
  EXPECT_THAT(message, HasSubstr("default of \"n\": must be a whole number"));
}

TEST_F(AssemblyTest, UnknownTypeHasAHint) {
  add<Store>("fake");
  EXPECT_EQ(refusal("[plugins.x]\ntype = \"store.fkae\"\n"),
            "a.toml:2:1: [plugins.x]: there is no plugin type \"store.fkae\"; did you mean "
            "\"store.fake\"?");
  EXPECT_THAT(refusal("[plugins.x]\ntype = \"store.something_else\"\n"),
              HasSubstr("; this program has store.fake"));
  EXPECT_THAT(refusal("[plugins.x]\ntype = \"interceptor.audit\"\n"),
              HasSubstr("; this program has no plugin of kind \"interceptor\""));
}

TEST_F(AssemblyTest, DefaultsAssemble) {
  const auto assembly = Assembly::make(registry_, Config::defaults(), host_);
  ASSERT_TRUE(assembly.has_value()) << assembly.error().message;
  EXPECT_EQ((*assembly)->parts().size(), 6u);
}

TEST_F(AssemblyTest, CheckConfigTellsOriginsAndHidesSecrets) {
  add<Store>("fake", {}, {},
             {{.key = "token", .secret = true, .doc = "Lets in."},
              {.key = "size", .type = ConfigType::bytes, .default_text = "1KiB", .doc = "Size."}});
  auto config = Config::load(
      {.files = {{"a.toml",
                  "[plugins.back]\ntype = \"store.fake\"\ntoken = \"hunter2\"\n"
                  "[kafka]\n\"ssl.key.password\" = \"hunter3\"\n\"num.partitions\" = 3\n"}}});
  const auto entries = effective_config(registry_, *config, /*set_only=*/false);
  ASSERT_TRUE(entries.has_value());
  const std::string text = render_text(*entries);
  EXPECT_THAT(text, HasSubstr("plugins.back.token = (redacted)  # a.toml:3:1\n"));
  EXPECT_THAT(text, HasSubstr("plugins.back.size = 1024  # default\n"));
  EXPECT_THAT(text, HasSubstr("kafka.num.partitions = 3  # a.toml:6:1\n"));
  EXPECT_THAT(text, HasSubstr("kafka.ssl.key.password = (redacted)  # a.toml:5:1\n"));
  EXPECT_THAT(text, Not(HasSubstr("hunter")));
  const std::string json = render_json(*entries);
  EXPECT_THAT(json, HasSubstr("\"key\": \"num.partitions\", \"value\": \"3\""));
  EXPECT_THAT(json, Not(HasSubstr("hunter")));
}

TEST_F(AssemblyTest, PrintedDefaultsAreAConfigurationThatSaysNothingNew) {
  const std::string text = render_defaults(registry_);
  const auto config = Config::load({.files = {{"defaults.toml", text}}});
  ASSERT_TRUE(config.has_value()) << to_text(config.error());
  for (const SettingDef& definition : broker_setting_table()) {
    if (definition.default_text == nullptr || definition.type == SettingType::float64) continue;
    EXPECT_EQ(config->settings().find_text(definition.name), definition.default_text);
  }
}

TEST(LifecycleChecker, AcceptsAPluginThatKeepsTheContract) {
  Events events;
  testing::check_lifecycle([&events] { return std::make_unique<Fake<Store>>("p", events); });
  EXPECT_EQ(std::ranges::count(events, "stop p"), 5);
  EXPECT_EQ(std::ranges::count(events, "~p"), 4);
}

}  // namespace
}  // namespace keelson
