"""A member of a group, by confluent-kafka, until its input ends.

protocol_member.py ADDRESS GROUP TOPIC INSTANCE classic|consumer
A topic that begins with ^ is a pattern. An empty instance is none. Says, one JSON object a line:
{"owned": [[topic, partition], ...]} after each rebalance, {"value": text} for each record, and
{"error": text}.
"""

import json
import sys
import threading

import confluent_kafka

ADDRESS, GROUP, TOPIC, INSTANCE, PROTOCOL = sys.argv[1:]
EAGER = PROTOCOL == "classic"  # with range: everything is given up before it is shared out anew
ended = threading.Event()


def say(**what):
    print(json.dumps(what), flush=True)


def wait_for_end():
    sys.stdin.read()
    ended.set()


def rebalanced(consumer, partitions, *, add):
    owned = {(one.topic, one.partition) for one in consumer.assignment()}
    moved = {(one.topic, one.partition) for one in partitions}
    if EAGER:
        consumer.assign(partitions) if add else consumer.unassign()
        owned = set()
    elif add:
        consumer.incremental_assign(partitions)
    else:
        consumer.incremental_unassign(partitions)
    say(owned=sorted(owned | moved if add else owned - moved))


settings = {"bootstrap.servers": ADDRESS, "group.id": GROUP, "group.protocol": PROTOCOL,
            "auto.offset.reset": "earliest", "auto.commit.interval.ms": 200}
if PROTOCOL == "classic":
    settings |= {"partition.assignment.strategy": "range",
                 "session.timeout.ms": 6000, "heartbeat.interval.ms": 500}
if INSTANCE:
    settings["group.instance.id"] = INSTANCE
threading.Thread(target=wait_for_end, daemon=True).start()
consumer = confluent_kafka.Consumer(settings)
consumer.subscribe([TOPIC],
                   on_assign=lambda c, p: rebalanced(c, p, add=True),
                   on_revoke=lambda c, p: rebalanced(c, p, add=False),
                   on_lost=lambda c, p: rebalanced(c, p, add=False))
while not ended.is_set():
    message = consumer.poll(0.2)
    if message is None:
        continue
    if message.error():
        say(error=str(message.error()))
    else:
        say(value=message.value().decode())
consumer.close()
