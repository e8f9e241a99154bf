"""Members of groups: client programs that tell what they do (lib/group_history.py)."""

import json
import os
import signal
import subprocess
import time

from lib import packages, process

_JVM = ["-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]


def _java(classpath):
    return lambda: ["java", *_JVM, "-cp", f"{packages.java_programs()}:{classpath()}",
                    "GroupMember"]


def _python(library, requirements="requirements.txt"):
    return lambda: [packages.python(requirements), packages.PROGRAMS / "group_member.py", library]


def _kcat():
    packages.require("kcat", "kcat")
    return ["python3", "-B", packages.PROGRAMS / "kcat_member.py"]


def _node():
    return ["node", os.path.join(os.path.dirname(packages.node_client()), "member.js")]


# Clients of a strategy that all of them have; versions apart where a library changed much.
CLIENTS = {
    "java": _java(packages.kafka_classpath),
    "java-2.8": _java(packages.old_java_classpath),
    "confluent": _python("confluent-kafka"),
    "confluent-2.0": _python("confluent-kafka", "old_requirements.txt"),
    "franz-go": lambda: [packages.go_client(), "member"],
    "kafka-python": _python("kafka-python"),
    "kafkajs": _node,
    "kcat": _kcat,
}
CLASSIC, CONSUMER = "classic", "consumer"
OF_STRATEGY = {
    "range": list(CLIENTS),
    # Without confluent-2.0: in a group with the others two of its members were seen to be given the
    # same nine partitions in turn, rebalance after rebalance, by the leader's assignor.
    "cooperative-sticky": ["java", "franz-go", "confluent", "java-2.8"],
}
OF_CONSUMER_PROTOCOL = ["java", "confluent"]
# Of members of both protocols in one group, in turn.
OF_BOTH = [("java", CONSUMER), ("franz-go", CLASSIC), ("confluent", CONSUMER), ("kcat", CLASSIC),
           ("confluent", CONSUMER), ("kafka-python", CLASSIC), ("java", CONSUMER),
           ("java-2.8", CLASSIC), ("confluent", CONSUMER), ("confluent", CLASSIC),
           ("java", CONSUMER), ("java", CLASSIC), ("confluent", CONSUMER), ("kafkajs", CLASSIC)]
WITH_INSTANCES = ["java", "java-2.8", "confluent", "franz-go", "kafka-python", "kcat"]
# Commits what it has printed, without a word.
COMMITS_UNSEEN = ["kcat"]


class Member:
    """One program in one group, from its start to its end."""

    def __init__(self, client, broker, topic, group, name, strategy, protocol, instance=""):
        self.client, self.name, self.protocol, self.instance = client, name, protocol, instance
        # Who takes a static member's place is the same to the group.
        self.shown = instance or name
        self.events = broker.home / f"{group}-{name}.events"
        self.log = broker.home / f"{group}-{name}.log"
        self.paused = False
        order = [*CLIENTS[client](), broker.address, topic, group, self.shown, strategy, protocol,
                 instance]
        with open(self.events, "wb") as out, open(self.log, "wb") as err:
            self.process = process.start(order, stdin=subprocess.PIPE, stdout=out, stderr=err)

    def has_started(self):
        return self.events.stat().st_size > 0

    def alive(self):
        return self.process.poll() is None

    def _signal(self, number):
        """To the client itself, which may be a child of the program that tells of it."""
        first = json.loads(self.events.read_text().split("\n", 1)[0])
        if self.alive():
            os.kill(first.get("pid", self.process.pid), number)

    def kill(self):
        self._signal(signal.SIGKILL)
        self.process.wait(10)
        self.process.stdin.close()

    def pause(self):
        self.paused = True
        self._signal(signal.SIGSTOP)

    def resume(self):
        self.paused = False
        self._signal(signal.SIGCONT)

    def ask_to_leave(self):
        self.process.stdin.close()

    def wait_gone(self, timeout_s=30):
        """Its exit code; None where it had to be killed."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
            return None

    def last_words(self):
        return (self.events.read_text(errors="replace")[-500:] + "\n"
                + self.log.read_text(errors="replace")[-1500:])


def wait_started(members, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    for member in members:
        while not member.has_started():
            if not member.alive() or time.monotonic() > deadline:
                raise process.Failed(f"{member.name} did not start\n{member.last_words()}")
            time.sleep(0.02)
