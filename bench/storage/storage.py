#!/usr/bin/env python3
"""The engine's durable appends beside fio on the same file pattern: `./dev bench storage [--help]`.

fio overwrites a file that was filled with zeros before, O_DIRECT and RWF_DSYNC: the drive's own
rate for what the engine does once a segment's space is prepared. The engine prepares that space
within the measured time. Runs alternate; medians and ratios are printed.
"""

import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
APPEND_LOAD = ROOT / "build" / "release" / "bench" / "storage" / "append_load"
KIB = 1 << 10
MIB = 1 << 20
# (bytes of an append, appends at once, bytes in all)
PATTERNS = [(4 * KIB, 1, 16 * MIB), (4 * KIB, 8, 64 * MIB), (4 * KIB, 32, 128 * MIB),
            (64 * KIB, 1, 256 * MIB), (64 * KIB, 8, 1024 * MIB), (256 * KIB, 1, 512 * MIB),
            (256 * KIB, 4, 2048 * MIB), (256 * KIB, 8, 2048 * MIB)]
RUN_S = 120


def run(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, timeout=RUN_S,
                          check=False)
    if done.returncode != 0:
        sys.exit(f"{command[0]}: {done.stderr.decode()[-1000:]}")
    return done.stdout.decode()


def fio(folder, size, depth, total):
    target = folder / "fio"
    common = ["fio", "--name=append", f"--filename={target}", "--rw=write", "--ioengine=io_uring",
              "--direct=1", f"--size={total}", "--output-format=json"]
    run([*common, "--bs=1m", "--iodepth=4", "--zero_buffers", "--end_fsync=1"])
    found = json.loads(run([*common, f"--bs={size}", f"--iodepth={depth}", "--sync=dsync",
                            "--overwrite=1"]))["jobs"][0]["write"]
    target.unlink()
    percentiles = found["clat_ns"]["percentile"]
    return {"mb_per_s": found["bw_bytes"] / 1e6, "per_s": found["iops"],
            "p50_us": percentiles["50.000000"] / 1e3, "p99_us": percentiles["99.000000"] / 1e3}


def engine(folder, size, depth, total, backend):
    home = folder / "engine"
    home.mkdir()
    answer = json.loads(run([APPEND_LOAD, "--dir", home, "--size", size, "--depth", depth,
                             "--bytes", total, "--backend", backend]))
    shutil.rmtree(home)
    return answer


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=pathlib.Path, default=ROOT / "build",
                        help="a directory on the drive that is measured")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backends", default="uring,threads")
    given = parser.parse_args()
    if shutil.which("fio") is None:
        sys.exit("storage: needs fio: apt-get install fio")
    backends = given.backends.split(",")
    with tempfile.TemporaryDirectory(dir=given.dir, prefix="bench-storage-") as name:
        folder = pathlib.Path(name)
        for size, depth, total in PATTERNS:
            found = {}
            for _ in range(given.rounds):
                found.setdefault("fio", []).append(fio(folder, size, depth, total))
                for backend in backends:
                    found.setdefault(backend, []).append(
                        engine(folder, size, depth, total, backend))
            print(f"{size // KIB} KiB, {depth} at once")
            base = {}
            for system, answers in found.items():
                cells = []
                for column in ("mb_per_s", "per_s", "p50_us", "p99_us"):
                    median = statistics.median(answer[column] for answer in answers)
                    base.setdefault(column, median)
                    cells.append(f"{column} {median:8.1f} ({median / base[column]:.2f})")
                print(f"  {system:8} " + "  ".join(cells), flush=True)


if __name__ == "__main__":
    main()
