"""The command line of every test module: which broker, which binary; the rest is unittest's."""

import argparse
import os
import pathlib
import random
import sys
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]


class Options:
    broker = os.environ.get("KEELSON_TEST_BROKER", "keelson")
    binary = pathlib.Path(os.environ.get("KEELSON_BINARY", ROOT / "build" / "keelson"))
    # Settings for every Keelson that a module starts: [("name", "value")].
    settings = []
    forbid_uring = False
    seed = int(os.environ.get("KEELSON_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)


OPTIONS = Options()


def is_kafka():
    return OPTIONS.broker == "kafka"


def main():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--broker", choices=["keelson", "kafka"], default=OPTIONS.broker)
    parser.add_argument("--binary", type=pathlib.Path, default=OPTIONS.binary)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--seed", type=int, default=OPTIONS.seed)
    parser.add_argument("--forbid-uring", action="store_true")
    given, rest = parser.parse_known_args()
    OPTIONS.broker = given.broker
    OPTIONS.binary = given.binary.resolve()
    OPTIONS.settings = [tuple(setting.split("=", 1)) for setting in given.set]
    OPTIONS.seed = given.seed
    OPTIONS.forbid_uring = given.forbid_uring
    print(f"broker {OPTIONS.broker}, seed {OPTIONS.seed}", flush=True)
    if OPTIONS.broker == "keelson" and not OPTIONS.binary.exists():
        sys.exit(f"no binary at {OPTIONS.binary}: build it, or name it with --binary")
    runner = unittest.TextTestRunner(verbosity=2, resultclass=_Timed)
    unittest.main(module="__main__", argv=[sys.argv[0], *rest], testRunner=runner)


class _Timed(unittest.TextTestResult):
    """Says how long each test took."""

    def startTest(self, test):
        super().startTest(test)
        self._began = time.monotonic()

    def stopTest(self, test):
        self.stream.writeln(f"    {time.monotonic() - self._began:.1f} s")
        super().stopTest(test)
