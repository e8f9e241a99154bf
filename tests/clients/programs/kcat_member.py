"""kcat -G as a member of a group, told as events. See lib/group_history.py for them.

kcat_member.py ADDRESS TOPIC GROUP NAME STRATEGY PROTOCOL INSTANCE

`started` has the process id of kcat: who kills or stops the member means that one, and what kcat has
said until then is still told. kcat commits by itself, unseen. When its standard input ends it is
killed: asked to end it commits records that it has taken and does not print.

When a record was processed is known within bounds only; told is the earlier one, the time of the
last look before kcat's output had it.
"""

import ctypes
import json
import os
import re
import select
import signal
import subprocess
import sys
import time

ADDRESS, TOPIC, GROUP, NAME, STRATEGY, _, INSTANCE = sys.argv[1:]
SETTINGS = {
    "client.id": NAME, "auto.offset.reset": "earliest", "enable.auto.commit": "true",
    "auto.commit.interval.ms": 300, "session.timeout.ms": 4000, "heartbeat.interval.ms": 300,
    "max.poll.interval.ms": 30000, "fetch.wait.max.ms": 100, "reconnect.backoff.max.ms": 1000,
    "topic.metadata.refresh.interval.ms": 2000, "partition.assignment.strategy": STRATEGY,
    **({"group.instance.id": INSTANCE} if INSTANCE else {}),
}
READ_BYTES = 1 << 16
REBALANCED = re.compile(rb"% Group \S+ rebalanced .*: (assigned|revoked): (.*)")


def say(event, at=None, **fields):
    text = json.dumps({"t": at or time.monotonic_ns(), "e": event, **fields})
    os.write(1, text.encode() + b"\n")


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def processed(lines, since):
    runs = []
    for line in lines:
        partition, offset = map(int, line.split())
        if runs and runs[-1][0] == partition and runs[-1][2] + 1 == offset:
            runs[-1][2] = offset
        else:
            runs.append([partition, offset, offset])
    if runs:
        say("processed", since, runs=runs)


def rebalanced(line):
    found = REBALANCED.match(line)
    if not found:
        os.write(2, line + b"\n")
        return
    numbers = sorted(map(int, re.findall(rb"\[(\d+)\]", found[2])))
    if found[1] == b"assigned":
        say("assigned", g=None, p=numbers, all=numbers)
    else:
        say("revoked", p=None)


def main():
    command = ["kcat", "-b", ADDRESS, "-G", GROUP, "-E", "-u", "-f", "%p %o\n"]
    for name, value in SETTINGS.items():
        command += ["-X", f"{name}={value}"]
    kcat = subprocess.Popen([*command, TOPIC], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, preexec_fn=die_with_parent)
    say("started", pid=kcat.pid)
    output, errors = kcat.stdout.fileno(), kcat.stderr.fileno()
    rest = {output: b"", errors: b""}
    waiting = [0, output, errors]
    left = False
    since = time.monotonic_ns()
    while output in waiting or errors in waiting:
        ready = select.select(waiting, [], [])[0]
        now = time.monotonic_ns()
        emptied = True
        for source in ready:
            if source == 0:
                waiting.remove(0)
                kcat.kill()
                left = True
                continue
            data = os.read(source, READ_BYTES)
            if not data:
                waiting.remove(source)
                continue
            *lines, rest[source] = (rest[source] + data).split(b"\n")
            if source == output:
                processed(lines, since)
                emptied = len(data) < READ_BYTES
            else:
                for line in lines:
                    rebalanced(line)
        if emptied:
            since = now
    kcat.wait()
    if left:
        say("ended")


main()
