"""The clients' suite with kcat where io_uring is forbidden: by seccomp, and by the setting."""

import unittest

import test_kcat
from lib import packages, text
from lib.broker import Broker
from lib.options import OPTIONS, is_kafka, main

LINES = 100_000


class Forbidden(test_kcat.Kcat):
    """Every test of the suite, on a smaller text, in a process that has no io_uring."""

    @classmethod
    def setUpClass(cls):
        if is_kafka():
            raise unittest.SkipTest("Kafka knows no io_uring")
        cls.addClassCleanup(setattr, OPTIONS, "forbid_uring", OPTIONS.forbid_uring)
        OPTIONS.forbid_uring = True
        cls.addClassCleanup(setattr, test_kcat, "LINES", test_kcat.LINES)
        cls.addClassCleanup(setattr, test_kcat, "KEYED", test_kcat.KEYED)
        test_kcat.LINES = test_kcat.KEYED = LINES
        super().setUpClass()

    def test_the_broker_says_what_it_uses_and_why(self):
        said = self.broker.log_text()
        self.assertRegex(said, r"I/O by threads \(.*io_uring")


class ByThreads(unittest.TestCase):
    def test_the_setting_chooses_threads(self):
        if is_kafka():
            self.skipTest("Kafka knows no io_uring")
        packages.require("kcat", "kcat")
        with Broker({"keelson.io.backend": "threads"}) as broker:
            self.assertIn("I/O by threads", broker.log_text())
            source = text.lines_file(LINES, empty=False)
            back = broker.home / "back.txt"
            test_kcat.kcat(broker, "-P", "-t", "text", "-z", "zstd", "-l", source, timeout_s=120)
            with open(back, "wb") as out:
                test_kcat.kcat(broker, "-C", "-t", "text", "-o", "beginning", "-e", "-q",
                               stdout=out, timeout_s=120)
            text.same_bytes(source, back)


class AfterUring(unittest.TestCase):
    """A directory does not depend on the backend that wrote it."""

    def test_a_directory_moves_between_the_backends(self):
        if is_kafka():
            self.skipTest("Kafka knows no io_uring")
        packages.require("kcat", "kcat")
        with Broker() as broker:
            lines = []
            for turn in range(4):
                OPTIONS.forbid_uring = bool(turn % 2)
                try:
                    if turn == 3:
                        broker.kill()
                        broker.start()
                    elif turn:
                        broker.restart()
                finally:
                    OPTIONS.forbid_uring = False
                more = [f"turn {turn} line {n}" for n in range(1000)]
                test_kcat.kcat(broker, "-P", "-t", "moved", "-p", "0",
                               stdin="".join(f"{line}\n" for line in more).encode())
                lines += more
                out = test_kcat.kcat(broker, "-C", "-t", "moved", "-e", "-q").stdout
                self.assertEqual(out.decode().splitlines(), lines)

if __name__ == "__main__":
    main()
