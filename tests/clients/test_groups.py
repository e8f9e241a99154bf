"""Groups of real clients of five languages and seven versions over 100 partitions.

Two groups, one with the range strategy (every rebalance stops all), one cooperative, read one topic
while it is written. Members join, leave, are killed and paused, the broker is killed. What all of
them said is then judged by lib/group_history.py, which has its own tests.

    KEELSON_GROUP_MEMBERS=30,20  members of the two groups at most; 7,5
    KEELSON_GROUP_ROUNDS=20      changes after all have joined; 6
    KEELSON_GROUP_SEEDS=3        runs, with seeds counted up from the first; 1
    KEELSON_GROUP_PROTOCOL=consumer    members by KIP-848 where a client has it
    KEELSON_SETTLE_S=10          what a group may take to settle after a change
"""

import dataclasses
import json
import os
import random
import struct
import threading
import time
import unittest

from lib import admin, batch, process, wire
from lib.broker import Broker
from lib.group_history import (NS, Described, History, Offsets, Phase, read_events, settled_after,
                               violations)
from lib.group_members import (CLIENTS, OF_CONSUMER_PROTOCOL, OF_STRATEGY, Member, wait_started)
from lib.options import OPTIONS, main

PARTITIONS = 100
SIZES = [int(n) for n in os.environ.get("KEELSON_GROUP_MEMBERS", "7,5").split(",")]
ROUNDS = int(os.environ.get("KEELSON_GROUP_ROUNDS", "6"))
SEEDS = int(os.environ.get("KEELSON_GROUP_SEEDS", "1"))
PROTOCOL = os.environ.get("KEELSON_GROUP_PROTOCOL", "classic")
SETTLE_S = float(os.environ.get("KEELSON_SETTLE_S", "10"))
HOLD_S = 1.0  # a settled group is watched this long before the next change
# Of the members: who is killed is missed for as long.
SESSION_MS = 4000
SETTINGS = {
    "classic": {"group.min.session.timeout.ms": SESSION_MS},
    # There the broker decides; the members ask it.
    "consumer": {"group.consumer.min.session.timeout.ms": SESSION_MS,
                 "group.consumer.session.timeout.ms": SESSION_MS,
                 "group.consumer.min.heartbeat.interval.ms": 300,
                 "group.consumer.heartbeat.interval.ms": 300},
}
TOPIC = "grouped"


class Writer(threading.Thread):
    """Writes to all partitions until it is stopped. What it repeats are new records."""

    def __init__(self, port, seed):
        super().__init__(daemon=True)
        self.port = port
        self.random = random.Random(seed)
        self.stopping = threading.Event()
        self.batches = [batch.encode([batch.Record(value=b"%d" % i) for i in range(n)])
                        for n in range(1, 12)]

    def run(self):
        client = None
        while not self.stopping.wait(0.03):
            chosen = self.random.sample(range(PARTITIONS), 12)
            try:
                client = client or wire.Client(self.port, timeout_s=5)
                client.call("Produce", 9, acks=-1, timeout_ms=5000, topic_data=[{
                    "name": TOPIC, "partition_data": [
                        {"index": p, "records": self.random.choice(self.batches)}
                        for p in chosen]}])
            except (OSError, wire.Closed, wire.Silent):
                if client:
                    client.close()
                client = None


class Watcher(threading.Thread):
    """Asks the broker about the groups, again and again."""

    def __init__(self, port, groups):
        super().__init__(daemon=True)
        self.port, self.groups = port, groups
        self.stopping = threading.Event()

    def run(self):
        client = None
        while not self.stopping.wait(0.15):
            try:
                client = client or wire.Client(self.port, timeout_s=5)
                for group in self.groups:
                    group.look(client)
            except (OSError, wire.Closed, wire.Silent):
                if client:
                    client.close()
                client = None


def assigned_partitions(data):
    """Of the bytes of a member's assignment: version, topics with their partitions."""
    if not data:
        return []
    found = []
    at = 6
    for _ in range(struct.unpack_from(">i", data, 2)[0]):
        (length,) = struct.unpack_from(">h", data, at)
        at += 2 + length
        (count,) = struct.unpack_from(">i", data, at)
        found += struct.unpack_from(f">{count}i", data, at + 4)
        at += 4 + 4 * count
    return found


