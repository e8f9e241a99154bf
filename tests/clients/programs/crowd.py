"""Several members of one group in one process, by confluent-kafka, until its input ends.

crowd.py ADDRESS GROUP TOPIC classic|consumer HEARTBEAT_MS SESSION_MS NAME[:WORK_S]...
Says, one JSON object a line: {"t": ns, "m": name, "p": [partitions]} when records came, a partition
for each, by the monotonic clock; {"t": ns, "m": name, "error": text}. The two times are a classic
member's, who shares by range and gives up everything in each rebalance; for the others the broker
decides. A member works for WORK_S on what it has received before it comes for more.
"""

import json
import os
import sys
import threading
import time

import confluent_kafka

ADDRESS, GROUP, TOPIC, PROTOCOL, HEARTBEAT_MS, SESSION_MS, *NAMES = sys.argv[1:]
RECORDS_MAX = 100  # in a line
ended = threading.Event()


def say(name, **what):
    line = json.dumps({"t": time.monotonic_ns(), "m": name, **what}) + "\n"
    os.write(1, line.encode())  # at once: lines of the threads do not mix


def be_member(name, work_s):
    settings = {"bootstrap.servers": ADDRESS, "group.id": GROUP, "client.id": name,
                "group.protocol": PROTOCOL, "auto.offset.reset": "earliest",
                "auto.commit.interval.ms": 1000}
    if PROTOCOL == "classic":  # where the broker orders members by id, which begins with the name
        settings |= {"partition.assignment.strategy": "range",
                     "heartbeat.interval.ms": HEARTBEAT_MS, "session.timeout.ms": SESSION_MS}
    consumer = confluent_kafka.Consumer(settings)
    consumer.subscribe([TOPIC])
    while not ended.is_set():
        message = consumer.poll(0.2)
        partitions = []
        while message is not None:
            if message.error():
                say(name, error=str(message.error()))
            else:
                partitions.append(message.partition())
            message = consumer.poll(0) if len(partitions) < RECORDS_MAX else None
        if partitions:
            say(name, p=partitions)
            time.sleep(work_s)
    consumer.close()


members = []
for given in NAMES:
    called, _, work = given.partition(":")
    members.append(threading.Thread(target=be_member, args=[called, float(work or 0)]))
for member in members:
    member.start()
sys.stdin.read()
ended.set()
for member in members:
    member.join()
