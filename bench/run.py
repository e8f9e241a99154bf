#!/usr/bin/env python3
"""Runs the micro-benchmarks one after the other: `./dev bench [FILTER] [options of Google Benchmark]`.

A first argument without a dash chooses the programs whose name contains it.
"""

import pathlib
import subprocess
import sys

PROGRAMS = ["io_benchmark", "records_benchmark", "requests_benchmark"]
FOLDER = pathlib.Path(__file__).resolve().parent.parent / "build" / "release" / "bench"


def main(arguments):
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
