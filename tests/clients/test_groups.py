"""Groups of real clients of six languages and eight versions over 100 partitions.

Three groups, one with the range strategy (every rebalance stops all), one cooperative, one with
members of both protocols, read one topic while it is written. Members join, leave, are killed and
paused; static ones are started anew; the broker is stopped for a while and killed. What all of them
said is then judged by lib/group_history.py, which has its own tests.

    KEELSON_GROUP_MEMBERS=50,20,20  members of the three groups at most; 6,4,4; 0: not that group
    KEELSON_GROUP_ROUNDS=20      changes after all have joined; 6
    KEELSON_GROUP_SEEDS=3        runs, with seeds counted up from the first; 1
    KEELSON_GROUP_PROTOCOL=consumer    the first two groups have members by KIP-848 alone
    KEELSON_SETTLE_S=10          what a group may take to settle after a change
"""

import dataclasses
import json
import os
import random
import signal
import struct
import threading
import time
import unittest

from lib import admin, batch, process, wire
from lib.broker import Broker
from lib.group_history import (NS, Described, History, Offsets, Phase, read_events, settled_after,
                               violations)
from lib.group_members import (CLASSIC, CLIENTS, COMMITS_UNSEEN, CONSUMER, OF_BOTH,
                               OF_CONSUMER_PROTOCOL, OF_STRATEGY, WITH_INSTANCES, Member,
                               wait_started)
from lib.options import OPTIONS, main

PARTITIONS = 100
SIZES = [int(n) for n in os.environ.get("KEELSON_GROUP_MEMBERS", "6,4,4").split(",")]
ROUNDS = int(os.environ.get("KEELSON_GROUP_ROUNDS", "6"))
SEEDS = int(os.environ.get("KEELSON_GROUP_SEEDS", "1"))
PROTOCOL = os.environ.get("KEELSON_GROUP_PROTOCOL", CLASSIC)
SETTLE_S = float(os.environ.get("KEELSON_SETTLE_S", "10"))
HOLD_S = 1.0  # a settled group is watched this long before the next change
# Of the members: who is killed is missed for as long.
SESSION_MS = 4000
SETTINGS = {
    "group.min.session.timeout.ms": SESSION_MS,
    # In the consumer protocol the broker decides; the members ask it.
    "group.consumer.min.session.timeout.ms": SESSION_MS,
    "group.consumer.session.timeout.ms": SESSION_MS,
    "group.consumer.min.heartbeat.interval.ms": 300,
    "group.consumer.heartbeat.interval.ms": 300,
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


def kinds_of(strategy):
    """(client, protocol) of the members of a group, in turn."""
    if PROTOCOL == CONSUMER:
        return [(client, CONSUMER) for client in OF_CONSUMER_PROTOCOL]
    return [(client, CLASSIC) for client in OF_STRATEGY[strategy]]


class Group:
    """The members of one group, those that were, and its history."""

    def __init__(self, broker, name, size, strategy, kinds, chance):
        self.broker, self.name, self.size, self.strategy = broker, name, size, strategy
        self.kinds = kinds
        self.random = chance
        self.members = []  # those that should be in the group, and the paused
        self.all = []
        self.only_classic = all(protocol == CLASSIC for _, protocol in kinds)
        self.is_mixed = not self.only_classic and any(p == CLASSIC for _, p in kinds)
        self.history = History(ends=[0] * PARTITIONS, shared_generations=self.only_classic)
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
        if not self.only_classic:
            group = client.call("ConsumerGroupDescribe", 0, group_ids=[self.name])["groups"][0]
            if not group["error_code"]:
                return group["group_state"], {
                    member["client_id"]: [p for topic in member["assignment"]["topic_partitions"]
                                          for p in topic["partitions"]]
                    for member in group["members"]}
            if not self.is_mixed:
                return None
        group = client.call("DescribeGroups", 5, groups=[self.name])["groups"][0]
        # Old incarnations of a restarted client would have its name: names are never used twice.
        return None if group["error_code"] else (group["group_state"], {
            member["client_id"]: assigned_partitions(member["member_assignment"])
            for member in group["members"]})

    def add(self, client, protocol, instance):
        name = f"{client}-{len(self.all)}"
        member = Member(client, self.broker, TOPIC, self.name, name, self.strategy, protocol,
                        instance)
        if instance:
            self.history.instances[name] = instance
        self.all.append(member)
        self.members.append(member)
        return member

    def join(self, count=1, kinds=None, static=None):
        """`kinds`, or those of the group, in turn. One in three is a static member, where not all
        or none shall be."""
        added = []
        for _ in range(count):
            choice = [kind for kind in kinds or self.kinds
                      if not static or kind[0] in WITH_INSTANCES]
            client, protocol = choice[len(self.all) % len(choice)]
            chosen = self.random.random() < 1 / 3 if static is None else static
            is_static = chosen and client in WITH_INSTANCES
            added.append(self.add(client, protocol,
                                  f"{self.name}-place-{len(self.all)}" if is_static else ""))
        return added

    def fill(self):
        """A few at a time: programs that start take all of a small machine."""
        while len(self.members) < self.size:
            wait_started(self.join(min(10, self.size - len(self.members))))

    def expected(self):
        return frozenset(member.shown for member in self.members if not member.paused)

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
                        self.kill_broker_in_rebalance, self.stop_broker_for_a_while, self.churn,
                        self.restart_static]
            if any(group.is_mixed for group in self.groups):
                self.bag.append(self.one_protocol_alone)
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


    def kill_and_join(self):
        killed = []
        for group in self.groups:
            if len(group.members) == 1:
                wait_started(group.join())
            gone = self.some(group, self.random.randint(1, 2))
            self.remove(group, gone, "kill")
            killed += gone
            group.fill()
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
            for group in self.groups:
                if self.random.random() < 0.5 and len(group.members) > 1:
                    self.remove(group, self.some(group, 1),
                                self.random.choice(["kill", "ask_to_leave"]))
                if len(group.members) < group.size:
                    wait_started(group.join())
            time.sleep(self.random.uniform(0, 0.6))
        for group in self.groups:
            group.mark_change()
        return "churn"

    def pause(self):
        """Longer than a session: they are passed over, and come back as if nothing had been."""
        paused = []
        for group in self.groups:
            chosen = self.some(group, self.random.randint(1, 2))
            if group.is_mixed:
                chosen = self.without_the_last_of_kip_848(group, chosen)
            for member in chosen:
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

    @staticmethod
    def without_the_last_of_kip_848(group, chosen):
        """Without them the group is a classic one. Who comes back to that with a heartbeat is told
        that there is no such group, and librdkafka takes that for the end."""
        staying = [m for m in group.members if m.protocol == CONSUMER and m not in chosen]
        return chosen if staying else [m for m in chosen if m.protocol == CLASSIC]

    def kill_broker(self):
        self.broker.kill()
        time.sleep(self.random.uniform(0, 1))
        self.broker.start()
        for group in self.groups:
            group.mark_change()
        return "broker killed"

    def begin_rebalance(self):
        for group in self.groups:
            if len(group.members) >= group.size:
                self.remove(group, self.some(group, 1), "ask_to_leave")
            wait_started(group.join())
        time.sleep(self.random.uniform(0, 1))

    def kill_broker_in_rebalance(self):
        self.begin_rebalance()
        self.kill_broker()
        return "broker killed in a rebalance"

    def stop_broker_for_a_while(self):
        """Requests time out whose answers come later, or never."""
        self.begin_rebalance()
        self.broker.process.send_signal(signal.SIGSTOP)
        time.sleep(self.random.uniform(0.2, 1.2))
        self.broker.process.send_signal(signal.SIGCONT)
        killed = self.random.random() < 0.5
        if killed:
            time.sleep(self.random.uniform(0, 0.05))
            self.kill_broker()
        for group in self.groups:
            group.mark_change()
        return "broker stopped for a while" + (", then killed" if killed else "")

    def restart_static(self):
        """Others take the places of static members. Those of the consumer protocol say that they
        will be back, or their place is theirs until the session ends; others say nothing."""
        said = []
        for group in self.groups:
            there = [m for m in group.members if m.instance and not m.paused]
            if not there:
                there = group.join(static=True)
                wait_started(there)
                time.sleep(self.random.uniform(0, 2))
            chosen = self.random.sample(there, min(len(there), self.random.randint(1, 2)))
            for member in chosen:
                may_die = member.protocol == CLASSIC
                how = self.random.choice(["kill", "ask_to_leave"]) if may_die else "ask_to_leave"
                self.remove(group, [member], how)
                protocols = [p for client, p in group.kinds if client == member.client]
                wait_started([group.add(member.client, self.random.choice(protocols),
                                        member.instance)])
                said.append(f"{member.name} by {group.all[-1].name}")
            group.mark_change()
        return "replaced " + ", ".join(said)

    def one_protocol_alone(self):
        """All members of one protocol go, which may change what kind of group it is, and one
        comes."""
        gone = self.random.choice([CLASSIC, CONSUMER])
        for group in (group for group in self.groups if group.is_mixed):
            of_gone = [kind for kind in group.kinds if kind[1] == gone]
            others = [kind for kind in group.kinds if kind[1] != gone]
            if all(member.protocol == gone for member in group.members):
                wait_started(group.join(kinds=others))
            how = self.random.choice(["kill", "ask_to_leave"])
            self.remove(group, [m for m in group.members if m.protocol == gone], how)
            group.mark_change()
            group.settle(f"no {gone} members")
            wait_started(group.join(kinds=of_gone))
        for group in self.groups:
            group.mark_change()
        return f"without {gone} members, and one of them again"


