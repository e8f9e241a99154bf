#!/usr/bin/env python3
"""What a request costs in calls, copies and allocations: `./dev bench counters [--help]`.

Runs small fixed loads on a broker that was built to count (engine/counters.h), with either backend,
and prints what each load added, for each Kafka request and for each record batch. Everything the
broker did meanwhile is in it, its housekeeping too. Exact but for how requests happen to meet.
"""

import argparse
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE.parent / "broker"), str(ROOT / "tests" / "clients")]

from broker import load_command, make_broker, produce_command  # noqa: E402
from lib import admin, process  # noqa: E402
from lib.options import OPTIONS  # noqa: E402
from loads import Load, SYSTEMS  # noqa: E402

# As engine::Counter.
NAMES = ("requests", "batches", "ring_enters", "ring_entries", "system_calls", "metadata_calls",
         "wake_ups", "shard_messages", "copies", "copied_bytes", "allocations", "allocated_bytes",
         "buffers")
IDLE_S = 10

LOADS = (
    Load("one at a time", 1, 1024, 2_000, rate=500, linger_ms=0),
    Load("8 partitions", 8, 1024, 200_000),
    Load("200 partitions", 200, 1024, 200_000),
)


class Counters:
    """The broker's numbers, in a file that both have in memory."""

    def __init__(self, path):
        self.path = path

    def read(self):
        raw = self.path.read_bytes()
        return dict(zip(NAMES, struct.unpack(f"={len(NAMES)}Q", raw[:8 * len(NAMES)])))

    def added(self, work):
        before = self.read()
        work()
        return {name: value - before[name] for name, value in self.read().items()}


def row(label, added, count):
    cells = "".join(f" {added[name] / count:>9.4g}" for name in NAMES[2:])
    return f"{label:34} {count:8}{cells}"


def tell(label, added, batches=True):
    print(row(f"{label}, a request", added, max(1, added["requests"])), flush=True)
    if batches and added["batches"] > 0:
        print(row(f"{label}, a batch", added, added["batches"]), flush=True)


def run(system, counters):
    with make_broker(system) as broker:
        for load in LOADS:
            topic = f"counted-{load.partitions}"
            admin.create(broker.port, topic, load.partitions)
            tell(f"produce, {load.name}",
                 counters.added(lambda: process.run(produce_command(broker, topic, load))))
        catch_up = load_command("consume", broker, "counted-8", LOADS[1], "--count", 200_000)
        tell("catch-up fetch, 8 partitions", counters.added(lambda: process.run(catch_up)))

        load = LOADS[0]
        tail = load_command("consume", broker, "counted-1", load, "--tail", "--count", load.count)

        def beside():
            reader = process.start(tail, stdout=subprocess.DEVNULL)
            time.sleep(1)
            process.run(produce_command(broker, "counted-1", load))
            reader.wait(60)

        tell("one at a time with a tail reader", counters.added(beside))
        time.sleep(8)  # what was busy comes to rest
        idle = counters.added(lambda: time.sleep(IDLE_S))
        print(row("idle, a second", idle, IDLE_S), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--systems", default="keelson,keelson-threads", help=", ".join(SYSTEMS))
    given = parser.parse_args()
    subprocess.run(["cmake", "--preset", "counters"], cwd=ROOT, check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", "build/counters", "--target", "keelson"], cwd=ROOT,
                   check=True, stdout=subprocess.DEVNULL)
    OPTIONS.binary = ROOT / "build" / "counters" / "plugins" / "broker" / "keelson"
    for name in given.systems.split(","):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "counters"
            os.environ["KEELSON_COUNTERS_FILE"] = str(path)
            print(f"{name}\n{'':34} {'count':>8}"
                  + "".join(f" {column.replace('_', ' ')[-9:]:>9}" for column in NAMES[2:]))
            run(SYSTEMS[name], Counters(path))


if __name__ == "__main__":
    main()
