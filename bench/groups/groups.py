#!/usr/bin/env python3
"""Offset commits of many groups: `./dev bench groups [--help]`. The method is in bench/README.md."""

import argparse
import json
import os
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "bench" / "broker"), str(ROOT / "tests" / "clients")]

from broker import answer_of, cpu_s  # noqa: E402
from lib import admin, process, wire  # noqa: E402
from lib.broker import Broker  # noqa: E402
from lib.options import OPTIONS  # noqa: E402

LOADER = ROOT / "build" / "release" / "bench" / "groups" / "commit_load"
LIMIT_S = 600
TOPIC = "bench"
LOAD_IN_PROGRESS, NOT_COORDINATOR = 14, 16


def load(broker, given, **settings):
    """What commit_load printed, with the broker's CPU for each commit."""
    words = [LOADER, "--port", broker.port, "--topic", TOPIC, "--partitions", given.partitions,
             "--groups", given.groups, "--connections", given.connections]
    for name, value in settings.items():
        words += [f"--{name}"] if value is True else [f"--{name}", value] if value else []
    if given.pin:
        words = ["taskset", "-c", "1", *words]
    before = cpu_s(broker.pid)
    found = answer_of(process.run(words, timeout_s=LIMIT_S).stdout)
    found["cpu_us"] = (cpu_s(broker.pid) - before) * 1e6 / found["commits"]
    return found


def resident_mib(broker):
    time.sleep(8)  # what was busy gives its memory back
    return process.rss_kib(broker.pid) / 1024


def served_after(broker, group_names):
    """Starts the broker; seconds from Metadata's first answer until every group is served."""
    began = time.monotonic()
    broker.start()
    ready = time.monotonic()
    with wire.Client(broker.port, timeout_s=60) as client:
        for name in group_names:
            while True:
                answer = client.call("OffsetFetch", 7, group_id=name, topics=None,
                                     require_stable=True)
                if answer["error_code"] == 0:
                    assert answer["topics"], f"{name} has lost its offsets"
                    break
                if answer["error_code"] not in (LOAD_IN_PROGRESS, NOT_COORDINATOR):
                    raise process.Failed(f"OffsetFetch: {wire.error_name(answer['error_code'])}")
                time.sleep(0.005)
    return ready - began, time.monotonic() - began


def log_bytes(broker):
    return sum(path.stat().st_size for path in broker.data.glob("__consumer_offsets-*/*.log"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=10_000)
    parser.add_argument("--commits", type=int, default=1_000_000)
    parser.add_argument("--partitions", type=int, default=10, help="that a group commits")
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--rate", type=int, default=10_000, help="of the open-loop part")
    parser.add_argument("--seconds", type=int, default=20, help="of the open-loop part")
    parser.add_argument("--members", action="store_true", help="each group has one, who commits")
    parser.add_argument("--pin", action="store_true",
                        help="the broker has one shard on core 0, the load has core 1")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--kafka", action="store_true", help="Apache Kafka instead")
    given = parser.parse_args()
    OPTIONS.settings = [tuple(setting.split("=", 1)) for setting in given.set]
    settings = {"offsets.topic.num.partitions": "50", "group.initial.rebalance.delay.ms": "0"}
    if given.pin:
        settings["keelson.shards"] = "1"
    if given.pin:
        os.sched_setaffinity(0, {0})  # inherited by the broker
    report = {"parameters": vars(given)}
    with Broker(settings, kind="kafka" if given.kafka else "keelson") as broker:
        admin.create(broker.port, TOPIC, given.partitions)
        with wire.Client(broker.port) as client:  # makes the internal topic
            admin.wait_until(lambda: client.call("FindCoordinator", 3, key="x", key_type=0)
                             ["error_code"] == 0, "a coordinator")
        load(broker, given, count=given.connections)  # what a busy broker keeps anyway
        before = resident_mib(broker)
        report["commits"] = load(broker, given, count=given.commits, members=given.members)
        report["log_mib"] = log_bytes(broker) / 2**20
        after = resident_mib(broker)
        report["kib_per_group"] = (after - before) * 1024 / given.groups
        report["rss_mib"] = after
        # Other groups where they have members: those of before still have theirs.
        report["rate"] = load(broker, given, count=given.rate * given.seconds, rate=given.rate,
                              members=given.members, prefix="late" if given.members else None)
        report["log_mib_before_restart"] = log_bytes(broker) / 2**20
        names = [f"bench-group-{n:06}" for n in range(0, given.groups, max(given.groups // 500, 1))]
        broker.kill()
        report["metadata_after_kill_s"], report["groups_after_kill_s"] = served_after(broker, names)
        broker.stop()
        report["metadata_after_stop_s"], report["groups_after_stop_s"] = served_after(broker, names)
        report["log_mib_after"] = log_bytes(broker) / 2**20
        report["rss_after_restart_mib"] = resident_mib(broker)
    print(json.dumps(report, indent=1, default=str))


if __name__ == "__main__":
    main()
