"""A rebalance with the consumer protocol does not stop those whose partitions stay (KIP-848)."""

import unittest

from lib.options import OPTIONS, main
from lib.timeline import TimeLine

PARTITIONS, MEMBERS, SIZE = 40, 20, 4
HEARTBEAT_MS, SESSION_MS = 500, 6000
MARGIN_S = 4 * HEARTBEAT_MS / 1000  # less than a classic group waits for the slow member
QUIET_S = 2
PROTOCOL = "consumer"  # "classic" must fail


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
