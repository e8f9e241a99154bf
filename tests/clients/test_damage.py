"""Damaged data directories: the broker starts, invents nothing, and loses only what was destroyed.

A directory is written once. Each case damages a copy of it, as a kill or a clean stop left it,
starts the broker and reads everything.
"""

import dataclasses
import os
import random
import shutil
import struct
import typing
import unittest

from lib import admin, batch, wire
from lib.broker import Broker
from lib.options import is_kafka, main

BATCHES = 56  # of 10 records of 5,000 bytes: three segments of 1 MiB
RECORDS = 10
VICTIM, OTHER = "victim", "other"
ALL = range(BATCHES)
STORAGE_ERRORS = {"KAFKA_STORAGE_ERROR", "CORRUPT_MESSAGE", "OFFSET_OUT_OF_RANGE",
                  "UNKNOWN_SERVER_ERROR", "NOT_LEADER_OR_FOLLOWER", "LEADER_NOT_AVAILABLE"}


@dataclasses.dataclass
class Case:
    name: str
    damage: typing.Callable  # of a Folder
    lost: typing.Any = ()  # numbers of batches that may be gone, or a function of Folder for them
    told: bool = True  # the broker's log has to speak of the partition
    after: str = "both"  # kill, stop
    whole: bool = False  # the partition as a whole may be refused, but not empty


