"""Clients of four languages write and read each other's records.

Record n has key "k<n mod 7>", value "<n> " and n mod 50 times "ü", headers number=n and empty=.
Each program prints one JSON object a record, bytes in base64.
"""

import base64
import json
import time
import unittest

from lib import admin, packages, process, text, wire
from lib.broker import serve
from lib.javatools import JavaTools
from lib.options import main

PROGRAMS = packages.PROGRAMS
RECORDS = 3000
PARTITIONS = 3
BIG_LINES = 1_000_000
BIG_S = 240
ALL_CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


class Language:
    def __init__(self, name, command, codecs):
        self.name, self.command, self.codecs = name, command, codecs

    def run(self, action, broker, topic, *more, **settings):
        settings.setdefault("timeout_s", 90)
        command = [*self.command(), action, broker.address, topic, *map(str, more)]
        return process.run(command, **settings).stdout


def _python(library):
    return lambda: [packages.python(), PROGRAMS / "python_client.py", library]


GO = Language("franz-go", lambda: [packages.go_client()], ALL_CODECS)
CONFLUENT = Language("confluent-kafka", _python("confluent-kafka"), ALL_CODECS)
KAFKA_PYTHON = Language("kafka-python", _python("kafka-python"), ("none", "gzip"))
NODE = Language("kafkajs", lambda: ["node", packages.node_client()], ("none", "gzip", "snappy"))


def wanted(number):
    return {"key": f"k{number % 7}", "value": f"{number} " + "ü" * (number % 50),
            "headers": [["number", str(number)], ["empty", ""]]}


class Languages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = serve(cls)

    def records(self, output):
        """{number: record} of what a program printed; each partition in order, none twice."""
        found = {}
        last = {}
        for line in output.splitlines():
            record = json.loads(line)
            decode = lambda data: None if data is None else base64.b64decode(data).decode()
            partition, offset = record["partition"], record["offset"]
            self.assertGreater(offset, last.get(partition, -1))
            last[partition] = offset
            got = {"key": decode(record["key"]), "value": decode(record["value"]),
                   "headers": [[name, decode(data) or ""] for name, data in record["headers"]]}
            number = int(got["value"].split(" ")[0])
            self.assertEqual(got, wanted(number))
            self.assertNotIn(number, found)
            found[number] = (partition, offset)
        return found

    def pair(self, writer, readers):
        """What `writer` sends in each codec, `readers` who know the codec read."""
        for codec in writer.codecs:
            topic = f"{writer.name}-{codec}"
            admin.create(self.broker.port, topic, PARTITIONS)
            # franz-go and librdkafka are idempotent in every other codec.
            more = ["idempotent"] if codec in ("none", "snappy", "zstd") else []
            writer.run("produce", self.broker, topic, codec, RECORDS, *more)
            for reader in readers:
                if codec not in reader.codecs:
                    continue
                with self.subTest(codec=codec, reader=reader.name):
                    found = self.records(reader.run("consume", self.broker, topic, RECORDS))
                    self.assertEqual(sorted(found), list(range(RECORDS)))

    def group(self, reader, writer):
        """A group of `reader` stops after a third and goes on where it had committed."""
        topic = f"group-{reader.name}"
        admin.create(self.broker.port, topic, PARTITIONS)
        writer.run("produce", self.broker, topic, "none", RECORDS)
        first = self.records(reader.run("consume", self.broker, topic, RECORDS // 3, topic))
        second = self.records(reader.run("consume", self.broker, topic, RECORDS - RECORDS // 3,
                                         topic))
        self.assertEqual(sorted([*first, *second]), list(range(RECORDS)))

    def million(self, language):
        topic = f"million-{language.name}"
        # Node's line reader takes \r as an end; the text has none.
        source = text.lines_file(BIG_LINES)
        back = self.broker.home / f"{topic}.txt"
        admin.create(self.broker.port, topic)
        began = time.monotonic()
        language.run("send-file", self.broker, topic, source, timeout_s=BIG_S)
        sent = time.monotonic()
        with open(back, "wb") as out:
            language.run("read-file", self.broker, topic, BIG_LINES, stdout=out, timeout_s=BIG_S)
        print(f"  {language.name}: {BIG_LINES} lines in {sent - began:.1f} s in, "
              f"{time.monotonic() - sent:.1f} s out", flush=True)
        text.same_bytes(source, back)
        back.unlink()

    # The other side of each pair is confluent-kafka or franz-go, which know every codec.
    def test_go_writes(self):
        self.pair(GO, self.available(GO, CONFLUENT, NODE))

    def test_python_writes(self):
        self.pair(CONFLUENT, self.available(CONFLUENT, GO, KAFKA_PYTHON))

    def test_kafka_python_writes(self):
        self.pair(KAFKA_PYTHON, self.available(KAFKA_PYTHON, CONFLUENT))

    def test_node_writes(self):
        self.pair(NODE, self.available(NODE, GO))

    def test_go_group(self):
        self.group(GO, GO)

    def test_python_group(self):
        self.group(CONFLUENT, CONFLUENT)

    def test_kafka_python_group(self):
        self.group(KAFKA_PYTHON, CONFLUENT)

    def test_node_group(self):
        self.group(NODE, NODE)

    def test_go_million(self):
        self.million(GO)

    def test_python_million(self):
        self.million(CONFLUENT)

    def test_node_million(self):
        self.million(NODE)

    def available(self, writer, *readers):
        """The writer must be there; of the readers those that are."""
        writer.command()
        found = [writer]
        for reader in readers:
            try:
                reader.command()
                found.append(reader)
            except unittest.SkipTest:
                pass
        return found


if __name__ == "__main__":
    main()
