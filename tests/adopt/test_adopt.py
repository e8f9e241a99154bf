#!/usr/bin/env python3
"""A data directory goes from Apache Kafka to Keelson and back, and every record with it.

Kafka is started from its jars (tests/clients/lib/packages.py); without Java, Maven or kcat the
tests are skipped by name, or fail with KEELSON_REQUIRE_CLIENTS=all.
"""

import hashlib
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "clients"))

from adopt_case import AdoptCase  # noqa: E402
from lib import admin, packages, process, wire  # noqa: E402
from lib.javatools import JavaTools  # noqa: E402
from lib.options import OPTIONS, main  # noqa: E402

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
# Kafka's own, which no one else writes to.
UNTOUCHED = ["meta.properties", "bootstrap.checkpoint", "__cluster_metadata-0"]


def kcat(broker, *arguments, **more):
    return process.run(["kcat", "-b", broker.address, "-m", "20", *arguments], **more).stdout


def produce(broker, topic, lines, *arguments):
    text = "".join(f"{line}\n" for line in lines)
    kcat(broker, "-P", "-t", topic, "-X", "acks=all", *arguments, stdin=text.encode())


def records(broker, topic):
    """Every record of a topic as "partition offset key=value", sorted."""
    text = kcat(broker, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%p %o %k=%s\n")
    return sorted(text.decode().splitlines())


def group_offsets(broker, group, topic, partitions):
    with wire.Client(broker.port) as client:
        answer = client.call("OffsetFetch", 7, group_id=group, require_stable=False, topics=[
            {"name": topic, "partition_indexes": list(range(partitions))}])
    found = answer["topics"][0]["partitions"]
    return {one["partition_index"]: one["committed_offset"] for one in found}


def topic_ids(broker, topics):
    with wire.Client(broker.port) as client:
        return {topic: admin.topic_id(client, topic) for topic in topics}


def digest(path):
    found = {}
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.is_file():
            found[str(file)] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


class Adopt(AdoptCase):
    def untouched(self):
        found = {}
        for name in UNTOUCHED:
            found.update(digest(self.data / name))
        self.assertGreater(len(found), 5)
        return found

    def refused(self, *arguments):
        done = process.run([OPTIONS.binary, "serve", "--data", self.data, "--listen",
                            "127.0.0.1:0", *arguments], check=False, timeout_s=30)
        self.assertNotEqual(done.returncode, 0)
        return done.stderr.decode()

    def fill(self, kafka, tools):
        """Topics of every kind; what is in them."""
        for topic, partitions, settings in [
                ("keyed", 3, ["retention.ms=-1"]),
                ("codecs", 2, ["segment.bytes=1048576", "retention.ms=77777777777"]),
                ("compacted", 1, ["cleanup.policy=compact", "min.cleanable.dirty.ratio=0.1"]),
                ("paid", 2, []), ("doomed", 2, [])]:
            tools("topics", "--create", "--topic", topic, "--partitions", partitions,
                  *[word for setting in settings for word in ("--config", setting)])
        produce(kafka, "keyed", [f"key{i % 50}:value {i}" for i in range(3000)], "-K:")
        for codec in CODECS:
            produce(kafka, "codecs", [f"{codec} says it again and again, number {i}"
                                      for i in range(5000)], "-z", codec)
        produce(kafka, "compacted", [f"key{i % 40}:value {i}" for i in range(2000)], "-K:")
        produce(kafka, "doomed", ["gone"])
        tools("producer-perf-test", "--topic", "paid", "--num-records", 500, "--record-size", 50,
              "--throughput", -1, "--transactional-id", "till", "--transaction-duration-ms", 100)
        tools("topics", "--delete", "--topic", "doomed")
        tools("configs", "--alter", "--entity-type", "topics", "--entity-name", "keyed",
              "--add-config", "retention.ms=99999999999")
        kcat(kafka, "-G", "classic", "keyed", "-e", "-q", "-X", "auto.offset.reset=earliest")
        tools("console-consumer", "--topic", "codecs", "--group", "modern", "--from-beginning",
              "--max-messages", 9000, "--timeout-ms", 20000, "--consumer-property",
              "group.protocol=consumer")

    def test_there_and_back_again(self):
        topics = ["keyed", "codecs", "compacted", "paid"]
        with JavaTools() as tools:
            with self.kafka() as kafka:
                tools.address = kafka.address
                self.fill(kafka, tools)
                content = {topic: records(kafka, topic) for topic in topics}
                ids = topic_ids(kafka, topics)
                classic = group_offsets(kafka, "classic", "keyed", 3)
                modern = group_offsets(kafka, "modern", "codecs", 2)
            self.assertEqual(sum(classic.values()), 3000)
            self.assertEqual(sum(max(0, offset) for offset in modern.values()), 9000)

            before = digest(self.data)
            self.assertIn("--adopt", self.refused())
            self.assertIn("node.id=1", self.refused("--adopt", "--set", "node.id=7"))
            after = digest(self.data)
            after.pop(str(self.data / ".lock"), None)
            before.pop(str(self.data / ".lock"), None)
            self.assertEqual(before, after)

            kafkas = self.untouched()
            names = {path.relative_to(self.data) for path in self.data.rglob("*")
                     if "-delete" not in str(path)}
            with self.keelson("--adopt") as keelson:
                tools.address = keelson.address
                self.assertFalse((self.data / ".kafka_cleanshutdown").exists())
                for topic in topics:
                    self.assertEqual(content[topic], records(keelson, topic), topic)
                self.assertEqual(ids, topic_ids(keelson, topics))
                self.assertEqual(classic, group_offsets(keelson, "classic", "keyed", 3))
                self.assertEqual(modern, group_offsets(keelson, "modern", "codecs", 2))
                told = tools("configs", "--describe", "--entity-type", "topics").out
                self.assertIn("retention.ms=99999999999", told)
                self.assertIn("segment.bytes=1048576", told)
                self.assertIn("cleanup.policy=compact", told)
                self.assertNotIn("doomed", told)
                listed = tools("topics", "--list").lines
                self.assertNotIn("__cluster_metadata", listed)
                # A transactional batch's producer id comes from Kafka, this one's from Keelson.
                produce(keelson, "keyed", [f"key{i}:from keelson {i}" for i in range(200)], "-K:",
                        "-X", "enable.idempotence=true")
                produce(keelson, "codecs", ["from keelson"] * 100, "-z", "zstd")
                kcat(keelson, "-G", "classic", "keyed", "-e", "-q")
                tools("console-consumer", "--topic", "codecs", "--group", "modern",
                      "--max-messages", 5000, "--timeout-ms", 20000)
                content = {topic: records(keelson, topic) for topic in topics}
                classic = group_offsets(keelson, "classic", "keyed", 3)
                modern = group_offsets(keelson, "modern", "codecs", 2)
            self.assertEqual(sum(classic.values()), 3200)
            self.assertEqual(sum(max(0, offset) for offset in modern.values()), 14000)
            self.assertEqual(kafkas, self.untouched())
            now = {path.relative_to(self.data) for path in self.data.rglob("*")}
            self.assertEqual(names - now, set())  # nothing but added
            self.assertEqual([path for path in now - names if (self.data / path).is_dir()], [])

            with self.kafka() as kafka:
                tools.address = kafka.address
                for topic in topics:
                    self.assertEqual(content[topic], records(kafka, topic), topic)
                self.assertEqual(classic, group_offsets(kafka, "classic", "keyed", 3))
                self.assertEqual(modern, group_offsets(kafka, "modern", "codecs", 2))
                self.assertEqual([], list(self.data.glob("*-stray")))
                produce(kafka, "keyed", [f"key{i}:from kafka {i}" for i in range(200)], "-K:",
                        "-X", "enable.idempotence=true")
                tools("topics", "--create", "--topic", "later", "--partitions", 2)
                tools("topics", "--alter", "--topic", "compacted", "--partitions", 2)
                tools("topics", "--delete", "--topic", "paid")
                produce(kafka, "later", ["later"])
                produce(kafka, "compacted", [f"key{i}:later {i}" for i in range(50)], "-K:")
                topics = ["keyed", "codecs", "compacted", "later"]
                content = {topic: records(kafka, topic) for topic in topics}
                # Unclean: no marker, tails and checkpoints as the process left them.
                kafka.kill()
                kafka.process = None

        with self.keelson() as keelson:  # remembered: no flag
            for topic in topics:
                self.assertEqual(content[topic], records(keelson, topic), topic)
            self.assertNotIn(b'"paid"', kcat(keelson, "-L"))
            produce(keelson, "later", ["and later"] * 10)
            keelson.kill()
            keelson.start()
            self.assertEqual(len(records(keelson, "later")), 11)
            for topic in ["keyed", "codecs", "compacted"]:
                self.assertEqual(content[topic], records(keelson, topic), topic)

    def test_damage_in_one_place_costs_no_other(self):
        with JavaTools() as tools, self.kafka() as kafka:
            tools.address = kafka.address
            for topic in ["whole", "nameless", "torn"]:
                tools("topics", "--create", "--topic", topic, "--partitions", 1)
                produce(kafka, topic, [f"{topic} {i}" for i in range(300)])
            content = {topic: records(kafka, topic) for topic in ["whole", "nameless", "torn"]}
            kafka.kill()
            kafka.process = None
        (self.data / "nameless-0" / "partition.metadata").unlink()
        torn = self.data / "torn-0" / f"{0:020}.log"
        with open(torn, "ab") as log:
            log.write(bytes(200))
        metadata = self.data / "__cluster_metadata-0" / f"{0:020}.log"
        with open(metadata, "r+b") as log:  # in the middle of what says which topics there are
            log.seek(metadata.stat().st_size - 300)
            log.write(b"\xff" * 40)
        kept = digest(self.data / "nameless-0")
        with self.keelson("--adopt") as keelson:
            self.assertEqual(content["whole"], records(keelson, "whole"))
            self.assertEqual(content["torn"], records(keelson, "torn"))
            produce(keelson, "torn", ["more"])
            self.assertIn("nameless-0", keelson.log_text())
            self.assertIn("damaged", keelson.log_text())
        self.assertEqual(kept, digest(self.data / "nameless-0"))


if __name__ == "__main__":
    main()
