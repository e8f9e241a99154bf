"""The checker of group histories finds what is planted, and nothing in a right history."""

import copy
import pathlib
import random
import tempfile
import unittest

from lib.group_history import (NS, Described, History, Offsets, Phase, read_events, settled_after,
                               violations)

PARTITIONS = 6
ROUNDS = 12
SETTLE_S = 10


def right_history(seed):
    """Two members, then three, then two, over ROUNDS generations; a record each time and again."""
    chance = random.Random(seed)
    history = History(ends=[0] * PARTITIONS)
    now = NS
    committed = [0] * PARTITIONS
    for generation in range(1, ROUNDS + 1):
        names = [f"m{n}" for n in range(2 + generation % 2)]
        change = now
        owners = {name: [p for p in range(PARTITIONS) if p % len(names) == n]
                  for n, name in enumerate(names)}
        for name, owned in owners.items():
            now += NS // 100
            history.events.setdefault(name, []).append(
                {"t": now, "e": "assigned", "g": generation, "p": owned, "all": owned})
        for step in range(6):
            now += NS // 2
            history.described.append(Described(now, "Stable", copy.deepcopy(owners)))
            for name, owned in owners.items():
                partition = chance.choice(owned)
                first = committed[partition]
                last = first + chance.randrange(5)
                history.ends[partition] = max(history.ends[partition], last + 1)
                now += NS // 1000
                events = history.events[name]
                events.append({"t": now, "e": "processed", "runs": [[partition, first, last]]})
                if step < 5 and chance.random() < 0.2:
                    continue  # not committed: processed again by whoever comes next
                committed[partition] = last + 1
                events.append({"s": now + 1, "t": now + 1000, "e": "committed",
                               "offsets": {str(partition): last + 1}})
                now += 2000
            history.seen_offsets.append(Offsets(now, now + 500, dict(enumerate(committed))))
            now += 1000
        history.phases.append(Phase(change, now, frozenset(names), f"generation {generation}"))
        for name in names:
            now += 10
            history.events[name].append({"t": now, "e": "revoked", "p": None})
    for partition in range(PARTITIONS):  # what was left uncommitted at the end is processed
        history.events["m0"].append({"t": now, "e": "processed", "runs": [
            [partition, 0, history.ends[partition] - 1]]} if history.ends[partition] else
            {"t": now, "e": "processed", "runs": []})
    return history


def events_of(history, kind):
    return [(member, i) for member, events in sorted(history.events.items())
            for i, event in enumerate(events) if event["e"] == kind]


