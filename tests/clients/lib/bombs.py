"""Compressed payloads that are far larger inside, made without the libraries that unpack them."""

import struct
import zlib

from lib import batch, wire


def _open_record(value_bytes):
    """Start of a record with null key; `value_bytes` zeros and a zero header count follow."""
    head = b"\0" + batch.zigzag(0) + batch.zigzag(0) + batch.zigzag(-1) + batch.zigzag(value_bytes)
    return batch.zigzag(len(head) + value_bytes + 1) + head


def gzip_bomb(value_bytes):
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    out = squeeze.compress(_open_record(value_bytes))
    left = value_bytes + 1
    zeros = bytes(1 << 20)
    while left:
        part = min(left, len(zeros))
        out += squeeze.compress(zeros[:part])
        left -= part
    return out + squeeze.flush()


def zstd_frame(blocks, window=0x38):
    """`blocks` are (type, size, bytes): 0 raw, 1 one byte repeated. The window is 128 KiB."""
    out = b"\x28\xb5\x2f\xfd\0" + bytes([window])
    for i, (kind, size, data) in enumerate(blocks):
        last = i == len(blocks) - 1
        out += (size << 3 | kind << 1 | last).to_bytes(3, "little") + data
    return out


def zstd_bomb(blocks):
    """A record of `blocks` times 128 KiB in 4 bytes each."""
    head = _open_record(blocks * (128 << 10) - 1)
    return zstd_frame([(0, len(head), head), *[(1, 128 << 10, b"\0")] * blocks])


def _xxh32(data):
    """Of fewer than 16 bytes, seed 0 (source: the xxHash specification)."""
    mask = 0xFFFFFFFF
    rotate = lambda value, by: (value << by | value >> 32 - by) & mask
    value = (374761393 + len(data)) & mask
    while len(data) >= 4:
        value = (value + struct.unpack_from("<I", data)[0] * 3266489917) & mask
        value = rotate(value, 17) * 668265263 & mask
        data = data[4:]
    for byte in data:
        value = (value + byte * 374761393) & mask
        value = rotate(value, 11) * 2654435761 & mask
    value = (value ^ value >> 15) * 2246822519 & mask
    value = (value ^ value >> 13) * 3266489917 & mask
    return value ^ value >> 16


def lz4_bomb(blocks):
    """A record of `blocks` times 4 MiB of zeros."""
    size = 4 << 20
    head = _open_record(blocks * size - 1)
    descriptor = b"\x60\x70"  # version 1, independent blocks of up to 4 MiB
    out = b"\x04\x22\x4d\x18" + descriptor + bytes([_xxh32(descriptor) >> 8 & 0xFF])
    out += struct.pack("<I", len(head) | 0x80000000) + head
    # One literal zero, a match of all but the last five bytes at distance 1, five literals.
    match = size - 1 - 5 - 4 - 15
    block = b"\x1f\0\x01\0" + b"\xff" * (match // 255) + bytes([match % 255]) + b"\x50" + bytes(5)
    return out + (struct.pack("<I", len(block)) + block) * blocks + bytes(4)


def snappy_claim(size):
    """Raw snappy that says it holds `size` bytes, and holds three."""
    return wire.varint(size) + b"\x08abc"
