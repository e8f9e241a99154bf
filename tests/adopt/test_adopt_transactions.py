#!/usr/bin/env python3
"""Transactions that Apache Kafka left behind: committed, aborted, open.

What Kafka itself served of them, to readers of committed and of all records, Keelson serves from
the same directory, and Kafka again afterwards. Skipped by name as test_adopt.py is.
"""

import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "clients"))

from adopt_case import AdoptCase  # noqa: E402
from lib import packages, process, wire  # noqa: E402
from lib.javatools import JavaTools  # noqa: E402
from lib.options import OPTIONS, main  # noqa: E402

PRODUCERS = pathlib.Path(__file__).resolve().parent / "programs" / "Transactions.java"
LEVELS = ["read_uncommitted", "read_committed"]
LARGE = 90_000  # bytes of a value: a dozen fill a segment of 1 MiB
# Of three producers; "open" is the last one's, and ends never.
SCRIPT = f"""
begin a
send a mixed 0 committed 5 0
commit a
begin a
send a mixed 0 aborted 5 0
abort a
begin a
begin b
send a mixed 0 a-aborted 3 0
send b mixed 0 b-committed 3 0
send a mixed 0 a-aborted-too 3 0
send b mixed 1 b-committed 3 0
commit b
abort a
begin a
send a mixed 0 rolled-aborted 9 {LARGE}
begin b
send b mixed 0 rolled-committed 9 {LARGE}
send a mixed 0 rolled-aborted-too 9 {LARGE}
commit b
send a mixed 0 rolled-aborted-more 9 {LARGE}
abort a
begin b
send b mixed 0 after-roll 4 0
abort b
begin b
send b mixed 0 decided 4 0
commit b
begin open
send open mixed 0 left-open 3 0
begin a
send a mixed 0 behind-open 3 0
commit a
begin a
send a mixed 0 aborted-behind-open 3 0
abort a
begin a
send a mixed 1 end 2 0
commit a
die
"""


def run_script(kafka, script):
    command = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", packages.kafka_classpath(),
               str(PRODUCERS), kafka.address]
    done = process.run(command, stdin=script.strip().encode() + b"\n", timeout_s=120)
    return done.stdout.decode().splitlines()


def kcat(broker, *arguments):
    return process.run(["kcat", "-b", broker.address, "-m", "20", *arguments]).stdout.decode()


