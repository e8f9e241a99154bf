"""Throughput by load and system as bars, in SVG."""

WIDTH, LEFT, RIGHT, BAR, GAP, TOP = 760, 130, 90, 14, 12, 56
COLOURS = {"kafka": "#8a8f98", "kafka-fsync": "#b9bdc4", "keelson": "#0b6e99",
           "keelson-relaxed": "#55a9c9", "keelson-threads": "#7a5ea8"}


def text(x, y, words, anchor="start", size=12):
    return (f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}">{words}</text>')


def draw(medians, systems):
    rows = [(load, of) for (load, what), of in medians.items()
            if what == "produce" and not load.startswith("rate-")]
    largest = max(figures["mb_per_s"] for _, of in rows for figures in of.values())
    parts, y = [text(LEFT, 20, "Produce, acks=all: MB/s (records before compression)", size=14)], TOP
    for i, system in enumerate(systems):
        x = LEFT + i * 130
        parts.append(f'<rect x="{x}" y="30" width="10" height="10" fill="{COLOURS[system]}"/>')
        parts.append(text(x + 15, 39, system))
    for load, of in rows:
        shown = [system for system in systems if system in of]
        parts.append(text(LEFT - 8, y + len(shown) * BAR / 2 + 4, load, "end"))
        for system in shown:
            value = of[system]["mb_per_s"]
            width = max(1, value / largest * (WIDTH - LEFT - RIGHT))
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 2}" '
                         f'fill="{COLOURS[system]}"/>')
            parts.append(text(LEFT + width + 5, y + BAR - 4, f"{value:.0f}", size=11))
            y += BAR
        y += GAP
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" '
            f'font-family="sans-serif" fill="#222"><rect width="100%" height="100%" fill="#fff"/>'
            + "\n".join(parts) + "</svg>\n")
