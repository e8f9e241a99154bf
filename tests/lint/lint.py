#!/usr/bin/env python3
"""Rules of the house that a compiler does not know.

  include directions   what each folder may include (ARCHITECTURE.md, "Tree")
  system calls         time, threads, randomness and the kernel only inside the backends
  marks                nothing unfinished is left in the code
  format               clang-format, where it is installed
  tidy                 clang-tidy, with --all only: it is slow
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Folder -> prefixes of project headers that it may include. The longest matching folder rules.
MAY_INCLUDE = {
    "engine": ["engine/"],
    "engine/io": ["engine/"],
    "engine/log": ["engine/"],
    "replication": ["engine/", "plugins/registry/", "replication/"],
    "coordination": ["engine/", "plugins/registry/", "coordination/"],
    "plugins/registry": ["engine/", "plugins/registry/"],
    "plugins/wire": ["engine/", "plugins/wire/"],
    "plugins/storage": ["engine/", "plugins/registry/", "plugins/wire/", "plugins/storage/"],
    "plugins/kafka": ["engine/", "plugins/registry/", "plugins/wire/", "plugins/kafka/"],
    "plugins/offsets": ["engine/", "plugins/registry/", "plugins/wire/", "plugins/offsets/"],
    "plugins/broker": ["engine/", "plugins/", "replication/", "coordination/"],
}
# Inside the engine: the base knows neither io nor log, io knows no log.
ENGINE_LAYERS = {"engine/io": ["engine/log/"], "engine": ["engine/io/", "engine/log/"]}

BACKENDS = ("engine/io/uring/", "engine/io/threads/", "engine/io/posix/")
FORBIDDEN = [
    (re.compile(r"#include <(unistd|fcntl|dirent|poll|pthread|liburing|signal)\.h>"), "system header"),
    (re.compile(r"#include <(thread|mutex|condition_variable|random|filesystem|fstream)>"),
     "time, threads, files and randomness come through the backend"),
    (re.compile(r"#include <sys/(?!uio\.h|types\.h)[a-z_]+\.h>"), "system header"),
    (re.compile(r"\bstd::(random_device|mt19937|this_thread|jthread|thread\b(?!::id))"), "thread or random"),
    (re.compile(r"\bstd::chrono::\w*clock\b"), "time comes from Clock"),
    (re.compile(r"(?<![\w:.>])::(open|read|write|pread|pwrite|close|fsync|fdatasync|rename|unlink|socket"
                r"|bind|listen|accept4?|send|recv|sendmsg|recvmsg|ioctl|time|clock_gettime|getrandom)\("),
     "system call"),
]
# Programs and tools that stand outside the engine's rule, each with its reason.
EXEMPT = {
    "plugins/broker/": "the program: signals, terminal, environment",
    "engine/huge_pages.cc": "memory is below the backends",
    "bench/": "measures with the system's own clock",
    "tests/": "tests use the system to check the system",
    "fuzz/": "stand-alone programs",
    "engine/counters.cc": "a counter build shares its numbers with another process",
    "engine/io/runtime.h": "starts the shards' threads",
    "engine/io/runtime.cc": "starts the shards' threads",
    "engine/io/probe.cc": "asks the system what it offers",
    "engine/io/calibration.cc": "asks the system what it offers",
}
MARKS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def sources():
    listed = subprocess.run(["git", "ls-files", "*.cc", "*.h"], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout.split()
    return [path for path in listed if (ROOT / path).exists()]


def folder_rule(path):
    fitting = [folder for folder in MAY_INCLUDE if path.startswith(folder + "/")]
    return max(fitting, key=len, default=None)


def check_includes(path, lines):
    rule = folder_rule(path)
    for number, line in enumerate(lines, 1):
        found = re.match(r'#include "([^"]+)"', line)
        if not found or rule is None:
            continue
        header = found.group(1)
        forbidden = ENGINE_LAYERS.get(rule, [])
        if "/" not in header:
            continue  # generated, in the same folder
        if not any(header.startswith(prefix) for prefix in MAY_INCLUDE[rule]) or any(
                header.startswith(prefix) for prefix in forbidden):
            yield f"{path}:{number}: {rule}/ may not include {header}"


def check_system(path, lines):
    if path.startswith(BACKENDS) or any(path.startswith(prefix) for prefix in EXEMPT):
        return
    for number, line in enumerate(lines, 1):
        code = line.split("//", 1)[0]
        for pattern, reason in FORBIDDEN:
            if pattern.search(code):
                yield f"{path}:{number}: {reason}: {line.strip()}"


def check_marks(path, lines):
    for number, line in enumerate(lines, 1):
        if MARKS.search(line):
            yield f"{path}:{number}: finish it or write an issue: {line.strip()}"


def check_format(paths):
    tool = shutil.which("clang-format-19")
    if tool is None:
        print("lint: clang-format-19 is not installed, format not checked")
        return []
    done = subprocess.run([tool, "--dry-run", "--Werror", *paths], cwd=ROOT, capture_output=True,
                          text=True)
    return [line for line in done.stderr.splitlines() if "error:" in line]


def check_tidy(paths):
    build = ROOT / "build" / "release"
    units = [path for path in paths if path.endswith(".cc") and not path.startswith(("fuzz/", "bench/"))]
    done = subprocess.run(["run-clang-tidy-19", "-quiet", "-p", str(build), *units], cwd=ROOT,
                          capture_output=True, text=True)
    return [line for line in done.stdout.splitlines() if re.search(r": (warning|error): ", line)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="clang-tidy too")
    arguments = parser.parse_args()
    paths = sources()
    findings = []
    for path in paths:
        lines = (ROOT / path).read_text().splitlines()
        for check in (check_includes, check_system, check_marks):
            findings += check(path, lines)
    findings += check_format(paths)
    if arguments.all:
        findings += check_tidy(paths)
    for finding in findings:
        print(finding)
    print(f"lint: {len(paths)} files, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
