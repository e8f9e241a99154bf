"""confluent-kafka and kafka-python: produce, consume. See the module test_languages for the lines.

python_client.py LIBRARY produce ADDRESS TOPIC CODEC COUNT [idempotent]
python_client.py LIBRARY consume ADDRESS TOPIC COUNT [GROUP]
python_client.py LIBRARY send-file ADDRESS TOPIC FILE
python_client.py LIBRARY read-file ADDRESS TOPIC COUNT
"""

import base64
import json
import sys
import time

LIBRARY, COMMAND, ADDRESS, TOPIC, *REST = sys.argv[1:]
IDLE_S = 30


def key_of(number):
    return b"k%d" % (number % 7)


def value_of(number):
    return f"{number} ".encode() + "ü".encode() * (number % 50)


def headers_of(number):
    return [("number", b"%d" % number), ("empty", b"")]


def say(partition, offset, key, value, headers):
    encode = lambda data: None if data is None else base64.b64encode(data).decode()
    print(json.dumps({"partition": partition, "offset": offset, "key": encode(key),
                      "value": encode(value),
                      "headers": [[name, encode(data)] for name, data in headers or []]}))


class Confluent:
    def producer(self, codec, idempotent):
        import confluent_kafka
        return confluent_kafka.Producer({
            "bootstrap.servers": ADDRESS, "compression.type": codec, "acks": "all",
            "enable.idempotence": idempotent, "linger.ms": 5, "message.timeout.ms": 60000})

    def produce(self, codec, count, idempotent):
        producer = self.producer(codec, idempotent)
        failures = []

        def delivered(error, _):
            if error is not None:
                failures.append(str(error))

        for number in range(count):
            producer.produce(TOPIC, key=key_of(number), value=value_of(number),
                             headers=headers_of(number), callback=delivered)
            producer.poll(0)
        if producer.flush(60) or failures:
            sys.exit(f"not delivered: {failures[:3]}")

    def send_file(self, path):
        producer = self.producer("lz4", True)
        failures = []

        def delivered(error, _):
            if error is not None:
                failures.append(str(error))

        with open(path, "rb") as lines:
            for line in lines:
                while True:
                    try:
                        producer.produce(TOPIC, value=line[:-1], callback=delivered)
                        break
                    except BufferError:
                        producer.poll(0.1)
        if producer.flush(120) or failures:
            sys.exit(f"not delivered: {failures[:3]}")

    def messages(self, count, group):
        import confluent_kafka
        consumer = confluent_kafka.Consumer({
            "bootstrap.servers": ADDRESS, "group.id": group or f"none-{time.time()}",
            "auto.offset.reset": "earliest", "enable.auto.commit": False})
        consumer.subscribe([TOPIC])
        seen = 0
        last = {}
        deadline = time.monotonic() + IDLE_S
        while seen < count and time.monotonic() < deadline:
            for message in consumer.consume(min(5000, count - seen), 1.0):
                if message.error():
                    sys.exit(str(message.error()))
                deadline = time.monotonic() + IDLE_S
                seen += 1
                last[message.partition()] = message.offset() + 1
                yield message
        if group and last:
            consumer.commit(offsets=[confluent_kafka.TopicPartition(TOPIC, partition, offset)
                                     for partition, offset in last.items()], asynchronous=False)
        consumer.close()

    def consume(self, count, group):
        for message in self.messages(count, group):
            say(message.partition(), message.offset(), message.key(), message.value(),
                message.headers())

    def read_file(self, count):
        for message in self.messages(count, None):
            sys.stdout.buffer.write((message.value() or b"") + b"\n")


class KafkaPython:
    def produce(self, codec, count, idempotent):
        import kafka
        producer = kafka.KafkaProducer(
            bootstrap_servers=ADDRESS, acks="all", enable_idempotence=idempotent, linger_ms=5,
            compression_type=None if codec == "none" else codec)
        sent = [producer.send(TOPIC, key=key_of(number), value=value_of(number),
                              headers=headers_of(number)) for number in range(count)]
        for future in sent:
            future.get(60)
        producer.close()

    def consume(self, count, group):
        import kafka
        consumer = kafka.KafkaConsumer(
            TOPIC, bootstrap_servers=ADDRESS, group_id=group, auto_offset_reset="earliest",
            enable_auto_commit=False, consumer_timeout_ms=IDLE_S * 1000)
        last = {}
        for seen, message in enumerate(consumer, 1):
            say(message.partition, message.offset, message.key, message.value, message.headers)
            last[message.partition] = message.offset + 1
            if seen == count:
                break
        if group and last:
            consumer.commit({
                kafka.TopicPartition(TOPIC, partition): kafka.OffsetAndMetadata(offset, "", -1)
                for partition, offset in last.items()})
        consumer.close()


def main():
    client = {"confluent-kafka": Confluent, "kafka-python": KafkaPython}[LIBRARY]()
    if COMMAND == "produce":
        client.produce(REST[0], int(REST[1]), "idempotent" in REST)
    elif COMMAND == "consume":
        client.consume(int(REST[0]), REST[1] if len(REST) > 1 else None)
    elif COMMAND == "send-file":
        client.send_file(REST[0])
    else:
        client.read_file(int(REST[0]))


main()
