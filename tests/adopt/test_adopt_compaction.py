#!/usr/bin/env python3
"""Compacted topics go from Apache Kafka to Keelson and back, and no key loses its value.

Of one directory, written by Kafka, two copies: Kafka's cleaner works on one, Keelson on the other.
Both leave the same records. Then each broker opens, serves, writes and compacts what the other
left. Skipped by name as test_adopt.py is.
"""

import pathlib
import random
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "clients"))

from adopt_case import AdoptCase  # noqa: E402
from lib import packages, process  # noqa: E402
from lib.broker import Broker  # noqa: E402
from lib.dump import complaints  # noqa: E402
from lib.javatools import JavaTools  # noqa: E402
from lib.options import OPTIONS, main  # noqa: E402

PRODUCERS = pathlib.Path(__file__).resolve().parent / "programs" / "Transactions.java"
HOUR_MS = 3_600_000
TOPICS = {"table": HOUR_MS, "brief": 500, "paid": HOUR_MS}  # and how long tombstones stay, ms
WAIT_S = 60
LARGE = 90_000
# Keys repeat from transaction to transaction; aborted ones have a value that must not win.
PAID = "\n".join(
    f"begin {who}\nsend {who} paid 0 {key} 6 {size}\n{end} {who}"
    for size in (20, LARGE, 300)
    for who, key, end in [("a", "one", "commit"), ("b", "two", "commit"), ("a", "one", "abort"),
                          ("b", "three", "abort"), ("a", "two", "commit"), ("b", "one", "abort")])


def kcat(broker, *arguments, **more):
    return process.run(["kcat", "-b", broker.address, "-m", "20", *arguments], **more).stdout


def produce(broker, topic, pairs, *arguments):
    """`pairs` of key and value; an empty value is a tombstone."""
    text = "".join(f"{key}:{value}\n" for key, value in pairs)
    kcat(broker, "-P", "-t", topic, "-p", "0", "-K:", "-Z", "-X", "acks=all", *arguments,
         stdin=text.encode())


def records(broker, topic):
    """What readers of committed records get: (offset, key, value), None for a tombstone."""
    text = kcat(broker, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-X",
                "isolation.level=read_committed", "-f", "%o\t%k\t%S\t%s\n").decode()
    found = []
    for line in text.splitlines():
        offset, key, size, value = line.split("\t")
        found.append((int(offset), key, None if size == "-1" else value))
    return found


def table(found):
    values = {}
    for _, key, value in found:
        if value is None:
            values.pop(key, None)
        else:
            values[key] = value
    return values


def cleaned_to(data, topic):
    lines = (data / "cleaner-offset-checkpoint").read_text().splitlines()[2:]
    offsets = {line.split()[0]: int(line.split()[2]) for line in lines}
    return offsets.get(topic, 0)


