#!/usr/bin/env python3
"""Runs simulation seeds for hours: new ones each time, both cores, every failure told at the end."""

import argparse
import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SEEDS_A_RUN = 200


def run(program, first):
    """The output lines that name violations, and whether all seeds passed."""
    done = subprocess.run([program, "--from", str(first), "--seeds", str(SEEDS_A_RUN)],
                          capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    found = [line for line in lines if line.startswith("violation")]
    if done.returncode != 0 and not found:
        found = [f"violation {first} the run ended with {done.returncode}: {done.stderr[-500:]}"]
    return lines[-1] if lines else "", found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, required=True)
    parser.add_argument("--build", default=str(ROOT / "build" / "release"))
    parser.add_argument("--from", dest="first", type=int, help="first seed; default: random")
    options = parser.parse_args()
    program = str(Path(options.build) / "tests" / "sim" / "sim_broker_test")
    first = options.first
    if first is None:
        first = random.SystemRandom().randrange(10**6, 10**12)
    deadline = time.monotonic() + options.hours * 3600
    violations = []
    runs = 0
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        while time.monotonic() < deadline:
            starts = [first + i * SEEDS_A_RUN for i in range(workers)]
            first += workers * SEEDS_A_RUN
            for start, (summary, found) in zip(starts,
                                               pool.map(lambda s: run(program, s), starts)):
                runs += 1
                print(f"seeds {start} to {start + SEEDS_A_RUN - 1}: {summary}", flush=True)
                for line in found:
                    print(line, flush=True)
                violations += found
    print(f"soak: {runs * SEEDS_A_RUN} seeds, {len(violations)} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
