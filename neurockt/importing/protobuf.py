"""The wire format of protocol buffers, as far as event files and W&B's files need it."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Any, Final

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5

_FIXED: Final = {FIXED64: 8, FIXED32: 4}
_DOUBLE, _FLOAT = Struct("<d"), Struct("<f")


Span = tuple[int, int]
"""Between which positions the bytes of a field lie."""


class Malformed(ValueError):
    """The bytes are not a message."""


def fields(data: bytes, begin: int = 0, end: int | None = None) -> Iterator[tuple[int, int, Any]]:
    """The fields of the message in ``data[begin:end]``: number, wire type, and the value.

    A varint is an int; all else is the pair of positions between which its bytes lie.
    """
    end = len(data) if end is None else end
    at = begin
    while at < end:
        key, at = varint(data, at, end)
        kind = key & 7
        if kind == VARINT:
            value, at = varint(data, at, end)
            yield key >> 3, kind, value
            continue
        if kind == BYTES:
            size, at = varint(data, at, end)
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            raise Malformed(f"a field of wire type {kind}")
        if at + size > end:
            raise Malformed("a field that ends after its message")
        yield key >> 3, kind, (at, at + size)
        at += size


def blocks(data: bytes, span: Span) -> Iterator[tuple[int, Span]]:
    """The fields of bytes of a message, such as texts and other messages: the number of each, and where they lie."""
    return ((number, value) for number, kind, value in fields(data, *span) if kind == BYTES)


def texts(data: bytes, span: Span) -> dict[int, str]:
    """The fields of bytes as texts, by their numbers."""
    return {number: text(data, value) for number, value in blocks(data, span)}


def numbers(data: bytes, span: Span) -> dict[int, int]:
    """The varints of a message by their numbers."""
    return {number: value for number, kind, value in fields(data, *span) if kind == VARINT}


def varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """The varint at a position, and the position after it."""
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise Malformed("a number that does not end")


def signed(value: int) -> int:
    """A varint as int64."""
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value


def double(data: bytes, at: int) -> float:
    return float(_DOUBLE.unpack_from(data, at)[0])


def float32(data: bytes, at: int) -> float:
    return float(_FLOAT.unpack_from(data, at)[0])


def text(data: bytes, span: Span) -> str:
    return data[slice(*span)].decode("utf-8", "replace")