class Group:
    """The members of one group, those that were, and its history."""

    def __init__(self, broker, name, strategy):
        self.broker, self.name, self.strategy = broker, name, strategy
        self.members = []  # those that should be in the group, and the paused
        self.all = []
        self.history = History(ends=[0] * PARTITIONS, shared_generations=PROTOCOL == "classic")
        self.changed = time.monotonic_ns()
        self.lock = threading.Lock()

    def look(self, client):
        s = time.monotonic_ns()
        fetched = client.call("OffsetFetch", 7, group_id=self.name, topics=None,
                              require_stable=False)
        t = time.monotonic_ns()
        if not fetched["error_code"]:
            offsets = {p["partition_index"]: p["committed_offset"]
                       for topic in fetched["topics"] for p in topic["partitions"]}
            with self.lock:
                self.history.seen_offsets.append(Offsets(s, t, offsets))
        found = self.described(client)
        if found:
            with self.lock:
                self.history.described.append(Described(time.monotonic_ns(), *found))

    def uncommitted(self, wanted):
        """{partition: (committed, end)} where that differs."""
        with self.lock:
            seen = self.history.seen_offsets[-1].offsets
        return {p: (seen.get(p, -1), end) for p, end in wanted.items() if seen.get(p, -1) != end}

    def described(self, client):
        if PROTOCOL == "consumer":
            group = client.call("ConsumerGroupDescribe", 0, group_ids=[self.name])["groups"][0]
            return None if group["error_code"] else (group["group_state"], {
                member["client_id"]: [p for topic in member["assignment"]["topic_partitions"]
                                      for p in topic["partitions"]]
                for member in group["members"]})
        group = client.call("DescribeGroups", 5, groups=[self.name])["groups"][0]
        # Old incarnations of a restarted client would have its name: names are never used twice.
        return None if group["error_code"] else (group["group_state"], {
            member["client_id"]: assigned_partitions(member["member_assignment"])
            for member in group["members"]})

    def clients(self):
        if PROTOCOL == "consumer":
            return OF_CONSUMER_PROTOCOL
        return OF_STRATEGY[self.strategy]

    def join(self, count=1):
        added = []
        for _ in range(count):
            clients = self.clients()
            client = clients[len(self.all) % len(clients)]
            member = Member(client, self.broker, TOPIC, self.name, f"{client}-{len(self.all)}",
                            self.strategy, PROTOCOL)
            self.all.append(member)
            self.members.append(member)
            added.append(member)
        return added

    def expected(self):
        return frozenset(member.name for member in self.members if not member.paused)

    def mark_change(self):
        self.changed = time.monotonic_ns()

    def phase(self, what):
        return Phase(self.changed, time.monotonic_ns(), self.expected(), f"{self.name}: {what}")

    def settle(self, what):
        """Waits until it has settled and stayed so, or until it is too late for that."""
        while True:
            time.sleep(0.1)
            with self.lock:
                phase = self.phase(what)
                took = settled_after(self.history, phase)
            waited = (phase.end - self.changed) / NS
            if took is not None and waited > took + HOLD_S or waited > SETTLE_S + HOLD_S:
                self.history.phases.append(phase)
                return took

    def check_alive(self):
        for member in self.members:
            if not member.alive():
                raise process.Failed(f"{member.name} ended by itself\n{member.last_words()}")


class Changes:
    """What happens to the groups, by the seed."""

    def __init__(self, broker, groups, seed):
        self.broker, self.groups = broker, groups
        self.random = random.Random(seed)
        # Each kind once, in an order of the seed's, before any comes again.
        self.bag = []

    def next(self):
        if not self.bag:
            self.bag = [self.kill_and_join, self.leave_many, self.pause, self.kill_broker,
                        self.kill_broker_in_rebalance, self.churn]
            self.random.shuffle(self.bag)
        return self.bag.pop()()

    def some(self, group, count):
        """Members that may go; one stays."""
        there = [m for m in group.members if not m.paused]
        return self.random.sample(there, min(count, len(there) - 1))

    def remove(self, group, members, how):
        for member in members:
            group.members.remove(member)
            getattr(member, how)()
        for member in members:
            if how == "ask_to_leave" and member.wait_gone() != 0:
                raise process.Failed(f"{member.name} did not leave\n{member.last_words()}")

    def refill(self, group, size):
        return group.join(max(size - len(group.members), 0))

    def kill_and_join(self):
        killed = []
        for group, size in zip(self.groups, SIZES):
            if len(group.members) == 1:
                wait_started(group.join())
            gone = self.some(group, self.random.randint(1, 2))
            self.remove(group, gone, "kill")
            killed += gone
            wait_started(self.refill(group, size))
            group.mark_change()
        return "killed " + ", ".join(m.name for m in killed) + ", others joined"

    def leave_many(self):
        for group in self.groups:
            self.remove(group, self.some(group, self.random.randint(1, len(group.members))),
                        "ask_to_leave")
            group.mark_change()
        return "left, down to " + ", ".join(str(len(g.members)) for g in self.groups)

    def churn(self):
        """Joins, kills and goodbyes a moment apart, so that rebalances are cut short."""
        for _ in range(4):
            for group, size in zip(self.groups, SIZES):
                if self.random.random() < 0.5 and len(group.members) > 1:
                    self.remove(group, self.some(group, 1),
                                self.random.choice(["kill", "ask_to_leave"]))
                if len(group.members) < size:
                    wait_started(group.join())
            time.sleep(self.random.uniform(0, 0.6))
        for group in self.groups:
            group.mark_change()
        return "churn"

    def pause(self):
        """Longer than a session: they are passed over, and come back as if nothing had been."""
        paused = []
        for group in self.groups:
            for member in self.some(group, self.random.randint(1, 2)):
                member.pause()
                paused.append(member)
            group.mark_change()
        for group in self.groups:
            group.settle("paused " + ", ".join(m.name for m in paused))
        time.sleep(self.random.uniform(0, 2))
        for member in paused:
            member.resume()
        for group in self.groups:
            group.mark_change()
        return "resumed " + ", ".join(m.name for m in paused)

    def kill_broker(self):
        self.broker.kill()
        time.sleep(self.random.uniform(0, 1))
        self.broker.start()
        for group in self.groups:
            group.mark_change()
        return "broker killed"

    def kill_broker_in_rebalance(self):
        for group, size in zip(self.groups, SIZES):
            if len(group.members) >= size:
                self.remove(group, self.some(group, 1), "ask_to_leave")
            wait_started(group.join())
        time.sleep(self.random.uniform(0, 1))
        self.kill_broker()
        return "broker killed in a rebalance"