class Folder:
    """A partition's files, and where its batches are."""

    def __init__(self, data, topic=VICTIM):
        self.data = data
        self.path = data / f"{topic}-0"
        self.logs = sorted(self.path.glob("*.log"))
        self.places = {}  # number of a batch: (file, position, size)
        for log in self.logs:
            content = log.read_bytes()
            at = 0
            while at + batch.HEADER_BYTES <= len(content):
                base, length = struct.unpack_from(">qi", content, at)
                if length <= 0:
                    break
                self.places[base // RECORDS] = log, at, 12 + length
                at += 12 + length

    def batches_in(self, log):
        return [number for number, place in self.places.items() if place[0] == log]

    def read(self, number):
        log, at, size = self.places[number]
        return log.read_bytes()[at:at + size]

    def write(self, log, at, data):
        with open(log, "r+b") as file:
            file.seek(at)
            file.write(data)

    def flip(self, number, at):
        """Flips a bit of a batch's byte `at`, from its end where negative."""
        log, start, size = self.places[number]
        data = bytearray(self.read(number))
        data[at] ^= 0x04
        self.write(log, start, data)

    def behind_the_tail(self, data):
        log, at, size = self.places[max(self.places)]
        self.write(log, at + size, data)

    def remove(self, *patterns):
        self.each(patterns, os.unlink)

    def garble(self, *patterns):
        noise = random.Random(7)
        self.each(patterns, lambda path: path.write_bytes(
            noise.randbytes(max(path.stat().st_size, 100))))

    def empty(self, *patterns):
        self.each(patterns, lambda path: path.write_bytes(b""))

    def each(self, patterns, change):
        for pattern in patterns:
            folder = self.data if pattern.startswith("/") else self.path
            for path in folder.glob(pattern.lstrip("/")):
                change(path)


def torn(folder):
    number = max(folder.places)
    data = bytearray(folder.read(number))
    struct.pack_into(">q", data, 0, BATCHES * RECORDS)
    folder.behind_the_tail(data[:len(data) // 2])


def repeated(folder):
    last = max(folder.places)
    folder.behind_the_tail(folder.read(last - 1) + folder.read(last))


def last_log(folder):
    return folder.batches_in(folder.logs[-1])


def cut_last(folder):
    log = folder.logs[-1]
    os.truncate(log, folder.places[last_log(folder)[2]][1] + 1000)


def cut_middle(folder):
    log = folder.logs[1]
    os.truncate(log, folder.places[folder.batches_in(log)[2]][1] + 1000)


def remove_folder(folder):
    shutil.rmtree(folder.path)


def foreign_folders(folder):
    for name in ("stranger-0", "lost+found", "keelson", "unknown"):
        (folder.data / name).mkdir()
    (folder.data / "stranger-0" / f"{0:020}.log").write_bytes(folder.read(0))
    (folder.data / "notes.txt").write_text("a file of somebody else")
    (folder.path / "notes.txt").write_text("a file of somebody else")
    (folder.path / "inner").mkdir()


def stale_marker(folder):
    (folder.data / ".kafka_cleanshutdown").write_text('{"version":0,"brokerEpoch":12}')


SEALED = 25  # a batch in the middle of the second segment
LAST = BATCHES - 1
QUIET = {"told": False}
CASES = [
    Case("nothing", lambda f: None, **QUIET),
    # Behind the tail
    Case("torn tail", torn, told=False, after="kill"),
    Case("last batches once more", repeated, told=False, after="kill"),
    Case("another segment's batches", lambda f: f.behind_the_tail(f.read(0) + f.read(1)),
         told=False, after="kill"),
    Case("text", lambda f: f.behind_the_tail(b"not a batch " * 500), told=False, after="kill"),
    Case("zeros", lambda f: f.behind_the_tail(bytes(100_000)), told=False),
    Case("torn tail under a marker", torn, told=False, after="stop"),
    Case("last batches once more under a marker", repeated, told=False, after="stop"),
    # Bits
    Case("bit in the last base offset", lambda f: f.flip(LAST, 5), [LAST]),
    Case("bit in the last length", lambda f: f.flip(LAST, 10), [LAST]),
    Case("bit in the last payload", lambda f: f.flip(LAST, -100), [LAST]),
    Case("bit in a sealed payload", lambda f: f.flip(SEALED, 900), [SEALED]),
    Case("bit in a sealed base offset", lambda f: f.flip(SEALED, 6), [SEALED]),
    Case("bit in a sealed length", lambda f: f.flip(SEALED, 9), [SEALED]),
    Case("bit in a sealed leader epoch", lambda f: f.flip(SEALED, 14), [SEALED]),
    Case("bit in a sealed magic", lambda f: f.flip(SEALED, 16), [SEALED]),
    Case("bit in the first batch", lambda f: f.flip(0, 16), [0]),
    Case("zeros over a sealed batch", lambda f: f.write(
        *f.places[SEALED][:2], bytes(f.places[SEALED][2])), [SEALED]),
    Case("two sealed batches change places", lambda f: [
        f.write(f.places[SEALED][0], f.places[SEALED][1], f.read(SEALED + 1) + f.read(SEALED))],
        [SEALED, SEALED + 1]),
    # Side files
    Case("no indexes", lambda f: f.remove("*.index", "*.timeindex"), **QUIET),
    Case("garbled indexes", lambda f: f.garble("*.index", "*.timeindex"), **QUIET),
    Case("empty indexes", lambda f: f.empty("*.index", "*.timeindex"), **QUIET),
    Case("indexes of another segment", lambda f: f.logs[1].with_suffix(".index").write_bytes(
        f.logs[0].with_suffix(".index").read_bytes()), **QUIET),
    Case("no epoch file", lambda f: f.remove("leader-epoch-checkpoint"), **QUIET),
    Case("garbled epoch file", lambda f: f.garble("leader-epoch-checkpoint"), **QUIET),
    Case("no snapshots", lambda f: f.remove("*.snapshot"), **QUIET),
    Case("garbled snapshots", lambda f: f.garble("*.snapshot"), **QUIET),
    Case("no checkpoints", lambda f: f.remove("/*-checkpoint"), **QUIET),
    Case("garbled checkpoints", lambda f: f.garble("/*-checkpoint"), **QUIET),
    Case("empty checkpoints", lambda f: f.empty("/*-checkpoint"), **QUIET),
    Case("no partition.metadata", lambda f: f.remove("partition.metadata")),
    Case("garbled partition.metadata", lambda f: f.garble("partition.metadata"), whole=True),
    Case("no integrity entries", lambda f: f.remove("*.integrity"), **QUIET),
    Case("garbled integrity entries", lambda f: f.garble("*.integrity"), **QUIET),
    Case("no manifest", lambda f: f.remove("keelson.manifest"), **QUIET),
    Case("garbled manifest", lambda f: f.garble("keelson.manifest"), whole=True),
    Case("nothing but logs", lambda f: f.remove(
        "*.index", "*.timeindex", "*.snapshot", "leader-epoch-checkpoint", "*.integrity",
        "/*-checkpoint"), **QUIET),
    Case("a stale marker", stale_marker, told=False, after="kill"),
    # Segments
    Case("first segment missing", lambda f: os.unlink(f.logs[0]),
         lambda f: f.batches_in(f.logs[0])),
    Case("middle segment missing", lambda f: os.unlink(f.logs[1]),
         lambda f: f.batches_in(f.logs[1])),
    Case("last segment missing", lambda f: os.unlink(f.logs[-1]), last_log),
    Case("last segment empty", lambda f: f.logs[-1].write_bytes(b""), last_log),
    Case("last segment cut", cut_last, lambda f: last_log(f)[2:]),
    Case("middle segment cut", cut_middle, lambda f: f.batches_in(f.logs[1])[2:]),
    Case("folder missing", remove_folder, ALL, whole=True),
    Case("folders and files of others", foreign_folders, **QUIET),
]


def value_of(seed, number):
    return random.Random(seed * 100_003 + number).randbytes(5000)


class Damage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if is_kafka():
            raise unittest.SkipTest("Kafka fails its users here")
        cls.broker = Broker({"log.segment.bytes": str(1 << 20)})
        cls.addClassCleanup(shutil.rmtree, cls.broker.home, True)
        cls.values = {topic: [value_of(seed, n) for n in range(BATCHES * RECORDS)]
                      for seed, topic in enumerate((VICTIM, OTHER), 1)}
        cls.began = 1_700_000_000_000
        with cls.broker as broker:
            for topic in (VICTIM, OTHER):
                admin.create(broker.port, topic, retention_ms=-1)
                with wire.Client(broker.port) as client:
                    for number in ALL:
                        cls.write(client, topic, number)
            cls.source = {"kill": broker.home.with_name(broker.home.name + "-kill"),
                          "stop": broker.home.with_name(broker.home.name + "-stop")}
            for path in cls.source.values():
                cls.addClassCleanup(shutil.rmtree, path, True)
            broker.kill()
            shutil.copytree(broker.data, cls.source["kill"])
            broker.start()
            broker.stop()
            shutil.copytree(broker.data, cls.source["stop"])
        logs = Folder(cls.source["stop"]).logs
        assert len(logs) == 3, logs

    @classmethod
    def write(cls, client, topic, number):
        values = cls.values[topic][number * RECORDS:(number + 1) * RECORDS]
        # One millisecond a record, so that each can be found by its time.
        data = batch.encode([batch.Record(value=value, timestamp=n)
                             for n, value in enumerate(values)],
                            timestamp=cls.began + number * RECORDS)
        answer = admin.produce(client, topic, data)
        assert (answer["error_code"], answer["base_offset"]) == (0, number * RECORDS), answer

    def test_cases(self):
        chosen = os.environ.get("KEELSON_CASE", "")
        for case in CASES:
            for after in ("kill", "stop"):
                if case.after in (after, "both") and chosen in case.name:
                    with self.subTest(case.name, after=after):
                        self.one(case, after)

    def one(self, case, after):
        broker = Broker({"log.segment.bytes": str(1 << 20)})
        shutil.copytree(self.source[after], broker.data)
        folder = Folder(broker.data)
        lost = case.lost(folder) if callable(case.lost) else case.lost
        case.damage(folder)
        with broker:
            with wire.Client(broker.port, timeout_s=20) as client:
                found, _ = self.read(client, OTHER)
                self.assertEqual(len(found), BATCHES * RECORDS, "the other partition")
                self.check_found(OTHER, found)
                self.check_victim(case, client, lost, after)
            if case.told:
                said = [line for line in broker.log_text().splitlines()
                        if VICTIM in line and ("warn" in line or "error" in line)]
                self.assertTrue(said, "the log says nothing of the partition")
            broker.restart()
            with wire.Client(broker.port, timeout_s=20) as client:
                self.check_victim(case, client, lost, after)

    def check_victim(self, case, client, lost, after):
        found, errors = self.read(client, VICTIM)
        self.check_found(VICTIM, found)
        gone = {offset // RECORDS for offset in range(BATCHES * RECORDS)
                if found.get(offset, b"new") == b"new"}
        if case.whole and not found:
            # Refused as a whole: an error, never an empty log.
            self.assertTrue(errors, "an empty log in place of a full one")
        else:
            self.assertLessEqual(gone, set(lost), f"lost batches; errors: {errors}")
        if not gone:
            for number in (0, 7, 111, 250, BATCHES * RECORDS - 1):
                self.assertEqual(admin.list_offset(client, VICTIM, 0, self.began + number),
                                 (0, number), "by time")
        answer = admin.produce(client, VICTIM, batch.encode([batch.Record(value=b"new")]))
        if answer["error_code"]:
            self.assertTrue(case.whole or gone, f"not writable: {answer}")
            self.assertIn(wire.error_name(answer["error_code"]), STORAGE_ERRORS)
        else:
            # An offset never gets a second value. Only where a kill and then damage took the very
            # end, nobody knows how far the log went.
            end = min(lost) if after == "kill" and LAST in lost else BATCHES
            self.assertGreaterEqual(answer["base_offset"], end * RECORDS)
            back = admin.fetch(client, VICTIM, answer["base_offset"])
            self.assertEqual(batch.decode(back["records"])[0].value, b"new")

    def check_found(self, topic, found):
        for offset, value in found.items():
            if value != b"new":  # what a check before this one has written
                self.assertLess(offset, BATCHES * RECORDS, f"offset {offset} was invented")
                self.assertEqual(value, self.values[topic][offset], f"offset {offset} has changed")

    def read(self, client, topic):
        """({offset: value}, errors): batch by batch over whatever is withheld."""
        found = {}
        errors = set()
        at = 0
        while at < BATCHES * RECORDS:
            part = admin.fetch(client, topic, at, max_bytes=2 << 20, wait_ms=0)
            records = []
            if part["error_code"]:
                errors.add(wire.error_name(part["error_code"]))
            else:
                records = [r for r in batch.decode(part["records"] or b"") if r.offset >= at]
            for record in records:
                found[record.offset] = record.value
            at = records[-1].offset + 1 if records else (at // RECORDS + 1) * RECORDS
        self.assertLessEqual(errors, STORAGE_ERRORS)
        return found, errors


class Refusals(unittest.TestCase):
    """What is not ours to serve is refused with a reason, and left as it was."""

    @classmethod
    def setUpClass(cls):
        if is_kafka():
            raise unittest.SkipTest("about Keelson's command line")

    def refused(self, broker, *words, arguments=()):
        broker.arguments = list(arguments)
        broker.start(wait=False)
        code = broker.process.wait(20)
        broker.ended = True
        self.assertNotEqual(code, 0)
        said = broker.log_text().lower()
        for word in words:
            self.assertIn(word.lower(), said)

    def test_a_second_start_on_the_same_directory(self):
        with Broker() as first:
            second = Broker(data=first.data)
            self.addCleanup(shutil.rmtree, second.home, True)
            self.refused(second, str(first.data))
            first.wait_ready()

    def test_settings(self):
        for arguments, words in (
                (["--set", "bogus.name=1"], ["bogus.name"]),
                (["--set", "log.segment.bytes=soon"], ["log.segment.bytes"]),
                (["--set", "log.retention.bites=5"], ["log.retention.bites",
                                                      "log.retention.bytes"])):
            with self.subTest(arguments):
                broker = Broker()
                self.addCleanup(shutil.rmtree, broker.home, True)
                self.refused(broker, *words, arguments=arguments)

    def test_a_port_in_use(self):
        with Broker() as first:
            second = Broker()
            self.addCleanup(shutil.rmtree, second.home, True)
            second.port = first.port
            self.refused(second, str(first.port), "in use")

    def test_a_directory_that_kafka_wrote(self):
        with Broker(kind="kafka") as kafka:
            kafka.stop()
            ours = Broker(data=kafka.data)
            self.addCleanup(shutil.rmtree, ours.home, True)
            files = lambda: {p: p.read_bytes() for p in kafka.data.rglob("*")
                             if p.is_file() and p.name != ".lock"}
            before = files()
            self.refused(ours, "--adopt")
            self.assertEqual(files(), before)

    def test_a_directory_of_somebody_else(self):
        broker = Broker()
        self.addCleanup(shutil.rmtree, broker.home, True)
        broker.data.mkdir()
        (broker.data / "meta.properties").write_text("this is not\nfor a broker")
        self.refused(broker, "meta.properties")
        self.assertEqual([p.name for p in broker.data.iterdir() if not p.name.startswith(".")],
                         ["meta.properties"])


if __name__ == "__main__":
    main()
