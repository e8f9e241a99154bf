#include "plugins/registry/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plugins/registry/config/config_value.h"
#include "plugins/registry/config/nearest_name.h"

namespace keelson {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Key;

ConfigSources file(std::string text) { return {.files = {{"a.toml", std::move(text)}}}; }

std::string problems_of(const ConfigSources& sources) {
  const auto config = Config::load(sources);
  return config ? "" : to_text(config.error());
}

std::string setting(const ConfigSources& sources, const char* name) {
  const auto config = Config::load(sources);
  EXPECT_TRUE(config.has_value()) << to_text(config.error());
  return config ? config->settings().find_text(name).value_or("null") : "";
}

TEST(Config, DefaultsNeedNoFile) {
  const Config config = Config::defaults();
  EXPECT_THAT(config.instances(), ElementsAre(Key("controller"), Key("coordinator"), Key("kafka"),
                                              Key("log"), Key("offsets"), Key("replicator")));
  ASSERT_EQ(config.listeners().size(), 1u);
  EXPECT_EQ(config.listeners()[0].bind, (HostPort{"127.0.0.1", 9092}));
  EXPECT_EQ(config.listeners()[0].name, "PLAINTEXT");
  EXPECT_EQ(config.listeners()[0].protocol, "kafka");
}

TEST(Config, StrongerSourcesWin) {
  ConfigSources sources{.files = {{"a.toml", "[kafka]\nnum.partitions = 2\n"}}};
  EXPECT_EQ(setting({}, "num.partitions"), "1");
  EXPECT_EQ(setting(sources, "num.partitions"), "2");
  sources.files.push_back({"b.toml", "kafka.\"num.partitions\" = 3\n"});
  EXPECT_EQ(setting(sources, "num.partitions"), "3");
  sources.environment = {{"KEELSON__KAFKA__NUM_PARTITIONS", "4"}, {"KEELSON_HOME", "/x"}};
  EXPECT_EQ(setting(sources, "num.partitions"), "4");
  sources.sets = {"num.partitions=5"};
  EXPECT_EQ(setting(sources, "num.partitions"), "5");
  sources.sets.push_back("kafka.num.partitions=6");
  EXPECT_EQ(setting(sources, "num.partitions"), "6");
  const auto config = Config::load(sources);
  EXPECT_EQ(to_text(config->origin_of("num.partitions")), "--set kafka.num.partitions");
  EXPECT_EQ(to_text(config->origin_of("log.dirs")), "default");
}

TEST(Config, OriginOfAFilesValueIsItsPlace) {
  const auto config = Config::load(file("[kafka]\n  num.partitions = 2\n"));
  EXPECT_EQ(to_text(config->origin_of("num.partitions")), "a.toml:2:3");
}

// A retention given in hours on the command line must beat one in milliseconds in a file.
TEST(Config, StrongerSourceReplacesAllNamesOfOneThing) {
  ConfigSources sources = file("[kafka]\nlog.retention.ms = 5\n[broker]\nid = 1\n");
  sources.sets = {"log.retention.hours=2", "broker.id=9"};
  const auto config = Config::load(sources);
  ASSERT_TRUE(config.has_value());
  EXPECT_FALSE(config->settings().is_set("log.retention.ms"));
  EXPECT_EQ(config->settings().node_id(), 9);
}

TEST(Config, NestedTablesFlattenToKafkasNames) {
  EXPECT_EQ(setting(file("[kafka.log]\nretention = { ms = 604_800_000 }\n"), "log.retention.ms"),
            "604800000");
  EXPECT_EQ(setting(file("[kafka]\n\"log.dirs\" = [\"/a\", \"/b\"]\n"), "log.dirs"), "/a,/b");
  EXPECT_EQ(setting(file("[kafka]\n\"auto.create.topics.enable\" = false\n"),
                    "auto.create.topics.enable"),
            "false");
}

// `max.connections` and `max.connections.per.ip` are both settings; as bare TOML keys they collide.
TEST(Config, CollidingDottedNamesAreExplained) {
  EXPECT_THAT(problems_of(file("[kafka]\nmax.connections = 5\nmax.connections.per.ip = 2\n")),
              ::testing::AllOf(HasSubstr("a.toml:3:"), HasSubstr("quote names with dots")));
  EXPECT_THAT(problems_of(file("[kafka]\nbroker.id = 5\nbroker.id.generation.enable = true\n")),
              ::testing::AllOf(HasSubstr("a.toml:3:"), HasSubstr("quote names with dots")));
  EXPECT_EQ(setting(file("[kafka]\n\"max.connections\" = 5\n\"max.connections.per.ip\" = 2\n"),
                    "max.connections.per.ip"),
            "2");
}

TEST(Config, MistakesCarryFileLineColumnAndHint) {
  EXPECT_EQ(problems_of(file("[kafka]\n\n  num.partition = 2\n")),
            "a.toml:3:3: unknown broker setting \"num.partition\"; did you mean "
            "\"num.partitions\"?");
  EXPECT_EQ(problems_of(file("[kafak]\nx = 1\n")),
            "a.toml:2:1: unknown section \"kafak\"; did you mean \"kafka\"?");
  EXPECT_EQ(problems_of(file("[broker]\ndata_dir = [\"x\"]\n")),
            "a.toml:2:1: unknown key \"data_dir\" in [broker]; did you mean \"data_dirs\"?");
  EXPECT_EQ(problems_of(file("[kafka]\n\"num.partitions\" = 0\n")),
            "a.toml:2:1: Invalid value 0 for configuration num.partitions: must be at least 1");
  EXPECT_EQ(problems_of(file("[kafka]\nnode.id = 1\n[broker]\nid = 2\n")),
            "a.toml:2:1: \"node.id\" is set twice; also at a.toml:4:1");
  EXPECT_EQ(problems_of(file("x = 1\n")), "a.toml:1:1: unknown section \"x\"");
  EXPECT_EQ(problems_of(file("kafka = 1\n")), "a.toml:1:1: \"kafka\" must be a table");
  EXPECT_THAT(problems_of(file("[kafka\n")), HasSubstr("a.toml:1:"));
  EXPECT_THAT(problems_of(file("[kafka]\n\"log.dir\" = 2020-01-01\n")),
              HasSubstr("dates and times"));
}

// The TOML library asserts on this one (found by fuzzing).
TEST(Config, ABracketAloneIsAMistakeLikeAnyOther) {
  EXPECT_EQ(problems_of(file("[kafka]\n\n[\n0")), "a.toml:3:1: this line is not TOML");
  EXPECT_THAT(problems_of(file("[")), HasSubstr("a.toml:1:"));
  EXPECT_THAT(problems_of(file("[\n")), HasSubstr("a.toml:1:"));
}

TEST(Config, AllMistakesAreToldAtOnce) {
  ConfigSources sources = file("[kafka]\nnope = 1\nnor.this = 2\n");
  sources.sets = {"num.partition=3", "oops"};
  sources.environment = {{"KEELSON__NOWHERE__X", "1"}};
  const std::string problems = problems_of(sources);
  EXPECT_THAT(problems, HasSubstr("a.toml:2:1: "));
  EXPECT_THAT(problems, HasSubstr("a.toml:3:1: "));
  EXPECT_THAT(problems, HasSubstr("--set num.partition: unknown setting"));
  EXPECT_THAT(problems, HasSubstr("did you mean \"num.partitions\"?"));
  EXPECT_THAT(problems, HasSubstr("--set oops: must be name=value"));
  EXPECT_THAT(problems, HasSubstr("environment KEELSON__NOWHERE__X: must be"));
}

TEST(Config, VariablesAreFilledIn) {
  ConfigSources sources =
      file("[kafka]\n\"num.partitions\" = \"${env:PARTS}\"\n\"log.dirs\" = \"/a/${env:NAME}/b\"\n");
  sources.environment = {{"PARTS", "12"}, {"NAME", "n"}};
  EXPECT_EQ(setting(sources, "num.partitions"), "12");
  EXPECT_EQ(setting(sources, "log.dirs"), "/a/n/b");
  sources.environment.pop_back();
  EXPECT_EQ(problems_of(sources), "a.toml:3:1: the environment has no variable \"NAME\"");
  EXPECT_THAT(problems_of(file("[kafka]\n\"log.dir\" = \"${env:X\"\n")), HasSubstr("without its"));
}

TEST(Config, SecretsComeFromFiles) {
  ConfigSources sources = file("[kafka]\n\"ssl.key.password_file\" = \"/run/p\"\n");
  EXPECT_THAT(problems_of(sources), HasSubstr("files cannot be read here"));
  sources.read_file = [](const std::string& path) -> std::expected<std::string, std::string> {
    if (path == "/run/p") return "hunter2\n";
    return std::unexpected("no such file");
  };
  EXPECT_EQ(setting(sources, "ssl.key.password"), "hunter2");
}

TEST(Config, ListenersInEitherForm) {
  const auto config = Config::load(file(
      "[[listener]]\nbind = \"0.0.0.0:9092\"\nadvertise = \"b.example:9092\"\n"
      "[[listener]]\nname = \"TLS\"\nbind = \"[::1]:9093\"\ntls = { cert_file = \"c.pem\" }\n"));
  ASSERT_TRUE(config.has_value()) << to_text(config.error());
  ASSERT_EQ(config->listeners().size(), 2u);
  EXPECT_EQ(config->listeners()[0].advertise, (HostPort{"b.example", 9092}));
  EXPECT_EQ(config->listeners()[1].bind, (HostPort{"::1", 9093}));
  EXPECT_EQ(std::get<std::string>(config->listeners()[1].options.at("tls.cert_file")), "c.pem");

  ConfigSources sources = file("[[listener]]\nbind = \"0.0.0.0:9092\"\n");
  sources.sets = {"listeners=PLAINTEXT://127.0.0.1:0", "advertised.listeners=PLAINTEXT://h:1"};
  const auto replaced = Config::load(sources);
  ASSERT_EQ(replaced->listeners().size(), 1u);
  EXPECT_EQ(replaced->listeners()[0].bind, (HostPort{"127.0.0.1", 0}));
  EXPECT_EQ(replaced->listeners()[0].advertise, (HostPort{"h", 1}));
}

TEST(Config, ListenerMistakes) {
  EXPECT_EQ(problems_of(file("[[listener]]\nname = \"A\"\n")),
            "a.toml:1:1: [[listener]] needs bind = \"host:port\"");
  EXPECT_EQ(problems_of(file("[[listener]]\nbind = \"9092\"\n")),
            "a.toml:2:1: \"bind\" must be \"host:port\"");
  EXPECT_EQ(problems_of(file("[[listener]]\nbnid = \":1\"\nbind = \":1\"\n")),
            "a.toml:2:1: unknown key \"bnid\" in [[listener]]; did you mean \"bind\"?");
  EXPECT_THAT(problems_of(file("[[listener]]\nbind = \":1\"\n[[listener]]\nbind = \":2\"\n")),
              HasSubstr("a.toml:3:1: another listener is named \"PLAINTEXT\""));
  EXPECT_THAT(problems_of(file("[listener]\nbind = \":1\"\n")), HasSubstr("[[listener]]"));
  EXPECT_THAT(problems_of(file("[kafka]\nlisteners = \"A://:1\"\n[[listener]]\nbind = \":2\"\n")),
              HasSubstr("not both"));
  ConfigSources sources;
  sources.sets = {"listeners=nonsense"};
  EXPECT_EQ(problems_of(sources),
            "--set listeners: listeners: \"nonsense\" must be NAME://host:port");
  sources.sets = {"advertised.listeners=PLAINTEXT://0.0.0.0:9092"};
  EXPECT_THAT(problems_of(sources), HasSubstr("with a host to connect to"));
  sources.sets = {"advertised.listeners=OTHER://h:9092"};
  EXPECT_THAT(problems_of(sources), HasSubstr("there is no listener \"OTHER\""));
}

TEST(Config, ABuiltInInstanceGivesWayToOneOfItsKind) {
  const auto config = Config::load(file(
      "[broker]\nuse = { log_store = \"hot\" }\n[plugins.hot]\ntype = \"log_store.segment\"\n"));
  ASSERT_TRUE(config.has_value());
  EXPECT_TRUE(config->instances().contains("hot"));
  EXPECT_FALSE(config->instances().contains("log"));
  EXPECT_TRUE(config->instances().contains("kafka"));
  const auto tuned = Config::load(file("[plugins.log]\nx = 1\n"));
  EXPECT_EQ(tuned->instances().at("log").type, "log_store.segment");
}

TEST(Config, InstanceMistakes) {
  EXPECT_EQ(problems_of(file("[plugins.hot]\n")),
            "a.toml:1:1: [plugins.hot] needs type = \"kind.name\"");
  EXPECT_EQ(problems_of(file("[plugins.\"a b\"]\ntype = \"log_store.segment\"\n")),
            "a.toml:1:1: instance name \"a b\": use lower-case letters, digits, - and _");
  EXPECT_THAT(problems_of(file("[plugins.hot]\ntype = \"segment\"\n")), HasSubstr("kind.name"));
  EXPECT_EQ(problems_of(file("[broker]\nuse = { log_store = \"lgo\" }\n")),
            "a.toml:2:9: \"log_store\" is bound to \"lgo\", but there is no [plugins.lgo]; "
            "did you mean \"log\"?");
}

Schema sample_schema() {
  return {{.key = "segment_bytes", .type = ConfigType::bytes, .default_text = "1GiB", .min = 4096},
          {.key = "fsync",
           .type = ConfigType::enumeration,
           .default_text = "group",
           .allowed = {"none", "group", "each"}},
          {.key = "io.queue_depth", .type = ConfigType::integer, .default_text = "256"},
          {.key = "lease_ttl", .type = ConfigType::duration, .default_text = "9s"},
          {.key = "endpoints", .type = ConfigType::list, .default_text = ""},
          {.key = "password", .secret = true}};
}

std::expected<ConfigView, ConfigProblems> view_of(const ConfigSources& sources) {
  const auto config = Config::load(sources);
  EXPECT_TRUE(config.has_value());
  return config->view(config->instances().at("log"), sample_schema());
}

TEST(ConfigView, HoldsTypedValues) {
  ConfigSources sources = file(
      "[plugins.log]\nsegment_bytes = \"64MiB\"\nio = { queue_depth = 8 }\n"
      "endpoints = [\"a\", \"b\"]\npassword_file = \"p\"\n");
  sources.sets = {"plugins.log.lease_ttl=1m30s"};
  sources.environment = {{"KEELSON__PLUGINS__LOG__FSYNC", "each"}};
  sources.read_file = [](const std::string&) { return "hunter2\n"; };
  const auto view = view_of(sources);
  ASSERT_TRUE(view.has_value()) << to_text(view.error());
  EXPECT_EQ(view->get_integer("segment_bytes"), 64 << 20);
  EXPECT_EQ(view->get_integer("io.queue_depth"), 8);
  EXPECT_EQ(view->get_integer("lease_ttl"), 90'000);
  EXPECT_EQ(view->get_string("fsync"), "each");
  EXPECT_THAT(view->get_list("endpoints"), ElementsAre("a", "b"));
  EXPECT_EQ(view->get_string("password"), "hunter2");
  EXPECT_FALSE(view_of({})->has("password"));
  EXPECT_EQ(view_of({})->get_integer("segment_bytes"), 1 << 30);
}

TEST(ConfigView, MistakesCarryPlaceAndHint) {
  const auto problem = [](const char* line) {
    const auto view = view_of(file(std::string("[plugins.log]\n") + line + "\n"));
    return view ? "" : to_text(view.error());
  };
  EXPECT_EQ(problem("segment_byte = 1"),
            "a.toml:2:1: unknown key \"segment_byte\" of log_store.segment; did you mean "
            "\"segment_bytes\"?");
  EXPECT_EQ(problem("segment_bytes = 1"), "a.toml:2:1: \"segment_bytes\" must be at least 4096");
  EXPECT_EQ(problem("segment_bytes = \"1 parsec\""),
            "a.toml:2:1: \"segment_bytes\" must be a size such as \"64MiB\"");
  EXPECT_EQ(problem("lease_ttl = 9"),
            "a.toml:2:1: \"lease_ttl\" must be a duration with its unit, such as \"5s\"");
  EXPECT_EQ(problem("fsync = \"often\""),
            "a.toml:2:1: \"fsync\" \"often\" is not allowed; must be one of none, group, each");
  EXPECT_EQ(problem("io.queue_depth = \"8\""),
            "a.toml:2:1: \"io.queue_depth\" must be a whole number");
}

TEST(ConfigValue, SizesAndDurations) {
  EXPECT_EQ(read_size_bytes("512"), 512);
  EXPECT_EQ(read_size_bytes("1 KiB"), 1024);
  EXPECT_EQ(read_size_bytes("2MB"), 2'000'000);
  EXPECT_EQ(read_size_bytes(""), std::nullopt);
  EXPECT_EQ(read_size_bytes("-1"), std::nullopt);
  EXPECT_EQ(read_size_bytes("8388608TiB"), std::nullopt);  // 2^63
  EXPECT_EQ(read_size_bytes("1KiB2"), std::nullopt);
  EXPECT_EQ(read_duration_ms("250ms"), 250);
  EXPECT_EQ(read_duration_ms("1h30m"), 5'400'000);
  EXPECT_EQ(read_duration_ms("0"), 0);
  EXPECT_EQ(read_duration_ms("5"), std::nullopt);
  EXPECT_EQ(read_duration_ms("106751991168d"), std::nullopt);
}

TEST(NearestName, FindsTypingErrorsOnly) {
  const auto nearest = [](std::string_view wanted) {
    NearestName name(wanted);
    name.offer("retention.ms");
    name.offer("retention.bytes");
    return name.found();
  };
  EXPECT_EQ(nearest("retentoin.ms"), "retention.ms");
  EXPECT_EQ(nearest("retention.byte"), "retention.bytes");
  EXPECT_EQ(nearest("something else"), "");
  EXPECT_EQ(nearest(""), "");
}

}  // namespace
}  // namespace keelson
