"""When which member of a group received records of which partition, while members come and go.

A steady writer, members in crowds (programs/crowd.py), and for each change what it did to the
partitions that stayed with their member and to those that moved. The first member, SLOW, works long
on what it receives: with the classic protocol all others wait for it. It is not judged. Times are
seconds of the monotonic clock, which all processes of a machine share.
"""

import bisect
import contextlib
import dataclasses
import json
import random
import subprocess
import threading
import time

from lib import admin, batch, packages, process, wire
from lib.broker import Broker

TOPIC, GROUP = "timed", "crowd"
SLOW, WORK_S = "m000", 5
ROUND_S = 0.2  # each partition gets a record once a round
STEPS = 4  # requests of a round
RECENT_S = 2.0
SETTLE_S = 120


def settings(heartbeat_ms, session_ms):
    """Of a broker, for members of either protocol."""
    return {"group.min.session.timeout.ms": session_ms,
            "group.consumer.min.session.timeout.ms": session_ms,
            "group.consumer.session.timeout.ms": session_ms,
            "group.consumer.min.heartbeat.interval.ms": heartbeat_ms,
            "group.consumer.heartbeat.interval.ms": heartbeat_ms}


class Writer(threading.Thread):
    """Writes to all partitions in turn, in an order of the seed's, by the clock."""

    def __init__(self, port, partitions, seed):
        super().__init__(daemon=True)
        self.port, self.stopping, self.failure = port, threading.Event(), None
        self.late_max_s = 0.0
        order = list(range(partitions))
        random.Random(seed).shuffle(order)
        self.steps = [order[step::STEPS] for step in range(STEPS)]

    def run(self):
        try:
            self._write()
        except (OSError, wire.Closed, wire.Silent) as why:
            self.failure = why

    def _write(self):
        records = batch.encode([batch.Record(value=b"steady")])
        due = time.monotonic()
        with wire.Client(self.port, timeout_s=20) as client:
            while True:
                for step in self.steps:
                    if self.stopping.wait(max(0, due - time.monotonic())):
                        return
                    client.call("Produce", 9, acks=-1, timeout_ms=10_000, topic_data=[{
                        "name": TOPIC, "partition_data": [{"index": p, "records": records}
                                                          for p in step]}])
                    self.late_max_s = max(self.late_max_s, time.monotonic() - due)
                    due += ROUND_S / STEPS


class Crowd:
    """Some members in one process. `read` gives what they said since it was last called."""

    def __init__(self, broker, protocol, names, heartbeat_ms, session_ms):
        self.names = names
        self.path = broker.home / f"crowd-{names[0]}"
        with open(self.path, "wb") as out, open(f"{self.path}.log", "wb") as log:
            self.process = process.start(
                [packages.python(), "-B", packages.PROGRAMS / "crowd.py", broker.address, GROUP,
                 TOPIC, protocol, heartbeat_ms, session_ms,
                 *(f"{name}:{WORK_S}" if name == SLOW else name for name in names)],
                stdin=subprocess.PIPE, stdout=out, stderr=log)
        self.source = open(self.path, "rb")
        self.rest = b""

    def read(self):
        *lines, self.rest = (self.rest + self.source.read()).split(b"\n")
        return [json.loads(line) for line in lines]

    def ask_to_leave(self):
        self.process.stdin.close()

    def kill(self):
        self.process.kill()

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self.process.stdin.close()
        self.source.close()


@dataclasses.dataclass
class Change:
    what: str
    quiet_from: float
    at: float
    end: float = 0.0  # RECENT_S after all members had their share


@dataclasses.dataclass
class Effect:
    """What a change did, by partition: longest time without a record before it and in it."""

    stayed: set
    quiet: dict
    during: dict

    @property
    def moved(self):
        return self.quiet.keys() - self.stayed

    def stopped(self, margin_s):
        """Partitions of those that stayed that had to wait longer than any did before."""
        limit = max(self.quiet.values()) + margin_s
        return {p: self.during[p] for p in sorted(self.stayed) if self.during[p] > limit}