class Groups(unittest.TestCase):
    def test_members_come_and_go(self):
        for clients in CLIENTS.values():
            clients()  # from their registries, or this is skipped by name
        for seed in range(OPTIONS.seed, OPTIONS.seed + SEEDS):
            with self.subTest(seed=seed):
                self.run_seed(seed)

    def run_seed(self, seed):
        with Broker(SETTINGS) as broker:
            admin.create(broker.port, TOPIC, PARTITIONS)
            plan = [("range", "range", kinds_of("range")),
                    ("sticky", "cooperative-sticky", kinds_of("cooperative-sticky")),
                    ("mixed", "range", OF_BOTH)]
            chance = random.Random(seed)
            groups = [Group(broker, name, size, strategy, kinds, chance)
                      for (name, strategy, kinds), size in zip(plan, SIZES) if size > 0]
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
        for group in groups:
            group.fill()
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
        stayed = frozenset().union(*(phase.members for phase in history.phases))
        clients = {m.client for m in group.all
                   if m.shown in stayed and m.client not in COMMITS_UNSEEN}
        committing = {m.client for m in group.all for e in history.events[m.name]
                      if e["e"] == "committed"}
        self.assertLessEqual(clients, committing)
        self.assertGreater(kinds["committed"], 10 * ROUNDS)
        self.assertGreater(kinds["processed"], 10 * ROUNDS)
        if group.only_classic:
            told = {m.client for m in group.all for e in history.events[m.name]
                    if e["e"] == "assigned" and e["g"] is not None}
            self.assertLessEqual(clients, told)


if __name__ == "__main__":
    main()
