"""Event files as TensorBoard's writers make them, from their parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from struct import pack
from typing import Any

import numpy as np

from neurockt.importing.checksum import masked_crcs

Data = bytes


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def block(field: int, data: bytes | str) -> bytes:
    content = data.encode() if isinstance(data, str) else data
    return varint(field << 3 | 2) + varint(len(content)) + content


def crc(data: bytes) -> bytes:
    return pack("<I", int(masked_crcs(np.frombuffer(data, np.uint8)[None])[0]))


def record(data: bytes) -> bytes:
    length = pack("<Q", len(data))
    return length + crc(length) + data + crc(data)


def event(time: float, step: int, *values: bytes, more: bytes = b"") -> bytes:
    """A record with a summary of these values, or with ``more`` in its place."""
    at = number(2, step) if step else b""
    return record(
        b"\x09" + pack("<d", time) + at + (block(5, b"".join(block(1, value) for value in values)) or b"") + more
    )


def plain(time: float, step: int, more: bytes = b"") -> bytes:
    """A record without a summary."""
    return record(b"\x09" + pack("<d", time) + (number(2, step) if step else b"") + more)


def version(time: float = 1e9) -> bytes:
    return plain(time, 0, block(3, "brain.Event:2"))


def start(time: float, step: int) -> bytes:
    """A SessionLog START."""
    return plain(time, step, block(7, number(1, 1)))


def simple(tag: str, value: float) -> bytes:
    return block(1, tag) + b"\x15" + pack("<f", value)


def plugin(name: str, content: bytes = b"") -> bytes:
    return block(9, block(1, block(1, name) + (block(2, content) if content else b"")))


def tensor(tag: str, value: float, *, double: bool = False, known: bool = True, content: bool = True) -> bytes:
    """A scalar as TensorFlow 2 writes it; without the plugin's name where the tag is ``known``."""
    raw = pack("<d" if double else "<f", value)
    data = block(4, raw) if content else block(6 if double else 5, raw)
    return (
        block(1, tag)
        + (b"" if known else plugin("scalars"))
        + block(8, number(1, 2 if double else 1) + block(2, b"") + data)
    )


def text(tag: str, words: str) -> bytes:
    return block(1, tag) + plugin("text") + block(8, number(1, 7) + block(8, words))


def image(tag: str, size: int) -> bytes:
    return block(1, tag) + block(4, number(1, 1) + block(4, bytes(size)))


def histogram(tag: str) -> bytes:
    return block(1, tag) + block(5, b"\x09" + pack("<d", 0.0))


def hparams(values: Mapping[str, Any]) -> bytes:
    def value(given: Any) -> bytes:
        if isinstance(given, bool):
            return number(4, given)
        if isinstance(given, str):
            return block(3, given)
        return b"\x11" + pack("<d", given)

    entries = b"".join(block(1, block(1, name) + block(2, value(given))) for name, given in values.items())
    return block(1, "_hparams_/session_start_info") + plugin("hparams", block(3, entries))


def write(
    directory: Path, records: Iterable[bytes], *, host: str = "node1", pid: int = 7, at: int = 1, index: int = 0
) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"events.out.tfevents.{1_700_000_000 + at}.{host}.{pid}.{index}"
    path.write_bytes(b"".join([version(), *records]))
    return path


def scalars(tag: str, values: Mapping[int, float], *, begin: float = 1.7e9) -> list[bytes]:
    """A record for each step."""
    return [event(begin + step, step, simple(tag, value)) for step, value in values.items()]
