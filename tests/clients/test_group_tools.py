"""kafka-consumer-groups and kafka-console-consumer of Kafka 4.3.1: every option, what it prints."""

import datetime
import re
import subprocess
import unittest

from lib import admin, batch, process, wire
from lib.javatools import java
from lib.options import main
from test_java_tools import Tools

HOUR_MS = 3_600_000
FIRST_MS = 1_750_000_000_000  # of the first record; one an hour
RECORDS = 10


def iso(ms):
    """As the tool takes a time: local, which is UTC where nothing else is said."""
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.timezone.utc).strftime(
        "%Y-%m-%dT%H:%M:%S.000Z")


class GroupTools(Tools):
    def group(self, *arguments):
        return self.tool("consumer-groups", *arguments)

    def rows(self, *arguments):
        """The lines that the tool prints, in words, without heads and warnings."""
        lines = [line.split() for line in self.group(*arguments).lines]
        return [line for line in lines if line[0] not in ("GROUP", "TOPIC", "Consumer", "Warn:")]

    def topic(self, name, partitions=2):
        """RECORDS records in each partition, an hour apart."""
        admin.create(self.broker.port, name, partitions, retention_ms=-1)
        with wire.Client(self.broker.port) as client:
            for partition in range(partitions):
                for number in range(RECORDS):
                    at_ms = FIRST_MS + number * HOUR_MS
                    answer = admin.produce(client, name, batch.encode(
                        [batch.Record(value=b"%d" % number)], timestamp=at_ms),
                        partition=partition)
                    self.assertEqual(answer["error_code"], 0)

    def commit(self, group, topic, *offsets):
        """For partitions 0, 1, …; makes the group where it is not there."""
        with wire.Client(self.broker.port) as client:
            def committed():  # Kafka makes the internal topic when it is asked who coordinates
                client.call("FindCoordinator", 3, key=group, key_type=0)
                answer = client.call("OffsetCommit", 7, group_id=group, topics=[{
                    "name": topic, "partitions": [
                        {"partition_index": p, "committed_offset": offset}
                        for p, offset in enumerate(offsets)]}])
                return all(p["error_code"] == 0 for p in answer["topics"][0]["partitions"])
            admin.wait_until(committed, f"{group} committed")

    def committed(self, group, topic):
        with wire.Client(self.broker.port) as client:
            answer = client.call("OffsetFetch", 7, group_id=group, topics=None)
        return {p["partition_index"]: p["committed_offset"] for t in answer["topics"]
                if t["name"] == topic for p in t["partitions"]}

    def member(self, topic, group, *more):
        """A console consumer that stays; ended with the test."""
        started = process.start(java(
            "console-consumer", "--bootstrap-server", self.broker.address, "--topic", topic,
            "--group", group, "--from-beginning", "--consumer-property",
            "auto.commit.interval.ms=200", *more),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.end, started)
        admin.wait_until(lambda: [row[5] for row in self.rows("--describe", "--group", group)
                                  if len(row) > 6] == ["0", "0"], "a member without lag", 40)
        return started


