"""Topics, records and offsets by the wire client, for tests that are about something else."""

import time

from lib import batch, wire


def create(port, topic, partitions=1, **configs):
    """Creates a topic (dots in a setting's name as underscores) and waits for its leaders."""
    with wire.Client(port) as client:
        answer = client.call("CreateTopics", 5, timeout_ms=10_000, topics=[{
            "name": topic, "num_partitions": partitions, "replication_factor": 1,
            "configs": [{"name": name.replace("_", "."), "value": str(value)}
                        for name, value in configs.items()]}])["topics"][0]
        if answer["error_code"]:
            raise AssertionError(f"create {topic}: {wire.error_name(answer['error_code'])} "
                                 f"{answer['error_message']}")
        for partition in range(partitions):
            wait_until(lambda p=partition: list_offset(client, topic, p, -1)[0] == 0,
                       f"leader of {topic}-{partition}")


def wait_until(done, what, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(0.05)


def topic_id(client, topic):
    found = client.call("Metadata", 12, topics=[{"name": topic}])["topics"][0]
    return found["topic_id"]


def list_offset(client, topic, partition, timestamp, version=7):
    """(error code, offset)"""
    found = client.call("ListOffsets", version, replica_id=-1, topics=[{
        "name": topic, "partitions": [{"partition_index": partition, "timestamp": timestamp}]}])
    found = found["topics"][0]["partitions"][0]
    return found["error_code"], found["offset"]


def produce(client, topic, data, *, partition=0, acks=-1, version=9, transactional_id=None):
    """The partition's answer."""
    answer = client.call("Produce", version, acks=acks, timeout_ms=10_000,
                         transactional_id=transactional_id, topic_data=[{
                             "name": topic,
                             "partition_data": [{"index": partition, "records": data}]}])
    return answer["responses"][0]["partition_responses"][0]


def fetch(client, topic, offset, *, partition=0, max_bytes=1 << 20, wait_ms=100, version=11):
    answer = client.call("Fetch", version, replica_id=-1, max_wait_ms=wait_ms, min_bytes=1,
                         max_bytes=max_bytes, topics=[{"topic": topic, "partitions": [{
                             "partition": partition, "fetch_offset": offset,
                             "partition_max_bytes": max_bytes}]}])
    return answer["responses"][0]["partitions"][0]


def read_all(client, topic, partition=0, start=0, max_bytes=4 << 20):
    """Every record from `start` up to the high watermark."""
    found = []
    at = start
    while True:
        part = fetch(client, topic, at, partition=partition, max_bytes=max_bytes)
        if part["error_code"]:
            raise AssertionError(f"{topic}-{partition} at {at}: "
                                 f"{wire.error_name(part['error_code'])}")
        records = [r for r in batch.decode(part["records"] or b"") if r.offset >= at]
        found += records
        if records:
            at = records[-1].offset + 1
        if at >= part["high_watermark"]:
            return found
        if not records:
            raise AssertionError(f"{topic}-{partition}: nothing at {at}, "
                                 f"high watermark {part['high_watermark']}")
