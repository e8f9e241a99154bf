"""Medians of the runs, beside the limits that Keelson sets itself."""

import statistics

COLUMNS = ("mb_per_s", "cpu_s_per_gb", "rss_mib", "p50_ms", "p99_ms", "p999_ms", "behind_s",
           "lag_max_mb")
AT_LEAST, AT_MOST = ">=", "<="

# (system, beside, loads that begin with, what, figure): ratio. Of the same run, medians.
DURABLE, RELAXED = ("keelson", "keelson-threads"), ("keelson-relaxed",)
LIMITS = (
    (DURABLE + RELAXED, "kafka", ("1p-", "8p-", "200p-", "1000p-"), "produce", "mb_per_s",
     AT_LEAST, 1.0),
    (DURABLE + RELAXED, "kafka", ("1p-", "8p-", "200p-", "1000p-"), "produce", "cpu_s_per_gb",
     AT_MOST, 0.33),
    (DURABLE + RELAXED, "kafka", ("",), "produce", "rss_mib", AT_MOST, 0.1),
    (DURABLE, "kafka", ("rate-",), "produce", "p99_ms", AT_MOST, 0.5),
    (RELAXED, "kafka", ("rate-",), "produce", "p50_ms", AT_MOST, 1.0),
    (RELAXED, "kafka", ("rate-",), "produce", "p99_ms", AT_MOST, 0.25),
    (DURABLE, "kafka-fsync", ("rate-1000",), "produce", "p50_ms", AT_MOST, 0.5),
    (DURABLE, "kafka-fsync", ("rate-1000",), "produce", "p99_ms", AT_MOST, 0.5),
    (DURABLE, "kafka-fsync", ("rate-5000",), "produce", "p50_ms", AT_MOST, 0.01),
    (DURABLE + RELAXED, "kafka", ("",), "read", "mb_per_s", AT_LEAST, 1.0),
    (DURABLE + RELAXED, "kafka", ("",), "read", "cpu_s_per_gb", AT_MOST, 0.25),
)
BEHIND_MAX_S = 0.5  # a reader that keeps up ends so soon after the writer


def medians_of(runs):
    """{(load, what): {system: {figure: median}}}, in the order they were measured."""
    values = {}
    for run in runs:
        for row, figures in run["figures"].items():
            of_system = values.setdefault(tuple(row.split()), {}).setdefault(run["system"], {})
            for figure in COLUMNS:
                if figure in figures:
                    of_system.setdefault(figure, []).append(figures[figure])
    return {row: {system: {figure: statistics.median(some) for figure, some in of_system.items()}
                  for system, of_system in systems.items()}
            for row, systems in values.items()}


def verdict(row, system, figure, medians):
    """"within" or "OVER" and the limit; nothing where the issue names none."""
    load, what = row
    value = medians[row][system][figure]
    if figure == "behind_s" and system.startswith("keelson"):
        return "within" if value <= BEHIND_MAX_S else f"OVER {BEHIND_MAX_S} s"
    said = []
    for systems, beside, loads, of_what, of_figure, sense, limit in LIMITS:
        base = medians[row].get(beside, {}).get(figure)
        if system not in systems or what != of_what or figure != of_figure or not base or \
                not load.startswith(loads):
            continue
        ratio = value / base
        kept = ratio >= limit if sense == AT_LEAST else ratio <= limit
        told = "" if beside == "kafka" else f" of {beside}"
        said.append(("within " if kept else "OVER ") + f"{sense} {limit}{told}")
    return ", ".join(said)


def table(medians, systems):
    """A line for each figure: median, ratio to the first system, verdict."""
    lines = [f"{'load':14} {'':8} {'figure':13} {'system':16} {'median':>9} {'ratio':>7}  limit"]
    kept = over = 0
    for row, of_systems in medians.items():
        for figure in COLUMNS:
            base = of_systems.get(systems[0], {}).get(figure)
            for system in systems:
                if figure not in of_systems.get(system, {}):
                    continue
                value = of_systems[system][figure]
                ratio = f"{value / base:.2f}" if base and system != systems[0] else ""
                said = verdict(row, system, figure, medians)
                kept += said.count("within")
                over += said.count("OVER")
                lines.append(f"{row[0]:14} {row[1]:8} {figure:13} {system:16} {value:9.3g} "
                             f"{ratio:>7}  {said}".rstrip())
    lines.append(f"{kept} limits kept, {over} not")
    return "\n".join(lines)
