#!/usr/bin/env python3
"""Keelson's compaction beside Apache Kafka's cleaner in one run: `./dev bench compaction [--help]`.

Kafka writes one partition that is not due; then each broker in turn gets a copy of that directory,
is started, and told that the partition is due (min.cleanable.dirty.ratio). Time, CPU and bytes are
counted from then until the broker says that it is done: Kafka in cleaner-offset-checkpoint, Keelson
in its log. Both must leave the same records. Memory is the most that the process ever had.

Then an open-loop producer on another topic of the same broker, beside a compaction and without one.
"""

import argparse
import hashlib
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "bench" / "broker"), str(ROOT / "tests" / "clients")]

from broker import answer_of, cpu_s, load_command  # noqa: E402
from lib import admin, process, wire  # noqa: E402
from lib.broker import Broker  # noqa: E402
from loads import KAFKA_JAVA, Load  # noqa: E402

TOPIC = "table"
WAIT_S = 600
DONE = re.compile(rb"table-0: compacted ")
MOVED = re.compile(rb"([0-9]+) bytes read, ([0-9]+) written")
FIGURES = ("seconds", "cpu_s", "peak_mib", "read_mb", "written_mb", "size_mb")


def serve(kind, data):
    adopt = ["--adopt"] if kind == "keelson" else []
    return Broker({"log.cleaner.backoff.ms": "100"}, data=data, kind=kind, arguments=adopt,
                  java_options=KAFKA_JAVA)


def write(data, given):
    with serve("kafka", data) as broker:
        # No share of a log is larger than 1: it is not due.
        admin.create(broker.port, TOPIC, cleanup_policy="compact", segment_bytes=100 << 20,
                     min_cleanable_dirty_ratio="1", delete_retention_ms=3_600_000)
        load = Load("write", 1, given.size, given.records)
        process.run(load_command("produce", broker, TOPIC, load, "--count", given.records, "--size",
                                 given.size, "--keys", given.keys, "--idempotence"),
                    timeout_s=WAIT_S)


def make_due(broker):
    with wire.Client(broker.port) as client:
        answer = client.call("IncrementalAlterConfigs", 1, validate_only=False, resources=[{
            "resource_type": 2, "resource_name": TOPIC, "configs": [{
                "name": "min.cleanable.dirty.ratio", "config_operation": 0, "value": "0.01"}]}])
        if answer["responses"][0]["error_code"]:
            raise process.Failed(str(answer))


def done(broker):
    if not broker.is_kafka:
        return DONE.search(broker.log_path.read_bytes()) is not None
    checkpoint = broker.data / "cleaner-offset-checkpoint"
    return checkpoint.exists() and f"{TOPIC} 0 " in checkpoint.read_text()


def log_bytes(data):
    return sum(path.stat().st_size for path in (data / f"{TOPIC}-0").glob("*.log"))


