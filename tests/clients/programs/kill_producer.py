"""kill_producer.py ADDRESS TOPIC PARTITIONS: writes numbered records until its input ends.

Prints "partition offset number" of each record that was acknowledged. Ends with 1 where
librdkafka reports an error that it must not report while a broker is only away.
"""

import select
import sys
import time

import confluent_kafka

ADDRESS, TOPIC, PARTITIONS = sys.argv[1], sys.argv[2], int(sys.argv[3])
failures = []


def fatal(error):
    if error.fatal():
        failures.append(str(error))


def delivered(error, message):
    if error is not None:
        failures.append(str(error))
    else:
        number = message.value().split(b" ")[0].decode()
        print(message.partition(), message.offset(), number)


producer = confluent_kafka.Producer({
    "bootstrap.servers": ADDRESS, "enable.idempotence": True, "acks": "all", "linger.ms": 5,
    "max.in.flight.requests.per.connection": 5, "message.timeout.ms": 300000,
    "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200, "retry.backoff.ms": 20,
    "socket.timeout.ms": 20000, "error_cb": fatal})
number = 0
while not failures and not select.select([sys.stdin], [], [], 0)[0]:
    for _ in range(20):
        try:
            producer.produce(TOPIC, value=b"%d %s" % (number, b"." * (number % 200)),
                             partition=number % PARTITIONS, on_delivery=delivered)
            number += 1
        except BufferError:
            break
    producer.poll(0)
    time.sleep(0.005)
left = producer.flush(90)
if left or failures:
    sys.exit(f"{left} not delivered, {failures[:5]}")
