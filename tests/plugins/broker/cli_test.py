#!/usr/bin/env python3
"""The program `keelson` as people and scripts use it: exit codes, messages, signals, files.

    cli_test.py BINARY [unittest arguments]

Real processes, free ports, directories of their own.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

BINARY = None
START_SECONDS = 60


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def varint(number):
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def batch(values):
    """A record batch, magic 2, without keys and headers."""
    records = b""
    for i, value in enumerate(values):
        body = b"\0" + varint(0) + varint(i) + varint(-1) + varint(len(value)) + value + varint(0)
        records += varint(len(body)) + body
    tail = struct.pack(">hiqqqhii", 0, len(values) - 1, 1000, 1000, -1, -1, -1, len(values))
    tail += records
    after_length = struct.pack(">ibI", -1, 2, crc32c(tail)) + tail
    return struct.pack(">qi", 0, len(after_length)) + after_length


def produce(port, topic, values):
    """Produce version 3 with acks=all; the error code of the one partition."""
    records = batch(values)
    name = topic.encode()
    body = struct.pack(">hhiih", -1, -1, 10000, 1, len(name)) + name  # no transactional id
    body += struct.pack(">iii", 1, 0, len(records)) + records
    frame = struct.pack(">hhih", 0, 3, 1, -1) + body
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(struct.pack(">i", len(frame)) + frame)
        size = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))[0]
        answer = connection.recv(size, socket.MSG_WAITALL)
    at = 4 + 4 + 2 + len(name) + 4 + 4  # correlation id, topics, name, partitions, partition
    return struct.unpack_from(">h", answer, at)[0]


def keelson(*arguments, timeout=60):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True,
                          timeout=timeout)


class Broker:
    def __init__(self, data, *arguments):
        self.process = subprocess.Popen(
            [BINARY, "serve", "--data", str(data), "--listen", "127.0.0.1:0", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.port = None

    def wait_until_listening(self):
        for line in self.process.stdout:
            found = re.match(r"keelson: listening on 127\.0\.0\.1:(\d+)", line)
            if found:
                self.port = int(found[1])
                return self
        raise AssertionError("did not start: " + self.process.stderr.read())

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def end(self, *signals):
        for number in signals or (signal.SIGTERM,):
            self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=START_SECONDS)
        return self.process.returncode, errors

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


class CliTest(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="keelson-cli-",
                                                 dir=os.environ.get("KEELSON_TEST_DIR")))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.data = self.dir / "data"

    def fails(self, code, text, *arguments):
        done = keelson(*arguments)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertIn(text, done.stderr)
        return done

    def topic(self, broker, *arguments):
        return keelson("topic", *arguments, "--bootstrap-server", broker.address)

    # --- topic ---

    def test_topics_live_from_create_to_delete(self):
        with Broker(self.data).wait_until_listening() as broker:
            made = self.topic(broker, "create", "--topic", "orders", "--partitions", "3",
                              "--replication-factor", "1", "--config", "retention.ms=12345")
            self.assertEqual(made.returncode, 0, made.stderr)
            self.assertIn("created topic=orders", made.stdout)
            self.assertIn("partitions=3", made.stdout)
            again = self.topic(broker, "create", "orders")
            self.assertEqual(again.returncode, 1)
            self.assertIn("TOPIC_ALREADY_EXISTS", again.stderr)
            self.assertEqual(self.topic(broker, "create", "orders", "--if-not-exists").returncode, 0)

            self.assertEqual(self.topic(broker, "list").stdout, "orders\n")
            shown = self.topic(broker, "describe", "orders")
            self.assertIn("PartitionCount: 3\tReplicationFactor: 1\tConfigs: retention.ms=12345",
                          shown.stdout)
            self.assertEqual(shown.stdout.count("\tPartition: "), 3)
            shown = json.loads(self.topic(broker, "describe", "--output", "json").stdout)
            self.assertEqual([p["partition"] for p in shown["partitions"]], [0, 1, 2])
            self.assertEqual(shown["configs"], {"retention.ms": "12345"})

            changed = self.topic(broker, "alter", "orders", "--partitions", "4", "--config",
                                 "retention.bytes=7", "--delete-config", "retention.ms")
            self.assertEqual(changed.returncode, 0, changed.stderr)
            shown = self.topic(broker, "describe", "orders").stdout
            self.assertIn("PartitionCount: 4", shown)
            self.assertIn("Configs: retention.bytes=7\n", shown)

            self.assertEqual(self.topic(broker, "delete", "orders").returncode, 0)
            self.assertEqual(self.topic(broker, "list").stdout, "")
            self.assertEqual(self.topic(broker, "delete", "orders").returncode, 1)
            self.assertEqual(self.topic(broker, "delete", "orders", "--if-exists").returncode, 0)
            absent = self.topic(broker, "describe", "orders")
            self.assertEqual(absent.returncode, 1)
            self.assertIn("UNKNOWN_TOPIC_OR_PARTITION", absent.stderr)
            self.assertEqual(self.topic(broker, "list").stdout, "")  # asking made nothing

    def test_topic_refusals_say_why(self):
        with Broker(self.data).wait_until_listening() as broker:
            for arguments, text in [(("create", "a/b"), "INVALID_TOPIC_EXCEPTION"),
                                    (("create", "a", "--config", "x=1"), "INVALID_CONFIG"),
                                    (("create", "a", "--replication-factor", "3"),
                                     "INVALID_REPLICATION_FACTOR"),
                                    (("alter", "a", "--partitions", "2"),
                                     "UNKNOWN_TOPIC_OR_PARTITION")]:
                done = self.topic(broker, *arguments)
                self.assertEqual(done.returncode, 1, arguments)
                self.assertIn(text, done.stderr)
            for arguments in [("create",), ("create", "a", "--config", "novalue"), ("alter", "a"),
                              ("create", "a", "--partitions", "0"), ("list", "--output", "xml")]:
                self.assertEqual(self.topic(broker, *arguments).returncode, 2, arguments)

    def test_no_broker_and_no_broker_of_kafka(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        self.fails(1, "keelson serve", "topic", "list", "--bootstrap-server", f"127.0.0.1:{port}")
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = "127.0.0.1:%d" % silent.getsockname()[1]
            started = time.monotonic()
            self.fails(1, "no answer", "topic", "list", "--bootstrap-server", address,
                       "--timeout-ms", "300")
            self.assertLess(time.monotonic() - started, 20)
        for address in ("", "host:port", "127.0.0.1:0", "127.0.0.1:70000"):
            self.fails(1, "is not HOST:PORT", "topic", "list", "--bootstrap-server", address)

    # --- log ---

    def fill(self, end=signal.SIGTERM):
        with Broker(self.data).wait_until_listening() as broker:
            self.assertEqual(self.topic(broker, "create", "orders").returncode, 0)
            for i in range(5):
                values = [b"value %d" % i, b"\xff\x00\n", b"last"]
                self.assertEqual(produce(broker.port, "orders", values), 0)
            self.fails(1, "a broker serves", "log", "verify", self.data)
            broker.end(end)

    def snapshot(self):
        return {str(path): path.read_bytes() for path in self.data.rglob("*") if path.is_file()}

    def test_log_of_a_clean_stop(self):
        self.fill()
        before = self.snapshot()
        clean = keelson("log", "verify", self.data, "--records")
        self.assertEqual(clean.returncode, 0, clean.stdout + clean.stderr)
        self.assertIn("5 batches, 15 records", clean.stdout)
        self.assertNotIn("note", clean.stdout)
        summary = json.loads(keelson("log", "verify", self.data, "--output", "json").stdout)
        self.assertEqual((summary["clean"], summary["batches"]), (True, 5))
        lines = keelson("log", "dump", self.data, "--records", "--output", "json").stdout
        items = [json.loads(line) for line in lines.splitlines()]
        records = [item for item in items if item["type"] == "record"]
        self.assertEqual([record["offset"] for record in records], list(range(15)))
        self.assertEqual(records[0]["value"], "value 0")
        self.assertEqual(records[1]["value_hex"], "ff000a")
        batches = [item for item in items if item["type"] == "batch"]
        self.assertEqual({item["crc"] for item in batches}, {"ok"})
        self.assertEqual([item["base_offset"] for item in batches], [0, 3, 6, 9, 12])
        self.assertTrue({"manifest", "integrity", "topic_id", "epoch", "checkpoint"} <=
                        {item["type"] for item in items})
        self.assertEqual(self.snapshot(), before)

    def test_log_with_damage(self):
        self.fill()
        log = self.data / "orders-0" / "00000000000000000000.log"
        content = bytearray(log.read_bytes())
        content[70] ^= 1
        log.write_bytes(content)
        found = keelson("log", "verify", self.data / "orders-0")
        self.assertEqual(found.returncode, 1)
        self.assertIn("FINDING: orders-0/00000000000000000000.log at byte 0", found.stdout)
        self.assertIn("4 batches, 12 records", found.stdout)
        shown = keelson("log", "dump", log)
        self.assertIn("crc=WRONG", shown.stdout)
        self.assertEqual(shown.stdout.count("crc=ok"), 4)

    def test_log_of_a_kill_has_notes_only(self):
        self.fill(signal.SIGKILL)
        done = keelson("log", "verify", self.data)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("note:", done.stdout)
        self.assertIn("5 batches", done.stdout)

    def test_log_commands_refuse_other_directories(self):
        self.fails(2, "is not there", "log", "verify", self.dir / "absent")
        self.fails(2, "is not there", "log", "dump", self.dir / "absent")
        self.fails(2, "no data directory", "log", "verify", self.dir)

    # --- completions ---

    def test_completions_know_every_command(self):
        for shell in ("bash", "zsh", "fish"):
            done = keelson("completions", shell)
            self.assertEqual(done.returncode, 0, done.stderr)
            for word in ("topic", "describe", "bootstrap-server", "verify"):
                self.assertIn(word, done.stdout, shell)
            program = shutil.which(shell)
            if program:
                checked = subprocess.run([program, "-n"], input=done.stdout, text=True,
                                         capture_output=True)
                self.assertEqual(checked.returncode, 0, checked.stderr)
        script = keelson("completions", "bash").stdout
        ask = script + "COMP_WORDS=(keelson topic cr); COMP_CWORD=2; _keelson; echo ${COMPREPLY[@]}"
        done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True)
        self.assertEqual(done.stdout, "create\n")
        self.assertIn(".SS keelson log verify", keelson("completions", "man").stdout)
        self.fails(2, "", "completions", "tcsh")

    # --- serve ---

    def test_second_start_and_port_in_use(self):
        with Broker(self.data).wait_until_listening() as broker:
            self.fails(1, "another process serves", "serve", "--data", self.data, "--listen",
                       "127.0.0.1:0")
            self.fails(1, "is in use", "serve", "--data", self.dir / "other", "--listen",
                       broker.address)
            self.assertEqual(self.topic(broker, "list").returncode, 0)
            self.assertEqual(broker.end()[0], 0)

    def test_data_directories_that_cannot_be(self):
        self.fails(1, "does not exist", "serve", "--data", self.dir / "a" / "b", "--listen",
                   "127.0.0.1:0")
        self.assertFalse((self.dir / "a").exists())
        (self.dir / "file").write_text("text")
        self.fails(1, "it is a file", "serve", "--data", self.dir / "file", "--listen",
                   "127.0.0.1:0")
        foreign = self.dir / "foreign"
        foreign.mkdir()
        (foreign / "letter.txt").write_text("text")
        done = self.fails(1, "not a broker's", "serve", "--data", foreign, "--listen",
                          "127.0.0.1:0")
        self.assertEqual(done.stderr.count("not a broker's"), 1, done.stderr)
        self.assertEqual(os.listdir(foreign), ["letter.txt"])
        self.assertEqual((foreign / "letter.txt").read_text(), "text")

    def test_strays_of_kafka_are_taken_back_where_they_prove_what_they_are(self):
        with Broker(self.data).wait_until_listening() as broker:
            for topic in ("orders", "doubted"):
                self.assertEqual(self.topic(broker, "create", topic).returncode, 0)
                self.assertEqual(produce(broker.port, topic, [b"first"]), 0)
            self.assertEqual(broker.end()[0], 0)
        strays = {topic: self.data / f"{topic}-0.{'0123456789abcdef' * 2}-stray"
                  for topic in ("orders", "doubted")}
        for topic, stray in strays.items():
            (self.data / f"{topic}-0").rename(stray)
        metadata = strays["doubted"] / "partition.metadata"
        metadata.write_text("version: 0\ntopic_id: AAECAwQFBgcICQoLDA0ODw")
        with Broker(self.data).wait_until_listening() as broker:
            self.assertEqual(produce(broker.port, "orders", [b"second"]), 0)
            self.assertNotEqual(produce(broker.port, "doubted", [b"second"]), 0)
            code, log = broker.end()
            self.assertEqual(code, 0)
        self.assertRegex(log, r"put orders-0 aside as orders-0\.\S+-stray: taken back")
        self.assertRegex(log, r"doubted-0\.\S+-stray holds a partition .* do not agree")
        self.assertTrue(metadata.exists())
        shown = keelson("log", "dump", self.data / "orders-0", "--records").stdout
        self.assertIn("first", shown)
        self.assertIn("second", shown)

    def test_a_directory_says_who_its_broker_is(self):
        self.data.mkdir()
        meta = self.data / "meta.properties"
        kafkas = "version=1\nnode.id=3\ncluster.id=abcdefghijklmnopqrstuv\n" \
                 "directory.id=hAABAgMEBQYHCAkKCwwNDg\n"
        meta.write_text(kafkas)
        serve = ("serve", "--data", self.data, "--listen", "127.0.0.1:0")
        for text, arguments in (("--adopt", ()), ("belongs to broker 3", ("--adopt", "--set",
                                                                          "node.id=1"))):
            self.fails(1, text, *serve, *arguments)
            self.assertEqual(os.listdir(self.data), ["meta.properties"])
            self.assertEqual(meta.read_text(), kafkas)
        for arguments in (("--adopt",), (), ("--set", "node.id=3")):
            with Broker(self.data, *arguments).wait_until_listening() as broker:
                self.assertEqual(self.topic(broker, "create", "t" + "x" * len(arguments))
                                 .returncode, 0)
                self.assertEqual(broker.end()[0], 0)
        self.fails(1, "belongs to broker 3", *serve, "--set", "broker.id=1")
        self.assertIn("node.id=3", meta.read_text())

    def test_configuration_that_cannot_be(self):
        base = ("serve", "--data", self.data)
        self.fails(2, "retention.msx", *base, "--set", "retention.msx=4")
        self.fails(2, "listeners", *base, "--listen", "nonsense")
        self.fails(2, "", *base, "--config", self.dir / "absent.toml")
        self.fails(2, "", "nonsense")
        self.fails(2, "group.consumer.session.timeout.ms is 6000, and must be from", *base,
                   "--listen", "127.0.0.1:0", "--set", "group.consumer.session.timeout.ms=6000")
        self.assertFalse(self.data.exists())

    def test_stop_at_any_moment_of_start_up_is_clean(self):
        self.fill()
        for delay in (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5):
            with Broker(self.data) as broker:
                time.sleep(delay)
                code, errors = broker.end()
                # Before the program has begun, the signal's default ends it.
                self.assertIn(code, (0, -signal.SIGTERM), errors)
        done = keelson("log", "verify", self.data)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_both_signals_stop_cleanly(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with Broker(self.data).wait_until_listening() as broker:
                code, errors = broker.end(number)
                self.assertEqual(code, 0, errors)
                self.assertIn("stopped", errors)
            self.assertTrue((self.data / ".kafka_cleanshutdown").exists())

    def test_two_signals_end_it_and_nothing_is_lost(self):
        with Broker(self.data).wait_until_listening() as broker:
            self.assertEqual(self.topic(broker, "create", "orders").returncode, 0)
            self.assertEqual(produce(broker.port, "orders", [b"kept"]), 0)
            # A client in the middle of a request keeps the drain waiting.
            with socket.create_connection(("127.0.0.1", broker.port)) as slow:
                slow.sendall(struct.pack(">ih", 100, 3))
                code, errors = broker.end(signal.SIGTERM, signal.SIGINT)
                self.assertEqual(code, 1, errors)
                self.assertIn("stopped at once", errors)
        with Broker(self.data).wait_until_listening() as broker:
            self.assertEqual(self.topic(broker, "list").stdout, "orders\n")
            self.assertEqual(broker.end()[0], 0)
        done = keelson("log", "verify", self.data)
        self.assertIn("1 records", done.stdout)


if __name__ == "__main__":
    BINARY = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