class Reset(GroupTools):
    def reset(self, group, *arguments):
        return sorted(self.rows("--reset-offsets", "--group", group, *arguments))

    def test_every_way(self):
        self.topic("ways")
        self.commit("w", "ways", 4, 6)
        # (arguments, offsets of partitions 0 and 1); each is tried first, then done.
        for arguments, wanted in (
                (["--to-current"], (4, 6)),
                (["--to-earliest"], (0, 0)),
                (["--to-latest"], (10, 10)),
                (["--to-offset", "3"], (3, 3)),
                (["--to-offset", "77"], (10, 10)),
                (["--shift-by", "-2"], (8, 8)),
                (["--shift-by", "-100"], (0, 0)),
                (["--shift-by", "5"], (5, 5)),
                (["--to-datetime", iso(FIRST_MS + 3 * HOUR_MS)], (3, 3)),
                (["--to-datetime", iso(FIRST_MS + 3 * HOUR_MS + 1000)], (4, 4)),
                (["--to-datetime", iso(FIRST_MS - HOUR_MS)], (0, 0)),
                (["--to-datetime", iso(FIRST_MS + 1000 * HOUR_MS)], (10, 10)),
                (["--by-duration", "P3000D"], (0, 0)),
                (["--by-duration", "PT1S"], (10, 10)),
                (["--to-current"], (10, 10))):
            with self.subTest(arguments=arguments):
                before = self.committed("w", "ways")
                rows = [["w", "ways", str(p), str(offset)] for p, offset in enumerate(wanted)]
                self.assertEqual(self.reset("w", "--topic", "ways", *arguments, "--dry-run"), rows)
                self.assertEqual(self.committed("w", "ways"), before)
                self.assertEqual(self.reset("w", "--topic", "ways", *arguments, "--execute"), rows)
                self.assertEqual(self.committed("w", "ways"), dict(enumerate(wanted)))

    def test_some_partitions_and_all_topics(self):
        self.topic("here")
        self.topic("there")
        self.commit("s", "here", 4, 6)
        self.assertEqual(self.reset("s", "--topic", "here:1", "--to-earliest", "--execute"),
                         [["s", "here", "1", "0"]])
        self.assertEqual(self.committed("s", "here"), {0: 4, 1: 0})
        self.commit("s", "there", 1, 2)
        self.assertEqual(self.reset("s", "--all-topics", "--to-offset", "9", "--execute"),
                         [["s", topic, p, "9"] for topic in ("here", "there") for p in "01"])
        # A group that is not there yet gets what it is given.
        self.assertEqual(self.reset("new-one", "--topic", "here", "--to-offset", "5", "--execute"),
                         [["new-one", "here", "0", "5"], ["new-one", "here", "1", "5"]])
        self.assertEqual(self.committed("new-one", "here"), {0: 5, 1: 5})
        self.assertIn(["new-one", "Empty"], self.rows("--list", "--state"))

    def test_export_and_from_file(self):
        self.topic("moved")
        self.commit("from", "moved", 4, 6)
        said = self.group("--reset-offsets", "--group", "from", "--topic", "moved", "--to-current",
                          "--export", "--dry-run")
        self.assertEqual(sorted(said.lines), ['moved,0,4', 'moved,1,6'])
        plan = self.broker.home / "plan.csv"
        plan.write_text(said.out)
        self.assertEqual(self.reset("to", "--from-file", plan, "--dry-run"),
                         [["to", "moved", "0", "4"], ["to", "moved", "1", "6"]])
        self.assertEqual(self.committed("to", "moved"), {})
        self.reset("to", "--from-file", plan, "--execute")
        self.assertEqual(self.committed("to", "moved"), {0: 4, 1: 6})
        # Several groups: their names are in the file.
        said = self.group("--reset-offsets", "--group", "from", "--group", "to", "--topic", "moved",
                          "--shift-by", "1", "--export", "--execute")
        self.assertEqual(sorted(said.lines), ['from,moved,0,5', 'from,moved,1,7',
                                              'to,moved,0,5', 'to,moved,1,7'])

    def test_groups_that_live_are_left_alone(self):
        self.topic("used")
        self.member("used", "lives")
        said = self.group("--reset-offsets", "--group", "lives", "--topic", "used",
                          "--to-earliest", "--execute")
        self.assertIn("Assignments can only be reset if the group 'lives' is inactive, but the "
                      "current state is Stable.", said.out)
        self.assertEqual(self.committed("lives", "used"), {0: 10, 1: 10})


