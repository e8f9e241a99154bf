"""Seeded text: lines of all lengths, empty ones, and more alphabets than one."""

import random

from lib import packages

_WORDS = """log segment offset batch record broker topic partition leader epoch durable commit
index recover roll fetch produce consumer group Ärger naïve façade žluťoučký kůň Ελλάδα Москва
данные 東京 数据 日本語 데이터 שלום مرحبا 🚢 ⚓ ½ … „Zitat“ tab\there quote" back\\slash {json:1}""".split(" ")


def write_lines(path, lines, seed, empty=True):
    rng = random.Random(seed)
    words = [word.replace("\n", " ") for word in _WORDS]
    # A pool of endings keeps a million lines cheap; the number makes each line its own.
    pool = [" ".join(rng.choices(words, k=rng.choice((1, 2, 3, 5, 8, 13)))) for _ in range(5000)]
    pool += ["x" * rng.randrange(1000, 20000) for _ in range(3)]
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        chunk = []
        for number in range(lines):
            dice = rng.random()
            if dice < 0.02:
                chunk.append("" if empty else "-")
            elif dice < 0.1:
                chunk.append(str(number))
            else:
                chunk.append(f"{number} {pool[int(dice * 1e9) % len(pool)]}")
            if len(chunk) == 10000:
                file.write("\n".join(chunk) + "\n")
                chunk = []
        if chunk:
            file.write("\n".join(chunk) + "\n")


def lines_file(lines, seed=1, empty=True):
    """Path of a file of `lines` lines, made once."""
    name = f"text-{lines}-{seed}{'' if empty else '-full'}.txt"
    return packages.cached_file(name, lambda path: write_lines(path, lines, seed, empty))


def same_bytes(left, right):
    """Raises with the first line that differs."""
    with open(left, "rb") as a, open(right, "rb") as b:
        at = 0
        while True:
            x, y = a.read(1 << 20), b.read(1 << 20)
            if x != y:
                break
            if not x:
                return
            at += len(x)
    with open(left, "rb") as a, open(right, "rb") as b:
        number = 0
        while True:
            x, y = a.readline(), b.readline()
            number += 1
            if x != y:
                raise AssertionError(f"line {number} (of a file equal up to byte {at}): "
                                     f"sent {x[:200]!r}, got {y[:200]!r}")
