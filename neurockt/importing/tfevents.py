"""TensorBoard's event files: their scalars, their hyperparameters, and what else they hold, counted by kind.

A file is a sequence of records: length, CRC of the length, an `Event` message, CRC of the message (record_writer.cc of
TensorFlow). Scalars are a float in the message (`simple_value`) or a tensor of the plugin *scalars*. Records of one
tag differ only in their time, step and value. So records are taken apart together: those that are equal but for these
bytes have the parts of the first of them, which alone is parsed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from neurockt.importing import protobuf
from neurockt.importing.checksum import Bytes, as_uint, masked_crcs
from neurockt.importing.points import Collector, Points
from neurockt.importing.summaries import Scalar, hparams_in, plugin_in, strings_in, tensor_scalar

CHUNK: Final = 8 * 2**20
"""Bytes that are read at a time."""
LARGE: Final = 2**14
"""A record of more bytes is not compared with others."""
LARGEST: Final = 2**30
"""No record is longer: such a length is damage."""
MANY_TAGS: Final = 100_000
ROUNDS: Final = 8
"""How many shapes of records of one length are looked for; what is left is parsed one by one."""
HEADER: Final = Struct("<Q")

_SCALARS: Final = "scalars"
_TIME_KEY, _STEP_KEY = 0x09, 0x10


@dataclass
class Event:
    time: float = math.nan
    step: int = 0
    scalars: list[Scalar] = field(default_factory=list)
    is_plain: bool = True
    """It has nothing but scalars, and its time and step come first."""


@dataclass
class Events:
    """What the files of one process hold."""

    collector: Collector = field(default_factory=Collector)
    plugins: dict[str, str] = field(default_factory=dict)
    """The plugin of each tag, which is written once."""
    hparams: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    starts: list[tuple[int, int]] = field(default_factory=list)
    """Restarts: the number of the record, and the step."""
    records: int = 0
    lost: int = 0
    """Records that cannot be read."""
    torn: bool = False
    """The last file ends in the middle of a record: its process was killed, or is writing."""


def read_events(path: Path, events: Events) -> None:
    """Add what a file holds to ``events``. Raises OSError."""
    reader = _Reader(events)
    with path.open("rb") as file:
        size, rest, data = path.stat().st_size, b"", b"."
        while data:
            data = file.read(CHUNK)
            rest += data
            rest = rest[reader.read(rest) :]
            while len(rest) >= 12 and not _is_header(rest):
                events.lost += 1
                rest = rest[_next_header(rest) :]
                rest = rest[reader.read(rest) :]
            if len(rest) >= 12:
                length = HEADER.unpack_from(rest)[0]
                if length > LARGEST:
                    break
                if length > 4 * CHUNK and _skip(file, length + 16 - len(rest), size):
                    rest = b""
                    events.left_out["large records"] += 1
        events.torn = bool(rest)


def _skip(file: BinaryIO, size: int, end: int) -> bool:
    if file.tell() + size > end:
        return False
    file.seek(size, 1)
    return True


def _bytes(data: bytes) -> Bytes:
    return np.frombuffer(data, np.uint8)


def _is_header(data: bytes) -> bool:
    return bool(masked_crcs(_bytes(data[:8])[None])[0] == as_uint(_bytes(data[8:12])[None])[0])


def _next_header(data: bytes) -> int:
    """Where the next record may begin, after the first byte: where all but the end of a header is missing at last."""
    if len(data) < 13:
        return 1
    windows = np.lib.stride_tricks.sliding_window_view(_bytes(data)[1:], 12)
    for begin in range(0, len(windows), CHUNK // 8):
        piece = windows[begin : begin + CHUNK // 8]
        sound = masked_crcs(piece[:, :8]) == as_uint(piece[:, 8:])
        if sound.any():
            return 1 + begin + int(sound.argmax())
    return len(data) - 11


class _Reader:
    """Takes the records of one file apart."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._weights = np.random.default_rng().integers(1, 2**63, LARGE, np.uint64)
        self._shapes: dict[tuple[int, int, tuple[int, ...], int], list[Scalar] | None] = {}

    def read(self, data: bytes) -> int:
        """Take in the whole records at the beginning of these bytes; the number of bytes that they have."""
        begins, lengths, at, end = [], [], 0, len(data) - 16
        unpack = HEADER.unpack_from
        while at <= end:
            (length,) = unpack(data, at)
            if length > end - at:
                break
            begins.append(at)
            lengths.append(length)
            at += length + 16
        if not begins:
            return 0
        buffer = _bytes(data)
        at_each, size_each = np.array(begins), np.array(lengths)
        heads = np.lib.stride_tricks.sliding_window_view(buffer, 12)[at_each]
        sound = masked_crcs(heads[:, :8]) == as_uint(heads[:, 8:])
        if not sound.all():
            bad = int(sound.argmin())
            at, at_each, size_each = int(at_each[bad]), at_each[:bad], size_each[:bad]
        order = self._events.records + np.arange(len(at_each))
        self._events.records += len(at_each)
        # the longest first: the record that names a tag's plugin is longer than the tag's others
        for length in np.unique(size_each)[::-1].tolist():
            which = np.flatnonzero(size_each == length)
            self._read_same(data, buffer, at_each[which] + 12, length, order[which])
        return at

    def _read_same(self, data: bytes, buffer: Bytes, begins: npt.NDArray[Any], length: int, order: Any) -> None:
        """Records of one length."""
        if not 10 <= length <= LARGE:
            for begin, number in zip(begins.tolist(), order.tolist(), strict=True):
                self._read_one(data[begin : begin + length], number)
            return
        rows = np.lib.stride_tricks.sliding_window_view(buffer, length + 4)[begins]
        sound = masked_crcs(rows[:, :length]) == as_uint(rows[:, length:])
        if not sound.all():
            self._events.lost += int((~sound).sum())
            rows, order = rows[sound], order[sound]
        rows = rows[:, :length]
        has_step = (rows[:, 0] == _TIME_KEY) & (rows[:, 9] == _STEP_KEY)
        sizes = np.zeros(len(rows), np.int64)
        if length > 10:
            sizes = np.where(has_step, 1 + np.argmin(rows[:, 10:20] >= 0x80, axis=1), 0)
        for size in np.unique(sizes).tolist():
            which = np.flatnonzero(sizes == size)
            self._read_alike(rows[which], size, order[which])

    def _read_alike(self, rows: Bytes, step_size: int, order: Any) -> None:
        """Records of one length, whose steps have ``step_size`` bytes; 0 where there is no step."""
        for _ in range(ROUNDS):
            if len(rows) < 2:
                break
            first = self._parse(rows[0].tobytes())
            if first is None or not first.is_plain or any(scalar.at < 0 for scalar in first.scalars):
                self._read_one(rows[0].tobytes(), int(order[0]))
                rows, order = rows[1:], order[1:]
                continue
            places = tuple(place for scalar in first.scalars for place in (scalar.at, scalar.width))
            rest = self._read_shape(rows, step_size, order, places)
            rows, order = rows[rest], order[rest]
        for row, number in zip(rows, order.tolist(), strict=True):
            self._read_one(row.tobytes(), number)

    def _read_shape(self, rows: Bytes, step_size: int, order: Any, places: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        """Take in the records whose values are at these places; which were not."""
        weights = self._weights[: rows.shape[1]].copy()
        weights[1:9] = 0
        weights[10 : 10 + step_size] = 0
        for at, width in zip(places[::2], places[1::2], strict=True):
            weights[at : at + width] = 0
        marks = np.zeros(len(rows), np.uint64)
        for column, weight in zip(rows.T, weights.tolist(), strict=True):
            if weight:
                marks += column.astype(np.uint64) * np.uint64(weight)
        _, firsts, kinds = np.unique(marks, return_index=True, return_inverse=True)
        times = np.ascontiguousarray(rows[:, 1:9]).view("<f8")[:, 0]
        steps = np.zeros(len(rows), np.int64)
        for index in range(step_size):
            steps |= (rows[:, 10 + index] & 0x7F).astype(np.int64) << min(63, 7 * index)
        values = [
            np.ascontiguousarray(rows[:, at : at + width]).view(f"<f{width}")[:, 0].astype(float)
            for at, width in zip(places[::2], places[1::2], strict=True)
        ]
        left = np.zeros(len(rows), np.bool_)
        by_kind = np.argsort(kinds, kind="stable")
        ends = np.searchsorted(kinds[by_kind], np.arange(len(firsts) + 1))
        for kind, first in enumerate(firsts.tolist()):
            which = by_kind[ends[kind] : ends[kind + 1]]
            scalars = self._shape(rows[first], int(marks[first]), places, step_size)
            if scalars is None:
                left[which] = True
                continue
            for scalar, column in zip(scalars, values, strict=True):
                self._add_many(scalar.tag, Points(steps[which], times[which], column[which], order[which]))
        return left

    def _shape(self, row: Bytes, mark: int, places: tuple[int, ...], step_size: int) -> list[Scalar] | None:
        """The scalars of a record, if their values are at these places."""
        key = len(row), mark, places, step_size
        if key not in self._shapes:
            event = self._parse(row.tobytes())
            found = None
            if event is not None and event.is_plain:
                at = tuple(place for scalar in event.scalars for place in (scalar.at, scalar.width))
                found = event.scalars if at == places else None
            self._shapes[key] = found
        return self._shapes[key]

    def _read_one(self, record: bytes, number: int) -> None:
        event = self._parse(record, number)
        if event is None:
            self._events.lost += 1
            return
        for scalar in event.scalars:
            if self._has_room(scalar.tag):
                self._events.collector.add(scalar.tag, event.step, event.time, scalar.value, number)

    def _add_many(self, tag: str, points: Points) -> None:
        if self._has_room(tag):
            self._events.collector.add_many(tag, points)

    def _has_room(self, tag: str) -> bool:
        if self._events.collector.names < MANY_TAGS or self._events.collector.knows(tag):
            return True
        self._events.left_out[f"values of more than {MANY_TAGS:,} tags"] += 1
        return False

    def _parse(self, record: bytes, number: int | None = None) -> Event | None:
        """A record taken apart; None where it is not a message. With its ``number``, all else in it is taken in too."""
        event = Event()
        try:
            seen = [field for field, _, _ in self._fill(event, record, number)]
        except (protobuf.Malformed, IndexError):
            return None
        event.is_plain = event.is_plain and seen in ([1, 2, 5], [1, 5])
        return event

    def _fill(self, event: Event, record: bytes, number: int | None) -> Iterator[tuple[int, int, Any]]:
        for found in protobuf.fields(record):
            key, kind, value = found
            if key == 1 and kind == protobuf.FIXED64:
                event.time = protobuf.double(record, value[0])
            elif key == 2 and kind == protobuf.VARINT:
                event.step = protobuf.signed(value)
            elif key == 5 and kind == protobuf.BYTES:
                for inner, span in protobuf.blocks(record, value):
                    if inner == 1:
                        self._value(event, record, span, number is not None)
            elif key == 7 and kind == protobuf.BYTES and protobuf.numbers(record, value).get(1) == 1:  # a start
                self._events.starts += [(number, event.step)] if number is not None else []
            yield found

    def _value(self, event: Event, record: bytes, span: protobuf.Span, count: bool) -> None:
        """One value of a summary."""
        tag, plugin, content, other = "", "", b"", ""
        simple: tuple[int, int] | None = None
        tensor: tuple[int, int] | None = None
        for number, kind, value in protobuf.fields(record, *span):
            if (number == 1 and kind == protobuf.BYTES) or (number == 7 and kind == protobuf.BYTES and not tag):
                tag = protobuf.text(record, value)
            elif number == 2 and kind == protobuf.FIXED32:
                simple = value
            elif number == 8 and kind == protobuf.BYTES:
                tensor = value
            elif number == 9 and kind == protobuf.BYTES:
                plugin, content = plugin_in(record, value)
                event.is_plain = event.is_plain and not count and plugin in (_SCALARS, "")
            else:
                other = {4: "images", 5: "histograms", 6: "audio"}.get(number, other)
        if plugin:
            self._events.plugins.setdefault(tag, plugin)
        plugin = plugin or self._events.plugins.get(tag, "")
        if simple is not None:
            event.scalars.append(Scalar(tag, protobuf.float32(record, simple[0]), simple[0], 4))
        elif tensor is not None and plugin == _SCALARS:
            if (scalar := tensor_scalar(record, tensor, tag)) is not None:
                event.scalars.append(scalar)
            else:
                self._leave_out(event, "tensors", count)
        elif plugin == "hparams":
            event.is_plain = False
            if count and tag == "_hparams_/session_start_info":
                self._events.hparams.update(hparams_in(content))
        elif plugin == "text" and tensor is not None:
            self._leave_out(event, "texts", count)
            if count and (words := strings_in(record, tensor)):
                self._events.texts[tag] = words[0]
        else:
            self._leave_out(event, other or (plugin if plugin.isidentifier() else "tensors"), count)

    def _leave_out(self, event: Event, kind: str, count: bool) -> None:
        event.is_plain = False
        if count:
            self._events.left_out[kind] += 1
