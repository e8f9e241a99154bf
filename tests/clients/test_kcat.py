"""kcat (librdkafka) pours text in and gets the same bytes back.

KEELSON_LINES sets the size of the text: 1,000,000 lines unless told.
"""

import json
import os
import time
import unittest

from lib import admin, packages, process, text, wire
from lib.broker import Broker, serve
from lib.options import is_kafka, main

LINES = int(os.environ.get("KEELSON_LINES", "1000000"))
KEYED = LINES
BIG_S = 240


def kcat(broker, *arguments, **more):
    return process.run(["kcat", "-b", broker.address, "-m", "20", *arguments], **more)


class Kcat(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        packages.require("kcat", "kcat")
        cls.broker = serve(cls, {"num.partitions": "1"})

    def round_trip(self, codec):
        # kcat -P leaves empty lines out, so this text has none; the Java tools' test has them.
        source = text.lines_file(LINES, empty=False)
        back = self.broker.home / f"back-{codec}.txt"
        began = time.monotonic()
        kcat(self.broker, "-P", "-t", f"text-{codec}", "-p", "0", "-z", codec, "-l", source,
             timeout_s=BIG_S)
        sent = time.monotonic()
        with open(back, "wb") as out:
            kcat(self.broker, "-C", "-t", f"text-{codec}", "-p", "0", "-o", "beginning", "-e", "-q",
                 stdout=out, timeout_s=BIG_S)
        print(f"  {codec}: {LINES} lines in {sent - began:.1f} s in, "
              f"{time.monotonic() - sent:.1f} s out", flush=True)
        text.same_bytes(source, back)
        back.unlink()

    def test_text_none(self):
        self.round_trip("none")

    def test_text_gzip(self):
        self.round_trip("gzip")

    def test_text_snappy(self):
        self.round_trip("snappy")

    def test_text_lz4(self):
        self.round_trip("lz4")

    def test_text_zstd(self):
        self.round_trip("zstd")

    def test_keys_keep_their_order(self):
        self.create("keyed", partitions=8)
        keys = 5003
        source = self.broker.home / "keyed.txt"
        with open(source, "w", encoding="utf-8") as file:
            file.writelines(f"k{number * 7919 % keys}\t{number}\n" for number in range(KEYED))
        kcat(self.broker, "-P", "-t", "keyed", "-K", "\t", "-z", "lz4", "-X",
             "enable.idempotence=true", "-l", source, timeout_s=BIG_S)
        out = self.broker.home / "keyed.out"
        with open(out, "wb") as file:
            kcat(self.broker, "-C", "-t", "keyed", "-o", "beginning", "-e", "-q", "-f",
                 "%p %o %k %s\n", stdout=file, timeout_s=BIG_S)
        last = {}
        place = {}
        next_offset = {}
        seen = 0
        with open(out, encoding="utf-8") as file:
            for line in file:
                partition, offset, key, number = line.split()
                number = int(number)
                self.assertEqual(place.setdefault(key, partition), partition, key)
                self.assertLess(last.get(key, -1), number, key)
                self.assertEqual(key, f"k{number * 7919 % keys}")
                self.assertEqual(next_offset.get(partition, 0), int(offset), partition)
                next_offset[partition] = int(offset) + 1
                last[key] = number
                seen += 1
        self.assertEqual(seen, KEYED)
        self.assertEqual(len(next_offset), 8)

    def test_offsets(self):
        self.create("offsets")
        self.produce("offsets", range(1000))
        self.assertEqual(self.numbers("offsets", "-o", "beginning", "-c", "2"), [0, 1])
        self.assertEqual(self.numbers("offsets", "-o", "500", "-c", "3"), [500, 501, 502])
        self.assertEqual(self.numbers("offsets", "-o", "-3"), [997, 998, 999])
        self.assertEqual(self.numbers("offsets", "-o", "end"), [])
        for asked, offset in (("-1", 1000), ("-2", 0)):
            said = kcat(self.broker, "-Q", "-t", f"offsets:0:{asked}").stdout
            self.assertIn(b"offsets [0] offset %d\n" % offset, said)

    def test_timestamps(self):
        self.create("times")
        self.produce("times", range(10))
        time.sleep(0.05)
        middle = int(time.time() * 1000)
        time.sleep(0.05)
        self.produce("times", range(10, 20), "-z", "gzip")
        asked = kcat(self.broker, "-Q", "-t", f"times:0:{middle}").stdout
        self.assertIn(b"times [0] offset 10", asked)
        self.assertEqual(self.numbers("times", "-o", f"s@{middle}"), list(range(10, 20)))
        stamps = kcat(self.broker, "-C", "-t", "times", "-e", "-q", "-f", "%T\n").stdout.split()
        self.assertEqual(len(stamps), 20)
        self.assertEqual([int(s) for s in stamps], sorted(int(s) for s in stamps))
        self.assertLess(abs(int(stamps[-1]) - middle), 60_000)

    def test_headers_and_keys(self):
        self.create("headers")
        kcat(self.broker, "-P", "-t", "headers", "-p", "0", "-K", ":", "-H", "one=1", "-H",
             "leer=", "-H", "grüße=ü", "-z", "zstd", stdin="schlüssel:wert\n:no key\n".encode())
        got = [json.loads(line) for line in
               kcat(self.broker, "-C", "-t", "headers", "-e", "-q", "-J").stdout.splitlines()]
        self.assertEqual([record["key"] for record in got], ["schlüssel", ""])
        self.assertEqual([record["payload"] for record in got], ["wert", "no key"])
        self.assertEqual(got[0]["headers"], ["one", "1", "leer", "", "grüße", "ü"])

    def test_null_values(self):
        self.create("nulls")
        kcat(self.broker, "-P", "-t", "nulls", "-p", "0", "-Z", "-K", ":", stdin=b"k:\nk:v\n")
        got = [json.loads(line) for line in
               kcat(self.broker, "-C", "-t", "nulls", "-e", "-q", "-J").stdout.splitlines()]
        self.assertEqual([record["payload"] for record in got], [None, "v"])

    def test_metadata_listing(self):
        self.create("listed", partitions=3)
        listing = json.loads(kcat(self.broker, "-L", "-J").stdout)
        self.assertEqual([b["name"] for b in listing["brokers"]], [self.broker.address])
        topic = next(t for t in listing["topics"] if t["topic"] == "listed")
        me = listing["brokers"][0]["id"]
        self.assertEqual([(p["partition"], p["leader"]) for p in topic["partitions"]],
                         [(n, me) for n in range(3)])

    def test_unknown_topic_says_so(self):
        done = kcat(self.broker, "-C", "-t", "no-such-topic", "-e", "-q", "-X",
                    "allow.auto.create.topics=false", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"Unknown topic or partition", done.stderr)

    def test_auto_creation(self):
        self.produce("made-by-use", range(3))
        self.assertEqual(self.numbers("made-by-use", "-o", "beginning"), [0, 1, 2])

    def create(self, topic, partitions=1):
        admin.create(self.broker.port, topic, partitions)

    def produce(self, topic, numbers, *more):
        lines = "".join(f"{number}\n" for number in numbers)
        kcat(self.broker, "-P", "-t", topic, "-p", "0", *more, stdin=lines.encode())

    def numbers(self, topic, *where):
        out = kcat(self.broker, "-C", "-t", topic, "-p", "0", *where, "-e", "-q").stdout
        return [int(line) for line in out.split()]


class KcatGroup(unittest.TestCase):
    """A broker of its own, for it is restarted."""

    @classmethod
    def setUpClass(cls):
        packages.require("kcat", "kcat")
        cls.broker = serve(cls, {"num.partitions": "1"})

    def test_group_goes_on_after_a_restart(self):
        admin.create(self.broker.port, "grouped", 4)
        lines = [f"k{number}:{number}" for number in range(4000)]
        kcat(self.broker, "-P", "-t", "grouped", "-K", ":", stdin="\n".join(lines).encode())
        first = self.consume(1500)
        self.assertEqual(len(first), 1500)
        self.broker.restart()
        second = self.consume(None)
        self.assertEqual(sorted(first + second), list(range(4000)))
        self.broker.kill()
        self.broker.start()
        self.assertEqual(self.consume(None), [])

    def consume(self, count):
        stop = ["-c", str(count)] if count else ["-e"]
        out = kcat(self.broker, "-G", "group", "-X", "auto.offset.reset=earliest", "-X",
                   "session.timeout.ms=6000", "-q", *stop, "grouped", timeout_s=90).stdout
        return [int(line) for line in out.split()]


class Retention(unittest.TestCase):
    def test_a_log_keeps_to_retention_bytes_as_it_rolls(self):
        packages.require("kcat", "kcat")
        if is_kafka():
            self.skipTest("Kafka looks every log.retention.check.interval.ms only")
        source = text.lines_file(200_000, empty=False)
        with Broker({"log.initial.task.delay.ms": "600000"}) as broker:
            admin.create(broker.port, "kept", segment_bytes=1 << 20, retention_bytes=2 << 20)
            kcat(broker, "-P", "-t", "kept", "-p", "0", "-l", source, timeout_s=BIG_S)
            with wire.Client(broker.port) as client:
                admin.wait_until(lambda: admin.list_offset(client, "kept", 0, -2)[1] > 100_000,
                                 "half of the log goes without anybody looking")


if __name__ == "__main__":
    main()
