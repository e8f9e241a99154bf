"""Groups of the consumer protocol (KIP-848): request by request, and with real clients."""

import json
import re
import struct
import subprocess
import threading
import time
import unittest
import uuid

from lib import admin, packages, process, wire
from lib.broker import Broker, serve
from lib.javatools import JavaTools, java
from lib.options import is_kafka, main

_QUICK = {  # Kafka's bounds allow it: the lower ones are settings too
    "group.consumer.min.session.timeout.ms": "3000", "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.heartbeat.interval.ms": "200",
    "group.consumer.heartbeat.interval.ms": "500",
    "group.consumer.assignment.interval.ms": "0",
}


class Member:
    """Sends what it is told, and knows what it was answered."""

    def __init__(self, client, group, topics, **more):
        self.client, self.group, self.topics, self.more = client, group, topics, more
        self.id = str(uuid.uuid4())
        self.epoch = 0
        self.owned = {}

    def call(self, version=1, **fields):
        given = {"group_id": self.group, "member_id": self.id, "member_epoch": self.epoch}
        return self.client.call("ConsumerGroupHeartbeat", version, **{**given, **fields})

    def partitions(self):
        return [{"topic_id": topic, "partitions": sorted(numbers)}
                for topic, numbers in sorted(self.owned.items()) if numbers]

    def beat(self, **fields):
        if self.epoch == 0:
            fields = {"rebalance_timeout_ms": 60_000, "subscribed_topic_names": self.topics,
                      "topic_partitions": [], **self.more, **fields}
        else:
            fields = {"topic_partitions": self.partitions(), **fields}
        answer = self.call(**fields)
        if answer["error_code"] == 0:
            self.epoch = answer["member_epoch"]
            if answer["assignment"] is not None:
                self.owned = {topic["topic_id"]: set(topic["partitions"])
                              for topic in answer["assignment"]["topic_partitions"]}
        return wire.error_name(answer["error_code"])

    def count(self):
        return sum(map(len, self.owned.values()))


