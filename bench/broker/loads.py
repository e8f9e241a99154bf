"""The loads and the brokers of the comparison; the method is in bench/README.md."""

import dataclasses

KAFKA_JAVA = ["-Xmx1g", "-Xms1g", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
              "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent"]


@dataclasses.dataclass(frozen=True)
class System:
    """A broker under one configuration."""

    name: str
    kind: str
    settings: dict


SYSTEMS = {system.name: system for system in (
    System("kafka", "kafka", {}),
    System("kafka-fsync", "kafka", {"log.flush.interval.messages": "1"}),
    System("keelson", "keelson", {}),
    System("keelson-relaxed", "keelson", {"keelson.log.durability": "relaxed"}),
    System("keelson-threads", "keelson", {"keelson.io.backend": "threads"}),
)}


@dataclasses.dataclass(frozen=True)
class Load:
    """Records of `size` bytes over `partitions`; `rate` per second, 0 as fast as it goes."""

    name: str
    partitions: int
    size: int
    count: int
    rate: int = 0
    codec: str = "none"
    linger_ms: int = 5
    idempotent: bool = False
    read: bool = False  # afterwards, from the beginning, by a new consumer
    tail: bool = False  # a consumer at the end while it is written


LOADS = {load.name: load for load in (
    Load("1p-1k", 1, 1024, 1_000_000, read=True),
    Load("8p-1k", 8, 1024, 1_000_000, read=True),
    Load("8p-1k-idem", 8, 1024, 1_000_000, idempotent=True),
    Load("8p-1k-tail", 8, 1024, 500_000, tail=True),
    Load("8p-1k-lz4", 8, 1024, 1_000_000, codec="lz4"),
    Load("200p-1k", 200, 1024, 500_000),
    Load("200p-1k-idem", 200, 1024, 300_000, idempotent=True),
    Load("200p-1k-lz4", 200, 1024, 300_000, codec="lz4"),
    Load("1000p-1k", 1000, 1024, 300_000),
    Load("1000p-1k-lz4", 1000, 1024, 200_000, codec="lz4"),
    Load("1p-100", 1, 100, 3_000_000),
    Load("8p-100", 8, 100, 5_000_000),
    Load("200p-100", 200, 100, 1_000_000),
    Load("rate-1000", 8, 1024, 10_000, rate=1000, linger_ms=0),
    Load("rate-5000", 8, 1024, 50_000, rate=5000, linger_ms=0),
)}