def bytes_moved(pid):
    """(read, written) through system calls, whatever they moved from; Kafka's way of reading."""
    fields = dict(line.split(": ") for line in
                  pathlib.Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(fields["rchar"]), int(fields["wchar"])


def peak_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def wait_done(broker):
    deadline = time.monotonic() + WAIT_S
    while not done(broker):
        if time.monotonic() > deadline:
            raise process.Failed("compaction has not ended")
        time.sleep(0.02)


def digest(broker):
    """Of every record that a reader gets: offset, key, value."""
    command = ["kcat", "-b", broker.address, "-C", "-t", TOPIC, "-o", "beginning", "-e", "-q", "-f",
               "%o %k %s\n"]
    reader = process.start(command, stdout=subprocess.PIPE)
    whole, records = hashlib.sha256(), 0
    for line in reader.stdout:
        whole.update(line)
        records += 1
    if reader.wait(60):
        raise process.Failed("kcat")
    return whole.hexdigest(), records


def copy(kind, original, folder):
    data = folder / kind
    shutil.rmtree(data, ignore_errors=True)
    shutil.copytree(original, data)
    os.sync()
    return data


def forget(data):
    """Takes the copy out of the page cache, where the broker that writes directly never had it: to
    free those pages with a segment that goes is work of tens of milliseconds."""
    for path in data.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def at_rest(pid):
    """Waits until the process that was started has nothing left to do."""
    before = -1.0
    for _ in range(60):
        now = cpu_s(pid)
        if now - before < 0.05:
            return
        before = now
        time.sleep(1)


def compact_once(kind, original, folder):
    data = copy(kind, original, folder)
    with serve(kind, data) as broker:
        at_rest(broker.pid)
        cpu, (read, written), begun = cpu_s(broker.pid), bytes_moved(broker.pid), time.monotonic()
        make_due(broker)
        wait_done(broker)
        figures = {"seconds": time.monotonic() - begun, "cpu_s": cpu_s(broker.pid) - cpu,
                   "peak_mib": peak_mib(broker.pid), "size_mb": log_bytes(data) / 1e6}
        if kind == "kafka":
            read_now, written_now = bytes_moved(broker.pid)
            figures["read_mb"] = (read_now - read) / 1e6
            figures["written_mb"] = (written_now - written) / 1e6
        else:
            told = MOVED.search(broker.log_path.read_bytes())
            figures["read_mb"], figures["written_mb"] = (int(word) / 1e6 for word in told.groups())
        left = digest(broker)
    return figures, left


def latency(kind, original, folder, rate, compact, seconds):
    data = copy(kind, original, folder)
    if kind == "keelson":
        forget(data)
    with serve(kind, data) as broker:
        admin.create(broker.port, "beside", 8)
        load = Load("beside", 8, 1024, int(rate * seconds), rate=rate)
        command = load_command("produce", broker, "beside", load, "--size", load.size, "--rate",
                               rate, "--linger", 0, "--count")
        process.run([*command, 2 * rate], timeout_s=WAIT_S)
        at_rest(broker.pid)
        if compact:
            make_due(broker)
        answer = answer_of(process.run([*command, load.count], timeout_s=WAIT_S).stdout)
        answer["covered"] = not compact or not done(broker)
    return answer


def show(kind, figures, beside):
    for name in FIGURES:
        value = statistics.median(run[name] for run in figures[kind])
        base = statistics.median(run[name] for run in figures[beside])
        ratio = f"{value / base:7.2f}" if base and kind != beside else ""
        print(f"{kind:10} {name:12} {value:10.2f} {ratio}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=100, help="bytes of a value")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--systems", default="kafka,keelson")
    parser.add_argument("--rates", default="1000,5000", help="of the producer beside; '' for none")
    given = parser.parse_args()
    systems = given.systems.split(",")
    with tempfile.TemporaryDirectory(prefix="keelson-compaction-") as name:
        folder = pathlib.Path(name)
        original = folder / "original"
        print(f"writing {given.records} records of {given.keys} keys", file=sys.stderr)
        write(original, given)
        print(f"{'':10} {'size_mb':12} {log_bytes(original) / 1e6:10.2f} before")
        figures, left = {kind: [] for kind in systems}, set()
        for number in range(given.rounds):
            for kind in systems:
                print(f"round {number + 1}: {kind}", file=sys.stderr, flush=True)
                found, records = compact_once(kind, original, folder)
                figures[kind].append(found)
                left.add(records)
        if len(left) != 1:
            sys.exit(f"what stays is not the same: {left}")
        print(f"both leave the same {left.pop()[1]} records")
        for kind in systems:
            show(kind, figures, systems[0])
        for rate in [int(word) for word in given.rates.split(",") if word]:
            for kind in systems:
                seconds = 0.6 * min(run["seconds"] for run in figures[kind])
                for compact in (False, True):
                    runs = [latency(kind, original, folder, rate, compact, seconds)
                            for _ in range(given.rounds)]
                    told = "beside a compaction" if compact else "alone"
                    if not all(run["covered"] for run in runs):
                        told += " that ended before the load"
                    print(f"{kind:10} {rate:6}/s p50 "
                          f"{statistics.median(run['p50_ms'] for run in runs):8.3f} ms, p99 "
                          f"{statistics.median(run['p99_ms'] for run in runs):8.3f} ms {told}",
                          flush=True)


if __name__ == "__main__":
    main()
