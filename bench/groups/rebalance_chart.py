"""The time line of a group as a picture, in SVG: a row for each partition."""

from lib.timeline import ROUND_S, SLOW

WIDTH, LEFT, RIGHT, TOP, ROW, BOTTOM = 900, 12, 12, 64, 2, 24
GAP_S = 3 * ROUND_S  # without records for longer: white
STAYED, MOVED, SLOW_ONES = "#0b6e99", ("#e07a1f", "#8e44ad", "#2e8b57", "#c0392b"), "#b9bdc4"


def text(x, y, words, size=12, colour="#222"):
    return f'<text x="{x:.0f}" y="{y}" font-size="{size}" fill="{colour}">{words}</text>'


def runs(events):
    """[first, last, member] of each time in which records kept coming to one member."""
    found = []
    for at, member in events:
        if found and found[-1][2] == member and at - found[-1][1] <= GAP_S:
            found[-1][1] = at
        else:
            found.append([at, at, member])
    return found


def colours(found):
    """One for each run: by owner, in the order in which they came."""
    owners = list(dict.fromkeys(member for _, _, member in found))
    if SLOW in owners:
        return [SLOW_ONES] * len(found)
    if len(owners) == 1:
        return [STAYED] * len(found)
    return [MOVED[owners.index(member) % len(MOVED)] for _, _, member in found]


def draw(line, title):
    """Of a lib.timeline.TimeLine that has changes, from the quiet time before the first one."""
    start, end = line.changes[0].quiet_from, line.changes[-1].end
    scale = (WIDTH - LEFT - RIGHT) / (end - start)
    # Those that stayed on top, then by when they moved.
    order = sorted((runs([(t, m) for t, m in events if start <= t <= end])
                    for events in line.received),
                   key=lambda found: (SLOW in (m for _, _, m in found),
                                      len({m for _, _, m in found}) > 1,
                                      next((b[0] for a, b in zip(found, found[1:])
                                            if a[2] != b[2]), 0)))
    paths = {}
    for row, found in enumerate(order):
        for (first, last, _), colour in zip(found, colours(found)):
            x, width = LEFT + (first - start) * scale, max((last - first) * scale, 1)
            paths.setdefault(colour, []).append(f"M{x:.1f} {TOP + row * ROW + 1}h{width:.1f}")
    height = TOP + len(order) * ROW + BOTTOM
    parts = [text(LEFT, 18, title, 14)]
    for x, colour, words in ((LEFT, STAYED, "always one owner"),
                             (LEFT + 140, MOVED[0], "moved: a colour for each owner"),
                             (LEFT + 360, SLOW_ONES, "of the slow member"),
                             (LEFT + 510, "#fff", f"no record for {GAP_S:.1f} s")):
        parts.append(f'<rect x="{x}" y="27" width="10" height="10" fill="{colour}" stroke="#888"/>')
        parts.append(text(x + 15, 36, words))
    for colour, strokes in paths.items():
        parts.append(f'<path stroke="{colour}" stroke-width="1.6" d="{"".join(strokes)}"/>')
    for change in line.changes:
        x = LEFT + (change.at - start) * scale
        parts.append(f'<path stroke="#000" d="M{x:.1f} {TOP - 8}V{height - BOTTOM + 2}"/>')
        parts.append(text(x + 3, TOP - 4, change.what, 11))
    for second in range(0, int(end - start) + 1, 5):
        parts.append(text(LEFT + second * scale, height - 8, f"{second} s", 11))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'font-family="sans-serif"><rect width="100%" height="100%" fill="#fff"/>\n'
            + "\n".join(parts) + "\n</svg>\n")
