"""Bad requests get the answer that clients of Kafka expect, and nobody else notices.

Tables of requests and answers; beside all of it a healthy client writes and reads. Where Kafka
itself has a flaw the row says what it does instead, so that the tables run against both.
"""

import dataclasses
import gzip
import resource
import socket
import struct
import threading
import time
import typing
import unittest

from lib import admin, batch, bombs, wire
from lib.broker import serve
from lib.options import is_kafka, main

CLOSE, ANSWER, NOTHING = "the connection is closed", "an answer", "no answer"
TOO_LONG = 100 * 1024 * 1024 + 1
QUIET_S = 1.5  # how long nothing has to come to count as no answer
# What a page of load may cost a broker that has gone back to rest.
RSS_SLACK_KIB = 96 * 1024
DESCRIPTOR_SLACK = 3


class Healthy(threading.Thread):
    """Writes a record and reads it back, again and again. Notes any error and the slowest turn."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port = port
        self.turns = 0
        self.slowest_s = 0.0
        self.failure = None
        self.stopping = threading.Event()

    def run(self):
        try:
            with wire.Client(self.port, timeout_s=30) as client:
                while not self.stopping.wait(0.02):
                    began = time.monotonic()
                    value = b"turn %d" % self.turns
                    data = batch.encode([batch.Record(value=value)])
                    written = admin.produce(client, "healthy", data)
                    assert written["error_code"] == 0, written
                    read = admin.fetch(client, "healthy", written["base_offset"])
                    assert read["error_code"] == 0, read
                    assert batch.decode(read["records"])[0].value == value, read
                    self.turns += 1
                    self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error

    def check(self):
        if self.failure:
            raise AssertionError(f"the healthy client, turn {self.turns}: {self.failure!r}")


class BadRequests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit[1], 65536), limit[1]))
        cls.broker = serve(cls, {"auto.create.topics.enable": "false"})
        port = cls.broker.port
        admin.create(port, "healthy")
        admin.create(port, "t")
        admin.create(port, "compacted", cleanup_policy="compact")
        admin.create(port, "small", max_message_bytes=1000)
        cls.healthy = Healthy(port)
        cls.healthy.start()
        cls.addClassCleanup(cls.end_healthy)
        with wire.Client(port) as client:
            admin.produce(client, "t", batch.encode())
            wait_for_groups(client)
        time.sleep(0.5)
        cls.rss_kib = cls.broker.rss_kib()
        cls.descriptors = cls.broker.descriptors()

    @classmethod
    def end_healthy(cls):
        cls.healthy.stopping.set()
        cls.healthy.join(40)
        print(f"  healthy client: {cls.healthy.turns} turns, the slowest "
              f"{cls.healthy.slowest_s * 1000:.0f} ms", flush=True)
        cls.healthy.check()

    def tearDown(self):
        self.healthy.check()
        self.assertIsNone(self.broker.process.poll(), "the broker has ended")
        deadline = time.monotonic() + 20
        while True:
            here = self.broker.descriptors()
            if here <= self.descriptors + DESCRIPTOR_SLACK or is_kafka():
                break
            self.assertLess(time.monotonic(), deadline,
                            f"{here} descriptors, {self.descriptors} before")
            time.sleep(0.2)
        if not is_kafka():  # A JVM keeps what it once had.
            self.assertLess(self.broker.rss_kib(), self.rss_kib + RSS_SLACK_KIB, "KiB of RSS")

    def client(self, timeout_s=10):
        client = wire.Client(self.broker.port, timeout_s)
        self.addCleanup(client.close)
        return client

    # ---- frames

    def outcome(self, data, *, fin=False, timeout_s=10):
        """CLOSE, ANSWER or NOTHING to raw bytes on a new connection."""
        with wire.Client(self.broker.port, timeout_s) as client:
            try:
                client.send(data)
                if fin:
                    client.socket.shutdown(socket.SHUT_WR)
                client.answer()
                return ANSWER
            except wire.Closed:
                return CLOSE
            except wire.Silent:
                return NOTHING

    def table(self, rows):
        for name, data, expected in rows:
            with self.subTest(name):
                self.assertIn(self.outcome(data),
                              {expected} if isinstance(expected, str) else expected)

    def test_frames(self):
        whole = wire.request("Metadata", 1, topics=[])
        metadata = struct.pack(">hhi", 3, 1, 7)
        self.table([
            ("negative size", struct.pack(">i", -1), CLOSE),
            ("smallest size", struct.pack(">i", -2**31), CLOSE),
            ("size 0", struct.pack(">i", 0), CLOSE),
            ("size over the limit", struct.pack(">i", TOO_LONG) + b"x" * 100, CLOSE),
            ("largest size", struct.pack(">i", 2**31 - 1), CLOSE),
            ("text", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", CLOSE),
            ("1 byte", wire.frame(b"\0"), CLOSE),
            ("3 bytes", wire.frame(b"\0\x03\0"), CLOSE),
            ("header without correlation id", wire.frame(metadata[:4]), CLOSE),
            ("header without client id", wire.frame(metadata), CLOSE),
            ("client id past the end", wire.frame(metadata + b"\x01\xf4abc"), CLOSE),
            ("client id of length -2", wire.frame(metadata + b"\xff\xfe" + bytes(4)), ANSWER),
            ("null client id", wire.frame(metadata + b"\xff\xff" + bytes(4)), ANSWER),
            ("client id that is not UTF-8",
             wire.frame(wire.header(3, 1, 7, b"\xff\xfe\x80") + bytes(4)), ANSWER),
            ("one byte behind the body", wire.request("Metadata", 1, topics=[], extra=b"x"),
             ANSWER),
            ("1 MiB behind the body",
             wire.request("Metadata", 1, topics=[], extra=bytes(1 << 20)), ANSWER),
            ("a whole request", whole, ANSWER),
        ])

    def test_ends_of_connections(self):
        whole = wire.request("Metadata", 1, topics=[])
        self.assertEqual(self.outcome(whole, fin=True), ANSWER)
        for cut in range(len(whole)):
            with self.subTest(cut=cut):
                self.assertEqual(self.outcome(whole[:cut], fin=True), CLOSE)

    def test_all_before_a_bad_frame_is_answered(self):
        with self.client() as client:
            client.send(b"".join(wire.request("Metadata", 1, correlation=n, topics=[])
                                 for n in range(20)) + struct.pack(">i", -1))
            for n in range(20):
                self.assertEqual(wire.decode_answer("Metadata", 1, client.answer())[0], n)
            self.assertRaises(wire.Closed, client.answer)

    def test_unknown_apis_and_versions(self):
        rows = [(f"api key {key}", wire.frame(wire.header(key, 0, 1) + bytes(16)), CLOSE)
                for key in (-1, 4, 5, 6, 7, 52, 53, 56, 58, 62, 63, 999, 32767)]
        rows += [(f"{name} version {version}",
                  wire.frame(wire.header(wire.api(name)[0].key, version, 1) + bytes(64)), CLOSE)
                 for name, version in (("Metadata", -1), ("Metadata", 99), ("Fetch", 3),
                                       ("Fetch", 19), ("Produce", 99), ("CreateTopics", 1),
                                       ("ListOffsets", 0), ("JoinGroup", 32767))]
        self.table(rows)

    def test_api_versions_of_an_unknown_version(self):
        for version in (99, 5, -1, 32767):
            with self.subTest(version=version), self.client() as client:
                client.send(wire.frame(wire.header(18, version, 5, flexible=True)
                                       + b"\x02a\x02b\0"))
                correlation, body = wire.decode_answer("ApiVersions", 0, client.answer())
                self.assertEqual(correlation, 5)
                self.assertEqual(wire.error_name(body["error_code"]), "UNSUPPORTED_VERSION")
                self.assertEqual(body["api_keys"], [
                    {"api_key": 18, "min_version": 0, "max_version": 4}])
                self.assertEqual(client.call("ApiVersions", 0)["error_code"], 0)

    def test_api_versions_with_ill_formed_names(self):
        for name, version in (("", "1"), ("a", ""), ("a b", "1"), ("a", "ü"), ("-a", "1")):
            with self.subTest(name=name, version=version), self.client() as client:
                answer = client.call("ApiVersions", 3, client_software_name=name,
                                     client_software_version=version)
                self.assertEqual(wire.error_name(answer["error_code"]), "INVALID_REQUEST")
        head = wire.header(18, 3, 1, flexible=True)
        self.table([("null name", wire.frame(head + b"\0\x02b\0"), CLOSE),
                    ("no body", wire.frame(head), CLOSE)])

    def test_bodies_that_do_not_fit(self):
        metadata = wire.header(3, 1, 1)
        compact = wire.header(3, 12, 1, flexible=True)
        create = wire.header(19, 2, 1)
        tail = b"\x01\0\0"  # auto creation, topic authorizations, no tags
        huge = b"\xff\xff\xff\xff\x0f"  # 2^32 - 1
        produce = wire.header(0, 3, 1) + struct.pack(">hhi", -1, -1, 1000)
        one_partition = struct.pack(">ih1sii", 1, 1, b"t", 1, 0)
        self.table([
            ("array of 2^31-1", wire.frame(metadata + b"\x7f\xff\xff\xff"), CLOSE),
            ("array of 1000 in 4 bytes", wire.frame(metadata + b"\0\0\x03\xe8aaaa"), CLOSE),
            ("array of -2", wire.frame(create + b"\xff\xff\xff\xfe" + bytes(5)), CLOSE),
            ("null array of topics", wire.frame(create + b"\xff\xff\xff\xff" + bytes(5)), CLOSE),
            ("string past the end", wire.frame(metadata + b"\0\0\0\x01\x7f\xffabc"), CLOSE),
            ("null string", wire.frame(metadata + b"\0\0\0\x01\xff\xff"), CLOSE),
            ("string of -2", wire.frame(metadata + b"\0\0\0\x01\xff\xfe"), CLOSE),
            ("records past the end",
             wire.frame(produce + one_partition + b"\x7f\xff\xff\xff" + b"a" * 8), CLOSE),
            ("no body", wire.frame(metadata), CLOSE),
            ("compact array past the end", wire.frame(compact + b"\xff\x01" + tail), CLOSE),
            ("varint of 6 bytes", wire.frame(compact + b"\xff" * 5 + b"\x01" + tail), CLOSE),
            ("compact count of 2^32-1", wire.frame(compact + huge + b"\x01\0\0"), ANSWER),
            ("tag count of 2^32-1 in a body", wire.frame(compact + b"\x01\x01\0" + huge), ANSWER),
            ("tag count of 2^32-1 in the header",
             wire.frame(wire.header(3, 12, 1) + huge + b"\x01" + tail), {CLOSE, ANSWER}),
            ("tag past the end", wire.frame(compact + b"\x01\x01\0" + b"\x01\x05\x7fab"), CLOSE),
        ])

    def test_unknown_tags(self):
        head = wire.header(3, 12, 1, flexible=True) + b"\x01\x01\0"
        tag = lambda number: wire.varint(number) + b"\x03abc"
        self.table([
            ("one", wire.frame(head + b"\x01" + tag(77)), ANSWER),
            ("out of order", wire.frame(head + b"\x02" + tag(9) + tag(8)), ANSWER),
            ("twice", wire.frame(head + b"\x02" + tag(9) + tag(9)), ANSWER),
            ("50,000", wire.frame(head + wire.varint(50_000)
                                  + b"".join(tag(n) for n in range(50_000))), ANSWER),
            ("in the header", wire.frame(wire.header(3, 12, 1) + b"\x02" + tag(9) + tag(9)
                                         + b"\x01\x01\0\0"), ANSWER),
        ])

    # ---- Produce

    def produced(self, data, **more):
        """Name of the error, or CLOSE or NOTHING."""
        topic = more.pop("topic", "t")
        with wire.Client(self.broker.port, timeout_s=more.pop("timeout_s", 20)) as client:
            try:
                return wire.error_name(admin.produce(client, topic, data, **more)["error_code"])
            except wire.Closed:
                return CLOSE
            except wire.Silent:
                return NOTHING

    def test_produce(self):
        for row in produce_rows():
            wanted = row.kafka if is_kafka() and row.kafka else row.wanted
            with self.subTest(row.name):
                found = self.produced(row.data, **row.more)
                self.assertIn(found, wanted)
        # Nothing of what was refused is in the log, and it can still be written.
        with self.client() as client:
            self.assertEqual(admin.produce(client, "t", batch.encode())["error_code"], 0)

    def test_refused_batches_leave_nothing(self):
        if is_kafka():
            self.skipTest("Kafka stores some of them")
        admin.create(self.broker.port, "untouched")
        for row in produce_rows():
            if "NONE" not in row.wanted and not row.more.get("topic"):
                self.produced(row.data, **{**row.more, "topic": "untouched"})
        with self.client() as client:
            self.assertEqual(admin.list_offset(client, "untouched", 0, -1), (0, 0))

    def test_produce_without_answer(self):
        with self.client(timeout_s=QUIET_S) as client:
            body = {"acks": 0, "timeout_ms": 1000, "topic_data": [{
                "name": "t", "partition_data": [{"index": 0, "records": batch.encode()}]}]}
            client.send(wire.request("Produce", 9, **body))
            self.assertRaises(wire.Silent, client.answer)
            # The next answer is the next request's.
            client.correlation = 41
            self.assertEqual(client.call("ApiVersions", 0)["error_code"], 0)
            body["topic_data"][0]["name"] = "absent"
            client.send(wire.request("Produce", 9, **body))
            self.assertRaises(wire.Closed, client.answer)

    def test_bombs(self):
        now = self.broker.rss_kib()
        for name, codec, payload in (
                ("gzip, 300 MB", batch.GZIP, bombs.gzip_bomb(300 << 20)),
                ("lz4, 200 MB", batch.LZ4, bombs.lz4_bomb(50)),
                ("zstd, 2 GB", batch.ZSTD, bombs.zstd_bomb(16000))):
            with self.subTest(name, size=len(payload)):
                data = batch.encode(payload=payload, count=1, attributes=codec)
                began = time.monotonic()
                found = self.produced(data, timeout_s=60)
                print(f"  {name} in {len(payload)} bytes: {found}, "
                      f"{time.monotonic() - began:.1f} s", flush=True)
                # A limit on what comes out is as good as streaming it.
                self.assertIn(found, {"NONE"} if is_kafka() else {
                    "NONE", "INVALID_RECORD", "CORRUPT_MESSAGE", "MESSAGE_TOO_LARGE"})
                if not is_kafka():
                    self.assertLess(self.broker.rss_kib(), now + 64 * 1024, "KiB of RSS")

    # ---- other requests: rows of (name, api, version, body, path to the error code, names)

    def answers(self, rows):
        for name, api, version, body, path, wanted in rows:
            with self.subTest(name), self.client() as client:
                try:
                    found = client.call(api, version, **body)
                    for step in path:
                        found = found[step]
                    found = wire.error_name(found)
                except wire.Closed:
                    found = CLOSE
                self.assertIn(found, {wanted} if isinstance(wanted, str) else wanted)

    def test_topic_names(self):
        path = ["topics", 0, "error_code"]
        illegal = ["", ".", "..", "a" * 250, "a/b", "../up", "a\0b", "a b", "a\nb", "a:b", "*",
                   "ä", "日本"]
        self.answers([
            (f"{api} {name!r}", api, version, body(name), path, "INVALID_TOPIC_EXCEPTION")
            for name in illegal for api, version, body in (
                ("CreateTopics", 5, lambda name: create(name)),
                ("Metadata", 8, lambda name: {"topics": [{"name": name}]}))])
        self.answers([(f"legal {name!r}", "CreateTopics", 5, create(name), path, "NONE")
                      for name in ("...", "-", "b" * 249, "a.b")])
        self.answers([("a_b beside a.b", "CreateTopics", 5, create("a_b"), path,
                       "INVALID_TOPIC_EXCEPTION"),
                      ("twice", "CreateTopics", 5, create("a.b"), path, "TOPIC_ALREADY_EXISTS")])

    def test_create_topics(self):
        path = ["topics", 0, "error_code"]
        setting = lambda name, value: create("x", configs=[{"name": name, "value": value}])
        assigned = lambda *rows: [{"partition_index": p, "broker_ids": b} for p, b in rows]
        me = self.me()
        self.answers([(name, "CreateTopics", 5, body, path, wanted) for name, body, wanted in (
            ("0 partitions", create("x", num_partitions=0), "INVALID_PARTITIONS"),
            ("-5 partitions", create("x", num_partitions=-5), "INVALID_PARTITIONS"),
            ("2^31-1 partitions", create("x", num_partitions=2**31 - 1),
             {"POLICY_VIOLATION", "INVALID_PARTITIONS"}),
            ("factor 0", create("x", replication_factor=0), "INVALID_REPLICATION_FACTOR"),
            ("factor 32767", create("x", replication_factor=32767), "INVALID_REPLICATION_FACTOR"),
            ("unknown setting", setting("bogus", "1"), "INVALID_CONFIG"),
            ("ill-formed setting", setting("retention.ms", "soon"), "INVALID_CONFIG"),
            ("null setting", setting("retention.ms", None), "INVALID_CONFIG"),
            ("small segments", setting("segment.bytes", "10"), "INVALID_CONFIG"),
            ("broker 77", create("x", num_partitions=-1, replication_factor=-1,
                                 assignments=assigned((0, [77]))), "INVALID_REPLICA_ASSIGNMENT"),
            ("partitions 0 and 5", create("x", num_partitions=-1, replication_factor=-1,
                                          assignments=assigned((0, [me]), (5, [me]))),
             "INVALID_REPLICA_ASSIGNMENT"),
            ("assignment and count", create("x", num_partitions=1, replication_factor=-1,
                                            assignments=assigned((0, [me]))), "INVALID_REQUEST"),
            ("checked only", {**create("x"), "validate_only": True}, "NONE"),
            ("of no effect before", create("x"), "NONE"),
        )])

    def test_fetch(self):
        def body(offset=0, topic="t", partition=0, partition_max_bytes=1 << 20, **more):
            return {"replica_id": -1, "max_wait_ms": 10, "min_bytes": 0, "max_bytes": 1 << 20,
                    "topics": [{"topic": topic, "partitions": [{
                        "partition": partition, "fetch_offset": offset,
                        "partition_max_bytes": partition_max_bytes}]}], **more}

        one = ["responses", 0, "partitions", 0, "error_code"]
        whole = ["error_code"]
        absent = "UNKNOWN_TOPIC_OR_PARTITION"
        self.answers([(name, "Fetch", 11, asked, path, wanted) for name, asked, path, wanted in (
            ("offset too high", body(10**9), one, "OFFSET_OUT_OF_RANGE"),
            ("offset negative", body(-5), one, "OFFSET_OUT_OF_RANGE"),
            ("0 bytes", body(partition_max_bytes=0), one, "NONE"),
            ("-1 bytes", body(partition_max_bytes=-1), one,
             {"UNKNOWN_SERVER_ERROR", "NONE", "INVALID_REQUEST"}),
            ("-1 bytes in all", body(max_bytes=-1), one,
             {"UNKNOWN_SERVER_ERROR", "NONE", "INVALID_REQUEST"}),
            ("wait -1", body(max_wait_ms=-1, min_bytes=1), one, "NONE"),
            ("unknown session", body(session_id=4711, session_epoch=3), whole,
             "FETCH_SESSION_ID_NOT_FOUND"),
            ("session 0, epoch 5", body(session_id=0, session_epoch=5), whole,
             "FETCH_SESSION_ID_NOT_FOUND"),
            ("unknown topic", body(topic="absent"), one, absent),
            ("unknown partition", body(partition=5), one, absent),
            ("partition -1", body(partition=-1), one, absent),
            ("illegal topic", body(topic="../t"), one, absent),
        )])

    def test_groups(self):
        def join(**more):
            return {"group_id": "g", "session_timeout_ms": 10_000, "rebalance_timeout_ms": 10_000,
                    "member_id": "", "protocol_type": "consumer",
                    "protocols": [{"name": "range", "metadata": b"x"}], **more}

        self.answers([(name, "JoinGroup", 5, join(**more), ["error_code"], wanted)
                      for name, more, wanted in (
            ("empty group", {"group_id": ""}, "INVALID_GROUP_ID"),
            ("time-out 0", {"session_timeout_ms": 0}, "INVALID_SESSION_TIMEOUT"),
            ("time-out -1", {"session_timeout_ms": -1}, "INVALID_SESSION_TIMEOUT"),
            ("time-out 2^31-1", {"session_timeout_ms": 2**31 - 1}, "INVALID_SESSION_TIMEOUT"),
            ("unknown member", {"member_id": "nobody"}, "UNKNOWN_MEMBER_ID"),
            ("no protocol", {"protocols": []}, "INCONSISTENT_GROUP_PROTOCOL"),
            ("empty type", {"protocol_type": ""}, "INCONSISTENT_GROUP_PROTOCOL"),
        )])

        def commit(topic="t", partition=0, offset=1, metadata="", group="committed", **more):
            return {"group_id": group, "topics": [{"name": topic, "partitions": [{
                "partition_index": partition, "committed_offset": offset,
                "committed_metadata": metadata}]}], **more}

        with self.client() as client:
            admin.wait_until(lambda: client.call("OffsetFetch", 5, group_id="untouched", topics=[])
                             ["error_code"] == 0, "coordinator of untouched")
        self.answers([(name, "OffsetCommit", 7, body,
                       ["topics", 0, "partitions", 0, "error_code"], wanted)
                      for name, body, wanted in (
            ("much metadata", commit(metadata="m" * 5000), "OFFSET_METADATA_TOO_LARGE"),
            ("unknown topic", commit(topic="absent"), "UNKNOWN_TOPIC_OR_PARTITION"),
            ("unknown partition", commit(partition=9), "UNKNOWN_TOPIC_OR_PARTITION"),
            ("generation of no group",
             commit(group="untouched", generation_id_or_member_epoch=3, member_id="m"),
             "ILLEGAL_GENERATION"),
            ("offset -5", commit(offset=-5), "NONE"),
            ("empty group", commit(group=""), {"NONE", "INVALID_GROUP_ID"}),
        )])

    def test_coordinator_and_producer_ids(self):
        find = lambda kind: {"key": "k", "key_type": kind}
        start = lambda name, ms: {"transactional_id": name, "transaction_timeout_ms": ms}
        self.answers([
            ("coordinator of type 9", "FindCoordinator", 3, find(9), ["error_code"],
             "INVALID_REQUEST"),
            ("empty id", "InitProducerId", 2, start("", 1000), ["error_code"], "INVALID_REQUEST"),
        ])
        if is_kafka():  # Transactions come with their own suite.
            self.answers([("long time-out", "InitProducerId", 2, start("tx", 2**31 - 1),
                           ["error_code"], "INVALID_TRANSACTION_TIMEOUT")])

    # ---- load

    def test_claims_without_bytes(self):
        """Frames that announce 100 MiB and bring little cost what they brought."""
        held = []
        before = self.broker.rss_kib()
        slow = self.healthy.slowest_s
        try:
            for _ in range(4 if is_kafka() else 40):
                client = wire.Client(self.broker.port)
                client.send(struct.pack(">i", TOO_LONG - 1) + wire.header(0, 9, 1) + bytes(1000))
                held.append(client)
            time.sleep(2)
            self.healthy.check()
            if not is_kafka():
                self.assertLess(self.broker.rss_kib(), before + 32 * 1024, "KiB of RSS")
        finally:
            for client in held:
                client.close()
        print(f"  slowest healthy turn {slow * 1000:.0f} ms before, "
              f"{self.healthy.slowest_s * 1000:.0f} ms after", flush=True)

    def test_many_slow_connections(self):
        """500 at a byte a second, 500 idle: held, and others are served."""
        whole = wire.request("ApiVersions", 0)
        held = [wire.Client(self.broker.port, timeout_s=30) for _ in range(1000)]
        try:
            for at in range(5):
                for client in held[:500]:
                    client.send(whole[at:at + 1])
                self.healthy.check()
                time.sleep(1)
            for client in held[:500]:
                client.send(whole[5:])
            for client in held[500:]:
                client.send(whole)
            for client in held:
                self.assertEqual(
                    wire.decode_answer("ApiVersions", 0, client.answer())[1]["error_code"], 0)
        finally:
            for client in held:
                client.close()

    def test_resets(self):
        for turn in range(300):
            client = wire.Client(self.broker.port)
            client.send(wire.request("Metadata", 1, topics=None)[:turn % 40])
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()

    def test_ten_thousand_requests_in_one_write(self):
        count = 10_000
        data = b"".join(wire.request("ApiVersions", 0, correlation=n) for n in range(count))
        with self.client(timeout_s=60) as client:
            sender = threading.Thread(target=client.send, args=(data,))
            sender.start()
            for n in range(count):
                self.assertEqual(wire.decode_answer("ApiVersions", 0, client.answer())[0], n)
            sender.join(10)

    def test_clients_that_never_read(self):
        """8 clients ask again and again for all that there is, and do not take it."""
        admin.create(self.broker.port, "large")
        data = batch.encode([batch.Record(value=b"v" * 1_000_000)])
        with self.client(timeout_s=60) as client:
            for _ in range(64):
                self.assertEqual(admin.produce(client, "large", data)["error_code"], 0)
        before = self.broker.rss_kib()
        ask = wire.request("Fetch", 11, replica_id=-1, max_wait_ms=100, min_bytes=1,
                           max_bytes=128 << 20, topics=[{"topic": "large", "partitions": [{
                               "partition": 0, "fetch_offset": 0,
                               "partition_max_bytes": 128 << 20}]}])
        held = [wire.Client(self.broker.port) for _ in range(8)]
        try:
            for client in held:
                client.send(ask * 20)
            for _ in range(20):
                time.sleep(0.2)
                self.healthy.check()
                if not is_kafka():
                    # One response a connection may be under way.
                    self.assertLess(self.broker.rss_kib(), before + RSS_SLACK_KIB, "KiB of RSS")
        finally:
            for client in held:
                client.close()

    def me(self):
        with self.client() as client:
            return client.call("Metadata", 12, topics=[])["brokers"][0]["node_id"]


def wait_for_groups(client):
    """Kafka makes the topic of the groups when first asked, and takes its time."""
    ask = {"group_id": "first", "topics": [{"name": "t", "partitions": [
        {"partition_index": 0, "committed_offset": 0}]}]}

    def ready(group):
        client.call("FindCoordinator", 3, key=group, key_type=0)
        found = client.call("OffsetCommit", 7, **{**ask, "group_id": group})
        return found["topics"][0]["partitions"][0]["error_code"] == 0

    for group in ("first", "g", "committed"):
        admin.wait_until(lambda name=group: ready(name), f"coordinator of {group}")


def create(name, **more):
    topic = {"name": name, "num_partitions": 1, "replication_factor": 1, **more}
    return {"timeout_ms": 10_000, "topics": [topic]}


@dataclasses.dataclass
class Row:
    name: str
    data: bytes | None
    wanted: typing.Any  # names of errors
    kafka: typing.Any = None  # where Kafka has a flaw
    more: dict = dataclasses.field(default_factory=dict)


def produce_rows():
    """What is wrong with a Produce, and what it is answered."""
    record = batch.encode_record(batch.Record(), 0)
    good = batch.encode()
    now = int(time.time() * 1000)
    invalid, corrupt = {"INVALID_RECORD"}, {"CORRUPT_MESSAGE"}
    either = invalid | corrupt
    # Kafka gives up with an unknown error on these.
    unknown = either | {"UNKNOWN_SERVER_ERROR"}
    stored = {"NONE"}

    def squeezed(payload, codec, count=1):
        return batch.encode(payload=payload, count=count, attributes=codec)

    def records(payload, count=1):
        return batch.encode(payload=payload, count=count)

    two = [batch.Record(), batch.Record()]
    rows = [
        Row("good", good, stored),
        Row("null records", None, either | {"INVALID_REQUEST"}, {NOTHING}, {"timeout_s": 2}),
        Row("wrong checksum", batch.encode(crc=1), corrupt),
        Row("magic 3", batch.encode(magic=3), corrupt),
        Row("magic -1", batch.encode(magic=-1), corrupt),
        Row("magic 0", batch.encode(magic=0), invalid),
        Row("magic 1", batch.encode(magic=1), invalid),
        Row("length below a header's", batch.encode(length=20), corrupt),
        Row("length 0", batch.encode(length=0), corrupt),
        Row("length -1", batch.encode(length=-1), corrupt),
        Row("length 2^31-1", batch.encode(length=2**31 - 1), unknown),
        Row("length past the end", batch.encode(length=len(good) + 100), invalid),
        Row("base offset 5", batch.encode(base_offset=5), invalid),
        Row("base offset -1", batch.encode(base_offset=-1), invalid),
        Row("count too high", batch.encode(count=2, last_offset_delta=1), invalid),
        Row("count too low", batch.encode(two, count=1), invalid),
        Row("count 0", batch.encode(count=0), invalid),
        Row("count -1", batch.encode(count=-1), invalid),
        Row("count 2^31-1", batch.encode(count=2**31 - 1), invalid),
        Row("last offset delta 5", batch.encode(last_offset_delta=5), invalid),
        Row("last offset delta -1", batch.encode(last_offset_delta=-1), invalid),
        Row("last offset delta 2^31-1", batch.encode(last_offset_delta=2**31 - 1), invalid),
        Row("two batches", good + good, invalid),
        Row("empty records", b"", invalid),
        Row("10 bytes", b"0123456789", invalid),
        Row("record length too long", records(b"\x7e" + record[1:]), invalid),
        Row("record length negative", records(b"\x01" + record[1:]), invalid),
        Row("header count 2^31-1", records(headers_of(record, batch.zigzag(2**31 - 1))), invalid),
        Row("header count -1", records(headers_of(record, batch.zigzag(-1))), invalid),
        Row("header key of length -1",
            records(headers_of(record, batch.zigzag(1) + batch.zigzag(-1) + batch.zigzag(0))),
            invalid),
        Row("varint of 11 bytes", records(b"\x80" * 10 + b"\x01" + record[1:]), unknown),
        Row("codec 5", batch.encode(attributes=5), unknown),
        Row("codec 7", batch.encode(attributes=7), unknown),
        Row("offset deltas 0, 5", batch.encode(two, deltas=[0, 5]), invalid, stored),
        Row("offset deltas -1, 0", batch.encode(two, deltas=[-1, 0]), invalid, stored),
        Row("offset deltas 0, 0", batch.encode(two, deltas=[0, 0]), invalid, stored),
        Row("offset deltas 1, 0", batch.encode(two, deltas=[1, 0]), invalid, stored),
        Row("11 bytes behind the batch", good + b"x" * 11, stored),
        Row("control batch", batch.encode(attributes=batch.CONTROL), invalid),
        Row("producer id without a sequence", batch.encode(producer=(1000, 0, -1)), invalid),
        Row("producer id with epoch -1", batch.encode(producer=(1001, -1, 0)),
            invalid | {"INVALID_PRODUCER_EPOCH", "NONE"}, stored),
        Row("unknown producer id, sequence 7", batch.encode(producer=(990_007, 0, 7)), stored),
        Row("transactional batch, null id",
            batch.encode(attributes=batch.TRANSACTIONAL, producer=(1002, 0, 0)),
            {"TRANSACTIONAL_ID_AUTHORIZATION_FAILED"}),
        Row("two hours ahead", batch.encode(timestamp=now + 7_200_000), {"INVALID_TIMESTAMP"}),
        Row("timestamp negative", batch.encode(timestamp=-1000), stored),
        Row("largest timestamp wrong", batch.encode(max_timestamp=now - 100_000), stored),
        Row("above max.message.bytes", batch.encode([batch.Record(value=b"v" * 1500)]),
            {"MESSAGE_TOO_LARGE"}, more={"topic": "small"}),
        Row("unknown topic", good, {"UNKNOWN_TOPIC_OR_PARTITION"}, more={"topic": "absent"}),
        Row("illegal topic", good, {"UNKNOWN_TOPIC_OR_PARTITION", "INVALID_TOPIC_EXCEPTION"},
            {"UNKNOWN_TOPIC_OR_PARTITION"}, {"topic": "../t"}),
        Row("unknown partition", good, {"UNKNOWN_TOPIC_OR_PARTITION"}, more={"partition": 7}),
        Row("partition -1", good, {"UNKNOWN_TOPIC_OR_PARTITION"}, more={"partition": -1}),
        Row("internal topic", good, {"INVALID_TOPIC_EXCEPTION"},
            {"INVALID_TOPIC_EXCEPTION", "UNKNOWN_TOPIC_OR_PARTITION"},
            {"topic": "__consumer_offsets"}),
        Row("acks 2", good, {"INVALID_REQUIRED_ACKS"}, more={"acks": 2}),
        Row("acks -2", good, {"INVALID_REQUIRED_ACKS"}, more={"acks": -2}),
        Row("null key in a compacted topic", good, invalid, more={"topic": "compacted"}),
        Row("key in a compacted topic", batch.encode([batch.Record(key=b"k")]), stored,
            more={"topic": "compacted"}),
        Row("zstd before version 7",
            squeezed(bombs.zstd_frame([(0, len(record), record)]), batch.ZSTD),
            {"UNSUPPORTED_COMPRESSION_TYPE"}, more={"version": 6}),
        Row("zstd", squeezed(bombs.zstd_frame([(0, len(record), record)]), batch.ZSTD), stored),
        Row("gzip", squeezed(gzip.compress(record), batch.GZIP), stored),
        Row("gzip cut", squeezed(gzip.compress(record * 50)[:-20], batch.GZIP, 50), unknown),
        Row("zstd window of 2^41",
            squeezed(bombs.zstd_frame([(0, len(record), record)], 0xF8), batch.ZSTD), unknown),
        Row("snappy claims 4 GiB", squeezed(bombs.snappy_claim(2**32 - 1), batch.SNAPPY), unknown),
        Row("gzip with fewer records", squeezed(gzip.compress(record), batch.GZIP, 3), invalid),
        Row("gzip with other offsets", squeezed(gzip.compress(
            batch.encode_record(batch.Record(), 3)), batch.GZIP), invalid, unknown),
    ]
    rows += [Row(f"rubbish as codec {codec}", squeezed(b"this is no compressed data", codec),
                 unknown) for codec in (batch.GZIP, batch.SNAPPY, batch.LZ4, batch.ZSTD)]
    rows += [Row(f"nothing as codec {codec}", squeezed(b"", codec), unknown)
             for codec in (batch.GZIP, batch.SNAPPY, batch.LZ4, batch.ZSTD)]
    return rows


def headers_of(record, headers):
    """`record`, which has no header, with other bytes for its header count and headers."""
    body = record[1:-1] + headers
    return batch.zigzag(len(body)) + body


if __name__ == "__main__":
    main()