class Checker(unittest.TestCase):
    def found(self, history):
        return violations(history, SETTLE_S)

    def caught(self, plant, expected):
        """On many right histories `plant` changes something, and that is named."""
        planted = 0
        for seed in range(30):
            history = right_history(seed)
            if plant(history, random.Random(seed)) is False:
                continue
            planted += 1
            said = self.found(history)
            self.assertTrue(any(expected in text for text in said), (seed, said))
        self.assertGreater(planted, 15)

    def test_right_histories_pass(self):
        for seed in range(100):
            self.assertEqual(self.found(right_history(seed)), [], seed)

    def test_unprocessed_record(self):
        def plant(history, chance):
            history.ends[chance.randrange(PARTITIONS)] += 1
        self.caught(plant, "was never processed")

    def test_hole_in_the_middle(self):
        def plant(history, _):
            hole = next((p, end // 2) for p, end in enumerate(history.ends) if end > 2)
            for events in history.events.values():
                for event in events:
                    if event["e"] == "processed":
                        event["runs"] = [part for p, first, last in event["runs"]
                                         for part in self.without(p, first, last, hole)]
        self.caught(plant, "was never processed")

    @staticmethod
    def without(partition, first, last, hole):
        if partition != hole[0] or not first <= hole[1] <= last:
            return [[partition, first, last]]
        return [[partition, a, b] for a, b in ((first, hole[1] - 1), (hole[1] + 1, last)) if a <= b]

    def test_commit_of_what_nobody_processed(self):
        def plant(history, chance):
            member, i = chance.choice(events_of(history, "committed"))
            offsets = history.events[member][i]["offsets"]
            for partition in offsets:
                offsets[partition] = history.ends[int(partition)] + 3
        self.caught(plant, "when nobody had processed")

    def test_two_owners_in_a_generation(self):
        def plant(history, chance):
            member, i = chance.choice(events_of(history, "assigned"))
            event = history.events[member][i]
            other = next(p for p in range(PARTITIONS) if p not in event["all"])
            event["all"] = event["all"] + [other]
        self.caught(plant, "belongs to")

    def test_a_static_member_s_successor_has_its_place(self):
        history = right_history(3)
        events = history.events["m0"]
        at = next(i for i, e in enumerate(events) if e["e"] == "committed")
        given = next(e for e in reversed(events[:at]) if e["e"] == "assigned")
        history.events["m0"] = events[:at]
        history.events["again"] = [{**given, "t": events[at]["s"] - 1}, *events[at:]]
        self.assertTrue(any("belongs to" in text for text in self.found(history)))
        history.instances = {"m0": "place", "again": "place"}
        self.assertEqual(self.found(history), [])

    def test_two_owners_seen_by_the_broker(self):
        def plant(history, chance):
            described = chance.choice(history.described)
            described.members["m0"].append(described.members["m1"][0])
        self.caught(plant, "with two members")

    def test_epochs_of_members_are_not_compared(self):
        history = right_history(1)
        history.shared_generations = False
        for events in history.events.values():
            for event in events:
                if event["e"] == "assigned":
                    event["g"] = 1
        self.assertEqual(self.found(history), [])

    def test_commit_of_a_member_that_was_passed_over(self):
        def plant(history, chance):
            # m1 commits what m0 owns, between the assignment and a later commit of m0.
            for member, i in chance.sample(events_of(history, "committed"), 5):
                commit = history.events[member][i]
                partition = next(iter(commit["offsets"]))
                owned = next(e for e in reversed(history.events[member][:i])
                             if e["e"] == "assigned")
                other = "m1" if member == "m0" else "m0"
                for at, event in enumerate(history.events[other]):
                    if event["e"] == "assigned" and event["g"] == owned["g"]:
                        event["g"] = None  # as of a client that does not tell
                        event["p"] = event["all"] = [*event["all"], int(partition)]
                        when = max(event["t"], owned["t"]) + 10
                        history.events[other].insert(at + 1, {
                            "s": when, "t": when + 10, "e": "committed",
                            "offsets": {partition: 0}})
                        return True
            return False
        self.caught(plant, "within the term of")

    def test_commit_that_goes_back(self):
        def plant(history, chance):
            for member, i in chance.sample(events_of(history, "committed"), 5):
                offsets = history.events[member][i]["offsets"]
                partition = next(iter(offsets))
                start = history.events[member][i]["s"]
                if any(seen.t < start and seen.offsets[int(partition)] > 0
                       for seen in history.seen_offsets):
                    offsets[partition] = 0
                    return True
            return False
        self.caught(plant, "committed 0 after")

    def test_commit_that_the_broker_has_lost(self):
        def plant(history, chance):
            seen = history.seen_offsets[-1]
            partition = chance.choice([p for p, offset in seen.offsets.items() if offset > 0])
            seen.offsets[partition] -= 1
        self.caught(plant, "the broker shows")

    def test_group_that_settles_late(self):
        def plant(history, chance):
            phase = chance.choice(history.phases)
            phase.t -= (SETTLE_S + 1) * NS
        self.caught(plant, "s after")

    def test_group_that_never_settles(self):
        def plant(history, chance):
            phase = chance.choice(history.phases)
            inside = [d for d in history.described if phase.t <= d.t <= phase.end]
            how = chance.randrange(3)
            if how == 0:
                inside[-1].state = "PreparingRebalance"
            elif how == 1:
                inside[-1].members["m0"].pop()
            else:
                inside[-1].members["stranger"] = []
        self.caught(plant, "settled never")

    def test_settling_counts_from_the_last_disturbance(self):
        history = History(ends=[0])
        for second, state in enumerate(["Stable", "Stable", "PreparingRebalance", "Stable"]):
            history.described.append(Described(second * NS, state, {"a": [0]}))
        self.assertEqual(settled_after(history, Phase(0, 4 * NS, frozenset({"a"}), "")), 3)

    def test_cut_line_of_a_killed_member(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "events"
            path.write_text('{"t":1,"e":"started"}\nnoise\n{"t":2,"e":"proc', encoding="utf-8")
            self.assertEqual(read_events(path), [{"t": 1, "e": "started"}])


if __name__ == "__main__":
    unittest.main()
