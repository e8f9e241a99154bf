"""After a clean stop Kafka's DumpLogSegments, its broker and `keelson log verify` find all well."""

import time
import unittest

from lib import admin, batch, dump, packages, process, text, wire
from lib.broker import Broker
from lib.javatools import JavaTools
from lib.options import OPTIONS, is_kafka, main

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
LINES = 50_000
SETTINGS = {"log.segment.bytes": str(1 << 20)}  # several segments of each topic


def fill(broker):
    """{topic: records} of every codec, of odd batches, and of an empty one."""
    written = {}
    for codec in CODECS:
        admin.create(broker.port, codec)
        process.run(["kcat", "-b", broker.address, "-P", "-t", codec, "-z", codec, "-X",
                     "enable.idempotence=true", "-X", "batch.num.messages=50", "-l",
                     text.lines_file(LINES, empty=False)], timeout_s=120)
        written[codec] = LINES
    admin.create(broker.port, "odd")
    now = int(time.time() * 1000)
    with wire.Client(broker.port) as client:
        for number in range(600):
            records = [batch.Record(key=b"k" if number % 2 else None,
                                    value=None if number % 5 == 0 else bytes([number % 256]) * 3000,
                                    headers=((b"h", b"v"), (b"n", None)) if number % 3 else (),
                                    timestamp=(number * 7919) % 1000 - 500)
                       for _ in range(number % 3 + 1)]
            data = batch.encode(records, timestamp=now - number)
            found = admin.produce(client, "odd", data)
            assert found["error_code"] == 0, found
            written["odd"] = found["base_offset"] + len(records)
    admin.create(broker.port, "empty")
    written["empty"] = 0
    return written


class Dump(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        packages.require("kcat", "kcat")
        packages.tool_server_classpath()
        cls.broker = cls.enterClassContext(Broker(SETTINGS))
        cls.tool = cls.enterClassContext(JavaTools())
        cls.written = fill(cls.broker)

    def dump_all(self):
        for topic, count in self.written.items():
            with self.subTest(topic):
                found, records = dump.complaints(self.tool, self.broker.partition_dir(topic))
                self.assertEqual(found[:5], [])
                self.assertEqual(records, count)

    def verify(self):
        if not is_kafka():
            process.run([OPTIONS.binary, "log", "verify", self.broker.data])

    def test_1_after_a_clean_stop(self):
        self.broker.stop()
        if not is_kafka():  # what we put behind Kafka's entries is among what its tools read
            snapshots = self.broker.partition_dir("none").glob("*.snapshot")
            self.assertTrue(any(b"KEELSONP" in file.read_bytes() for file in snapshots))
        self.assertGreater(len(list(self.broker.partition_dir("none").glob("*.log"))), 1)
        self.dump_all()
        self.verify()

    def test_2_after_a_kill_recovery_and_a_clean_stop(self):
        self.broker.start()
        self.broker.kill()
        self.broker.start()
        with wire.Client(self.broker.port) as client:
            for topic, count in self.written.items():
                admin.wait_until(lambda t=topic: admin.list_offset(client, t, 0, -1)[0] == 0, topic)
                self.assertEqual(admin.list_offset(client, topic, 0, -1), (0, count), topic)
                admin.produce(client, topic, batch.encode())
                self.written[topic] += 1
        self.broker.stop()
        self.dump_all()
        self.verify()

    def test_3_kafka_serves_the_folders(self):
        """Kafka gets topics of the same names, then our folders with its own topic ids."""
        if is_kafka():
            self.skipTest("Kafka's own folders")
        self.broker.stop()
        with Broker(kind="kafka") as kafka:
            for topic in self.written:
                admin.create(kafka.port, topic)
            kafka.stop()
            for topic in self.written:
                ours, theirs = self.broker.partition_dir(topic), kafka.partition_dir(topic)
                for path in theirs.iterdir():
                    if path.name != "partition.metadata":
                        path.unlink()
                for path in ours.iterdir():
                    if path.name != "partition.metadata":
                        (theirs / path.name).write_bytes(path.read_bytes())
            kafka.start()
            with wire.Client(kafka.port) as client:
                for topic, count in self.written.items():
                    admin.wait_until(lambda t=topic: admin.list_offset(client, t, 0, -1)[0] == 0,
                                     topic)
                    self.assertEqual(admin.list_offset(client, topic, 0, -1), (0, count), topic)
                self.assertEqual(len(admin.read_all(client, "odd")), self.written["odd"])
            out = kafka.home / "back.txt"
            with open(out, "wb") as file:
                process.run(["kcat", "-b", kafka.address, "-C", "-t", "none", "-o", "beginning",
                             "-c", str(LINES), "-q"], stdout=file)
            text.same_bytes(text.lines_file(LINES, empty=False), out)


if __name__ == "__main__":
    main()
