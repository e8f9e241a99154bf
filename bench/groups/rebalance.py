#!/usr/bin/env python3
"""Who waits in a rebalance: `./dev bench rebalance [--help]`. The method is in bench/README.md."""

import argparse
import pathlib
import statistics
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "tests" / "clients")]

import rebalance_chart  # noqa: E402
from lib.options import OPTIONS  # noqa: E402
from lib.timeline import SLOW, WORK_S, TimeLine  # noqa: E402

SIZE = 10  # of a crowd: those who join, leave and die together


def seconds(values):
    if not values:
        return "-"
    return f"{statistics.median(values):.2f}, {max(values):.2f}"


def rows(what, effect):
    for kind, chosen in (("stayed", effect.stayed), ("moved", effect.moved)):
        yield (f"| {what} | {kind} | {len(chosen)} | {seconds([effect.quiet[p] for p in chosen])} |"
               f" {seconds([effect.during[p] for p in chosen])} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--protocol", choices=["consumer", "classic"], default="consumer")
    parser.add_argument("--members", type=int, default=100)
    parser.add_argument("--partitions", type=int, default=200)
    parser.add_argument("--quiet", type=float, default=6, metavar="S", help="before each change")
    parser.add_argument("--heartbeat-ms", type=int, default=1000)
    parser.add_argument("--session-ms", type=int, default=6000)
    parser.add_argument("--broker", choices=["keelson", "kafka"], default="keelson")
    parser.add_argument("--binary", type=pathlib.Path, help="another keelson")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--svg", type=pathlib.Path, metavar="FILE")
    given = parser.parse_args()
    OPTIONS.broker = given.broker
    OPTIONS.binary = (given.binary or ROOT / "build/release/plugins/broker/keelson").resolve()
    with TimeLine(given.protocol, given.partitions, heartbeat_ms=given.heartbeat_ms,
                  session_ms=given.session_ms, seed=given.seed) as line:
        line.join(given.members, SIZE)
        line.settle()
        print("| change | partitions | count | gap before: median, longest (s) | then |\n"
              "| --- | --- | --- | --- | --- |")
        for what, action in ((f"{SIZE} join", lambda: line.join(SIZE, SIZE)),
                             (f"{SIZE} leave", line.leave), (f"{SIZE} are killed", line.kill)):
            effect = line.change(what, given.quiet, action)
            print("\n".join(rows(what, effect)), flush=True)
        print(f"\n{sum(map(len, line.received))} records received; the writer was late by at most "
              f"{line.writer.late_max_s:.2f} s; {len(line.errors)} errors")
        if given.svg:
            title = (f"{given.partitions} partitions, {given.members} members, {given.protocol} "
                     f"protocol; {SLOW} works {WORK_S} s at a time")
            given.svg.write_text(rebalance_chart.draw(line, title), encoding="ascii")


if __name__ == "__main__":
    main()