class AdoptCompaction(AdoptCase):
    maxDiff = None

    def serve(self, kind, data, compact=True):
        settings = {"log.cleaner.enable": str(compact).lower(), "log.cleaner.backoff.ms": "100",
                    "transaction.state.log.num.partitions": "2"}
        if kind == "keelson":
            settings.pop("transaction.state.log.num.partitions")
            return Broker(settings, data=data, kind=kind, arguments=["--adopt"])
        return Broker(settings, data=data, kind=kind)

    def fill(self, kafka, tools, seed):
        chance = random.Random(seed)
        for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
            for topic in ["table", "brief"]:
                pairs = []
                for i in range(1200):
                    key = f"key{chance.randrange(150)}"
                    value = "" if chance.randrange(12) == 0 else f"{codec} {chance.randbytes(400).hex()}"
                    pairs.append((key, value))
                produce(kafka, topic, pairs, "-z", codec, "-X",
                        f"enable.idempotence={'true' if codec == 'lz4' else 'false'}")

    def make(self, kafka, tools):
        for topic, retention_ms in TOPICS.items():
            settings = ["cleanup.policy=compact", "segment.bytes=1048576",
                        "min.cleanable.dirty.ratio=0.001", f"delete.retention.ms={retention_ms}"]
            tools("topics", "--create", "--topic", topic, "--partitions", 1,
                  *[word for setting in settings for word in ("--config", setting)])
        self.fill(kafka, tools, 1)
        command = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp",
                   packages.kafka_classpath(), str(PRODUCERS), kafka.address]
        process.run(command, stdin=PAID.encode() + b"\n", timeout_s=120)

    def settle(self, broker, topics=TOPICS):
        """Until compaction has nothing more to do: what is read stays the same for a while."""
        before, since = None, time.monotonic()
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            now = {topic: len(records(broker, topic)) for topic in topics}
            if now != before:
                before, since = now, time.monotonic()
            elif time.monotonic() - since > 2:
                return now
            time.sleep(0.3)
        raise AssertionError(f"compaction does not come to rest: {before}")

    def whole(self, data, tools):
        for topic in TOPICS:
            found, _ = complaints(tools, data / f"{topic}-0")
            # Kafka's cleaner writes whole buffers, and an entry at most for each.
            found = [line for line in found if not line.endswith("has an empty index")]
            self.assertEqual([], found, topic)
        done = process.run([OPTIONS.binary, "log", "verify", data], check=False)
        self.assertEqual(0, done.returncode, (done.stdout + done.stderr).decode())

    def test_both_leave_the_same(self):
        twin = self.home / "twin"
        with JavaTools() as tools:
            with self.serve("kafka", self.data, compact=False) as kafka:
                tools.address = kafka.address
                self.make(kafka, tools)
                written = {topic: records(kafka, topic) for topic in TOPICS}
            shutil.copytree(self.data, twin)

            left = {}
            for kind, data in [("kafka", twin), ("keelson", self.data)]:
                with self.serve(kind, data) as broker:
                    self.settle(broker)
                    left[kind] = {topic: records(broker, topic) for topic in TOPICS}
                self.whole(data, tools)
            for topic in TOPICS:
                bound = cleaned_to(self.data, topic)
                self.assertEqual(bound, cleaned_to(twin, topic), topic)
                self.assertGreater(bound, 0, topic)
                self.assertEqual(left["kafka"][topic], left["keelson"][topic], topic)
                self.assertEqual(table(written[topic]), table(left["keelson"][topic]), topic)
                self.assertLess(len(left["keelson"][topic]), len(written[topic]), topic)
                below = [key for offset, key, _ in left["keelson"][topic] if offset < bound]
                self.assertEqual(len(below), len(set(below)), topic)

            # Each goes on with what the other left. By now the time of brief's tombstones is over.
            time.sleep(TOPICS["brief"] / 1000 + 0.2)
            later = {}
            for kind, data in [("kafka", self.data), ("keelson", twin)]:
                with self.serve(kind, data) as broker:
                    tools.address = broker.address
                    for topic in TOPICS:
                        self.assertEqual(table(written[topic]), table(records(broker, topic)))
                    self.fill(broker, tools, 2)
                    later[kind] = {topic: table(records(broker, topic)) for topic in TOPICS}
                    self.settle(broker)
                    for topic in TOPICS:
                        self.assertEqual(later[kind][topic], table(records(broker, topic)), topic)
                    left[kind] = {topic: records(broker, topic) for topic in TOPICS}
                self.whole(data, tools)
            for topic in TOPICS:
                self.assertEqual(later["kafka"][topic], later["keelson"][topic], topic)

            # And back once more: what was compacted twice by two is what it was.
            for kind, data in [("keelson", self.data), ("kafka", twin)]:
                with self.serve(kind, data) as broker:
                    for topic in TOPICS:
                        self.assertEqual(later[kind][topic], table(records(broker, topic)), topic)

    def test_a_run_that_is_killed_is_finished_by_either(self):
        with JavaTools() as tools:
            with self.serve("kafka", self.data, compact=False) as kafka:
                tools.address = kafka.address
                self.make(kafka, tools)
                written = {topic: table(records(kafka, topic)) for topic in TOPICS}
            chance = random.Random(7)
            for kind in ["keelson", "kafka", "keelson", "keelson", "kafka", "keelson"]:
                broker = self.serve(kind, self.data)
                broker.start()
                time.sleep(chance.random() * (0.3 if kind == "keelson" else 1.5))
                broker.kill()
                broker.process = None
            for kind in ["kafka", "keelson"]:
                with self.serve(kind, self.data) as broker:
                    self.settle(broker)
                    for topic in TOPICS:
                        self.assertEqual(written[topic], table(records(broker, topic)), topic)
                self.whole(self.data, tools)


if __name__ == "__main__":
    main()