class Groups(unittest.TestCase):
    def test_members_come_and_go(self):
        for clients in CLIENTS.values():
            clients()  # from their registries, or this is skipped by name
        for seed in range(OPTIONS.seed, OPTIONS.seed + SEEDS):
            with self.subTest(seed=seed):
                self.run_seed(seed)

    def run_seed(self, seed):
        with Broker(SETTINGS[PROTOCOL]) as broker:
            admin.create(broker.port, TOPIC, PARTITIONS)
            groups = [Group(broker, "range", "range"), Group(broker, "sticky", "cooperative-sticky")]
            writer = Writer(broker.port, seed)
            watcher = Watcher(broker.port, groups)
            writer.start()
            watcher.start()
            try:
                self.play(broker, groups, seed)
                writer.stopping.set()
                writer.join(10)
                self.finish(broker, groups)
            finally:
                writer.stopping.set()
                watcher.stopping.set()
                for member in (m for group in groups for m in group.all):
                    if member.alive():
                        member.kill()
            watcher.join(10)
            for group in groups:
                self.judge(group)

    def play(self, broker, groups, seed):
        changes = Changes(broker, groups, seed)
        for group in groups:
            wait_started(group.join())
            group.mark_change()
        self.settle(groups, "one member")
        for group, size in zip(groups, SIZES):
            wait_started(group.join(size - 1))
            group.mark_change()
        self.settle(groups, "all joined")
        for _ in range(ROUNDS):
            self.settle(groups, changes.next())

    def settle(self, groups, what):
        took = [group.settle(what) for group in groups]
        for group in groups:
            group.check_alive()
        print("  " + what + ": settled after "
              + ", ".join("-" if t is None else f"{t:.1f}" for t in took) + " s", flush=True)

    def finish(self, broker, groups):
        """All that was written is committed; then everybody leaves."""
        with wire.Client(broker.port, timeout_s=20) as client:
            ends = [admin.list_offset(client, TOPIC, p, -1)[1] for p in range(PARTITIONS)]
        for group in groups:
            group.history.ends[:] = ends
            wanted = {p: end for p, end in enumerate(ends) if end > 0}

            deadline = time.monotonic() + 30
            while missing := group.uncommitted(wanted):
                if time.monotonic() > deadline:
                    raise AssertionError(f"{group.name} has not committed (offset, end) {missing}")
                time.sleep(0.1)
        for group in groups:
            for member in group.members:
                member.ask_to_leave()
            for member in group.members:
                self.assertEqual(member.wait_gone(), 0, f"{member.name}\n{member.last_words()}")

    def judge(self, group):
        history = group.history
        for member in group.all:
            history.events[member.name] = read_events(member.events)
        said = violations(history, SETTLE_S)
        kinds = {}
        for events in history.events.values():
            for event in events:
                kinds[event["e"]] = kinds.get(event["e"], 0) + 1
        for phase in history.phases:
            if settled_after(history, phase) is None:
                print("  ", phase.what, sorted(phase.members), "at the end:",
                      [d for d in history.described if d.t <= phase.end][-1], flush=True)
        print(f"  {group.name}: {len(group.all)} members of "
              f"{len({m.client for m in group.all})} clients, {sum(history.ends)} records, {kinds}, "
              f"{len(history.described)} looks", flush=True)
        if said:
            kept = group.broker.home / f"{group.name}.history"  # with KEELSON_KEEP
            kept.write_text(json.dumps(dataclasses.asdict(history), default=sorted))
            self.fail(f"{group.name}: {len(said)} violations\n" + "\n".join(said[:20]))
        # What was judged was there.
        for member in group.all:
            counted = {event["e"] for event in history.events[member.name]}
            self.assertIn("started", counted, member.name)
        committing = {m.client for m in group.all for e in history.events[m.name]
                      if e["e"] == "committed"}
        self.assertEqual(committing, {m.client for m in group.all})
        self.assertGreater(kinds["committed"], 10 * ROUNDS)
        self.assertGreater(kinds["processed"], 10 * ROUNDS)
        if PROTOCOL == "classic":
            told = {m.client for m in group.all for e in history.events[m.name]
                    if e["e"] == "assigned" and e["g"] is not None}
            self.assertEqual(told, {m.client for m in group.all})


if __name__ == "__main__":
    main()