class Look(GroupTools):
    def test_lists_by_state_and_type(self):
        self.topic("listed")
        self.commit("idle", "listed", 1, 1)
        self.member("listed", "awake")
        self.assertLessEqual({"idle", "awake"}, set(self.group("--list").lines))
        rows = self.rows("--list", "--state")
        self.assertIn(["idle", "Empty"], rows)
        self.assertIn(["awake", "Stable"], rows)
        self.assertNotIn(["awake", "Stable"], self.rows("--list", "--state", "Empty"))
        self.assertIn(["awake", "Stable"], self.rows("--list", "--state", "stable,empty"))
        self.assertIn(["awake", "Classic"], self.rows("--list", "--type"))
        self.assertIn(["idle", "Classic"], self.rows("--list", "--type", "classic"))
        self.assertEqual([row for row in self.rows("--list", "--type", "consumer")
                          if row[0] in ("idle", "awake")], [])
        self.assertIn(["awake", "Classic", "Stable"],
                      self.rows("--list", "--type", "classic", "--state", "Stable"))

    def test_describes_members_offsets_and_state(self):
        self.topic("shown")
        self.member("shown", "crew", "--consumer-property", "client.id=one")
        # One line a partition: offset, end, lag, and who has it.
        for arguments in ([], ["--offsets"], ["--offsets", "--verbose"]):
            rows = self.rows("--describe", "--group", "crew", *arguments)
            self.assertEqual([row[:3] for row in rows],
                             [["crew", "shown", "0"], ["crew", "shown", "1"]])
            for row in rows:
                self.assertEqual(row[-6:-3], ["10", "10", "0"], row)
                self.assertRegex(row[-3], r"^one-[0-9a-f-]{36}$")
                self.assertEqual(row[-2:], ["/127.0.0.1", "one"])
        members = self.rows("--describe", "--group", "crew", "--members", "--verbose")
        self.assertEqual(len(members), 1)
        self.assertRegex(" ".join(members[0]),
                         r"^crew one-[0-9a-f-]{36} /127\.0\.0\.1 one 2 .*shown[:(]0,1")
        state = self.rows("--describe", "--group", "crew", "--state", "--verbose")
        self.assertEqual(state[0][:4], ["crew", self.broker.address, f"({self.id})", "range"])
        self.assertIn("Stable", state[0])

    def test_all_groups_and_absent_ones(self):
        self.topic("every")
        self.commit("first", "every", 1, 1)
        self.commit("second", "every", 2, 2)
        rows = self.rows("--describe", "--all-groups")
        for name, offset in (("first", "1"), ("second", "2")):
            self.assertIn([name, "every", "0", offset, "10", str(10 - int(offset)), "-", "-", "-"],
                          rows)
        states = {row[0]: row[-2:] for row in self.rows("--describe", "--all-groups", "--state")}
        self.assertEqual(states["first"], ["Empty", "0"])
        said = self.group("--describe", "--group", "nobody", "--state")
        self.assertIn("GroupIdNotFoundException: Group nobody not found.", said.out + said.err)


class Removal(GroupTools):
    def test_groups(self):
        self.topic("gone")
        for name in ("a1", "a2", "a3"):
            self.commit(name, "gone", 1, 1)
        said = self.group("--delete", "--group", "a1", "--group", "a2")
        self.assertRegex(said.lines[0], r"^Deletion of requested consumer groups \('a[12]', 'a[12]'"
                                        r"\) was successful\.$")
        said = self.group("--delete", "--group", "a3", "--group", "a1")
        self.assertIn("* Group 'a1' could not be deleted due to: ", said.out)
        self.assertTrue(re.search("GroupIdNotFoundException: The group id does not exist.",
                                  said.out), said)
        self.assertEqual({"a1", "a2", "a3"} & set(self.group("--list").lines), set())
        self.member("gone", "stays")
        self.assertIn("The group is not empty", self.group("--delete", "--group", "stays").out)

    def test_offsets(self):
        self.topic("parts")
        self.commit("o", "parts", 3, 4)
        said = self.group("--delete-offsets", "--group", "o", "--topic", "parts:1")
        self.assertEqual(said.lines[0], "Request succeeded for deleting offsets from group o.")
        self.assertIn(["parts", "1", "Successful"], [line.split() for line in said.lines])
        self.assertEqual(self.committed("o", "parts"), {0: 3})
        said = self.group("--delete-offsets", "--group", "o", "--topic", "parts")
        self.assertEqual(self.committed("o", "parts"), {})
        self.member("parts", "subscribed")
        said = self.group("--delete-offsets", "--group", "subscribed", "--topic", "parts")
        self.assertIn("Encountered some partition-level error", said.out)
        self.assertIn("GroupSubscribedToTopicException", said.out)
        self.assertEqual(self.committed("subscribed", "parts"), {0: 10, 1: 10})


