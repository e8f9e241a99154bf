"""A small Kafka client on a raw socket, for requests that no real client would send.

Bodies are dictionaries, coded by the schema files from which the broker's codec is generated. That
they are right is shown by running these tests against Apache Kafka (--broker kafka).
"""

import functools
import pathlib
import re
import socket
import struct
import sys
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "plugins" / "wire" / "codegen"))
import schema  # noqa: E402  (beside the code generator)

SCHEMAS = ROOT / "plugins" / "kafka" / "schema"
_INTEGER = {"int8": ">b", "int16": ">h", "uint16": ">H", "int32": ">i", "int64": ">q",
            "float64": ">d", "bool": ">?"}
NO_TOPIC_ID = uuid.UUID(int=0)

# Names of the codes that tests speak of (source: Kafka's Errors enumeration).
ERRORS = {
    -1: "UNKNOWN_SERVER_ERROR", 0: "NONE", 1: "OFFSET_OUT_OF_RANGE", 2: "CORRUPT_MESSAGE",
    3: "UNKNOWN_TOPIC_OR_PARTITION", 5: "LEADER_NOT_AVAILABLE", 6: "NOT_LEADER_OR_FOLLOWER",
    7: "REQUEST_TIMED_OUT", 10: "MESSAGE_TOO_LARGE", 12: "OFFSET_METADATA_TOO_LARGE",
    14: "COORDINATOR_LOAD_IN_PROGRESS", 15: "COORDINATOR_NOT_AVAILABLE", 16: "NOT_COORDINATOR",
    17: "INVALID_TOPIC_EXCEPTION", 18: "RECORD_LIST_TOO_LARGE", 19: "NOT_ENOUGH_REPLICAS",
    21: "INVALID_REQUIRED_ACKS", 22: "ILLEGAL_GENERATION", 23: "INCONSISTENT_GROUP_PROTOCOL",
    24: "INVALID_GROUP_ID", 25: "UNKNOWN_MEMBER_ID", 26: "INVALID_SESSION_TIMEOUT",
    27: "REBALANCE_IN_PROGRESS", 32: "INVALID_TIMESTAMP", 35: "UNSUPPORTED_VERSION",
    36: "TOPIC_ALREADY_EXISTS", 37: "INVALID_PARTITIONS", 38: "INVALID_REPLICATION_FACTOR",
    39: "INVALID_REPLICA_ASSIGNMENT", 40: "INVALID_CONFIG", 42: "INVALID_REQUEST",
    44: "POLICY_VIOLATION", 45: "OUT_OF_ORDER_SEQUENCE_NUMBER", 46: "DUPLICATE_SEQUENCE_NUMBER",
    47: "INVALID_PRODUCER_EPOCH", 50: "INVALID_TRANSACTION_TIMEOUT",
    53: "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", 56: "KAFKA_STORAGE_ERROR",
    68: "NON_EMPTY_GROUP", 69: "GROUP_ID_NOT_FOUND", 70: "FETCH_SESSION_ID_NOT_FOUND", 71: "INVALID_FETCH_SESSION_EPOCH",
    74: "FENCED_LEADER_EPOCH", 75: "UNKNOWN_LEADER_EPOCH", 76: "UNSUPPORTED_COMPRESSION_TYPE",
    79: "MEMBER_ID_REQUIRED", 87: "INVALID_RECORD", 100: "UNKNOWN_TOPIC_ID",
    81: "GROUP_MAX_SIZE_REACHED", 82: "FENCED_INSTANCE_ID", 86: "GROUP_SUBSCRIBED_TO_TOPIC",
    103: "INCONSISTENT_TOPIC_ID", 110: "FENCED_MEMBER_EPOCH", 111: "UNRELEASED_INSTANCE_ID",
    112: "UNSUPPORTED_ASSIGNOR", 113: "STALE_MEMBER_EPOCH", 128: "INVALID_REGULAR_EXPRESSION",
}


class Closed(Exception):
    """The broker ended the connection."""


class Silent(Exception):
    """The broker neither answered nor closed in time."""


def error_name(code):
    return ERRORS.get(code, str(code))


@functools.cache
def api(name):
    """(schema.Api, request message, response message) of an API by its name, as `CreateTopics`."""
    snake = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
    parsed = schema.parse(SCHEMAS / f"{snake}.schema")
    return parsed.api, parsed.messages[0], parsed.messages[1]


# ---- bodies

