"""What members of a group said, and whether it can be true of a group that works.

A member is a program that prints one JSON object a line, written at once, with CLOCK_MONOTONIC in
nanoseconds as `t`:

    started, ended                      before it subscribes; after it has left
    assigned   g, p, all                generation (null: unknown), partitions new to it, all it has
    revoked, lost   p                   what it no longer has (null: all)
    processed  runs                     [[partition, first offset, last offset], …]
    committed  s, offsets               acknowledged; `s` is when it was asked; {partition: offset}
    commit failed   s, why

Beside them stands what the broker was seen to say. `violations()` names everything that contradicts:
each record processed, none skipped, one owner in a generation, commits that never go back, and a
group that settles in time after its last change.
"""

import bisect
import collections
import dataclasses
import heapq
import json

NS = 1_000_000_000


@dataclasses.dataclass
class Described:
    """The group as described: {client id: partitions} of the members at `t`."""
    t: int
    state: str
    members: dict


@dataclasses.dataclass
class Phase:
    """Nothing changed from `t` to `end`; `members` should have been in the group by then."""
    t: int
    end: int
    members: frozenset
    what: str


@dataclasses.dataclass
class Offsets:
    """The group's committed offsets, asked at `s`, answered at `t`."""
    s: int
    t: int
    offsets: dict


@dataclasses.dataclass
class History:
    """Of one group that reads one topic."""
    events: dict = dataclasses.field(default_factory=dict)  # member: [event]
    described: list = dataclasses.field(default_factory=list)
    seen_offsets: list = dataclasses.field(default_factory=list)
    phases: list = dataclasses.field(default_factory=list)
    ends: list = dataclasses.field(default_factory=list)  # by partition: next offset
    shared_generations: bool = True  # false: epochs are each member's own (KIP-848)
    # {member: instance id} of static ones: who takes such a place has what belongs to it.
    instances: dict = dataclasses.field(default_factory=dict)


def read_events(path):
    """A killed member's last line may be cut."""
    events = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("{"):
            try:
                events.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return events


def violations(history, settle_s):
    """Sentences; none where the history is right."""
    commits = _commits(history)
    return (_unprocessed(history) + _skipping_commits(history, commits)
            + _shared_partitions(history) + _interleaved(commits) + _steps_back(history, commits)
            + _unsettled(history, settle_s))


# ---- at least once, none skipped

class _Prefix:
    """Offsets of one partition that were processed: all below `end`, and runs beyond it."""

    def __init__(self):
        self.end = 0
        self.beyond = []

    def add(self, first, last):
        heapq.heappush(self.beyond, (first, last))
        while self.beyond and self.beyond[0][0] <= self.end:
            self.end = max(self.end, heapq.heappop(self.beyond)[1] + 1)


def _runs(history):
    """(time, partition, first, last) in the order of time."""
    return sorted((event["t"], *run) for events in history.events.values() for event in events
                  if event["e"] == "processed" for run in event["runs"])


def _unprocessed(history):
    done = [_Prefix() for _ in history.ends]
    for _, partition, first, last in _runs(history):
        done[partition].add(first, last)
    return [f"partition {p}: record {done[p].end} of {end} was never processed"
            for p, end in enumerate(history.ends) if done[p].end < end]


def _skipping_commits(history, commits):
    found = []
    done = collections.defaultdict(_Prefix)
    runs = collections.deque(_runs(history))
    for commit in sorted(commits, key=lambda c: c.s):
        while runs and runs[0][0] <= commit.s:
            _, partition, first, last = runs.popleft()
            done[partition].add(first, last)
        end = done[commit.partition].end
        if commit.offset > end:
            found.append(f"{commit.member} committed {commit.offset} of partition "
                         f"{commit.partition} when nobody had processed {end}")
    return found


# ---- one owner

