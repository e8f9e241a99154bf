#!/usr/bin/env python3
"""Plants one defect after the other in a copy of the tree, and demands that a test finds each.

A patch says in its head what it breaks and, in lines "Found by:", which test programs are to find
it, each with arguments; one that fails is enough. A patch that does not apply is an error.
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TREE = ROOT / "build" / "mutants"
BUILD = TREE / "build" / "release"
FOUND_BY = re.compile(r"^Found by: (\S+) ?(.*)$", re.MULTILINE)
TEST_SECONDS_MAX = 300


class Patch:
    def __init__(self, path):
        self.path = path
        self.name = path.stem
        text = path.read_text(encoding="utf-8")
        self.what = text.split("\nBreaks:", maxsplit=1)[0].replace("\n", " ")
        self.tests = [(name, arguments.split()) for name, arguments in FOUND_BY.findall(text)]
        self.files = re.findall(r"^\+\+\+ b/(\S+)$", text, re.MULTILINE)
        if not self.tests or not self.files or "\nBreaks: " not in text:
            sys.exit(f"{path}: says not what it breaks, in which file, or what finds it")

    def applies(self):
        """Nothing, or why it does not apply to the tree as it is."""
        done = subprocess.run(["git", "apply", "--check", str(self.path)], cwd=ROOT, check=False,
                              capture_output=True, text=True)
        return done.stderr.strip() if done.returncode != 0 else None


def sources():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT,
                            check=True, capture_output=True).stdout
    return [name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


def copy_file(name):
    """Only where it differs: what is not touched is not built again."""
    source, target = ROOT / name, TREE / name
    if target.is_file() and target.read_bytes() == source.read_bytes():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def copy_tree():
    names = set(sources())
    for name in names:
        copy_file(name)
    for old in TREE.rglob("*"):
        relative = old.relative_to(TREE)
        if relative.parts[0] != "build" and old.is_file() and str(relative) not in names:
            old.unlink()


def environment():
    return {**os.environ, "CCACHE_BASEDIR": str(TREE), "CCACHE_NOHASHDIR": "1"}


def build(targets):
    """The compiler's words where it fails."""
    if not (BUILD / "build.ninja").exists():
        done = subprocess.run(["cmake", "--preset", "release"], cwd=TREE, env=environment(),
                              check=False, capture_output=True, text=True)
        if done.returncode != 0:
            return done.stderr
    done = subprocess.run(["cmake", "--build", str(BUILD), "-j", "2", "--target", *targets],
                          env=environment(), check=False, capture_output=True, text=True)
    return None if done.returncode == 0 else done.stdout[-3000:]


def program(name):
    found = [path for path in BUILD.glob(f"tests/**/{name}") if path.is_file()]
    if not found:
        sys.exit(f"no test program {name}")
    return found[0]


def passes(name, arguments):
    """Whether the test finds nothing; nothing where it did not end in time, which proves nothing."""
    try:
        done = subprocess.run([str(program(name)), "--gtest_brief=1", *arguments], check=False,
                              capture_output=True, timeout=TEST_SECONDS_MAX, cwd=BUILD)
    except subprocess.TimeoutExpired:
        return None
    return done.returncode == 0


def plant(patch):
    """Which test found it and after how many seconds; nothing where none did."""
    sound = {name: (TREE / name).read_bytes() for name in patch.files}
    subprocess.run(["patch", "-p1", "--quiet", "--no-backup-if-mismatch", "-i", str(patch.path)],
                   cwd=TREE, check=True)
    try:
        complaint = build(sorted({name for name, _ in patch.tests}))
        if complaint is not None:
            sys.exit(f"{patch.name} does not build:\n{complaint}")
        for name, arguments in patch.tests:
            start = time.monotonic()
            if passes(name, arguments) is False:
                return " ".join([name, *arguments]), time.monotonic() - start
    finally:
        for name, content in sound.items():
            (TREE / name).write_bytes(content)
    return None


def check_sound(patches):
    """Without a defect every test passes: else a failure would prove nothing."""
    tests = sorted({(name, tuple(arguments)) for patch in patches
                    for name, arguments in patch.tests})
    complaint = build(sorted({name for name, _ in tests}))
    if complaint is not None:
        sys.exit(f"the tree does not build:\n{complaint}")
    for name, arguments in tests:
        if not passes(name, arguments):
            sys.exit(f"fails without a defect: {name} {' '.join(arguments)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only whether every patch applies")
    parser.add_argument("--no-baseline", action="store_true",
                        help="the tests passed on this tree just now")
    parser.add_argument("--sample", type=int, help="so many, by --seed")
    parser.add_argument("--seed", type=int, default=int(time.time()) // 86_400)
    parser.add_argument("names", nargs="*", help="default: all")
    options = parser.parse_args()
    patches = [Patch(path) for path in sorted(HERE.glob("*.patch"))]
    stale = [(patch.name, why) for patch in patches if (why := patch.applies())]
    for name, why in stale:
        print(f"{name} does not apply: {why}")
    if stale:
        return 1
    print(f"{len(patches)} patches apply")
    if options.check:
        return 0
    unknown = set(options.names) - {patch.name for patch in patches}
    if unknown:
        sys.exit(f"no such patch: {', '.join(sorted(unknown))}")
    chosen = [patch for patch in patches if not options.names or patch.name in options.names]
    if options.sample is not None:
        print(f"seed {options.seed}")
        chosen = random.Random(options.seed).sample(chosen, min(options.sample, len(chosen)))
    copy_tree()
    if not options.no_baseline:
        check_sound(chosen)
    missed = []
    for patch in chosen:
        found = plant(patch)
        if found is None:
            missed.append(patch.name)
            print(f"MISSED {patch.name}: {patch.what}", flush=True)
        else:
            print(f"found  {patch.name}: by {found[0]}, {found[1]:.1f} s", flush=True)
    print(f"{len(chosen)} planted, {len(chosen) - len(missed)} found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