class AdoptTransactions(AdoptCase):
    def seen(self, broker, tools=None):
        """What each kind of reader is given, by client, and where the log ends for it. `tools`: by
        the Java client, too, which takes longer."""
        found = {}
        for level in LEVELS:
            text = kcat(broker, "-C", "-t", "mixed", "-o", "beginning", "-e", "-q", "-X",
                        f"isolation.level={level}", "-f", "%p %o %k\n")
            found["kcat", level] = sorted(text.splitlines())
            for partition in [0, 1]:
                found["latest", level, partition] = self.latest(broker, partition, level)
            if not tools:
                continue
            said = tools("console-consumer", "--topic", "mixed", "--partition", 0, "--offset",
                         "earliest", "--isolation-level", level, "--timeout-ms", 2000,
                         "--formatter-property", "print.key=true", "--formatter-property",
                         "print.value=false", "--formatter-property", "print.offset=true")
            found["java", level] = said.lines
            self.assertGreater(len(said.lines), 20)
        return found

    def latest(self, broker, partition, level):
        with wire.Client(broker.port) as client:
            answer = client.call("ListOffsets", 7, replica_id=-1,
                                 isolation_level=LEVELS.index(level),
                                 topics=[{"name": "mixed", "partitions": [
                                     {"partition_index": partition, "current_leader_epoch": -1,
                                      "timestamp": -1}]}])
        return answer["topics"][0]["partitions"][0]["offset"]

    def fetched(self, broker, offset, level, partition=0, max_bytes=1 << 20):
        with wire.Client(broker.port) as client:
            answer = client.call("Fetch", 12, replica_id=-1, max_wait_ms=0, min_bytes=0,
                                 max_bytes=max_bytes, isolation_level=LEVELS.index(level),
                                 session_id=0, session_epoch=-1, topics=[
                                     {"topic": "mixed", "partitions": [
                                         {"partition": partition, "current_leader_epoch": -1,
                                          "fetch_offset": offset, "last_fetched_epoch": -1,
                                          "log_start_offset": -1,
                                          "partition_max_bytes": max_bytes}]}],
                                 forgotten_topics_data=[], rack_id="")
        return answer["responses"][0]["partitions"][0]

    def aborted(self, broker):
        """The answer's fields about transactions, fetching from every offset a batch begins at."""
        end = self.latest(broker, 0, "read_uncommitted")
        found = {}
        nowhere = 7
        asked = [(0, offset) for offset in range(0, end + 2)]  # the last one is out of range
        for partition, offset in [*asked, (nowhere, 0)]:
            for level in LEVELS:
                one = self.fetched(broker, offset, level, partition)
                found[partition, offset, level] = (
                    {name: one[name] for name in ["error_code", "high_watermark",
                                                  "last_stable_offset", "log_start_offset"]},
                    one["aborted_transactions"])
        return found

    def verified(self):
        done = process.run([OPTIONS.binary, "log", "verify", self.data], check=False)
        return done.returncode, (done.stdout + done.stderr).decode()

    def indexes(self):
        return {path.name: path.read_bytes()
                for path in sorted((self.data / "mixed-0").glob("*.txnindex"))}

    def dumped_by_kafka(self, tools, names):
        """The entries of the indexes: producer, first, last and stable offset."""
        files = ",".join(str(self.data / "mixed-0" / name) for name in names)
        lines = [line for line in tools("dump-log", "--files", files).lines if "producerId" in line]
        return [[int(word) for word in re.findall(r"\d+", line)][-4:] for line in lines]

    def dumped(self, names):
        found = []
        for name in names:
            done = process.run([OPTIONS.binary, "log", "dump", "--output", "json",
                                self.data / "mixed-0" / name])
            for line in done.stdout.decode().splitlines():
                entry = json.loads(line)
                if entry["type"] != "aborted":
                    continue
                found.append([entry[field] for field in ["producer", "first_offset", "last_offset",
                                                         "last_stable_offset"]])
        return found

    def test_readers_see_what_kafka_showed_them(self):
        with JavaTools() as tools:
            with self.kafka() as kafka:
                tools.address = kafka.address
                tools("topics", "--create", "--topic", "mixed", "--partitions", 2, "--config",
                      "segment.bytes=1048576")
                self.assertEqual(run_script(kafka, SCRIPT)[-1], "commit a")
                told = self.seen(kafka, tools)
                answers = self.aborted(kafka)
            committed = "\n".join(told["kcat", "read_committed"])
            self.assertIn("rolled-committed", committed)
            self.assertNotIn("aborted", committed)
            self.assertNotIn("open", committed)
            self.assertIn("behind-open", "\n".join(told["kcat", "read_uncommitted"]))
            self.assertLess(told["latest", "read_committed", 0],
                            told["latest", "read_uncommitted", 0])
            kafkas = self.indexes()
            self.assertGreater(len(kafkas), 1)  # over a roll
            self.assertEqual(self.dumped_by_kafka(tools, kafkas), self.dumped(kafkas))
            code, text = self.verified()
            self.assertEqual(code, 0, text)

            with self.keelson("--adopt") as keelson:
                tools.address = keelson.address
                self.assertEqual(told, self.seen(keelson, tools))
                self.compare(answers, self.aborted(keelson))
                self.assertEqual(kafkas, self.indexes())
                text = keelson.log_text()
                self.assertIn("mixed-0: the transaction of producer", text)
                self.assertIn(f"offset {told['latest', 'read_committed', 0]} was left open", text)
                self.assertNotIn("aborted transactions of segment", text)
            self.assertEqual(kafkas, self.indexes())
            code, text = self.verified()
            self.assertEqual(code, 0, text)

            with self.keelson() as keelson:  # a clean stop is believed
                self.compare(answers, self.aborted(keelson))
                keelson.kill()
                keelson.start()  # the tail is recovered
                self.compare(answers, self.aborted(keelson))
                self.assertEqual(kafkas, self.indexes())
                keelson.kill()
                for name in kafkas:
                    (self.data / "mixed-0" / name).unlink()
                keelson.start()
                self.compare(answers, self.aborted(keelson))
                self.assertEqual(kafkas, self.indexes())
                self.assertIn("aborted transactions of segment", keelson.log_text())

            with self.kafka() as kafka:
                tools.address = kafka.address
                self.assertEqual(told, self.seen(kafka, tools))
                self.assertEqual(kafkas, self.indexes())
                # As the log said: Kafka ends what was left open.
                tools("transactions", "abort", "--topic", "mixed", "--partition", 0,
                      "--start-offset", told["latest", "read_committed", 0])
                told = self.seen(kafka)
                self.assertEqual(told["latest", "read_committed", 0],
                                 told["latest", "read_uncommitted", 0])
                kafka.kill()  # without a clean stop, too
                kafka.process = None

        with self.keelson() as keelson:
            self.assertEqual(told, self.seen(keelson))
            self.assertIn("behind-open", "\n".join(told["kcat", "read_committed"]))
            self.assertNotIn("was left open", keelson.log_text())

    def compare(self, kafkas, ours):
        """Kafka may name more aborted ones: its bound is an index entry behind the records."""
        self.assertEqual(kafkas.keys(), ours.keys())
        for key, (fields, aborted) in kafkas.items():
            self.assertEqual(fields, ours[key][0], key)
            if not aborted or ours[key][1] is None:
                self.assertEqual(aborted, ours[key][1], key)
                continue
            told = [one for one in aborted if one in ours[key][1]]
            self.assertEqual(told, ours[key][1], key)


if __name__ == "__main__":
    main()
