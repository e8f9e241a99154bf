"""kill -9 at random moments under load, start-up included: nothing acknowledged is lost.

Two writers, with acks=all: an idempotent one of our own, which repeats a batch until it has an
answer and therefore knows the offset of each record, and confluent-kafka, with five requests in
flight. After each restart every acknowledged record must be at its offset, once.

KEELSON_KILLS sets the number of kills, 10 unless told. The seed in the first line replays the
moments, as far as a machine repeats itself.
"""

import collections
import os
import random
import subprocess
import threading
import time
import unittest

from lib import admin, batch, packages, process, wire
from lib.broker import Broker
from lib.options import OPTIONS, main

KILLS = int(os.environ.get("KEELSON_KILLS", "10"))
PARTITIONS = 3
# Between two batches of a writer: keeps what has to be read back within reason.
PAUSE_S = 0.005
PROGRAM = packages.PROGRAMS / "kill_producer.py"
# A dead connection and a starting broker are no failure; a writer gives up after this long.
ANSWER_S = 60
RETRIABLE = {3, 5, 6, 7, 14, 15, 16, 56}
OUT_OF_ORDER, DUPLICATE = 45, 46


class Writer(threading.Thread):
    """Writes batches to one partition, one at a time, and notes what was acknowledged.

    acknowledged[value] is the offset, attempted the values that were ever sent. A batch without an
    answer is sent again with the same sequence, as an idempotent producer does.
    """

    def __init__(self, port, topic, partition, seed):
        super().__init__(daemon=True)
        self.port, self.topic, self.partition = port, topic, partition
        self.random = random.Random(seed)
        self.acknowledged = {}
        self.attempted = set()
        self.failure = None
        self.stopping = threading.Event()
        self.client = None
        self.producer = None
        self.sequence = 0

    def run(self):
        try:
            while not self.stopping.wait(PAUSE_S):
                self.write_one()
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error
        finally:
            if self.client:
                self.client.close()

    def write_one(self):
        count = self.random.choice((1, 1, 5, 40))
        first = len(self.attempted)
        values = [b"%d/%d " % (self.partition, first + i) + b"." * self.random.randrange(300)
                  for i in range(count)]
        self.attempted.update(values)
        deadline = time.monotonic() + ANSWER_S
        while True:
            answer = self.try_once(values)
            if answer is not None:
                base = answer["base_offset"]
                # -1 says that it was stored before, and is no longer known where.
                for i, value in enumerate(values):
                    self.acknowledged[value] = base + i if base >= 0 else None
                self.sequence += count
                return
            if self.stopping.is_set():
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.topic}-{self.partition}: no success in {ANSWER_S} s")
            time.sleep(0.01)

    def try_once(self, values):
        """The answer, or None where to try again."""
        try:
            if self.client is None:
                self.client = wire.Client(self.port, timeout_s=20)
            if self.producer is None:
                given = self.client.call("InitProducerId", 2, transactional_id=None,
                                         transaction_timeout_ms=60_000)
                if given["error_code"] in RETRIABLE:
                    return None
                if given["error_code"]:
                    raise AssertionError(f"InitProducerId: {given}")
                self.producer = given["producer_id"], given["producer_epoch"]
            data = batch.encode([batch.Record(value=value) for value in values],
                                producer=(*self.producer, self.sequence))
            answer = admin.produce(self.client, self.topic, data, partition=self.partition)
        except (OSError, wire.Closed, wire.Silent):
            if self.client is not None:
                self.client.close()
            self.client = None
            return None
        if answer["error_code"] in RETRIABLE:
            return None
        if answer["error_code"] not in (0, DUPLICATE):
            raise AssertionError(f"{self.topic}-{self.partition} sequence {self.sequence}: "
                                 f"{wire.error_name(answer['error_code'])}")
        return answer


