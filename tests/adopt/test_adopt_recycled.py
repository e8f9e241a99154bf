#!/usr/bin/env python3
"""Apache Kafka opens what a crash left of logs whose files were used twice.

A segment's file may have been a dropped one's: old batches lie behind its end. Kafka's recovery has
to stop exactly there; a whole batch of an offset below the segment's base would make it split the
segment. Skipped by name as test_adopt.py is.
"""

import os
import pathlib
import re
import shutil
import struct
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "clients"))

from adopt_case import AdoptCase  # noqa: E402
from lib import process, wire  # noqa: E402
from lib.javatools import JavaTools  # noqa: E402
from lib.options import ROOT, main  # noqa: E402

IMAGES = os.environ.get("KEELSON_RECYCLED_IMAGES",
                        ROOT / "build" / "release" / "tests" / "adopt" / "recycled_images")
PARTITIONS = int(os.environ.get("KEELSON_IMAGES", "24"))
KILLS = int(os.environ.get("KEELSON_KILLS", "3"))
EARLIEST, LATEST = -2, -1
MIB = 1 << 20
WAIT_S = 15


def offset(broker, topic, partition, which):
    """Asked again while the partition has no leader yet."""
    deadline = time.monotonic() + 30
    while True:
        with wire.Client(broker.port) as client:
            answer = client.call("ListOffsets", 7, replica_id=-1, isolation_level=0, topics=[
                {"name": topic, "partitions": [{"partition_index": partition,
                                                "current_leader_epoch": -1, "timestamp": which}]}])
        found = answer["topics"][0]["partitions"][0]
        if found["error_code"] == 0:
            return found["offset"]
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def offsets_read(broker, topic, partition):
    done = process.run(["kcat", "-b", broker.address, "-m", "20", "-C", "-t", topic, "-p",
                        str(partition), "-o", "beginning", "-e", "-q", "-f", "%o\n"])
    return [int(line) for line in done.stdout.decode().split()]


def last_is_recycled(folder):
    """What the manifest says of the last segment's file (engine/FORMAT.md)."""
    content = (folder / "keelson.manifest").read_bytes()
    (segments,) = struct.unpack_from(">I", content, 48)
    (flags,) = struct.unpack_from(">I", content, 56 + 80 * (segments - 1) + 68)
    return flags & 8 != 0


class AdoptRecycled(AdoptCase):
    def sound(self, kafka):
        text = kafka.log_text()
        self.assertIsNone(re.search(r"overflow|[Ss]plit|LogSegmentOffset|ERROR.*Log", text), text)

    def create(self, tools, topic, partitions, **settings):
        tools("topics", "--create", "--topic", topic, "--partitions", partitions,
              *[word for name, value in settings.items()
                for word in ("--config", f"{name.replace('_', '.')}={value}")])

    def test_every_power_cut_ends_where_we_end(self):
        images = self.home / "images"
        told = process.run([str(IMAGES), str(images), str(PARTITIONS)], timeout_s=300).stdout
        with JavaTools() as tools, self.kafka() as kafka:
            tools.address = kafka.address
            self.create(tools, "images", PARTITIONS, retention_ms=-1)
        (self.data / ".kafka_cleanshutdown").unlink()
        for path in self.data.glob("*checkpoint"):
            if path.name != "bootstrap.checkpoint":
                path.unlink()
        expected = {}
        for line in told.decode().splitlines():
            partition, start, end, acknowledged = map(int, line.split())
            expected[partition] = (start, end, acknowledged)
            folder = self.data / f"images-{partition}"
            for path in folder.iterdir():
                if path.name != "partition.metadata":
                    path.unlink()
            for path in (images / str(partition)).iterdir():
                shutil.copy(path, folder)
        self.assertEqual(len(expected), PARTITIONS)
        with self.kafka() as kafka:
            for partition, (start, end, acknowledged) in expected.items():
                self.assertEqual(offset(kafka, "images", partition, EARLIEST), start)
                self.assertEqual(offset(kafka, "images", partition, LATEST), end)
                self.assertGreaterEqual(end, acknowledged)
                self.assertEqual(offsets_read(kafka, "images", partition), list(range(start, end)))
            self.sound(kafka)

    def test_every_kill_leaves_what_was_acknowledged(self):
        with JavaTools() as tools, self.kafka() as kafka:
            tools.address = kafka.address
            self.create(tools, "twice", 1, segment_bytes=MIB, retention_bytes=2 * MIB,
                        retention_ms=-1, file_delete_delay_ms=100)
        recycled = 0
        for kill in range(KILLS):
            with self.keelson("--adopt", "--set", "log.retention.check.interval.ms=50", "--set",
                              "log.initial.task.delay.ms=0") as keelson:
                acknowledged = 0
                stop = threading.Event()
                writer = threading.Thread(target=self.write, args=(keelson, stop, kill))
                writer.start()
                try:
                    until = time.monotonic() + 3 + kill % 3
                    limit = until + WAIT_S  # a busy machine comes to it later
                    while time.monotonic() < until or (
                            time.monotonic() < limit
                            and not last_is_recycled(self.data / "twice-0")):
                        acknowledged = max(acknowledged, offset(keelson, "twice", 0, LATEST))
                        time.sleep(0.01)
                    keelson.kill()
                finally:
                    stop.set()
                    writer.join()
                recycled += last_is_recycled(self.data / "twice-0")
            with self.kafka() as kafka:
                start, end = (offset(kafka, "twice", 0, which) for which in (EARLIEST, LATEST))
                self.assertGreaterEqual(end, acknowledged)
                self.assertEqual(offsets_read(kafka, "twice", 0), list(range(start, end)))
                self.sound(kafka)
        self.assertGreater(recycled, 0)

    @staticmethod
    def write(broker, stop, kill):
        size = (1_000, 16_000, 200_000)[kill % 3]
        line = b"0" * size + b"\n"
        while not stop.is_set():
            process.run(["kcat", "-b", broker.address, "-P", "-t", "twice", "-p", "0", "-X",
                         "acks=all", "-X", "batch.num.messages=1"],
                        stdin=line * (4_000_000 // size), check=False, timeout_s=30)


if __name__ == "__main__":
    main()