class TimeLine:
    """A group of crowds on a broker of its own. A context manager: leaving it ends all."""

    def __init__(self, protocol, partitions, *, heartbeat_ms, session_ms, seed):
        self.protocol, self.partitions = protocol, partitions
        self.times = (heartbeat_ms, session_ms)
        self.seed = seed
        self.crowds, self.all, self.changes, self.errors = [], [], [], []
        self.slow_came = 0.0
        self.received = [[] for _ in range(partitions)]  # (time, member), in order

    def __enter__(self):
        packages.python()  # from its registry, or the test is skipped
        with contextlib.ExitStack() as stack:
            self.broker = stack.enter_context(Broker(settings(*self.times)))
            admin.create(self.broker.port, TOPIC, self.partitions)
            self.writer = Writer(self.broker.port, self.partitions, self.seed)
            self.writer.start()
            stack.callback(self._end)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *error):
        return self.stack.__exit__(*error)

    def _end(self):
        self.writer.stopping.set()
        self.writer.join(30)
        for crowd in self.all:
            crowd.end()

    def join(self, count, size):
        """`count` more members, `size` in a process; their names sort after those before."""
        first = sum(len(crowd.names) for crowd in self.all)
        names = [f"m{number:03}" for number in range(first, first + count)]
        for at in range(0, count, size):
            crowd = Crowd(self.broker, self.protocol, names[at:at + size], *self.times)
            self.crowds.append(crowd)
            self.all.append(crowd)

    def change(self, what, quiet_s, action):
        """In a settled group, after `quiet_s`, as SLOW goes to work; waits until it has settled."""
        change = Change(what, time.monotonic(), 0.0)
        time.sleep(quiet_s)
        self.collect()
        works = self.slow_came
        admin.wait_until(lambda: self.collect() or self.slow_came > works, "the slow member")
        change.at = time.monotonic()
        action()
        self.settle()
        time.sleep(RECENT_S)
        change.end = time.monotonic()
        self.changes.append(change)
        self.collect()
        return self.effect(change)

    def leave(self):
        """The members that came last leave, process by process."""
        self.crowds.pop().ask_to_leave()

    def kill(self):
        self.crowds.pop().kill()

    def settle(self):
        """Until, for RECENT_S, each partition has one owner and each member some partition."""
        wanted = {name for crowd in self.crowds for name in crowd.names} - {SLOW}
        admin.wait_until(lambda: self._shared(wanted), "each member has its share", SETTLE_S)

    def _shared(self, wanted):
        if self.writer.failure or any(c.process.poll() is not None for c in self.crowds):
            raise process.Failed(f"a crowd or the writer has ended: {self.writer.failure}")
        self.collect()
        since = time.monotonic() - RECENT_S
        owners = [{member for _, member in events[bisect.bisect(events, (since, "")):]}
                  for events in self.received if events and events[-1][1] != SLOW]
        return all(len(owner) == 1 for owner in owners) and set().union(*owners) == wanted

    def collect(self):
        touched = set()
        for crowd in self.all:
            for said in crowd.read():
                if "error" in said:
                    self.errors.append(said)
                if said["m"] == SLOW:
                    self.slow_came = said["t"] / 1e9
                for partition in said.get("p", ()):
                    self.received[partition].append((said["t"] / 1e9, said["m"]))
                    touched.add(partition)
        for partition in touched:
            self.received[partition].sort()

    def effect(self, change):
        stayed, quiet, during = set(), {}, {}
        for partition, events in enumerate(self.received):
            seen = [(t, m) for t, m in events if change.quiet_from <= t <= change.end]
            owners = {member for _, member in seen}
            if SLOW in owners:
                continue
            if len(owners) == 1:
                stayed.add(partition)
            before = [t for t, _ in seen if t < change.at]
            after = [t for t, _ in seen if t >= change.at]
            quiet[partition] = _longest([change.quiet_from, *before])
            during[partition] = _longest([*before[-1:], *after, change.end])
        return Effect(stayed, quiet, during)


def _longest(times):
    return max((b - a for a, b in zip(times, times[1:])), default=0.0)
