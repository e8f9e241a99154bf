"""The clients, from their registries, into a cache outside the tree.

The cache is $KEELSON_CLIENT_CACHE or ~/.cache/keelson-clients. A language that is not on the
machine skips its tests by name; with KEELSON_REQUIRE_CLIENTS=all that is a failure instead.
"""

import contextlib
import fcntl
import functools
import hashlib
import os
import pathlib
import shutil
import sys
import unittest

from lib import process

PROGRAMS = pathlib.Path(__file__).resolve().parents[1] / "programs"
CACHE = pathlib.Path(os.environ.get("KEELSON_CLIENT_CACHE",
                                    pathlib.Path.home() / ".cache" / "keelson-clients"))
SET_UP_S = 600
_UNREACHABLE = {}  # name: why, for the rest of the run


def require(language, *programs):
    """Skips the running test, or fails it, where one of `programs` is not on the machine."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        _skip(f"{language}: no {', '.join(missing)} on this machine")


def _skip(text):
    if os.environ.get("KEELSON_REQUIRE_CLIENTS") == "all":
        raise process.Failed(f"{text}, and KEELSON_REQUIRE_CLIENTS=all")
    print(f"SKIPPED CLIENT {text}", flush=True)
    raise unittest.SkipTest(text)


@functools.cache
def kafka_classpath():
    """Apache Kafka's broker and tools, through Maven."""
    if os.environ.get("KEELSON_KAFKA_JARS"):
        return os.environ["KEELSON_KAFKA_JARS"] + "/*"
    return _jars("java", PROGRAMS / "pom.xml")


def old_java_classpath():
    """Kafka's Java client 2.8.2, alone."""
    return _jars("old-java", PROGRAMS / "old_clients.xml")


def _jars(name, pom):
    require("Java", "java", "mvn")

    def build(folder):
        shutil.copy(pom, folder / "pom.xml")
        process.run(["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib"],
                    cwd=folder, timeout_s=SET_UP_S)

    return f"{_made(name, [pom], build)}/lib/*"


@functools.cache
def java_programs():
    """Folder of the Java programs' classes."""
    require("Java", "java", "javac", "mvn")
    sources = sorted(PROGRAMS.glob("*.java"))

    def build(folder):
        process.run(["javac", "-d", folder, "-cp", kafka_classpath(), *sources], timeout_s=120)

    return str(_made("java-programs", sources, build))


def tool_server_classpath():
    """Kafka's jars and the program that runs its tools in one JVM."""
    return f"{java_programs()}:{kafka_classpath()}"


@functools.cache
def python(requirements="requirements.txt"):
    """A Python interpreter that has confluent-kafka and kafka-python, or what the file names."""
    wanted = PROGRAMS / requirements

    def build(folder):
        process.run([sys.executable, "-m", "venv", folder / "venv"], timeout_s=SET_UP_S)
        process.run([folder / "venv/bin/python", "-m", "pip", "install", "-q", "-r", wanted],
                    timeout_s=SET_UP_S)

    name = "python" if requirements == "requirements.txt" else "old-python"
    return f"{_made(name, [wanted, pathlib.Path(sys.executable)], build)}/venv/bin/python"


@functools.cache
def go_client():
    """The Go program, built."""
    require("Go", "go")
    sources = [PROGRAMS / "go" / name for name in ("go.mod", "go.sum", "main.go", "member.go")]

    def build(folder):
        for source in sources:
            shutil.copy(source, folder)
        process.run(["go", "build", "-o", "client", "."], cwd=folder, timeout_s=SET_UP_S)

    return f"{_made('go', sources, build)}/client"


@functools.cache
def node_client():
    """The Node program client.js, beside its modules and member.js."""
    require("Node", "node", "npm")
    sources = [PROGRAMS / "node" / name
               for name in ("package.json", "package-lock.json", "client.js", "member.js")]

    def build(folder):
        for source in sources:
            shutil.copy(source, folder)
        process.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder,
                    timeout_s=SET_UP_S)

    return f"{_made('node', sources, build)}/client.js"


def cached_file(name, write):
    """A test file that is costly to make: `write(path)` makes it once."""
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / name
    with _locked(name):
        if not path.exists():
            partial = path.with_suffix(f".{os.getpid()}.tmp")
            write(partial)
            partial.rename(path)
    return path


def _made(name, inputs, build):
    """Folder that `build` filled from exactly these inputs; made once, by one process.

    Where a registry cannot be reached the running test is skipped by name, as for a language that
    is not on the machine.
    """
    digest = hashlib.sha256()
    for path in inputs:
        if path.is_file() and path.stat().st_size < 1 << 20:
            digest.update(path.read_bytes())
        digest.update(str(path.name).encode())
    folder = CACHE / f"{name}-{digest.hexdigest()[:12]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with _locked(name):
        if not (folder / ".made").exists() and name not in _UNREACHABLE:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            print(f"setting up {name} client in {folder}", flush=True)
            try:
                build(folder)
            except process.Failed as why:
                _UNREACHABLE[name] = str(why).strip().splitlines()[-1]
            else:
                (folder / ".made").touch()
    if name in _UNREACHABLE:
        _skip(f"{name}: its packages do not come from their registry: {_UNREACHABLE[name]}")
    return folder


@contextlib.contextmanager
def _locked(name):
    with open(CACHE / f".{name}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
