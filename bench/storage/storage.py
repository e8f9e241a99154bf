#!/usr/bin/env python3
"""The engine's appends beside fio on the same kind of file: `./dev bench storage [--help]`.

Two states of the file, each compared with its like:
  steady  fio overwrites a file that was written before; the engine appends to a log at its
          retention limit, whose new segments get the files of dropped ones
  fresh   fio writes to a file that was reserved (fallocate) and not written yet; the engine
          appends to a log in an empty directory
Durable: fio with O_DIRECT and RWF_DSYNC. Relaxed: without the sync. Runs alternate, with pauses,
for drives have a budget of bursts; medians and ratios are printed. fio's latency is from submission
to completion (lat), as the engine's is from append to acknowledgement.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
APPEND_LOAD = ROOT / "build" / "release" / "bench" / "storage" / "append_load"
KIB = 1 << 10
MIB = 1 << 20
# (bytes of an append, appends at once, bytes in all)
PATTERNS = [(4 * KIB, 1, 16 * MIB), (4 * KIB, 32, 64 * MIB), (64 * KIB, 8, 256 * MIB),
            (256 * KIB, 8, 512 * MIB)]
SEGMENT = 256 * MIB
COLUMNS = ("mb_per_s", "per_s", "p50_us", "p99_us")
RUN_S = 300


def run(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, timeout=RUN_S,
                          check=False)
    if done.returncode != 0:
        sys.exit(f"{command[0]}: {done.stderr.decode()[-1000:]}")
    return done.stdout.decode()


def fio(folder, state, relaxed, patterns):
    """One answer for each pattern, on one file that is as large as the largest."""
    target = folder / "fio"
    size = max(total for _, _, total in patterns)
    common = ["fio", "--name=append", f"--filename={target}", "--rw=write", "--ioengine=io_uring",
              "--direct=1", "--fallocate=none", "--output-format=json"]
    if state == "steady":
        run([*common, f"--size={size}", "--bs=1m", "--iodepth=4", "--zero_buffers",
             "--end_fsync=1"])
    answers = []
    for block, depth, total in patterns:
        if state == "fresh":
            with open(target, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, total)
                os.fsync(file.fileno())
        found = json.loads(run([*common, f"--size={total}", f"--bs={block}", f"--iodepth={depth}",
                                *([] if relaxed else ["--sync=dsync"]),
                                f"--overwrite={int(state == 'steady')}",
                                "--lat_percentiles=1"]))["jobs"][0]["write"]
        percentiles = found["lat_ns"]["percentile"]
        answers.append({"mb_per_s": found["bw_bytes"] / 1e6, "per_s": found["iops"],
                        "p50_us": percentiles["50.000000"] / 1e3,
                        "p99_us": percentiles["99.000000"] / 1e3})
    target.unlink()
    return answers


def engine(folder, state, relaxed, patterns, backend):
    home = folder / "engine"
    command = [APPEND_LOAD, "--dir", home, "--backend", backend, *(["--relaxed"] if relaxed else [])]
    answers = []
    for some in [patterns] if state == "steady" else [[pattern] for pattern in patterns]:
        home.mkdir()
        runs = [word for pattern in some for word in ("--run", ":".join(map(str, pattern)))]
        steady = ["--steady", "--segment", SEGMENT] if state == "steady" else []
        answers += map(json.loads, run([*command, *runs, *steady]).splitlines())
        shutil.rmtree(home)
    return answers


def table(title, found):
    print(f"\n{title}\n{'':24}" + "".join(f"{column:>18}" for column in COLUMNS))
    for number, (block, depth, _) in enumerate(PATTERNS):
        base = {}
        for system, rounds in found.items():
            cells = []
            for column in COLUMNS:
                median = statistics.median(answers[number][column] for answers in rounds)
                base.setdefault(column, median)
                cells.append(f"{median:10.1f} ({median / base[column]:4.2f})")
            name = f"{block // KIB} KiB x{depth}" if system == "fio" else ""
            print(f"{name:14}{system:10}" + "".join(f"{cell:>18}" for cell in cells), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=pathlib.Path, default=ROOT / "build",
                        help="a directory on the drive that is measured")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--states", default="steady,fresh")
    parser.add_argument("--modes", default="durable,relaxed")
    parser.add_argument("--backends", default="uring,threads")
    parser.add_argument("--scale", type=float, default=1.0,
                        help="of the bytes; at 1 a round of a state and mode writes some 5 GB")
    parser.add_argument("--pause", type=float, default=5, help="seconds between runs")
    given = parser.parse_args()
    if shutil.which("fio") is None:
        sys.exit("storage: needs fio: apt-get install fio")
    patterns = [(block, depth, max(16 * block * depth, int(total * given.scale)))
                for block, depth, total in PATTERNS]
    systems = ["fio", *given.backends.split(",")]
    with tempfile.TemporaryDirectory(dir=given.dir, prefix="bench-storage-") as name:
        folder = pathlib.Path(name)
        for mode in given.modes.split(","):
            for state in given.states.split(","):
                found = {system: [] for system in systems}
                for _ in range(given.rounds):
                    for system, rounds in found.items():
                        relaxed = mode == "relaxed"
                        rounds.append(fio(folder, state, relaxed, patterns) if system == "fio"
                                      else engine(folder, state, relaxed, patterns, system))
                        time.sleep(given.pause)
                table(f"{mode}, {state}", found)


if __name__ == "__main__":
    main()