class Kill(unittest.TestCase):
    def test_nothing_acknowledged_is_lost(self):
        moments = random.Random(OPTIONS.seed)
        with Broker() as broker:
            admin.create(broker.port, "killed", PARTITIONS)
            admin.create(broker.port, "killed-too", PARTITIONS)
            writers = [Writer(broker.port, "killed", p, OPTIONS.seed + p)
                       for p in range(PARTITIONS)]
            for writer in writers:
                writer.start()
            other = process.start(
                [packages.python(), PROGRAM, broker.address, "killed-too", PARTITIONS],
                stdin=subprocess.PIPE,
                stdout=self.enterContext(open(broker.home / "acknowledged.txt", "wb")),
                stderr=self.enterContext(open(broker.home / "producer.log", "wb")))
            try:
                self.kill_often(broker, moments, writers)
                for writer in writers:
                    writer.stopping.set()
                other.stdin.close()
                for writer in writers:
                    writer.join(ANSWER_S)
                self.assertEqual(other.wait(120), 0,
                                 (broker.home / "producer.log").read_text()[-2000:])
            finally:
                for writer in writers:
                    writer.stopping.set()
                process.end(other)
            for writer in writers:
                if writer.failure:
                    raise writer.failure
            self.check_writers(broker, writers)
            self.check_other(broker)
            broker.restart()
            self.check_writers(broker, writers)
            total = sum(len(writer.acknowledged) for writer in writers)
            print(f"  {KILLS} kills, {total} records acknowledged to the writers", flush=True)

    def kill_often(self, broker, moments, writers):
        for round_number in range(KILLS):
            in_start = moments.random() < 0.3
            delay = moments.uniform(0, 0.3) if in_start else moments.expovariate(1) + 0.05
            if broker.is_kafka:
                delay += 5 * in_start
            if in_start and round_number:
                broker.kill()
                broker.start(wait=False)
            time.sleep(delay)
            self.assertIsNone(broker.process.poll(),
                              f"round {round_number}: the broker ended by itself\n"
                              + broker.log_text()[-3000:])
            broker.kill()
            broker.start(wait=moments.random() < 0.8)
            for writer in writers:
                if writer.failure:
                    raise writer.failure
            if round_number % max(KILLS // 4, 5) == 4:
                broker.wait_ready()
                self.check_writers(broker, writers, moving=True)
        broker.wait_ready()

    def check_writers(self, broker, writers, moving=False):
        """Every acknowledged record at its offset; none twice; nothing that was not sent."""
        with wire.Client(broker.port, timeout_s=20) as client:
            for writer in writers:
                acknowledged = dict(writer.acknowledged)
                place = f"{writer.topic}-{writer.partition}"
                found = {}
                next_offset = 0
                for record in read(client, writer.topic, writer.partition):
                    self.assertEqual(record.offset, next_offset, f"{place}: a gap")
                    next_offset += 1
                    self.assertIn(record.value, writer.attempted, f"{place}: invented")
                    self.assertNotIn(record.value, found,
                                     f"{place}: offset {record.offset} repeats an earlier one")
                    found[record.value] = record.offset
                for value, offset in acknowledged.items():
                    self.assertIn(value, found, f"{place}: acknowledged at {offset} and lost")
                    if offset is not None:
                        self.assertEqual(found[value], offset, f"{place}: {value[:30]} has moved")
                if not moving:
                    order = [value for value in found if value in acknowledged]
                    self.assertEqual(order, list(acknowledged), f"{place}: order")

    def check_other(self, broker):
        acknowledged = collections.defaultdict(dict)
        with open(broker.home / "acknowledged.txt", encoding="ascii") as lines:
            for line in lines:
                partition, offset, value = line.split()
                acknowledged[int(partition)][value.encode()] = int(offset)
        total = sum(map(len, acknowledged.values()))
        self.assertGreater(total, 100)
        with wire.Client(broker.port, timeout_s=20) as client:
            for partition, values in acknowledged.items():
                place = f"killed-too-{partition}"
                found = {}
                for record in read(client, "killed-too", partition):
                    value = record.value.split(b" ")[0]
                    self.assertNotIn(value, found, f"{place}: {record.offset} is a repetition")
                    found[value] = record.offset
                for value, offset in values.items():
                    self.assertEqual(found.get(value), offset, f"{place}: {value}")
                order = [int(value) for value in found]
                self.assertEqual(order, sorted(order), f"{place}: order of one producer")
        print(f"  {total} records acknowledged to confluent-kafka", flush=True)


def read(client, topic, partition):
    """Waits where a partition has no leader yet."""
    deadline = time.monotonic() + 30
    while True:
        error, _ = admin.list_offset(client, topic, partition, -1)
        if error == 0:
            return admin.read_all(client, topic, partition)
        if error not in RETRIABLE or time.monotonic() > deadline:
            raise AssertionError(f"{topic}-{partition}: {wire.error_name(error)}")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
