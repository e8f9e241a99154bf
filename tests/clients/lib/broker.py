"""Starts, stops and kills a broker: Keelson's binary, or Apache Kafka as the oracle.

Both listen on a free loopback port and keep their data in a directory of the test's own. Settings
have Kafka's names. What the process prints goes to a file that is shown when a test fails.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from lib import packages, process, seccomp, wire
from lib.options import OPTIONS, is_kafka

# Kafka's defaults want three brokers and wait three seconds before the first rebalance.
_ONE_NODE = {
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
}
_BOTH = {
    "offsets.topic.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
}
START_S = 60
STOP_S = 30


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """One broker process at a time on one data directory.

    A context manager: leaving it stops the process, removes the directory, and raises if the
    broker had died by itself or did not stop in time.
    """

    def __init__(self, settings=None, *, data=None, arguments=(), kind=None,
                 java_options=("-Xmx1g", "-XX:+UseSerialGC")):
        self.is_kafka = (kind or OPTIONS.broker) == "kafka"
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="keelson-clients-"))
        self.data = pathlib.Path(data) if data else self.home / "data"
        self.settings = {**_BOTH, **(settings or {})}
        self.arguments = list(arguments)
        self.java_options = list(java_options)
        self.port = free_port()
        self.log_path = self.home / "broker.log"
        self.process = None
        self.ended = True  # by us

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, error, trace):
        try:
            died = not self.ended and self.process.poll() is not None
            if kind is not None or died:
                self.show_log()
            self.stop(check=kind is None)
            if died and kind is None:
                raise process.Failed(f"the broker died: exit code {self.process.returncode}")
        finally:
            if self.process is not None and self.process.poll() is None:
                self.process.kill()
                self.process.wait(10)
            if not os.environ.get("KEELSON_KEEP"):
                shutil.rmtree(self.home, ignore_errors=True)

    def start(self, wait=True):
        assert self.process is None or self.process.poll() is not None
        if self.is_kafka:
            command = self._kafka_command()
        else:
            command = self._keelson_command()
        with open(self.log_path, "ab") as log:
            log.write(f"--- {' '.join(map(str, command))[-400:]}\n".encode())
            log.flush()
            self.process = process.start(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                         cwd=self.home)
        self.ended = False
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout_s=START_S):
        """Until Metadata answers with this broker in it."""
        deadline = time.monotonic() + timeout_s
        while True:
            if self.process.poll() is not None:
                self.show_log()
                raise process.Failed(f"the broker ended at its start: {self.process.returncode}")
            try:
                with wire.Client(self.port, timeout_s=2) as client:
                    if client.call("Metadata", 12, topics=[])["brokers"]:
                        return
            except (OSError, wire.Closed):
                pass
            if time.monotonic() > deadline:
                self.show_log()
                raise process.Failed(f"no Metadata after {timeout_s} s")
            time.sleep(0.02 if not self.is_kafka else 0.2)

    def stop(self, check=True):
        """SIGTERM and wait. Raises where the broker is late or ends badly."""
        if self.process is None or self.process.poll() is not None:
            return
        self.ended = True
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.show_log()
            self.process.kill()
            self.process.wait(10)
            raise process.Failed(f"still there {STOP_S} s after SIGTERM") from None
        if check and code != (143 if self.is_kafka else 0):
            self.show_log()
            raise process.Failed(f"exit code {code} after SIGTERM")

    def kill(self):
        """SIGKILL, as a crash of the process."""
        self.ended = True
        self.process.kill()
        self.process.wait(30)

    def restart(self):
        self.stop()
        return self.start()

    def log_text(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def show_log(self, lines=60):
        tail = self.log_text().splitlines()[-lines:]
        print("\n--- broker log", *tail, "--- end", sep="\n", file=sys.stderr, flush=True)

    def rss_kib(self):
        return process.rss_kib(self.pid)

    def descriptors(self):
        return process.descriptors(self.pid)

    def partition_dir(self, topic, partition=0):
        return self.data / f"{topic}-{partition}"

    def _keelson_command(self):
        command = [OPTIONS.binary, "serve", "--data", self.data, "--listen", self.address]
        for name, value in [*self.settings.items(), *OPTIONS.settings]:
            command += ["--set", f"{name}={value}"]
        command += self.arguments
        return seccomp.without_uring(command) if OPTIONS.forbid_uring else command

    def _kafka_command(self):
        classpath = packages.kafka_classpath()
        controller = free_port()
        properties = self.home / "server.properties"
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://127.0.0.1:{controller}",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
            "log.dirs": str(self.data),
            # A killed broker is refused until its old registration ends.
            "broker.session.timeout.ms": "2000",
            "broker.heartbeat.interval.ms": "500",
            **_ONE_NODE,
            **self.settings,
        }
        properties.write_text("".join(f"{k}={v}\n" for k, v in settings.items()))
        logging = self.home / "log4j2.yaml"
        logging.write_text(_KAFKA_LOGGING)
        java = ["java", *self.java_options, f"-Dlog4j2.configurationFile={logging}",
                "-cp", classpath]
        if not (self.data / "meta.properties").exists():
            process.run([*java, "kafka.tools.StorageTool", "format", "--standalone", "-t",
                         "3Db5QLSqSZieL3rJBUUegA", "-c", properties])
        return [*java, "kafka.Kafka", properties]


_KAFKA_LOGGING = """\
Configuration:
  Appenders:
    Console:
      name: out
      PatternLayout:
        pattern: "%d %p %m%n"
  Loggers:
    Root:
      level: WARN
      AppenderRef:
        - ref: out
"""


def serve(test_class, settings=None, **more):
    """Starts a broker for all tests of a class; it is stopped and checked after the last one."""
    return test_class.enterClassContext(Broker(settings, **more))
