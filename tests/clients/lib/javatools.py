"""Apache Kafka's command-line tools, called as their scripts call them but in one JVM."""

import base64
import pathlib
import subprocess
import threading

from lib import packages, process

_LOGGING = pathlib.Path(__file__).resolve().parents[1] / "programs" / "log4j2.yaml"
_TOOLS = "org.apache.kafka.tools."
MAIN = {
    "topics": _TOOLS + "TopicCommand",
    "configs": "kafka.admin.ConfigCommand",
    "get-offsets": _TOOLS + "GetOffsetShell",
    "delete-records": _TOOLS + "DeleteRecordsCommand",
    "log-dirs": _TOOLS + "LogDirsCommand",
    "console-producer": _TOOLS + "ConsoleProducer",
    "console-consumer": _TOOLS + "consumer.ConsoleConsumer",
    "producer-perf-test": _TOOLS + "ProducerPerformance",
    "consumer-perf-test": _TOOLS + "ConsumerPerformance",
    "consumer-groups": _TOOLS + "consumer.group.ConsumerGroupCommand",
    "broker-api-versions": _TOOLS + "BrokerApiVersionsCommand",
    "cluster": _TOOLS + "ClusterTool",
    "dump-log": _TOOLS + "DumpLogSegments",
    "transactions": _TOOLS + "TransactionsCommand",
}


class Said:
    """What a tool printed and how it ended."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def lines(self):
        return [line.rstrip() for line in self.out.splitlines() if line.strip()]

    def __repr__(self):
        return f"exit code {self.code}\n--- out\n{self.out}\n--- err\n{self.err[-3000:]}"


class JavaTools:
    """A context manager. Calls come one at a time."""

    def __init__(self, broker_address=None):
        self.address = broker_address

    def __enter__(self):
        self.process = process.start(
            java("ToolServer"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        process.end(self.process)

    def __call__(self, tool, *arguments, stdin="", check=True, timeout_s=90):
        """Runs `kafka-<tool>.sh` with the broker's address (but for dump-log)."""
        words = [str(word) for word in arguments]
        if tool != "dump-log":
            words = ["--bootstrap-server", self.address, *words]
        fields = [MAIN[tool].encode(), "\0".join(words).encode(),
                  stdin if isinstance(stdin, bytes) else stdin.encode()]
        line = b" ".join(base64.b64encode(field) for field in fields)
        alarm = threading.Timer(timeout_s, self.process.kill)
        alarm.start()
        try:
            self.process.stdin.write(line + b"\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        finally:
            alarm.cancel()
        if not answer:
            raise process.Failed(f"kafka-{tool} {' '.join(words)}: no end in {timeout_s} s")
        code, out, err = answer.decode().rstrip("\n").split(" ")
        said = Said(int(code), base64.b64decode(out).decode(errors="replace"),
                    base64.b64decode(err).decode(errors="replace"))
        if check and said.code != 0:
            raise process.Failed(f"kafka-{tool} {' '.join(words)}: {said!r}")
        return said


def java(main, *arguments):
    """Command line of a program of its own, for what runs beside others."""
    return ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            "-Dfile.encoding=UTF-8",
            f"-Dlog4j2.configurationFile={_LOGGING}", "-cp", packages.tool_server_classpath(),
            MAIN.get(main, main), *arguments]
