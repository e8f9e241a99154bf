#!/usr/bin/env python3
"""What a broker costs that does little: `./dev bench footprint [--help]`.

Start to the first answered Metadata, on an empty directory and after kill -9 with many partitions
that hold records; resident memory and CPU when idle, with partitions and with connections.
"""

import argparse
import pathlib
import socket
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "tests" / "clients")]

from broker import cpu_s, load_command, make_broker  # noqa: E402
from lib import admin, process  # noqa: E402
from loads import Load, SYSTEMS  # noqa: E402

TOPIC_PARTITIONS = 500  # partitions of one topic


def started(broker):
    begun = time.monotonic()
    broker.start()
    return time.monotonic() - begun


def fill(broker, partitions, policy):
    """`partitions` partitions, ten records in each."""
    for number in range(0, partitions, TOPIC_PARTITIONS):
        load = Load("fill", min(TOPIC_PARTITIONS, partitions - number), 100, 0)
        topic = f"fill-{number}"
        admin.create(broker.port, topic, load.partitions, cleanup_policy=policy)
        process.run(load_command("produce", broker, topic, load, "--count", 10 * load.partitions,
                                 "--size", load.size, "--keys", 10), timeout_s=120)


def idle(broker, seconds):
    time.sleep(8)  # what was busy gives its memory back
    before = cpu_s(broker.pid)
    time.sleep(seconds)
    return (cpu_s(broker.pid) - before) * 60 / seconds, process.rss_kib(broker.pid) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--systems", default="keelson", help=", ".join(SYSTEMS))
    parser.add_argument("--partitions", default="0,1000,5000")
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--idle", type=float, default=20, help="seconds to look at")
    parser.add_argument("--policy", default="delete", help="cleanup.policy of the partitions")
    given = parser.parse_args()
    for name in given.systems.split(","):
        system = SYSTEMS[name]
        for partitions in map(int, given.partitions.split(",")):
            broker = make_broker(system)
            begun = time.monotonic()
            with broker:
                empty_s = time.monotonic() - begun
                fill(broker, partitions, given.policy)
                cpu, rss = idle(broker, given.idle)
                broker.kill()
                again_s = started(broker)
                print(f"{name:16} {partitions:5} partitions: start empty {empty_s:.2f} s, after "
                      f"kill -9 {again_s:.2f} s; idle {cpu:.2f} CPU s in 60, {rss:.0f} MiB, "
                      f"after the restart {process.rss_kib(broker.pid) / 1024:.0f} MiB", flush=True)
                if partitions:
                    continue
                before = process.rss_kib(broker.pid)
                held = [socket.create_connection(("127.0.0.1", broker.port))
                        for _ in range(given.connections)]
                cpu, _ = idle(broker, given.idle)
                more = (process.rss_kib(broker.pid) - before) / 1024
                print(f"{name:16} {given.connections} idle connections: {more:.1f} MiB more, "
                      f"{cpu:.2f} CPU s in 60", flush=True)
                for connection in held:
                    connection.close()


if __name__ == "__main__":
    main()