def varint(value):
    """Unsigned."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_body(message, version, values):
    return _encode_struct(message, message.root, version, values)


def _encode_struct(message, kind, version, values):
    unknown = set(values) - {field.name for field in kind.fields}
    if unknown:
        raise KeyError(f"{kind.name} has no {', '.join(sorted(unknown))}")
    out = bytearray()
    tagged = {}
    for field in kind.fields:
        if version not in field.versions:
            continue
        default = _default(message, field, version)
        value = values.get(field.name, default)
        if field.tag is None:
            out += _encode(message, field, version, value)
        elif value != default:
            tagged[field.tag] = _encode(message, field, version, value)
    if version >= message.first_flexible:
        out += varint(len(tagged))
        for tag, data in sorted(tagged.items()):
            out += varint(tag) + varint(len(data)) + data
    return bytes(out)


def _default(message, field, version):
    if field.is_array:
        return None if field.default == "null" else []
    if field.default == "null":
        return None
    if field.type in _INTEGER:
        if field.type == "bool":
            return field.default == "true"
        if field.type == "float64":
            return float(field.default or 0)
        return int(field.default or "0", 0)
    if field.type == "uuid":
        return NO_TOPIC_ID
    if field.type == "string":
        return field.default or ""
    if field.type in ("bytes", "records"):
        return b""
    if field.nullable and version in field.nullable and field.tag is not None:
        return None
    kind = message.struct(field.type)
    return {inner.name: _default(message, inner, version) for inner in kind.fields
            if version in inner.versions}


def _encode(message, field, version, value):
    flexible = version >= message.first_flexible
    if field.is_array:
        if value is None:
            return b"\0" if flexible else b"\xff\xff\xff\xff"
        count = varint(len(value) + 1) if flexible else struct.pack(">i", len(value))
        return count + b"".join(_encode_one(message, field, version, item) for item in value)
    return _encode_one(message, field, version, value)


def _encode_one(message, field, version, value):
    flexible = version >= message.first_flexible
    if field.type in _INTEGER:
        return struct.pack(_INTEGER[field.type], value)
    if field.type == "uuid":
        return value.bytes
    if field.type in ("string", "bytes", "records"):
        if isinstance(value, Raw):
            return value
        if isinstance(value, str):
            value = value.encode("utf-8", "surrogateescape")
        if flexible:
            return b"\0" if value is None else varint(len(value) + 1) + value
        length = ">h" if field.type == "string" else ">i"
        return struct.pack(length, -1) if value is None else struct.pack(length, len(value)) + value
    kind = message.struct(field.type)
    if field.nullable and not field.is_array:
        return b"\xff" if value is None else b"\1" + _encode_struct(message, kind, version, value)
    return _encode_struct(message, kind, version, value)


class Raw(bytes):
    """Stands for a string or bytes field, length included, just as it goes on the wire."""


class Reader:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, count):
        if count < 0 or self.at + count > len(self.data):
            raise ValueError(f"the answer ends at {len(self.data)}, wanted {self.at} + {count}")
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value

    def signed(self):
        value = self.varint()
        return value >> 1 ^ -(value & 1)


def decode_body(message, version, data):
    """The body, which must end where `data` ends."""
    reader = Reader(data)
    found = _decode_struct(message, message.root, version, reader)
    if reader.at != len(data):
        raise ValueError(f"{message.name} v{version}: {len(data) - reader.at} bytes left over")
    return found


def _decode_struct(message, kind, version, reader):
    found = {}
    tags = {}
    for field in kind.fields:
        if version not in field.versions:
            continue
        if field.tag is None:
            found[field.name] = _decode(message, field, version, reader)
        else:
            tags[field.tag] = field
            found[field.name] = _default(message, field, version)
    if version >= message.first_flexible:
        for _ in range(reader.varint()):
            tag = reader.varint()
            inner = Reader(reader.take(reader.varint()))
            if tag in tags:
                found[tags[tag].name] = _decode(message, tags[tag], version, inner)
    return found


def _decode(message, field, version, reader):
    if field.is_array:
        flexible = version >= message.first_flexible
        count = reader.varint() - 1 if flexible else reader.number(">i")
        if count < 0:
            return None
        return [_decode_one(message, field, version, reader) for _ in range(count)]
    return _decode_one(message, field, version, reader)


def _decode_one(message, field, version, reader):
    flexible = version >= message.first_flexible
    if field.type in _INTEGER:
        return reader.number(_INTEGER[field.type])
    if field.type == "uuid":
        return uuid.UUID(bytes=reader.take(16))
    if field.type in ("string", "bytes", "records"):
        if flexible:
            length = reader.varint() - 1
        else:
            length = reader.number(">h" if field.type == "string" else ">i")
        if length < 0:
            return None
        data = reader.take(length)
        return data.decode("utf-8", "surrogateescape") if field.type == "string" else data
    kind = message.struct(field.type)
    if field.nullable and not field.is_array and reader.number(">b") < 0:
        return None
    return _decode_struct(message, kind, version, reader)


# ---- requests and connections

def header(key, version, correlation, client_id=b"test", flexible=False):
    length = -1 if client_id is None else len(client_id)
    return (struct.pack(">hhih", key, version, correlation, length) + (client_id or b"")
            + (b"\0" if flexible else b""))


def frame(payload):
    return struct.pack(">i", len(payload)) + payload


def request(name, version, *, correlation=1, extra=b"", **values):
    """A whole frame; `extra` goes behind the body."""
    kind, message, _ = api(name)
    flexible = version >= kind.first_flexible
    return frame(header(kind.key, version, correlation, flexible=flexible)
                 + encode_body(message, version, values) + extra)


def decode_answer(name, version, payload):
    """(correlation id, body) of a frame without its size."""
    kind, _, message = api(name)
    reader = Reader(payload)
    correlation = reader.number(">i")
    if version >= kind.first_flexible and name != "ApiVersions":
        for _ in range(reader.varint()):
            reader.varint()
            reader.take(reader.varint())
    return correlation, decode_body(message, version, payload[reader.at:])


class Client:
    """One connection; a context manager."""

    def __init__(self, port, timeout_s=10):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.correlation = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as gone:
            raise Closed(str(gone)) from None

    def answer(self):
        """The next frame, without its size. Raises Closed or Silent."""
        size = struct.unpack(">i", self._take(4))[0]
        return self._take(size)

    def call(self, name, version, **values):
        self.correlation += 1
        self.send(request(name, version, correlation=self.correlation, **values))
        correlation, body = decode_answer(name, version, self.answer())
        if correlation != self.correlation:
            raise ValueError(f"answer {correlation} to request {self.correlation}")
        return body

    def _take(self, count):
        parts = bytearray()
        while len(parts) < count:
            try:
                data = self.socket.recv(min(count - len(parts), 1 << 20))
            except TimeoutError:
                raise Silent(f"nothing for {self.socket.gettimeout()} s") from None
            except ConnectionResetError:
                raise Closed("reset") from None
            if not data:
                raise Closed("cut" if parts else "")
            parts += data
        return bytes(parts)
