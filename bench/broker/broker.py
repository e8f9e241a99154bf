#!/usr/bin/env python3
"""Keelson beside Apache Kafka in one run: `./dev bench broker [--help]`.

Fetches Kafka's jars, starts one broker at a time on an empty directory, alternates, and prints
medians and ratios. Every run is also a line of JSON in --out.
"""

import argparse
import json
import os
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "tests" / "clients")]

from lib import admin, process  # noqa: E402
from lib.broker import Broker  # noqa: E402
from lib.options import OPTIONS  # noqa: E402
from chart import draw  # noqa: E402
from loads import KAFKA_JAVA, LOADS, SYSTEMS  # noqa: E402
from table import medians_of, table  # noqa: E402

LOADER = ROOT / "build" / "release" / "bench" / "broker" / "broker_load"
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
LIMIT_S = 180


def cpu_s(pid):
    """CPU seconds of all threads of `pid`, user and kernel."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def load_command(verb, broker, topic, load, *more):
    return [LOADER, verb, "--brokers", broker.address, "--topic", topic, "--partitions",
            load.partitions, "--timeout", LIMIT_S, *more]


def produce_command(broker, topic, load):
    more = ["--count", load.count, "--size", load.size, "--codec", load.codec, "--rate", load.rate,
            "--linger", load.linger_ms]
    return load_command("produce", broker, topic, load, *more,
                        *(["--idempotence"] if load.idempotent else []))


def answer_of(text):
    return json.loads(text.decode().strip().splitlines()[-1])


def measured(broker, command):
    """What the load printed, with the broker's CPU beside it."""
    before = cpu_s(broker.pid)
    answer = answer_of(process.run(command, timeout_s=LIMIT_S + 30).stdout)
    answer["cpu_s"] = cpu_s(broker.pid) - before
    answer["cpu_s_per_gb"] = answer["cpu_s"] / (answer["bytes"] / 1e9)
    return answer


def run_load(broker, load):
    """{what: figures} for one load: 'produce', then 'read' or 'tail' where the load has them."""
    topic = f"bench-{load.name}-{time.monotonic_ns()}"
    admin.create(broker.port, topic, load.partitions)
    tail = None
    if load.tail:
        tail = process.start(load_command("consume", broker, topic, load, "--tail", "--count",
                                          load.count), stdout=-1, stderr=-1)
        time.sleep(1)
    figures = {"produce": measured(broker, produce_command(broker, topic, load))}
    figures["produce"]["rss_mib"] = process.rss_kib(broker.pid) / 1024
    if tail is not None:
        out, error = tail.communicate(timeout=LIMIT_S)
        if tail.returncode:
            raise process.Failed(error.decode())
        figures["tail"] = answer_of(out)
        behind_s = figures["tail"]["ended_s"] - figures["produce"]["ended_s"]
        figures["tail"]["behind_s"] = max(0.0, behind_s)
        figures["tail"]["lag_max_mb"] = figures["tail"]["lag_max_records"] * load.size / 1e6
    if load.read:
        count = load.count + load.partitions
        figures["read"] = measured(broker, load_command("consume", broker, topic, load, "--count",
                                                        count))
    return figures


def make_broker(system):
    return Broker(system.settings, kind=system.kind, java_options=KAFKA_JAVA)


def run_system(system, loads, warm):
    """All loads on one broker, one after the other, as a broker that runs sees them."""
    found = {}
    with make_broker(system) as broker:
        if warm:
            run_load(broker, LOADS["8p-1k"])
        for load in loads:
            for what, figures in run_load(broker, load).items():
                found[f"{load.name} {what}"] = figures
    return found


def report(runs, systems, svg):
    """The table, and the picture where one is wanted."""
    medians = medians_of(runs)
    print(table(medians, systems))
    if svg:
        svg.write_text(draw(medians, systems), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--systems", default="kafka,keelson,keelson-relaxed", help=", ".join(SYSTEMS))
    parser.add_argument("--loads", default=",".join(LOADS), help=", ".join(LOADS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm", action="store_true", help="one more load first, not counted")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="a setting for every Keelson, to try it out")
    parser.add_argument("--out", type=pathlib.Path, help="append each run as a line of JSON")
    parser.add_argument("--again", type=pathlib.Path, metavar="FILE",
                        help="run nothing: the table of what --out wrote")
    parser.add_argument("--svg", type=pathlib.Path, help="draw the throughput there")
    given = parser.parse_args()
    if given.again:
        runs = [json.loads(line) for line in given.again.read_text().splitlines()]
        return report(runs, list(dict.fromkeys(run["system"] for run in runs)), given.svg)
    try:
        systems = [SYSTEMS[name] for name in given.systems.split(",")]
        loads = [LOADS[name] for name in given.loads.split(",")]
    except KeyError as unknown:
        parser.error(f"no system or load is called {unknown}")
    OPTIONS.settings = [tuple(setting.split("=", 1)) for setting in given.set]
    runs = []
    for number in range(given.rounds):
        for system in systems:
            print(f"round {number + 1}: {system.name}", file=sys.stderr, flush=True)
            run = {"round": number, "system": system.name,
                   "figures": run_system(system, loads, given.warm)}
            runs.append(run)
            if given.out:
                with given.out.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(run) + "\n")
    report(runs, [system.name for system in systems], given.svg)


if __name__ == "__main__":
    main()
