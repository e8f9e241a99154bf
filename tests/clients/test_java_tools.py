"""Apache Kafka's own command-line tools, unchanged. What they print was seen on Kafka 4.3.1."""

import json
import re
import subprocess
import time
import unittest

from lib import admin, packages, process, text, wire
from lib.broker import serve
from lib.javatools import JavaTools, java
from lib.options import is_kafka, main

BIG_LINES = 1_000_000
BIG_S = 240


class Tools(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        packages.tool_server_classpath()
        cls.broker = serve(cls)
        cls.tool = cls.enterClassContext(JavaTools(cls.broker.address))
        with wire.Client(cls.broker.port) as client:
            cls.id = client.call("Metadata", 12, topics=[])["brokers"][0]["node_id"]
            cls.apis = {a["api_key"]: (a["min_version"], a["max_version"])
                        for a in client.call("ApiVersions", 0)["api_keys"]}

    def fails(self, expected, *call, stream="out"):
        """The call exits with 1 and says `expected`."""
        said = self.tool(*call, check=False)
        self.assertEqual(said.code, 1, said)
        self.assertIn(expected, getattr(said, stream), said)

    def create(self, topic, *more):
        said = self.tool("topics", "--create", "--topic", topic, *more)
        if is_kafka():
            # Its metadata lags the answer.
            admin.wait_until(lambda: topic in self.tool("topics", "--list").lines, topic)
        return said

    def produce(self, topic, lines):
        self.tool("console-producer", "--topic", topic, stdin="".join(f"{l}\n" for l in lines))

    def json_file(self, content):
        path = self.broker.home / "argument.json"
        path.write_text(json.dumps(content))
        return path


class Topics(Tools):
    def describe(self, *arguments):
        """Lines with what differs between brokers taken out."""
        lines = self.tool("topics", "--describe", *arguments).out.rstrip("\n").split("\n")
        lines = [re.sub(r"TopicId: [\w-]{22}", "TopicId: ID", line) for line in lines]
        # Kafka shows this default because it is dynamic with eligible leader replicas.
        lines = [re.sub(r"min\.insync\.replicas=1,?", "", line) for line in lines]
        return [re.sub(rf"\b(Leader|Replicas|Isr): {self.id}\t", r"\1: N\t", line).rstrip()
                for line in lines]

    def partition(self, topic, number):
        return (f"\tTopic: {topic}\tPartition: {number}\tLeader: N\tReplicas: N\tIsr: N"
                "\tElr: \tLastKnownElr:")

    def test_create_list_describe_alter_delete(self):
        said = self.create("one", "--partitions", "3", "--config",
                         "retention.ms=100000000")
        self.assertEqual(said.lines, ["Created topic one."])
        self.assertIn("one", self.tool("topics", "--list").lines)
        head = "Topic: one\tTopicId: ID\tPartitionCount: %d\tReplicationFactor: 1\tConfigs: %s"
        self.assertEqual(self.describe("--topic", "one"),
                         [head % (3, "retention.ms=100000000"),
                          *(self.partition("one", n) for n in range(3))])
        said = self.tool("topics", "--alter", "--topic", "one", "--partitions", "4")
        self.assertEqual(said.lines, [])
        self.assertEqual(self.describe("--topic", "one"),
                         [head % (4, "retention.ms=100000000"),
                          *(self.partition("one", n) for n in range(4))])
        self.assertEqual(self.tool("topics", "--delete", "--topic", "one").lines, [])
        self.assertNotIn("one", self.tool("topics", "--list").lines)

    def test_errors(self):
        self.create("twice")
        self.fails("Topic 'twice' already exists.", "topics", "--create", "--topic", "twice")
        self.create("twice", "--if-not-exists")
        # Where the broker's words reach the user they are our own; the refusal is Kafka's.
        self.fails("Topic name is invalid" if is_kafka() else "a topic name has only letters",
                   "topics", "--create", "--topic", "bad/name")
        self.fails("Topic 'none' does not exist as expected",
                   "topics", "--describe", "--topic", "none")
        self.fails("Topic 'none' does not exist as expected",
                   "topics", "--delete", "--topic", "none")
        self.fails("Topic already has 1 partition" if is_kafka() else "1 partition",
                   "topics", "--alter", "--topic", "twice", "--partitions", "1")
        self.create("thrice", "--partitions", "3")
        self.fails("currently has 3 partition" if is_kafka() else "3 partition",
                   "topics", "--alter", "--topic", "thrice", "--partitions", "2")
        said = self.tool("topics", "--create", "--topic", "factor", "--replication-factor", "3",
                         check=False)
        self.assertEqual(said.code, 1, said)

    def test_many_partitions_are_paged(self):
        self.create("wide", "--partitions", "2100")
        self.assertEqual(len(self.describe("--topic", "wide")), 2101)
        offsets = self.tool("get-offsets", "--topic", "wide").lines
        self.assertEqual(sorted(offsets), sorted(f"wide:{n}:0" for n in range(2100)))
        self.tool("topics", "--delete", "--topic", "wide")

    def test_deleted_topic_can_be_made_again_empty(self):
        self.create("again")
        self.produce("again", ["old"])
        self.tool("topics", "--delete", "--topic", "again")
        self.create("again")
        self.assertEqual(self.tool("get-offsets", "--topic", "again").lines, ["again:0:0"])


class Configs(Tools):
    def dynamic(self, *entity):
        lines = self.tool("configs", "--describe", *entity).lines[1:]
        return {line.split("=")[0].strip(): line for line in lines
                if not line.startswith("  min.insync.replicas=1 ")}

    def test_topic(self):
        self.create("set", "--config", "retention.ms=100000000")
        self.assertEqual(self.tool("configs", "--describe", "--topic", "set").lines, [
            "Dynamic configs for topic set are:",
            "  retention.ms=100000000 sensitive=false "
            "synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=100000000}"])
        said = self.tool("configs", "--alter", "--topic", "set", "--add-config",
                         "segment.bytes=1048576,cleanup.policy=[compact,delete]")
        self.assertEqual(said.lines, ["Completed updating config for topic set."])
        found = self.dynamic("--topic", "set")
        self.assertEqual(sorted(found), ["cleanup.policy", "retention.ms", "segment.bytes"])
        self.assertEqual(found["segment.bytes"],
                         "  segment.bytes=1048576 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:"
                         "segment.bytes=1048576, DEFAULT_CONFIG:log.segment.bytes=1073741824}")
        self.assertIn("cleanup.policy=compact,delete", found["cleanup.policy"])
        self.tool("configs", "--alter", "--topic", "set", "--delete-config", "cleanup.policy")
        self.fails("Unknown topic config name: bogus", "configs", "--alter", "--topic", "set",
                   "--add-config", "bogus=1,retention.ms=5", stream="err")
        self.fails("InvalidConfigurationException", "configs", "--alter", "--topic", "set",
                   "--add-config", "segment.bytes=10", stream="err")
        found = self.dynamic("--topic", "set")
        self.assertEqual(sorted(found), ["retention.ms", "segment.bytes"])
        self.assertIn("retention.ms=100000000", found["retention.ms"])

    def test_all_topic_settings_with_defaults(self):
        self.create("plain")
        said = self.tool("configs", "--describe", "--topic", "plain", "--all").lines
        found = dict(line.strip().split(" ")[0].split("=", 1) for line in said[1:])
        for name, value in {
                "cleanup.policy": "delete", "compression.type": "producer",
                "delete.retention.ms": "86400000", "index.interval.bytes": "4096",
                "max.message.bytes": "1048588", "message.timestamp.type": "CreateTime",
                "message.timestamp.after.max.ms": "3600000", "min.insync.replicas": "1",
                "retention.bytes": "-1", "retention.ms": "604800000",
                "segment.bytes": "1073741824", "segment.ms": "604800000",
                "unclean.leader.election.enable": "false"}.items():
            self.assertEqual(found.get(name), value, name)

    def test_broker(self):
        me = str(self.id)
        self.assertEqual(self.tool("configs", "--describe", "--broker", me).lines[0],
                         f"Dynamic configs for broker {me} are:")
        said = self.tool("configs", "--alter", "--broker", me, "--add-config",
                         "log.retention.ms=7200000")
        self.assertEqual(said.lines, [f"Completed updating config for broker {me}."])
        self.assertIn("DYNAMIC_BROKER_CONFIG:log.retention.ms=7200000",
                      self.dynamic("--broker", me)["log.retention.ms"])
        self.tool("configs", "--alter", "--broker", me, "--delete-config", "log.retention.ms")
        self.assertNotIn("log.retention.ms", self.dynamic("--broker", me))
        # The words are ours, the refusal is Kafka's.
        words = "Cannot update these configs" if is_kafka() else "Cannot change broker.id"
        self.fails(words, "configs", "--alter", "--broker", me, "--add-config", "broker.id=9",
                   stream="err")

    def test_defaults_of_the_cluster_reach_the_topics(self):
        self.create("heir")
        said = self.tool("configs", "--alter", "--broker-defaults", "--add-config",
                         "message.max.bytes=2000000")
        self.assertEqual(said.lines,
                         ["Completed updating default config for brokers in the cluster."])
        lines = self.tool("configs", "--describe", "--topic", "heir", "--all").lines
        line = next(line for line in lines if line.startswith("  max.message.bytes="))
        self.assertTrue(line.startswith("  max.message.bytes=2000000 sensitive=false synonyms="
                                        "{DYNAMIC_DEFAULT_BROKER_CONFIG:message.max.bytes=2000000"),
                        line)
        self.tool("configs", "--alter", "--broker-defaults", "--delete-config",
                  "message.max.bytes")


class Offsets(Tools):
    def test_get_offsets(self):
        self.create("asked")
        self.produce("asked", "abc")
        time.sleep(0.02)
        middle = int(time.time() * 1000)
        time.sleep(0.02)
        self.produce("asked", "de")
        for when, offset in (
                (None, 5), ("-1", 5), ("latest", 5), ("-2", 0), ("earliest", 0), ("-4", 0),
                ("earliest-local", 0), ("-5", None), ("latest-tiered", None), ("0", 0),
                (middle, 3), ("99999999999999", None), ("-6", None)):
            arguments = ["--time", when] if when is not None else []
            lines = self.tool("get-offsets", "--topic", "asked", *arguments).lines
            self.assertEqual(lines, [] if offset is None else [f"asked:0:{offset}"], when)
        # The largest time: of equal ones the first.
        for when in ("-3", "max-timestamp"):
            line = self.tool("get-offsets", "--topic", "asked", "--time", when).lines
            self.assertIn(line, (["asked:0:3"], ["asked:0:4"]), when)

    def test_delete_records(self):
        self.create("cut")
        self.produce("cut", "abcde")
        for offset, answer in ((2, "low_watermark: 2"), (1, "low_watermark: 2"),
                               (100, "error: org.apache.kafka.common.errors.OffsetOutOfRange"),
                               (4, "low_watermark: 4")):
            said = self.tool("delete-records", "--offset-json-file", self.json_file({
                "version": 1, "partitions": [{"topic": "cut", "partition": 0, "offset": offset}]}))
            self.assertEqual(said.lines[:2], ["Executing records delete operation",
                                              "Records delete operation completed:"])
            self.assertIn(f"partition: cut-0\t{answer}", said.lines[2])
        self.assertEqual(self.tool("get-offsets", "--topic", "cut", "--time", "-2").lines,
                         ["cut:0:4"])
        said = self.tool("console-consumer", "--topic", "cut", "--from-beginning",
                         "--max-messages", "1")
        self.assertEqual(said.lines, ["e"])
        self.tool("delete-records", "--offset-json-file", self.json_file({
            "version": 1, "partitions": [{"topic": "cut", "partition": 0, "offset": -1}]}))
        self.assertEqual(self.tool("get-offsets", "--topic", "cut", "--time", "-2").lines,
                         ["cut:0:5"])

    def test_log_dirs(self):
        self.create("sized", "--partitions", "2")
        self.produce("sized", ["x" * 100] * 50)
        said = self.tool("log-dirs", "--describe", "--topic-list", "sized")
        self.assertEqual(said.lines[:2], [
            "Querying brokers for log directories information",
            f"Received log directory information from brokers {self.id}"])
        found = json.loads(said.lines[2])["brokers"][0]
        self.assertEqual(found["broker"], self.id)
        directory = found["logDirs"][0]
        self.assertIsNone(directory["error"])
        self.assertEqual(directory["logDir"].rstrip("/"), str(self.broker.data))
        partitions = {p["partition"]: p for p in directory["partitions"]}
        self.assertEqual(sorted(partitions), ["sized-0", "sized-1"])
        self.assertGreater(sum(p["size"] for p in partitions.values()), 5000)
        self.assertEqual({p["offsetLag"] for p in partitions.values()}, {0})

    def test_broker_api_versions(self):
        lines = self.tool("broker-api-versions").lines
        self.assertEqual(lines[0], f"{self.broker.address} (id: {self.id} rack: null isFenced: "
                                   "false) -> (")
        for api in ("Produce(0): 0 to 13 [usable: 13]", "Fetch(1): 4 to 18 [usable: 18]",
                    "ListOffsets(2): 1 to 11 [usable: 11]", "Metadata(3): 0 to 13 [usable: 13]",
                    "ApiVersions(18): 0 to 4 [usable: 4]", "CreateTopics(19): 2 to 7 [usable: 7]"):
            self.assertTrue(any(line.strip().startswith(api) for line in lines), api)

    def test_cluster_id_lasts(self):
        def cluster_id():
            done = process.run(java("cluster", "cluster-id", "--bootstrap-server",
                                    self.broker.address))
            return re.search(rb"Cluster ID: ([\w-]+)", done.stdout)[1]

        first = cluster_id()
        self.broker.restart()
        self.assertEqual(cluster_id(), first)


class Console(Tools):
    def test_keys_headers_partitions_and_empty_lines(self):
        self.create("spoken")
        self.tool("console-producer", "--topic", "spoken", "--reader-property", "parse.key=true",
                  "--reader-property", "key.separator=:", "--reader-property",
                  "parse.headers=true", stdin="h1:v1,h2:ü\tk:v\nh3:\tk2:\n")
        self.produce("spoken", ["plain", "", "日本語"])
        said = self.tool("console-consumer", "--topic", "spoken", "--from-beginning",
                         "--max-messages", "5", *(word for name in (
                             "key", "offset", "headers", "partition", "timestamp")
                             for word in ("--formatter-property", f"print.{name}=true")))
        lines = [re.sub(r"CreateTime:\d+", "CreateTime:T", line)
                 for line in said.out.rstrip("\n").split("\n")]
        self.assertEqual(lines, [
            "CreateTime:T\tPartition:0\tOffset:0\th1:v1,h2:ü\tk\tv",
            "CreateTime:T\tPartition:0\tOffset:1\th3:\tk2\t",
            "CreateTime:T\tPartition:0\tOffset:2\tNO_HEADERS\tnull\tplain",
            "CreateTime:T\tPartition:0\tOffset:3\tNO_HEADERS\tnull\t",
            "CreateTime:T\tPartition:0\tOffset:4\tNO_HEADERS\tnull\t日本語"])

    def test_every_codec_and_acks(self):
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            for acks in ("0", "1", "all"):
                topic = f"codec-{codec}-{acks}"
                self.create(topic)
                self.tool("console-producer", "--topic", topic, "--compression-codec", codec,
                          "--command-property", f"acks={acks}", "--command-property",
                          "enable.idempotence=false",
                          stdin="".join(f"{n} {'y' * n}\n" for n in range(200)))
                said = self.tool("console-consumer", "--topic", topic, "--partition", "0",
                                 "--offset", "earliest", "--max-messages", "200")
                self.assertEqual(said.lines, [f"{n} {'y' * n}".rstrip() for n in range(200)])

    def test_group_goes_on_where_it_stopped(self):
        self.grouped("classic")

    def test_group_of_the_new_protocol(self):
        if 68 not in self.apis:
            self.skipTest("ConsumerGroupHeartbeat is not advertised")
        self.grouped("consumer")

    def grouped(self, protocol):
        topic = f"shared-{protocol}"
        self.create(topic)
        self.produce(topic, range(10))

        def read(count):
            return self.tool("console-consumer", "--topic", topic, "--group", f"g-{protocol}",
                             "--max-messages", count, "--command-property",
                             f"group.protocol={protocol}", "--command-property",
                             "auto.offset.reset=earliest", "--timeout-ms", "30000").lines

        self.assertEqual(read(4), ["0", "1", "2", "3"])
        self.assertEqual(read(6), ["4", "5", "6", "7", "8", "9"])

    def test_a_million_lines(self):
        source = text.lines_file(BIG_LINES)
        back = self.broker.home / "back.txt"
        self.create("million")
        began = time.monotonic()
        with open(source, "rb") as lines:
            process.run(java("console-producer", "--bootstrap-server", self.broker.address,
                             "--topic", "million", "--compression-codec", "lz4"),
                        stdin=lines, timeout_s=BIG_S)
        sent = time.monotonic()
        with open(back, "wb") as out:
            process.run(java("console-consumer", "--bootstrap-server", self.broker.address,
                             "--topic", "million", "--from-beginning", "--max-messages",
                             str(BIG_LINES), "--timeout-ms", "30000"), stdout=out, timeout_s=BIG_S)
        print(f"  java: {BIG_LINES} lines in {sent - began:.1f} s in, "
              f"{time.monotonic() - sent:.1f} s out", flush=True)
        text.same_bytes(source, back)

    def test_performance_tools(self):
        self.create("perf", "--partitions", "4")
        said = self.tool("producer-perf-test", "--topic", "perf", "--num-records", "50000",
                         "--record-size", "200", "--throughput", "-1")
        self.assertRegex(said.lines[-1], r"^50000 records sent, [\d.]+ records/sec .*99\.9th\.$")
        said = self.tool("consumer-perf-test", "--topic", "perf", "--num-records", "50000")
        head, row = (line.split(", ") for line in said.lines[-2:])
        self.assertEqual(int(dict(zip(head, row))["data.consumed.in.nMsg"]), 50000)


class Groups(Tools):
    def group(self, *arguments):
        return self.tool("consumer-groups", *arguments)

    def rows(self, *arguments):
        """The table that the tool prints, without its head."""
        lines = [line.split() for line in self.group(*arguments).lines]
        return [line for line in lines if line[0] not in ("GROUP", "TOPIC", "Consumer", "Warn:")]

    def test_life_of_a_group(self):
        self.create("grouped")
        self.produce("grouped", range(5))
        self.tool("console-consumer", "--topic", "grouped", "--group", "g", "--max-messages", "2",
                  "--from-beginning")
        self.assertIn("g", self.group("--list").lines)
        self.assertIn(["g", "Empty"], self.rows("--list", "--state"))
        self.assertEqual(self.rows("--describe", "--group", "g"),
                         [["g", "grouped", "0", "2", "5", "3", "-", "-", "-"]])
        state = self.rows("--describe", "--group", "g", "--state")
        self.assertEqual(state, [["g", self.broker.address, f"({self.id})", "-", "Empty", "0"]])
        said = self.group("--describe", "--group", "g", "--members")
        self.assertIn("Consumer group 'g' has no active members.", said.out + said.err)
        reset = ("--reset-offsets", "--group", "g", "--topic", "grouped")
        for arguments, offset in (
                (["--to-earliest", "--dry-run"], 0), (["--to-offset", "2", "--execute"], 2),
                (["--to-offset", "99", "--execute"], 5), (["--shift-by", "-2", "--execute"], 3),
                (["--to-datetime", "2035-01-01T00:00:00.000", "--execute"], 5),
                (["--to-offset", "1", "--execute"], 1)):
            self.assertEqual(self.rows(*reset, *arguments), [["g", "grouped", "0", str(offset)]])
        said = self.tool("console-consumer", "--topic", "grouped", "--group", "g",
                         "--max-messages", "4")
        self.assertEqual(said.lines, ["1", "2", "3", "4"])
        said = self.group("--delete-offsets", "--group", "g", "--topic", "grouped")
        self.assertEqual(said.lines[0], "Request succeeded for deleting offsets from group g.")
        self.assertEqual(self.group("--delete", "--group", "g").lines,
                         ["Deletion of requested consumer groups ('g') was successful."])
        self.assertIn("* Group 'g' could not be deleted due to: org.apache.kafka.common.errors."
                      "GroupIdNotFoundException: The group id does not exist.",
                      self.group("--delete", "--group", "g").lines)
        self.assertIn("GroupIdNotFoundException: Group g not found.",
                      self.group("--describe", "--group", "g").out)
        self.assertNotIn("g", self.group("--list").lines)

    def test_a_live_group_is_described_and_not_reset(self):
        self.create("busy", "--partitions", "2")
        self.produce("busy", range(3))
        member = process.start(java(
            "console-consumer", "--bootstrap-server", self.broker.address, "--topic", "busy",
            "--group", "live", "--from-beginning", "--consumer-property",
            "auto.commit.interval.ms=200"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            admin.wait_until(lambda: [row[5] for row in self.rows("--describe", "--group", "live")
                                      if len(row) > 6] == ["0", "0"], "a member without lag", 40)
            state = self.rows("--describe", "--group", "live", "--state")
            self.assertEqual(state[0][-3:], ["range", "Stable", "1"])
            members = self.rows("--describe", "--group", "live", "--members")
            self.assertEqual([row[-1] for row in members], ["2"])
            said = self.group("--reset-offsets", "--group", "live", "--topic", "busy",
                              "--to-earliest", "--execute")
            self.assertIn("Assignments can only be reset if the group 'live' is inactive, but the "
                          "current state is Stable.", said.out)
            self.assertIn("The group is not empty", self.group("--delete", "--group", "live").out)
        finally:
            process.end(member)


if __name__ == "__main__":
    main()
