"""Record batches, version 2: made, taken apart, and spoilt on purpose."""

import dataclasses
import struct
import time

from lib import wire

HEADER_BYTES = 61
_CRC_AT = 17
NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
TRANSACTIONAL, CONTROL = 0x10, 0x20


def _crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_TABLE = _crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    table = _TABLE
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def zigzag(value):
    return wire.varint((value << 1 ^ value >> 63) & (1 << 64) - 1)


@dataclasses.dataclass
class Record:
    key: bytes | None = None
    value: bytes | None = b"value"
    headers: tuple = ()  # of (bytes, bytes or None)
    timestamp: int = 0  # after the batch's, milliseconds
    offset: int = 0  # in what decode() returns


def encode_record(record, delta):
    def field(data):
        return zigzag(-1) if data is None else zigzag(len(data)) + data

    body = (b"\0" + zigzag(record.timestamp) + zigzag(delta) + field(record.key)
            + field(record.value) + zigzag(len(record.headers))
            + b"".join(field(key) + field(value) for key, value in record.headers))
    return zigzag(len(body)) + body


def encode(records=None, *, payload=None, count=None, deltas=None, attributes=0, base_offset=0,
           length=None, leader_epoch=0, magic=2, last_offset_delta=None, timestamp=None,
           max_timestamp=None, producer=(-1, -1, -1), crc=None):
    """A batch of `records`, or of `payload` (say, compressed) which says it has `count` records.

    Every field of the header can be set to something else than the truth.
    """
    if payload is None:
        records = [Record()] if records is None else records
        payload = b"".join(encode_record(record, deltas[i] if deltas else i)
                           for i, record in enumerate(records))
        count = len(records) if count is None else count
    timestamp = int(time.time() * 1000) if timestamp is None else timestamp
    if max_timestamp is None:
        max_timestamp = timestamp + max((r.timestamp for r in records or []), default=0)
    last = count - 1 if last_offset_delta is None else last_offset_delta
    body = struct.pack(">hiqqqhii", attributes, last, timestamp, max_timestamp, *producer,
                       count) + payload
    crc = crc32c(body) if crc is None else crc
    length = len(body) + 9 if length is None else length
    return struct.pack(">qiibI", base_offset, length, leader_epoch, magic, crc) + body


def decode(data):
    """Records of uncompressed batches back to back; a batch cut at the end is left out."""
    found = []
    at = 0
    while at + HEADER_BYTES <= len(data):
        base, length = struct.unpack_from(">qi", data, at)
        if at + 12 + length > len(data):
            break
        whole = data[at:at + 12 + length]
        magic, crc = struct.unpack_from(">bI", whole, 16)
        attributes, _, timestamp = struct.unpack_from(">hiq", whole, 21)
        count = struct.unpack_from(">i", whole, 57)[0]
        if magic != 2 or crc != crc32c(whole[21:]):
            raise ValueError(f"a batch at offset {base} with magic {magic} or a wrong checksum")
        if attributes & 7:
            raise ValueError("compressed: not for this reader")
        if not attributes & CONTROL:
            reader = wire.Reader(whole[HEADER_BYTES:])
            for _ in range(count):
                found.append(_record(wire.Reader(reader.take(reader.signed())), base, timestamp))
        at += 12 + length
    return found


def _record(reader, base, timestamp):
    def field():
        length = reader.signed()
        return None if length < 0 else reader.take(length)

    reader.take(1)
    stamp = timestamp + reader.signed()
    offset = base + reader.signed()
    key, value = field(), field()
    headers = tuple((field(), field()) for _ in range(reader.signed()))
    return Record(key, value, headers, stamp, offset)
