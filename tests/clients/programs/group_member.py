"""confluent-kafka or kafka-python as a member of a group. See lib/group_history.py for the events.

group_member.py LIBRARY ADDRESS TOPIC GROUP NAME STRATEGY PROTOCOL INSTANCE

STRATEGY: range or cooperative-sticky. PROTOCOL: classic or consumer. INSTANCE: of a static member,
or empty. Leaves when its standard input ends. Commits what it has processed, by a call that waits.
"""

import json
import os
import re
import select
import sys
import time

LIBRARY, ADDRESS, TOPIC, GROUP, NAME, STRATEGY, PROTOCOL, INSTANCE = sys.argv[1:]
SESSION_MS, HEARTBEAT_MS, REBALANCE_MS = 4000, 300, 30000
COMMIT_EVERY_S = 0.3


def now():
    return time.monotonic_ns()


def say(event, **fields):
    os.write(1, json.dumps({"t": now(), "e": event, **fields}).encode() + b"\n")


def wanted():
    """Whether this member shall stay."""
    return not select.select([0], [], [], 0)[0]


class Progress:
    """What was processed and not yet committed, and the commits."""

    def __init__(self, commit):
        self.taken = []  # (partition, offset): to be processed
        self.next = {}  # partition: offset to commit
        self.commit_now = commit
        self.due = time.monotonic() + COMMIT_EVERY_S

    def process(self):
        """What was taken, in the order of each partition."""
        runs = []
        for partition, offset in self.taken:
            if runs and runs[-1][0] == partition and runs[-1][2] + 1 == offset:
                runs[-1][2] = offset
            else:
                runs.append([partition, offset, offset])
            self.next[partition] = offset + 1
        self.taken = []
        if runs:
            say("processed", runs=runs)

    def commit(self, partitions=None):
        offsets = {p: o for p, o in self.next.items() if partitions is None or p in partitions}
        if not offsets:
            return
        start = now()
        try:
            self.commit_now(offsets)
        except Exception as error:  # pylint: disable=broad-except
            say("commit failed", s=start, why=repr(error)[:200])
            return
        say("committed", s=start, offsets=offsets)
        for partition in offsets:
            self.next.pop(partition, None)

    def commit_if_due(self):
        if time.monotonic() >= self.due:
            self.commit()
            self.due = time.monotonic() + COMMIT_EVERY_S

    def forget(self, partitions):
        for partition in partitions:
            self.next.pop(partition, None)


class Generation:
    """librdkafka tells the generation to its log alone."""

    value = None

    def write(self, text):
        found = re.search(r"GenerationId (\d+)", text)
        if found:
            self.value = int(found.group(1))

    def flush(self):
        pass


def confluent():
    import logging

    import confluent_kafka
    from confluent_kafka import TopicPartition
    generation = Generation()
    logger = logging.getLogger("group")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(logging.StreamHandler(generation))
    settings = {
        "bootstrap.servers": ADDRESS, "group.id": GROUP, "client.id": NAME,
        "auto.offset.reset": "earliest", "enable.auto.commit": False,
        "max.poll.interval.ms": REBALANCE_MS, "fetch.wait.max.ms": 100,
        "reconnect.backoff.max.ms": 1000, "topic.metadata.refresh.interval.ms": 2000}
    if INSTANCE:
        settings["group.instance.id"] = INSTANCE
    if PROTOCOL == "consumer":
        settings["group.protocol"] = "consumer"
    else:
        settings.update({"session.timeout.ms": SESSION_MS, "heartbeat.interval.ms": HEARTBEAT_MS,
                         "partition.assignment.strategy": STRATEGY, "debug": "cgrp"})
    consumer = confluent_kafka.Consumer(settings, logger=logger)
    owned = set()

    def commit(offsets):
        answer = consumer.commit(offsets=[TopicPartition(TOPIC, p, o) for p, o in offsets.items()],
                                 asynchronous=False)
        for one in answer:
            if one.error:
                raise RuntimeError(str(one.error))

    progress = Progress(commit)
    cooperative = STRATEGY != "range" or PROTOCOL == "consumer"

    def assigned(consumer, partitions):
        (consumer.incremental_assign if cooperative else consumer.assign)(partitions)
        owned.update(p.partition for p in partitions)
        say("assigned", g=generation.value, p=[p.partition for p in partitions], all=sorted(owned))

    def let_go(consumer, partitions, event):
        numbers = [p.partition for p in partitions]
        progress.process()  # this is called from within poll()
        if event == "revoked":
            progress.commit(set(numbers))
        progress.forget(numbers)
        owned.difference_update(numbers)
        say(event, p=numbers)
        (consumer.incremental_unassign(partitions) if cooperative else consumer.unassign())

    say("started")
    consumer.subscribe([TOPIC], on_assign=assigned,
                       on_revoke=lambda c, p: let_go(c, p, "revoked"),
                       on_lost=lambda c, p: let_go(c, p, "lost"))
    while wanted():
        # One by one: consume() of librdkafka 2.0 loses what it has gathered when it comes upon an
        # incremental assignment.
        message = consumer.poll(0.1)
        while message is not None:
            if not message.error() and message.partition() in owned:
                progress.taken.append((message.partition(), message.offset()))
            message = consumer.poll(0) if len(progress.taken) < 500 else None
        progress.process()
        progress.commit_if_due()
    progress.commit()
    consumer.close()


def kafka_python():
    import kafka
    from kafka import ConsumerRebalanceListener, OffsetAndMetadata, TopicPartition
    consumer = kafka.KafkaConsumer(
        bootstrap_servers=ADDRESS, group_id=GROUP, client_id=NAME,
        group_instance_id=INSTANCE or None, auto_offset_reset="earliest",
        enable_auto_commit=False, session_timeout_ms=SESSION_MS, heartbeat_interval_ms=HEARTBEAT_MS,
        max_poll_interval_ms=REBALANCE_MS, fetch_max_wait_ms=100, reconnect_backoff_max_ms=1000,
        metadata_max_age_ms=2000)
    owned = set()

    def commit(offsets):
        consumer.commit({TopicPartition(TOPIC, p): OffsetAndMetadata(o, "", -1)
                         for p, o in offsets.items()}, timeout_ms=8000)

    progress = Progress(commit)

    class Listener(ConsumerRebalanceListener):
        def on_partitions_revoked(self, revoked):
            progress.commit()
            progress.next.clear()
            owned.clear()
            say("revoked", p=[p.partition for p in revoked])

        def on_partitions_assigned(self, assigned):
            owned.update(p.partition for p in assigned)
            say("assigned", g=consumer.group_metadata().generation_id,
                p=sorted(owned), all=sorted(owned))

    say("started")
    consumer.subscribe([TOPIC], listener=Listener())
    while wanted():
        try:
            found = consumer.poll(timeout_ms=100, max_records=500)
        except kafka.errors.KafkaConnectionError:
            continue  # the broker is away
        progress.taken = [(m.partition, m.offset) for batch in found.values() for m in batch
                          if m.partition in owned]
        progress.process()
        progress.commit_if_due()
    progress.commit()
    consumer.close()


{"confluent-kafka": confluent, "kafka-python": kafka_python}[LIBRARY]()
say("ended")
