"""What DumpLogSegments has to say against the files of a partition."""

import re

# It says this of every segment that does not begin at 0: two lines.
_NOT_FROM_ZERO = re.compile(r"Non-consecutive offsets in .*\n\s*-1 is followed by \d+\n?")
_EXPECTED = re.compile(
    r"Dumping /|Log starting offset: \d+$|baseOffset: .* isvalid: true$|\| offset: \d+ |"
    r"offset: \d+ position: \d+$|timestamp: -?\d+ offset: \d+$|.* passed sanity check\.$|"
    r"producerId: \d+ |/.* is empty\.$")
_RUNS = (("*.log", ["--deep-iteration"]), ("*.index", ["--index-sanity-check"]),
         ("*.index", ["--verify-index-only"]), ("*.timeindex", ["--index-sanity-check"]),
         ("*.timeindex", ["--verify-index-only"]), ("*.snapshot", []))


def complaints(tool, folder):
    """(complaints, records): lines that are not as expected, and how many records it counted."""
    found = []
    records = 0
    for pattern, arguments in _RUNS:
        files = sorted(folder.glob(pattern))
        if not files:
            continue
        said = tool("dump-log", *arguments, "--files", ",".join(map(str, files)), check=False)
        if said.code != 0:
            found.append(f"exit code {said.code} on {pattern}: {said.err[-500:]}")
        for line in _NOT_FROM_ZERO.sub("", said.out).splitlines():
            if line.startswith("| offset: "):
                records += 1
            elif line.strip() and not _EXPECTED.match(line):
                found.append(line)
        if "sanity" in " ".join(arguments):
            passed = said.out.count("passed sanity check.") + said.out.count(" is empty.")
            if passed != len(files):
                found.append(f"{passed} of {len(files)} {pattern} passed the sanity check")
    for log in folder.glob("*.log"):
        if log.stat().st_size > 64 << 10 and log.with_suffix(".index").stat().st_size == 0:
            found.append(f"{log} has an empty index")
    return found, records
