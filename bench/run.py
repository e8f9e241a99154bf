#!/usr/bin/env python3
"""The benchmarks, by `./dev bench`.

    ./dev bench broker [--help]     beside Apache Kafka, in one run
    ./dev bench compaction [--help] beside Apache Kafka's cleaner on the same directory
    ./dev bench counters [--help]   system calls, copies and allocations of a request
    ./dev bench footprint [--help]  start-up, idle memory and CPU, many partitions and connections
    ./dev bench groups [--help]     offset commits of many groups, and their replay
    ./dev bench rebalance [--help]  who waits while members of a group come and go
    ./dev bench storage [--help]    the engine beside fio, in one run
    ./dev bench [FILTER] [options of Google Benchmark]    the micro-benchmarks, one after the other

FILTER chooses the micro-benchmarks whose name contains it.
"""

import os
import pathlib
import subprocess
import sys

PROGRAMS = ["io_benchmark", "log_benchmark", "records_benchmark", "requests_benchmark"]
FOLDER = pathlib.Path(__file__).resolve().parent.parent / "build" / "release" / "bench"


COMPARISONS = {"broker": "broker/broker.py", "compaction": "compaction/compaction.py",
               "counters": "counters/counters.py", "footprint": "broker/footprint.py",
               "groups": "groups/groups.py", "rebalance": "groups/rebalance.py",
               "storage": "storage/storage.py"}


def main(arguments):
    if arguments and arguments[0] in COMPARISONS:
        script = pathlib.Path(__file__).resolve().parent / COMPARISONS[arguments[0]]
        os.execv(sys.executable, [sys.executable, "-B", script, *arguments[1:]])
    chosen = PROGRAMS
    if arguments and not arguments[0].startswith("-"):
        chosen = [program for program in PROGRAMS if arguments[0] in program]
        arguments = arguments[1:]
        if not chosen:
            print("bench: no such program; there are " + ", ".join(PROGRAMS), file=sys.stderr)
            return 2
    for program in chosen:
        print(f"== {program}", flush=True)
        done = subprocess.run([FOLDER / program, *arguments], check=False)
        if done.returncode != 0:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
