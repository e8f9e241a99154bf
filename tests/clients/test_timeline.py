"""A rebalance with the consumer protocol does not stop those whose partitions stay (KIP-848)."""

import unittest

from lib.options import OPTIONS, main
from lib.timeline import Change, TimeLine

PARTITIONS, MEMBERS, SIZE = 40, 20, 4
HEARTBEAT_MS, SESSION_MS = 500, 6000
MARGIN_S = 4 * HEARTBEAT_MS / 1000  # less than a classic group waits for the slow member
QUIET_S = 2
PROTOCOL = "consumer"  # "classic" must fail


class Judge(unittest.TestCase):
    def test_finds_a_stop(self):
        line = TimeLine(PROTOCOL, 3, heartbeat_ms=1, session_ms=1, seed=1)
        steady = [t / 5 for t in range(100)]
        line.received = [[(t, "one") for t in steady if not 11 < t < 14],
                         [(t, "one") for t in steady],
                         [(t, "one" if t < 12 else "two") for t in steady if not 11 < t < 14]]
        effect = line.effect(Change("planted", quiet_from=2.0, at=10.0, end=18.0))
        self.assertEqual((effect.stayed, effect.moved), ({0, 1}, {2}))
        self.assertEqual(list(effect.stopped(MARGIN_S)), [0])
        self.assertEqual(effect.stopped(MARGIN_S + 1), {})


class Rebalance(unittest.TestCase):
    def check(self, what, effect):
        print(f"  {what}: {len(effect.stayed)} partitions stayed, longest gap "
              f"{max(effect.during[p] for p in effect.stayed):.2f} s, "
              f"{max(effect.quiet.values()):.2f} s before; {len(effect.moved)} moved", flush=True)
        self.assertGreaterEqual(len(effect.stayed), PARTITIONS / 2, what)
        self.assertGreater(len(effect.moved), 0, what)
        self.assertEqual(effect.stopped(MARGIN_S), {}, what)

    def test_those_whose_partitions_stay_go_on(self):
        with TimeLine(PROTOCOL, PARTITIONS, heartbeat_ms=HEARTBEAT_MS, session_ms=SESSION_MS,
                      seed=OPTIONS.seed) as line:
            line.join(MEMBERS, SIZE)
            line.settle()
            for what, action in (("joined", lambda: line.join(SIZE, SIZE)), ("left", line.leave)):
                self.check(what, line.change(what, QUIET_S, action))
            self.assertEqual(line.errors, [])


if __name__ == "__main__":
    main()