def _shared_partitions(history):
    found = []
    owners = {}
    if history.shared_generations:
        for member, events in history.events.items():
            for event in events:
                if event["e"] != "assigned" or event["g"] is None:
                    continue
                place = history.instances.get(member, member)
                for partition in event["all"]:
                    owner = owners.setdefault((event["g"], partition), place)
                    if owner != place:
                        found.append(f"generation {event['g']}: partition {partition} belongs to "
                                     f"{owner} and to {member}")
    for described in history.described:
        counts = collections.Counter(p for parts in described.members.values() for p in parts)
        twice = sorted(p for p, count in counts.items() if count > 1)
        if twice:
            found.append(f"the broker shows partitions {twice} with two members "
                         f"({described.state})")
    return found


@dataclasses.dataclass
class _Commit:
    s: int
    t: int
    member: str
    partition: int
    offset: int
    term: tuple  # (member, when the partition was assigned), or None where it was not its own


def _commits(history):
    """Acknowledged ones. A term lasts from an assignment of the partition to its end."""
    commits = []
    for member, events in history.events.items():
        terms = {}
        for event in events:
            if event["e"] == "assigned":
                given = set(event["p"])
                terms = {p: (member, event["t"]) if p in given or p not in terms else terms[p]
                         for p in event["all"]}
            elif event["e"] in ("revoked", "lost"):
                for partition in list(terms) if event["p"] is None else event["p"]:
                    terms.pop(partition, None)
            elif event["e"] == "committed":
                for partition, offset in event["offsets"].items():
                    commits.append(_Commit(event["s"], event["t"], member, int(partition), offset,
                                           terms.get(int(partition))))
    return commits


def _interleaved(commits):
    """A member that the group has passed over must not commit: the broker fences it."""
    found = []
    by_partition = collections.defaultdict(list)
    for commit in commits:
        if commit.term:
            by_partition[commit.partition].append(commit)
    for partition, ones in by_partition.items():
        ones.sort(key=lambda c: c.s)
        last = {}  # term: its last commit
        for commit in ones:
            last[commit.term] = commit
        starts = [commit.s for commit in ones]
        for term, final in last.items():
            for other in ones[bisect.bisect_right(starts, term[1]):]:
                if other.s >= final.s:
                    break
                if other.member != term[0] and other.t < final.s:
                    found.append(f"partition {partition}: {other.member} committed {other.offset} "
                                 f"within the term of {term[0]}, which went on to {final.offset}")
                    break
    return found


def _steps_back(history, commits):
    known = collections.defaultdict(list)
    for commit in commits:
        known[commit.partition].append((commit.s, commit.t, commit.offset,
                                        f"{commit.member} committed"))
    for seen in history.seen_offsets:
        for partition, offset in seen.offsets.items():
            known[partition].append((seen.s, seen.t, offset, "the broker shows"))
    found = []
    for partition, ones in known.items():
        ended = sorted((t, offset) for _, t, offset, _ in ones)
        highest, i = -1, 0
        for s, _, offset, who in sorted(ones):
            while i < len(ended) and ended[i][0] < s:
                highest = max(highest, ended[i][1])
                i += 1
            if offset < highest:
                found.append(f"partition {partition}: {who} {offset} after {highest}")
                break
    return found


# ---- settled

def _is_settled(described, phase, partitions):
    owned = [p for parts in described.members.values() for p in parts]
    return (described.state == "Stable" and set(described.members) == phase.members
            and sorted(owned) == list(range(partitions)))


def settled_after(history, phase):
    """Seconds from the change until the group was, and stayed, as it should be; None: it was not."""
    since = None
    for described in history.described:
        if phase.t <= described.t <= phase.end:
            settled = _is_settled(described, phase, len(history.ends))
            since = (described.t if since is None else since) if settled else None
    return None if since is None else (since - phase.t) / NS


def _unsettled(history, settle_s):
    found = []
    for phase in history.phases:
        took = settled_after(history, phase)
        if took is None or took > settle_s:
            how = "never" if took is None else f"{took:.1f} s"
            found.append(f"settled {how} after: {phase.what}")
    return found