class Requests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = serve(cls, _QUICK)
        admin.create(cls.broker.port, "four", partitions=4)

    def setUp(self):
        self.client = self.enterContext(wire.Client(self.broker.port))
        self.group = f"g-{self._testMethodName}"
        admin.wait_until(lambda: self.client.call(
            "FindCoordinator", 4, key_type=0,
            coordinator_keys=[self.group])["coordinators"][0]["error_code"] == 0, "coordinator")

        def loaded():
            return self.client.call("ConsumerGroupDescribe", 0, group_ids=[self.group])[
                "groups"][0]["error_code"] == 69
        admin.wait_until(loaded, "the group's partition is loaded")

    def member(self, **more):
        return Member(self.client, self.group, ["four"], **more)

    def described(self):
        return self.client.call("ConsumerGroupDescribe", 1, group_ids=[self.group])["groups"][0]

    def test_malformed_calls(self):
        full = {"member_epoch": 0, "rebalance_timeout_ms": 1000, "topic_partitions": [],
                "subscribed_topic_names": ["four"]}
        table = [
            ("INVALID_REQUEST", {"group_id": ""}),
            ("INVALID_REQUEST", {"member_id": ""}),
            ("INVALID_REQUEST", {"instance_id": ""}),
            ("INVALID_REQUEST", {"rack_id": ""}),
            ("INVALID_REQUEST", {"rebalance_timeout_ms": -1}),
            ("INVALID_REQUEST", {"topic_partitions": None}),
            ("INVALID_REQUEST", {"topic_partitions": [
                {"topic_id": uuid.uuid4(), "partitions": [1]}]}),
            ("INVALID_REQUEST", {"subscribed_topic_names": None}),
            ("INVALID_REQUEST", {"member_epoch": -3}),
            ("INVALID_REQUEST", {"member_epoch": -2}),
            ("UNSUPPORTED_ASSIGNOR", {"server_assignor": "mine"}),
            ("INVALID_REGULAR_EXPRESSION", {"subscribed_topic_regex": "("}),
            ("GROUP_ID_NOT_FOUND", {"member_epoch": 1}),
            ("GROUP_ID_NOT_FOUND", {"member_epoch": -1}),
        ]
        for expected, change in table:
            with self.subTest(expected, **change):
                answer = self.member().call(**{**full, **change})
                self.assertEqual(wire.error_name(answer["error_code"]), expected,
                                 answer["error_message"])
                self.assertIsNone(answer["member_id"])
        answer = self.member().call(version=0, **{**full, "member_id": ""})
        self.assertEqual(answer["error_code"], 0)
        self.assertRegex(answer["member_id"], "^[A-Za-z0-9_-]{22}$")

    def test_partitions_change_hands_when_they_are_given_up(self):
        one, two = self.member(), self.member()
        self.assertEqual(one.beat(), "NONE")
        first = one.epoch
        self.assertEqual(first, 2)
        self.assertEqual(one.count(), 4)
        self.assertEqual(two.beat(), "NONE")
        self.assertEqual((two.epoch, two.count()), (first + 1, 0))
        before = dict(one.owned)
        self.assertEqual(one.beat(), "NONE")
        self.assertEqual((one.epoch, one.count()), (first, 2))
        still = one.call(topic_partitions=[{"topic_id": topic, "partitions": sorted(numbers)}
                                           for topic, numbers in before.items()])
        self.assertEqual((still["member_epoch"], still["assignment"]), (first, None))
        two.beat()
        self.assertEqual(two.count(), 0)
        group = self.described()
        self.assertEqual((group["group_state"], group["group_epoch"], group["assignment_epoch"],
                          group["assignor_name"]), ("Reconciling", first + 1, first + 1, "uniform"))
        one.beat()
        self.assertEqual(one.epoch, first + 1)
        two.beat()
        self.assertEqual(two.count(), 2)
        group = self.described()
        self.assertEqual(group["group_state"], "Stable")
        self.assertEqual({m["member_id"]: m["member_epoch"] for m in group["members"]},
                         {one.id: first + 1, two.id: first + 1})
        self.assertEqual({m["member_type"] for m in group["members"]}, {1})
        for shown in group["members"]:
            self.assertEqual(shown["assignment"], shown["target_assignment"])

    def test_epochs(self):
        one = self.member()
        one.beat()
        for step, expected in [(1, "FENCED_MEMBER_EPOCH"), (0, "NONE"), (9, "FENCED_MEMBER_EPOCH")]:
            answer = one.call(member_epoch=one.epoch + step)
            self.assertEqual(wire.error_name(answer["error_code"]), expected, step)
        stranger = self.member()
        self.assertEqual(wire.error_name(stranger.call(member_epoch=1)["error_code"]),
                         "UNKNOWN_MEMBER_ID")
        self.assertEqual(wire.error_name(stranger.call(member_epoch=-1)["error_code"]),
                         "UNKNOWN_MEMBER_ID")
        one.epoch = 0
        self.assertEqual(one.beat(), "NONE")  # comes back
        self.assertEqual(one.count(), 4)

    def test_a_lost_answer(self):
        one, two = self.member(), self.member()
        one.beat()
        two.beat()
        one.beat()
        lost = one.call(topic_partitions=one.partitions())  # a new epoch, not heard of
        self.assertEqual(lost["member_epoch"], one.epoch + 1)
        again = one.call(topic_partitions=one.partitions())
        self.assertEqual((again["error_code"], again["member_epoch"]), (0, one.epoch + 1))
        bad = one.call(topic_partitions=[{"topic_id": uuid.uuid4(), "partitions": [0]}])
        self.assertEqual(wire.error_name(bad["error_code"]), "FENCED_MEMBER_EPOCH")
        bad = one.call(topic_partitions=None)
        self.assertEqual(wire.error_name(bad["error_code"]), "FENCED_MEMBER_EPOCH")

    def test_an_answer_lost_in_an_epoch_that_stays(self):
        """A client that repeats the same heartbeat learns what it has missed; from Kafka it does
        not, before it asks in full."""
        one, two = self.member(), self.member()
        one.beat()
        one.beat()
        self.assertIsNone(one.call()["assignment"])
        two.beat()

        def told(member):
            answer = member.call()
            self.assertEqual(answer["member_epoch"], member.epoch)
            assignment = answer["assignment"]
            return None if assignment is None else sum(
                len(topic["partitions"]) for topic in assignment["topic_partitions"])
        repeated = None if is_kafka() else 2
        self.assertEqual([told(one) for _ in range(3)], [2, repeated, repeated])
        full = one.call(rebalance_timeout_ms=60_000, subscribed_topic_names=["four"],
                        topic_partitions=one.partitions())
        self.assertEqual(len(full["assignment"]["topic_partitions"][0]["partitions"]), 2)
        one.owned = {topic["topic_id"]: set(topic["partitions"])
                     for topic in full["assignment"]["topic_partitions"]}
        one.beat()
        self.assertIsNone(one.call()["assignment"])
        self.assertEqual([told(two) for _ in range(3)], [2, repeated, repeated])

    def test_who_must_give_up_more_stays_in_its_epoch(self):
        one = self.member()
        one.beat()
        first = one.epoch
        seen = []
        for joining in (1, 2, 0):
            for _ in range(joining):
                self.member().beat()
            one.beat()
            seen.append((one.count(), one.epoch - first))
        self.assertEqual(seen, [(2, 0), (1, 0), (1, 3)])

    def test_static_members(self):
        one = self.member(instance_id="i1")
        self.assertEqual(one.beat(), "NONE")
        other = self.member(instance_id="i1")
        self.assertEqual(other.beat(), "UNRELEASED_INSTANCE_ID")
        answer = other.call(member_epoch=1, instance_id="i1")
        self.assertEqual(wire.error_name(answer["error_code"]), "FENCED_INSTANCE_ID")
        answer = other.call(member_epoch=1, instance_id="i2")
        self.assertEqual(wire.error_name(answer["error_code"]), "UNKNOWN_MEMBER_ID")
        answer = one.call(member_epoch=-2, instance_id="i1")
        self.assertEqual((answer["error_code"], answer["member_epoch"]), (0, -2))
        self.assertEqual([m["member_epoch"] for m in self.described()["members"]], [-2])
        self.assertEqual(other.beat(), "NONE")
        self.assertEqual((other.epoch, other.count()), (one.epoch, 4))
        self.assertEqual([m["member_id"] for m in self.described()["members"]], [other.id])
        answer = one.call(member_epoch=1, instance_id="i1")
        self.assertEqual(wire.error_name(answer["error_code"]), "FENCED_INSTANCE_ID")

    def test_a_static_member_that_comes_again_without_having_left(self):
        """As one that was fenced has to. Kafka refuses it, which ends a client."""
        one = self.member(instance_id="i1")
        one.beat()
        one.epoch = 0
        self.assertEqual(one.beat(), "UNRELEASED_INSTANCE_ID" if is_kafka() else "NONE")

    def test_a_classic_member_in_the_place_of_the_last_of_the_new_protocol(self):
        self.member(instance_id="i1").beat()

        def kind():
            return [(g["group_type"], g["group_state"])
                    for g in self.client.call("ListGroups", 5)["groups"]
                    if g["group_id"] == self.group]
        self.assertEqual(kind(), [("consumer", "Stable")])
        topics = struct.pack(">ih4s", 1, 4, b"four")
        joined = self.client.call(
            "JoinGroup", 9, group_id=self.group, session_timeout_ms=6000,
            rebalance_timeout_ms=6000, member_id="", group_instance_id="i1",
            protocol_type="consumer", reason=None,
            protocols=[{"name": "range",
                        "metadata": struct.pack(">h", 1) + topics + struct.pack(">ii", -1, 0)}])
        self.assertEqual(wire.error_name(joined["error_code"]), "NONE")
        self.assertEqual(kind(), [("classic", "Stable")])
        synced = self.client.call(
            "SyncGroup", 5, group_id=self.group, generation_id=joined["generation_id"],
            member_id=joined["member_id"], group_instance_id="i1", protocol_type="consumer",
            protocol_name=joined["protocol_name"], assignments=[])
        self.assertEqual(wire.error_name(synced["error_code"]), "NONE")
        self.assertEqual(synced["assignment"][2:32], topics + struct.pack(">5i", 4, 0, 1, 2, 3))
        beat = self.client.call("Heartbeat", 4, group_id=self.group, group_instance_id="i1",
                                generation_id=joined["generation_id"],
                                member_id=joined["member_id"])
        self.assertEqual(wire.error_name(beat["error_code"]), "NONE")

    def test_leaving_and_silence(self):
        one, two = self.member(), self.member()
        for _ in range(3):
            one.beat()
            two.beat()
        answer = one.call(member_epoch=-1)
        self.assertEqual((answer["error_code"], answer["member_epoch"]), (0, -1))
        two.beat()
        self.assertEqual(two.count(), 4)
        admin.wait_until(lambda: self.described()["group_state"] == "Empty", "two's session ends")
        self.assertEqual(self.described()["members"], [])
        deleted = self.client.call("DeleteGroups", 2, groups_names=[self.group])
        self.assertEqual(deleted["results"][0]["error_code"], 0)
        gone = self.described()
        self.assertEqual((wire.error_name(gone["error_code"]), gone["error_message"]),
                         ("GROUP_ID_NOT_FOUND", f"Group {self.group} not found."))

    def test_topics_that_grow_are_noticed(self):
        admin.create(self.broker.port, "grows", partitions=1)
        one = Member(self.client, self.group, ["grows", "comes"])
        one.beat()
        self.assertEqual(one.count(), 1)
        self.client.call("CreatePartitions", 3, timeout_ms=10_000,
                         topics=[{"name": "grows", "count": 3, "assignments": None}])
        admin.create(self.broker.port, "comes", partitions=2)
        admin.wait_until(lambda: one.beat() == "NONE" and one.count() == 5, "five partitions")

    def test_offsets_of_members(self):
        one = self.member()
        one.beat()

        def commit(member, epoch, version=9):
            answer = self.client.call(
                "OffsetCommit", version, group_id=self.group, member_id=member,
                generation_id_or_member_epoch=epoch, topics=[{"name": "four", "partitions": [
                    {"partition_index": 0, "committed_offset": 5}]}])
            return wire.error_name(answer["topics"][0]["partitions"][0]["error_code"])

        self.assertEqual(commit(one.id, one.epoch), "NONE")
        self.assertEqual(commit(one.id, one.epoch + 1), "STALE_MEMBER_EPOCH")
        self.assertEqual(commit(one.id, 0), "STALE_MEMBER_EPOCH")
        self.assertEqual(commit(one.id, one.epoch, version=8), "UNSUPPORTED_VERSION")
        self.assertEqual(commit("", -1), "UNKNOWN_MEMBER_ID")

        def fetch(member, epoch):
            group = self.client.call("OffsetFetch", 9, groups=[{
                "group_id": self.group, "member_id": member, "member_epoch": epoch,
                "topics": [{"name": "four", "partition_indexes": [0]}]}])["groups"][0]
            return wire.error_name(group["error_code"])

        self.assertEqual(fetch(one.id, one.epoch), "NONE")
        self.assertEqual(fetch(one.id, one.epoch + 1), "STALE_MEMBER_EPOCH")
        self.assertEqual(fetch("x", 1), "UNKNOWN_MEMBER_ID")
        self.assertEqual(fetch(None, -1), "NONE")
        deleted = self.client.call("OffsetDelete", 0, group_id=self.group, topics=[
            {"name": "four", "partitions": [{"partition_index": 0}]}])
        self.assertEqual(wire.error_name(
            deleted["topics"][0]["partitions"][0]["error_code"]), "GROUP_SUBSCRIBED_TO_TOPIC")
        self.assertEqual(wire.error_name(self.client.call(
            "DeleteGroups", 2, groups_names=[self.group])["results"][0]["error_code"]),
            "NON_EMPTY_GROUP")
        listed = self.client.call("ListGroups", 5, types_filter=["consumer"])["groups"]
        found = [g for g in listed if g["group_id"] == self.group]
        self.assertEqual([(g["group_type"], g["group_state"], g["protocol_type"]) for g in found],
                         [("consumer", "Stable", "consumer")])
        classic = self.client.call("DescribeGroups", 6, groups=[self.group])["groups"][0]
        self.assertEqual((wire.error_name(classic["error_code"]), classic["group_state"]),
                         ("GROUP_ID_NOT_FOUND", "Dead"))

    def test_settings_of_a_group(self):
        one = self.member()
        one.beat()
        self.assertEqual(one.call()["heartbeat_interval_ms"], 500)
        answer = self.client.call("IncrementalAlterConfigs", 1, resources=[{
            "resource_type": 32, "resource_name": self.group, "configs": [
                {"name": "consumer.heartbeat.interval.ms", "config_operation": 0,
                 "value": "700"}]}])
        self.assertEqual(answer["responses"][0]["error_code"], 0, answer)
        admin.wait_until(lambda: one.call()["heartbeat_interval_ms"] == 700, "the group's own")
        other = Member(self.client, self.group + "-2", ["four"])
        admin.wait_until(lambda: other.beat() == "NONE", "another group")
        self.assertEqual(other.call()["heartbeat_interval_ms"], 500)

    def test_ranges(self):
        sizes = {"seven": 7, "five": 5}
        for topic, partitions in sizes.items():
            admin.create(self.broker.port, topic, partitions=partitions)
        names = {admin.topic_id(self.client, topic): topic for topic in sizes}
        wanted = [["five", "seven"], ["seven"], ["five", "seven"]]
        members = [Member(self.client, self.group, topics, server_assignor="range")
                   for topics in wanted]
        members[2].more["instance_id"] = "static"  # goes first
        for number, member in enumerate(members):
            member.id = str(uuid.UUID(int=number + 1))

        def beat_all():
            for member in members:
                more = {} if member is not members[2] else {"instance_id": "static"}
                self.assertEqual(member.beat(**more), "NONE")
            return self.described()["group_state"] == "Stable"

        admin.wait_until(beat_all, "all have their share")
        found = [{names[topic]: sorted(numbers) for topic, numbers in member.owned.items()}
                 for member in members]
        self.assertEqual(found, [{"five": [3, 4], "seven": [3, 4]}, {"seven": [5, 6]},
                                 {"five": [0, 1, 2], "seven": [0, 1, 2]}])

    def test_patterns(self):
        for name in ("re-1", "re-2", "xre-1"):
            admin.create(self.broker.port, name, partitions=1)
        one = Member(self.client, self.group, [], subscribed_topic_regex="re-.*")
        one.beat()
        admin.wait_until(lambda: one.beat() == "NONE" and one.count() == 2, "what matches")
        shown = self.described()["members"][0]
        self.assertEqual(shown["subscribed_topic_regex"], "re-.*")


