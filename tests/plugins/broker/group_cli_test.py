#!/usr/bin/env python3
"""`keelson group` against a running broker. Usage: group_cli_test.py KEELSON_BINARY [test…]"""

import json
import pathlib
import shutil
import sys
import tempfile
import unittest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[2] / "clients")]
from lib import admin, batch, wire  # noqa: E402
from lib.broker import Broker  # noqa: E402
from lib.options import OPTIONS  # noqa: E402
from lib.process import run  # noqa: E402

HOUR_MS = 3_600_000
FIRST_MS = 1_750_000_000_000  # 2025-06-15T15:06:40Z, of the first record; one an hour
RECORDS = 10


class GroupCli(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = cls.enterClassContext(Broker())
        cls.client = cls.enterClassContext(wire.Client(cls.broker.port, timeout_s=20))
        admin.create(cls.broker.port, "orders", 2, retention_ms=-1)
        for partition in range(2):
            for number in range(RECORDS):
                admin.produce(cls.client, "orders", batch.encode(
                    [batch.Record(value=b"x")], timestamp=FIRST_MS + number * HOUR_MS),
                    partition=partition)
        cls.dir = pathlib.Path(tempfile.mkdtemp(prefix="keelson-group-"))
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)

    def keelson(self, *arguments):
        return run([OPTIONS.binary, "group", *arguments, "--bootstrap-server",
                    self.broker.address], check=False)

    def does(self, *arguments):
        """What it prints, in rows of words without the head."""
        done = self.keelson(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [line.split() for line in done.stdout.decode().splitlines()[1:]]

    def items(self, *arguments):
        done = self.keelson(*arguments, "--output", "json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def fails(self, code, text, *arguments):
        done = self.keelson(*arguments)
        self.assertEqual(done.returncode, code, done)
        self.assertIn(text, done.stderr.decode())

    def commit(self, group, *offsets):
        self.client.call("FindCoordinator", 3, key=group, key_type=0)
        answer = self.client.call("OffsetCommit", 7, group_id=group, topics=[{
            "name": "orders", "partitions": [{"partition_index": p, "committed_offset": offset}
                                             for p, offset in enumerate(offsets)]}])
        self.assertEqual([p["error_code"] for p in answer["topics"][0]["partitions"]],
                         [0] * len(offsets))

    def committed(self, group):
        answer = self.client.call("OffsetFetch", 7, group_id=group, topics=None)
        return {p["partition_index"]: p["committed_offset"] for t in answer["topics"]
                for p in t["partitions"]}

    def join(self, group):
        """A member of its own that has partition 1, and stays; its id."""
        subscription = bytes.fromhex("0000 00000001 0006") + b"orders" + bytes(4)
        assignment = (bytes.fromhex("0000 00000001 0006") + b"orders"
                      + bytes.fromhex("00000001 00000001 ffffffff"))
        self.client.call("FindCoordinator", 3, key=group, key_type=0)
        joined = self.client.call("JoinGroup", 3, group_id=group, session_timeout_ms=30_000,
                                  rebalance_timeout_ms=30_000, member_id="",
                                  protocol_type="consumer",
                                  protocols=[{"name": "range", "metadata": subscription}])
        self.assertEqual(joined["error_code"], 0)
        synced = self.client.call("SyncGroup", 2, group_id=group,
                                  generation_id=joined["generation_id"],
                                  member_id=joined["member_id"],
                                  assignments=[{"member_id": joined["member_id"],
                                                "assignment": assignment}])
        self.assertEqual(synced["error_code"], 0)
        self.addCleanup(self.client.call, "LeaveGroup", 2, group_id=group,
                        member_id=joined["member_id"])
        return joined["member_id"]

    def test_a_broker_that_never_had_a_group(self):
        with Broker() as broker:
            admin.create(broker.port, "orders")
            self.assertEqual(run([OPTIONS.binary, "group", "list", "--bootstrap-server",
                                  broker.address]).stdout, b"")
            done = run([OPTIONS.binary, "group", "reset-offsets", "first", "--topic", "orders",
                        "--to-latest", "--execute", "--bootstrap-server", broker.address])
            self.assertIn("first  orders  0          -       0", done.stdout.decode())

    def test_lists(self):
        self.commit("idle", 1, 1)
        self.join("busy")
        rows = self.does("list")
        self.assertIn(["idle", "classic", "Empty", "-"], rows)
        self.assertIn(["busy", "classic", "Stable", "consumer"], rows)
        self.assertEqual(rows, sorted(rows))
        self.assertEqual([row[0] for row in self.does("list", "--state", "stable")], ["busy"])
        self.assertEqual(self.does("list", "--type", "consumer"), [])
        self.assertIn({"type": "group", "group": "idle", "group_type": "classic", "state": "Empty",
                       "protocol_type": ""}, self.items("list"))

    def test_describes_lag_members_and_state(self):
        self.commit("seen", 4, 6)
        member = self.join("seen")
        client = member.rsplit("-", 5)[0]
        self.assertEqual(self.does("describe", "seen"),
                         [["seen", "orders", "0", "4", "10", "6", "-", "-", "-"],
                          ["seen", "orders", "1", "6", "10", "4", member, "/127.0.0.1", client]])
        self.assertEqual(self.does("describe", "--group", "seen", "--members"),
                         [["seen", member, "-", "/127.0.0.1", client, "orders:1"]])
        self.assertEqual(self.does("describe", "seen", "--state"),
                         [["seen", "classic", "Stable", "consumer", "range", "1"]])
        (found,) = self.items("describe", "seen")
        self.assertEqual(found["state"], "Stable")
        self.assertEqual([m["member"] for m in found["members"]], [member])
        self.assertEqual([(o["partition"], o["offset"], o["log_end_offset"], o["lag"], o["member"])
                          for o in found["offsets"]], [(0, 4, 10, 6, None), (1, 6, 10, 4, member)])
        self.fails(1, "nobody: Group nobody not found. (GROUP_ID_NOT_FOUND)", "describe", "nobody")
        self.assertIn("seen", {item["group"] for item in self.items("describe")})

    def test_reset_is_a_dry_run_unless_it_is_told(self):
        self.commit("dry", 4, 6)
        done = self.keelson("reset-offsets", "dry", "--topic", "orders", "--to-earliest")
        self.assertEqual(done.returncode, 0)
        self.assertIn("nothing was changed; --execute does it", done.stderr.decode())
        self.assertEqual([line.split() for line in done.stdout.decode().splitlines()],
                         [["GROUP", "TOPIC", "PARTITION", "OFFSET", "NEW-OFFSET"],
                          ["dry", "orders", "0", "4", "0"], ["dry", "orders", "1", "6", "0"]])
        self.assertEqual(self.committed("dry"), {0: 4, 1: 6})

    def test_every_way_to_reset(self):
        self.commit("ways", 4, 6)
        plan = self.dir / "plan.csv"
        plan.write_text('orders,0,2\n"orders",1,3\r\n\n')
        named = self.dir / "named.csv"
        named.write_text("other,orders,0,9\nways,orders,0,1\n")
        for arguments, wanted in (
                (["--to-current"], (4, 6)), (["--to-earliest"], (0, 0)), (["--to-latest"], (10, 10)),
                (["--to-offset", "3"], (3, 3)), (["--to-offset", "77"], (10, 10)),
                (["--shift-by", "-2"], (8, 8)), (["--shift-by", "-99"], (0, 0)),
                (["--shift-by", "9223372036854775807"], (10, 10)),
                (["--to-datetime", "2025-06-15T18:06:40Z"], (3, 3)),
                (["--to-datetime", "2025-06-15T18:06:40.001"], (4, 4)),
                (["--to-datetime", "2025-06-15T20:06:40+02:00"], (3, 3)),
                (["--to-datetime", str(FIRST_MS + 5 * HOUR_MS)], (5, 5)),
                (["--to-datetime", "2095-01-01T00:00:00"], (10, 10)),
                (["--by-duration", "P90000D"], (0, 0)), (["--by-duration", "PT0.5S"], (10, 10)),
                (["--from-file", plan], (2, 3)), (["--from-file", named], (1, 3))):
            with self.subTest(arguments=arguments):
                scope = [] if "--from-file" in arguments else ["--topic", "orders"]
                rows = self.does("reset-offsets", "ways", *scope, *arguments, "--execute")
                self.assertEqual([row[-1] for row in rows],
                                 [str(offset) for offset in wanted[:len(rows)]])
                self.assertEqual(self.committed("ways"), dict(enumerate(wanted)))

    def test_reset_of_some_partitions_and_of_several_groups(self):
        self.commit("one", 4, 6)
        self.commit("two", 5, 5)
        self.assertEqual(self.does("reset-offsets", "one", "two", "--topic", "orders:1",
                                   "--shift-by", "1", "--execute"),
                         [["one", "orders", "1", "6", "7"], ["two", "orders", "1", "5", "6"]])
        (first, second) = self.items("reset-offsets", "one", "--all-topics", "--to-offset", "2")
        self.assertEqual(first, {"type": "offset", "group": "one", "topic": "orders",
                                 "partition": 0, "offset": 4, "new_offset": 2, "executed": False})
        self.assertEqual(second["offset"], 7)
        self.does("reset-offsets", "fresh", "--topic", "orders", "--to-offset", "2", "--execute")
        self.assertEqual(self.committed("fresh"), {0: 2, 1: 2})

    def test_reset_refusals_change_nothing(self):
        self.commit("calm", 4, 6)
        self.commit("live", 4, 6)
        self.join("live")
        reset = ("reset-offsets", "calm", "live", "--topic", "orders", "--execute")
        self.fails(1, "group live is Stable with 1 members: stop them first", *reset,
                   "--to-earliest")
        self.fails(1, "topic nix: UNKNOWN_TOPIC_OR_PARTITION", "reset-offsets", "calm", "--topic",
                   "nix", "--to-earliest", "--execute")
        self.fails(1, "topic orders has no partition 2", "reset-offsets", "calm", "--topic",
                   "orders:0,2", "--to-earliest", "--execute")
        self.fails(1, "orders-0 has no offset that could be shifted", "reset-offsets", "unheard",
                   "--topic", "orders", "--shift-by", "1", "--execute")
        self.assertEqual(self.committed("calm"), {0: 4, 1: 6})
        broken = self.dir / "broken.csv"
        broken.write_text("orders,0,1\norders,x,1\n")
        for arguments, text in (
                (["--topic", "orders"], "say where to, once"),
                (["--topic", "orders", "--to-earliest", "--to-latest"], "say where to, once"),
                (["--to-earliest"], "say of which topics"),
                (["--topic", "orders:a", "--to-earliest"], "write TOPIC or TOPIC:0,1,2"),
                (["--topic", ":1", "--to-earliest"], "a topic's name is not empty"),
                (["--topic", "orders", "--to-datetime", "yesterday"], "'yesterday' is no time"),
                (["--topic", "orders", "--to-datetime", "2025-02-30T00:00:00"], "is no time"),
                (["--topic", "orders", "--by-duration", "7D"], "'7D' is no duration"),
                (["--topic", "orders", "--by-duration", "PT"], "is no duration"),
                (["--topic", "orders", "--by-duration", "P1H"], "is no duration"),
                (["--topic", "orders", "--by-duration", "PT99999999999999999H"], "no duration"),
                (["--topic", "orders", "--from-file", broken], "the file says of which topics"),
                (["--from-file", broken], "line 2 is neither")):
            with self.subTest(arguments=arguments):
                self.fails(2, text, "reset-offsets", "calm", *arguments)

    def test_deletes(self):
        self.commit("old", 1, 1)
        self.join("kept")
        done = self.keelson("delete", "old", "kept")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, b"deleted group=old\n")
        self.assertIn("group kept: NON_EMPTY_GROUP", done.stderr.decode())
        self.fails(1, "group old: GROUP_ID_NOT_FOUND", "delete", "old")
        self.assertEqual(self.items("delete", "old", "--if-exists"),
                         [{"type": "absent", "group": "old"}])


if __name__ == "__main__":
    OPTIONS.binary = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