class ConsoleConsumer(GroupTools):
    def test_goes_on_where_its_group_stopped(self):
        self.topic("read", partitions=1)

        def read(count, *more):
            return self.tool("console-consumer", "--topic", "read", "--group", "reader",
                             "--max-messages", str(count), *more).lines

        self.assertEqual(read(3, "--from-beginning"), ["0", "1", "2"])
        self.assertEqual(read(3), ["3", "4", "5"])
        self.group("--reset-offsets", "--group", "reader", "--topic", "read", "--shift-by", "-1",
                   "--execute")
        self.assertEqual(read(5), ["5", "6", "7", "8", "9"])
        self.assertEqual(self.committed("reader", "read"), {0: 10})


class GroupConfigs(GroupTools):
    def configs(self, group, *arguments, check=True):
        return self.tool("configs", "--entity-type", "groups", "--entity-name", group, *arguments,
                         check=check)

    def dynamic(self, group):
        lines = self.configs(group, "--describe").lines
        return dict(re.match(r"\s*(\S+?)=(\S*)", line).groups() for line in lines[1:])

    def test_set_shown_kept_and_taken_back(self):
        said = self.configs("tuned", "--alter", "--add-config",
                            "consumer.session.timeout.ms=50000,consumer.heartbeat.interval.ms=7000")
        self.assertEqual(said.lines, ["Completed updating config for group tuned."])
        wanted = {"consumer.session.timeout.ms": "50000", "consumer.heartbeat.interval.ms": "7000"}
        admin.wait_until(lambda: self.dynamic("tuned") == wanted, "settings are shown")
        self.broker.restart()
        admin.wait_until(lambda: self.dynamic("tuned") == wanted, "settings are shown")
        everything = self.configs("tuned", "--describe", "--all").out
        self.assertIn("consumer.session.timeout.ms=50000 sensitive=false synonyms={", everything)
        self.assertIn("share.auto.offset.reset=latest", everything)
        said = self.tool("configs", "--entity-type", "groups", "--describe")
        self.assertIn("Dynamic configs for group tuned are:", said.lines)
        self.configs("tuned", "--alter", "--delete-config", "consumer.session.timeout.ms")
        admin.wait_until(lambda: self.dynamic("tuned") ==
                         {"consumer.heartbeat.interval.ms": "7000"}, "one is gone")

    def test_refusals_change_nothing(self):
        for setting in ("consumer.session.timeout.ms=44999", "consumer.session.timeout.ms=60001",
                        "consumer.heartbeat.interval.ms=4999", "consumer.session.timeout.ms=x",
                        "no.such.setting=1", "share.record.lock.duration.ms=14999",
                        "streams.num.standby.replicas=3"):
            with self.subTest(setting=setting):
                said = self.configs("refused", "--alter", "--add-config",
                                    "consumer.assignment.interval.ms=2000," + setting, check=False)
                self.assertEqual(said.code, 1, said)
                self.assertRegex(said.out + said.err, "InvalidConfigurationException|"
                                 "InvalidRequestException|Unknown group config name")
        with wire.Client(self.broker.port) as client:
            found = client.call("DescribeConfigs", 4, resources=[
                {"resource_type": 32, "resource_name": "refused", "configuration_keys": None}])
        self.assertEqual([c["name"] for c in found["results"][0]["configs"]
                          if c["config_source"] == 8], [])


del Tools  # its tests are another module's


if __name__ == "__main__":
    main()