class Program:
    """One protocol_member.py, and what it said."""

    def __init__(self, address, group, topic, instance="", protocol="consumer"):
        self.process = process.start(
            [packages.python(), "-B", packages.PROGRAMS / "protocol_member.py", address, group, topic,
             instance, protocol], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.owned, self.values, self.errors = [], [], []
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            said = json.loads(line)
            if "owned" in said:
                self.owned = [tuple(one) for one in said["owned"]]
            elif "value" in said:
                self.values.append(said["value"])
            else:
                self.errors.append(said["error"])

    def kill(self):
        self.process.kill()
        self._end()

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(30)
        finally:
            self._end()

    def _end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self.reader.join()
        self.process.stdout.close()
        self.process.stdin.close()


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        packages.tool_server_classpath()
        packages.python()
        cls.broker = serve(cls, _QUICK)
        cls.tool = cls.enterClassContext(JavaTools(cls.broker.address))

    def rows(self, *arguments):
        lines = [line.split() for line in self.tool("consumer-groups", *arguments).lines]
        return [line for line in lines if line[0] not in ("GROUP", "TOPIC", "Consumer", "Warn:")]

    def produce(self, topic, values):
        self.tool("console-producer", "--topic", topic, stdin="".join(f"{v}\n" for v in values))

    def start(self, *arguments):
        member = Program(self.broker.address, *arguments)
        self.addCleanup(member.kill)
        return member

    def test_java_members_and_the_tools_that_describe_them(self):
        admin.create(self.broker.port, "java", partitions=4)
        self.produce("java", range(10))
        command = java("console-consumer", "--bootstrap-server", self.broker.address, "--topic",
                       "java", "--group", "jg", "--from-beginning", "--consumer-property",
                       "group.protocol=consumer", "--consumer-property",
                       "auto.commit.interval.ms=200")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        members = [process.start(command, **quiet)]
        try:
            admin.wait_until(lambda: [row[5] for row in self.rows("--describe", "--group", "jg")
                                      if len(row) > 6] == ["0"] * 4, "a member without lag", 60)
            members.append(process.start(command, **quiet))
            admin.wait_until(lambda: [row[-1] for row in self.rows(
                "--describe", "--group", "jg", "--members")] == ["2", "2"], "two members", 60)
            state = self.rows("--describe", "--group", "jg", "--state")
            self.assertEqual(state[0][-3:], ["uniform", "Stable", "2"])
            verbose = self.tool("consumer-groups", "--describe", "--group", "jg", "--members",
                                "--verbose").out
            self.assertIn("TARGET-ASSIGNMENT", verbose)
            listed = self.tool("consumer-groups", "--list", "--type").out
            self.assertRegex(listed, r"jg +Consumer")
            said = self.tool("consumer-groups", "--reset-offsets", "--group", "jg", "--topic",
                             "java", "--to-earliest", "--execute")
            self.assertIn("Assignments can only be reset if the group 'jg' is inactive, but the "
                          "current state is Stable.", said.out)
            process.end(members.pop())
            admin.wait_until(lambda: [row[-1] for row in self.rows(
                "--describe", "--group", "jg", "--members")] == ["4"], "one member", 60)
        finally:
            for member in members:
                process.end(member)
        admin.wait_until(lambda: self.rows("--describe", "--group", "jg", "--state")[0][-2:] ==
                         ["Empty", "0"], "nobody", 60)
        said = self.tool("consumer-groups", "--reset-offsets", "--group", "jg", "--topic", "java",
                         "--to-earliest", "--execute")
        self.assertEqual(len([line for line in said.lines if "java" in line]), 4, said)
        self.assertIn("was successful",
                      self.tool("consumer-groups", "--delete", "--group", "jg").out)

    def test_librdkafka_members_share_die_and_return(self):
        admin.create(self.broker.port, "shared", partitions=6)
        one = self.start("lg", "shared")
        admin.wait_until(lambda: len(one.owned) == 6, "all to the first", 60)
        two = self.start("lg", "shared")
        admin.wait_until(lambda: len(one.owned) == 3 and len(two.owned) == 3, "half to each", 60)
        self.assertEqual(len(set(one.owned) | set(two.owned)), 6)
        self.produce("shared", range(100))
        admin.wait_until(lambda: len(one.values) + len(two.values) == 100, "all records", 60)
        two.kill()
        admin.wait_until(lambda: len(one.owned) == 6, "all to the one that lives", 60)
        three = self.start("lg", "shared", "static-1")
        admin.wait_until(lambda: len(one.owned) == 3 and len(three.owned) == 3, "half again", 60)
        had = set(three.owned)
        three.close()
        four = self.start("lg", "shared", "static-1")
        admin.wait_until(lambda: set(four.owned) == had, "what it had", 60)
        self.assertEqual(len(one.owned), 3)
        self.assertEqual(one.errors + four.errors, [])
        one.close()
        admin.wait_until(lambda: len(four.owned) == 6, "all to the last", 60)

    def test_librdkafka_patterns(self):
        admin.create(self.broker.port, "pat-1", partitions=2)
        one = self.start("pg", "^pat-.*")
        admin.wait_until(lambda: len(one.owned) == 2, "the topic that is there", 60)
        admin.create(self.broker.port, "pat-2", partitions=1)
        admin.wait_until(lambda: len(one.owned) == 3, "the topic that came", 60)


class Migration(unittest.TestCase):
    """Members of both protocols in one group, and the way there and back."""

    def test_there_and_back(self):
        packages.tool_server_classpath()
        packages.python()
        broker = self.enterContext(Broker(_QUICK))
        admin.create(broker.port, "both", partitions=6)

        def start(protocol):
            member = Program(broker.address, "mg", "both", "", protocol)
            self.addCleanup(member.kill)
            return member

        def kind():
            with wire.Client(broker.port) as client:
                return [g["group_type"] for g in client.call("ListGroups", 5)["groups"]
                        if g["group_id"] == "mg"]

        def shares(*members):
            owned = [one for member in members for one in member.owned]
            return (len(owned) == len(set(owned)) == 6 and
                    max(len(m.owned) for m in members) - min(len(m.owned) for m in members) <= 1)

        old = [start("classic"), start("classic")]
        admin.wait_until(lambda: shares(*old), "halves", 60)
        self.assertEqual(kind(), ["classic"])
        new = [start("consumer")]
        admin.wait_until(lambda: shares(*old, *new), "thirds", 60)
        self.assertEqual(kind(), ["consumer"])
        with wire.Client(broker.port) as client:
            group = client.call("ConsumerGroupDescribe", 1, group_ids=["mg"])["groups"][0]
            self.assertEqual(sorted(m["member_type"] for m in group["members"]), [0, 0, 1])
        old.pop().close()
        new.append(start("consumer"))
        admin.wait_until(lambda: shares(*old, *new), "thirds of others", 60)
        old.pop().close()
        admin.wait_until(lambda: shares(*new), "all new", 60)
        self.assertEqual(kind(), ["consumer"])
        old = [start("classic")]
        admin.wait_until(lambda: shares(*old, *new), "one old again", 60)
        new.pop().close()
        new.pop().close()
        admin.wait_until(lambda: len(old[0].owned) == 6 and kind() == ["classic"], "all old", 60)
        old[0].close()
        self.assertEqual([m.errors for m in old + new], [[]])


    def test_java_there_and_back(self):
        packages.tool_server_classpath()
        broker = self.enterContext(Broker(_QUICK))
        tool = self.enterContext(JavaTools(broker.address))
        admin.create(broker.port, "both", partitions=6)

        def start(protocol):
            settings = [f"group.protocol={protocol}", "auto.commit.interval.ms=200"]
            if protocol == "classic":
                settings += ["heartbeat.interval.ms=500", "session.timeout.ms=6000"]
            member = process.start(
                java("console-consumer", "--bootstrap-server", broker.address, "--topic", "both",
                     "--group", "mj", "--from-beginning",
                     *(word for one in settings for word in ("--consumer-property", one))),
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.addCleanup(process.end, member)
            return member

        def shares():
            lines = tool("consumer-groups", "--describe", "--group", "mj", "--members").lines
            return sorted(line.split()[-1] for line in lines if line.startswith("mj "))

        def lag():
            lines = tool("consumer-groups", "--describe", "--group", "mj").lines
            return [line.split()[5] for line in lines if line.startswith("mj ")]

        members = [start("classic"), start("classic")]
        admin.wait_until(lambda: shares() == ["3", "3"], "halves", 60)
        members.append(start("consumer"))
        admin.wait_until(lambda: shares() == ["2", "2", "2"], "thirds", 60)
        tool("console-producer", "--topic", "both", stdin="".join(f"{n}\n" for n in range(60)))
        admin.wait_until(lambda: lag() == ["0"] * 6, "all read and committed", 60)
        process.end(members.pop())
        admin.wait_until(lambda: shares() == ["3", "3"], "halves again", 60)
        listed = tool("consumer-groups", "--list", "--type").out
        self.assertRegex(listed, r"mj +Classic")
        tool("console-producer", "--topic", "both", stdin="".join(f"{n}\n" for n in range(60)))
        admin.wait_until(lambda: lag() == ["0"] * 6, "all read again", 60)


class Restart(unittest.TestCase):
    def records(self, broker):
        """What Kafka's own decoder reads of the groups' topic."""
        out = ""
        with JavaTools() as tool:
            for folder in sorted(broker.data.glob("__consumer_offsets-*")):
                files = ",".join(str(f) for f in sorted(folder.glob("*.log")))
                out += tool("dump-log", "--offsets-decoder", "--files", files).out
        return out

    def test_members_go_on_and_kafka_reads_what_is_stored(self):
        packages.tool_server_classpath()
        packages.python()
        with Broker(_QUICK) as broker:
            admin.create(broker.port, "kept", partitions=4)
            one = Program(broker.address, "kg", "kept")
            two = Program(broker.address, "kg", "kept")
            self.addCleanup(one.kill)
            self.addCleanup(two.kill)
            admin.wait_until(lambda: len(one.owned) == 2 and len(two.owned) == 2, "halves", 60)
            before = (list(one.owned), list(two.owned))

            def group():
                with wire.Client(broker.port) as client:
                    return client.call("ConsumerGroupDescribe", 1, group_ids=["kg"])["groups"][0]

            known = group()
            broker.stop()
            dumped = self.records(broker)
            broker.start()
            admin.wait_until(lambda: group()["error_code"] == 0, "the group", 60)
            found = group()
            self.assertEqual((found["group_epoch"], found["assignment_epoch"]),
                             (known["group_epoch"], known["assignment_epoch"]))
            self.assertEqual({m["member_id"]: m["assignment"]["topic_partitions"]
                              for m in found["members"]},
                             {m["member_id"]: m["assignment"]["topic_partitions"]
                              for m in known["members"]})
            time.sleep(2)  # heartbeats of both: nothing moves
            self.assertEqual((one.owned, two.owned), before)
            self.assertEqual(group()["group_state"], "Stable")
            one.close()
            two.close()
        for number in (3, 5, 6, 7, 8):
            found = re.findall(rf'key: \{{"type":"{number}","data":(.*?)\}}\}}? payload: (.*)',
                               dumped)
            self.assertTrue(found, f"no record of type {number} in\n{dumped[:3000]}")
        self.assertNotIn("UNKNOWN", dumped)
        self.assertIn('"clientHost":"/127.0.0.1"', dumped)


if __name__ == "__main__":
    main()
