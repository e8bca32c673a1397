"""W&B's files, `run-*.wandb`: the history, config, state and origin of a run, also of one that was never uploaded.

A file is `:W&B`, a magic number and a version, then blocks of 32 KiB with the records of LevelDB's log format
(wandb/sdk/internal/datastore.py, core/pkg/leveldb): CRC-32 of type and data, length, type. A record is a protobuf
message, wandb_internal.proto's `Record`.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct
from typing import Any, Final
from zlib import crc32

from neurockt.importing import protobuf
from neurockt.importing.discover import WANDB_MAGIC as MAGIC
from neurockt.store.base.origin import GitState

_BLOCK: Final = 32 * 2**10
_CHUNK: Final = Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_SHIFTS: Final = (0, len(MAGIC))
"""From where the blocks are counted: wandb-core 0.17.0 to 0.17.5 did not count the magic."""
DEPTH_LIMIT: Final = 16
"""How deep mappings may be nested."""
RECORD_LIMIT: Final = 2**26
"""Bytes of a record. A longer one is left out."""
_HISTORY: Final = 2
_NUMBER: Final = b"\x08"
"""The key of a record's number, which most records begin with."""
_SUMMARY: Final = b"\x1a"
_ROW: Final = b"\x12"
_SKIPPED: Final = {6: "files", 7: "system metrics", 8: "artifacts", 10: "alerts", 25: "artifacts"}
"""Records that are counted, and not imported."""


_Column = tuple[list[int], list[float]]
_OWN: Final = ("_step", "_timestamp", "_runtime")


@dataclass
class WandbFile:
    """What is in one file."""

    path: Path
    id: str = ""
    project: str | None = None
    group: str | None = None
    name: str = ""
    notes: str | None = None
    tags: tuple[str, ...] = ()
    host: str = ""
    started: float = math.nan
    config: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    steps: list[int] = field(default_factory=list)
    """W&B's own step of each row."""
    times: list[float] = field(default_factory=list)
    """When each row was logged, in seconds since 1970."""
    columns: dict[str, _Column] = field(default_factory=dict)
    """For each metric the rows that have a value, from 0, and the values."""
    summary: dict[str, float] = field(default_factory=dict)
    """The numbers that the summary has, and no row."""
    step_metrics: dict[str, str] = field(default_factory=dict)
    """The metric that is the step of another, by its name; `*` for all."""
    left_out: Counter[str] = field(default_factory=Counter)
    media: set[str] = field(default_factory=set)
    """Names of media whose fields are items of their own."""
    known: dict[bytes, _Column] = field(default_factory=dict)
    """The columns of items, by the bytes before their JSON."""
    lost: int = 0
    """Places where records are damaged."""
    environment: dict[str, Any] = field(default_factory=dict)
    """What it says of where it ran; the names are those of Origin."""


def read_wandb(path: Path) -> WandbFile:
    """Read a file to its last whole record. Raises OSError."""
    found = WandbFile(path)
    derived = b""
    for record in _records(path, found):
        try:
            derived = _add(found, record) or derived
        except (protobuf.Malformed, IndexError, UnicodeDecodeError):
            found.lost += 1
    with suppress(protobuf.Malformed):
        _add_any(found, derived)
    _finish(found)
    return found


def _finish(found: WandbFile) -> None:
    """Make W&B's own columns the step and the time of the rows, and leave out what is no metric."""
    step, time, _ = (found.columns.pop(name, ([], [])) for name in _OWN)
    for row, value in zip(*step, strict=True):
        if math.isfinite(value):
            found.steps[row] = int(value)
    found.times = [math.nan] * len(found.steps)
    for row, value in zip(*time, strict=True):
        found.times[row] = value
    media = tuple(f"{name}." for name in found.media)
    found.columns = {name: column for name, column in found.columns.items() if column[0] and not name.startswith(media)}
    others = ("_", *media, *(f"{name}." for name in found.columns))  # W&B's own, and such as the maximum of a metric
    found.summary = {
        name: value
        for name, value in found.summary.items()
        if name not in found.columns and not name.startswith(others)
    }


def _records(path: Path, found: WandbFile) -> Iterator[bytes]:
    """The records. After damage, those from the next block on."""
    with path.open("rb") as file:
        head = file.read(2 * _BLOCK)
        file.seek(len(MAGIC))
        shift = max(_SHIFTS, key=lambda shift: _sound_chunks(head, shift))
        pieces: list[bytes] = []
        block = file.read(_BLOCK - len(MAGIC) + shift)
        while block:
            following = file.read(_BLOCK)
            for kind, data in _chunks(block):
                if kind == 0:
                    found.lost += bool(following) or data is not None
                    pieces = []
                elif kind in (_FULL, _FIRST):
                    pieces = [data]
                elif pieces and sum(map(len, pieces)) < RECORD_LIMIT:
                    pieces.append(data)
                if kind in (_FULL, _LAST) and pieces:
                    yield pieces[0] if len(pieces) == 1 else b"".join(pieces)
                    pieces = []
            block = following


def _sound_chunks(head: bytes, shift: int) -> int:
    """How many chunks of the first two blocks are sound, if the blocks begin there."""
    end = _BLOCK + shift
    return sum(kind > 0 for block in (head[len(MAGIC) : end], head[end:]) for kind, _ in _chunks(block))


def _chunks(block: bytes) -> Iterator[tuple[int, Any]]:
    """The chunks of a block: their type and data. Type 0: the rest is damaged or, where the data is None, cut off."""
    at, end, unpack, header = 0, len(block), _CHUNK.unpack_from, _CHUNK.size
    while at + header <= end:
        crc, length, kind = unpack(block, at)
        begin, at = at, at + header + length
        if not (crc or length or kind):
            return  # padding
        if at > end:
            yield 0, None
            return
        if crc32(block[begin + 6 : at]) != crc or not _FULL <= kind <= _LAST:
            yield 0, b""
            return
        yield kind, block[begin + header : at]


def _add(found: WandbFile, record: bytes) -> bytes:
    """Add what a record has. The summary that follows each row, two thirds of the bytes, is returned instead.

    The last one is enough: where the user has set a value, older versions write the whole summary each time, and newer
    ones a record that begins otherwise.
    """
    at = 1
    if record[:1] == _NUMBER:
        while record[at : at + 1] >= b"\x80":
            at += 1
        key = record[at + 1 : at + 2]
        if key == _SUMMARY:
            return record
        if key == _ROW:
            size, begin = protobuf.varint(record, at + 2, len(record))
            _add_history(found, record, begin, begin + size)
            return b""
    _add_any(found, record)
    return b""


def _add_any(found: WandbFile, record: bytes) -> None:
    for number, span in protobuf.blocks(record, (0, len(record))):
        if number == _HISTORY:
            _add_history(found, record, *span)
        elif number == 3:
            _add_summary(found.summary, record, span)
        elif number == 5:
            _add_config(found.config, record, span)
        elif number == 12:
            _add_metric(found, record, span)
        elif number == 17:
            _add_run(found, record, span)
        elif number == 18:
            found.exit_code = protobuf.signed(protobuf.numbers(record, span).get(1, 0))
        elif number == 26:
            found.environment.update(_environment(record, span))
        elif number in _SKIPPED:
            found.left_out[_SKIPPED[number]] += 1


def _add_history(found: WandbFile, record: bytes, at: int, end: int) -> None:
    """A row. There are millions of items: those like one before are taken apart by hand, `_item` does it in general."""
    known, row = found.known, len(found.steps)
    found.steps.append(row)
    while at < end:
        begin = at + 2
        size = record[at + 1]
        if record[at] != 0x0A or size >= 0x80:
            number, at = protobuf.varint(record, at, end)
            size, begin = protobuf.varint(record, at, end)
            if number == 0x12:
                found.steps[row] = _step(record, begin, begin + size)
            if number != 0x0A:
                at = begin + size
                continue
        at = begin + size
        if at > end:
            raise protobuf.Malformed("an item that ends after its record")
        # most items are one key of up to 127 bytes, then the JSON
        split = begin + 2 + record[begin + 1]
        column = known.get(record[begin : split + 2])
        if column is None or at - split - 3 != record[split + 2]:
            names, text = _item(record, (begin, at))
            name = ".".join(names)
            column = found.columns.setdefault(name, ([], []))
            if record[begin] in (0x0A, 0x12) and record[split : split + 2] == b"\x82\x01" and split < at:
                known[record[begin : split + 2]] = column
            try:
                value = float(text)
            except ValueError:
                _add_other(found, row, name, text)
                continue
        else:
            try:
                value = float(record[split + 3 : at])
            except ValueError:
                names, text = _item(record, (begin, at))
                _add_other(found, row, ".".join(names), text)
                continue
        column[0].append(row)
        column[1].append(value)


def _step(record: bytes, begin: int, end: int) -> int:
    """The number in a HistoryStep."""
    if record[begin : begin + 1] == b"\x08":
        return protobuf.signed(protobuf.varint(record, begin + 1, end)[0])
    return protobuf.signed(protobuf.numbers(record, (begin, end)).get(1, 0))


def _item(record: bytes, span: protobuf.Span) -> tuple[list[str], bytes]:
    """The names and the JSON of a HistoryItem or ConfigItem."""
    names: list[str] = []
    text = b""
    for number, inner in protobuf.blocks(record, span):
        if number in (1, 2):
            names.append(protobuf.text(record, inner))
        elif number == 16:
            text = record[slice(*inner)]
    return names, text


def _add_other(found: WandbFile, row: int, name: str, text: bytes) -> None:
    """A value that is not a plain number: truth values are 0 and 1, mappings are taken apart, the rest is counted."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        found.left_out["values that are not JSON"] += 1
        return
    _spread(found, row, name, document)


def _spread(found: WandbFile, row: int, top: str, document: Any) -> None:
    for name, value in _leaves(top, document):
        if isinstance(value, (bool, int, float)):
            try:
                number = float(value)
            except OverflowError:
                found.left_out["numbers that are too large"] += 1
                continue
            rows, values = found.columns.setdefault(name, ([], []))
            rows.append(row)
            values.append(number)
        elif isinstance(value, dict) and "_type" in value:
            found.left_out[_kind(value["_type"])] += 1
        elif isinstance(value, str) and name.endswith("._type"):  # newer versions write each field as an item
            found.left_out[_kind(value)] += 1
            found.media.add(name.removesuffix("._type"))
        elif value is not None:
            found.left_out[
                "texts" if isinstance(value, str) else "lists" if isinstance(value, list) else "nested values"
            ] += 1


def _leaves(name: str, value: Any, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """What is in a value, by its name: mappings are taken apart, unless they are media."""
    if isinstance(value, dict) and "_type" not in value and depth < DEPTH_LIMIT:
        for key, inner in value.items():
            yield from _leaves(f"{name}.{key}", inner, depth + 1)
    else:
        yield name, value


def _add_summary(summary: dict[str, float], record: bytes, span: protobuf.Span) -> None:
    for number, inner in protobuf.blocks(record, span):
        names, text = _item(record, inner) if number in (1, 2) else ([], b"")
        name = ".".join(names)
        for known in [known for known in summary if known == name or known.startswith(f"{name}.")]:
            del summary[known]
        with suppress(ValueError, RecursionError, OverflowError):
            for leaf, value in _leaves(name, json.loads(text)):
                if isinstance(value, (bool, int, float)):
                    summary[leaf] = float(value)


def _kind(name: object) -> str:
    return str(name).removesuffix("-file") + "s"


def _add_config(config: dict[str, Any], record: bytes, span: protobuf.Span) -> None:
    for number, inner in protobuf.blocks(record, span):
        path, text = _item(record, inner) if number in (1, 2) else ([], b"")
        if not path or path[0] in ("_wandb", "wandb_version"):
            continue
        if number == 2:
            config.pop(path[0], None)
            continue
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            continue
        into = config
        for key in path[:-1]:
            inside = into.get(key)
            into = inside if isinstance(inside, dict) else into.setdefault(key, {}) if inside is None else {}
        into[path[-1]] = document


def _add_metric(found: WandbFile, record: bytes, span: protobuf.Span) -> None:
    texts = protobuf.texts(record, span)
    name, step_metric = texts.get(1) or texts.get(2), texts.get(4)
    if name and step_metric:
        found.step_metrics[name] = step_metric


def _add_run(found: WandbFile, record: bytes, span: protobuf.Span) -> None:
    tags: list[str] = []
    for number, value in protobuf.blocks(record, span):
        if number == 4:
            _add_config(found.config, record, value)
        elif number == 17:
            moment = protobuf.numbers(record, value)
            found.started = float(protobuf.signed(moment.get(1, 0)) + moment.get(2, 0) / 1e9)
        elif number == 10:
            tags.append(protobuf.text(record, value))
        elif number in _RUN_TEXTS:
            setattr(found, _RUN_TEXTS[number], protobuf.text(record, value))
    found.tags = tuple(tags) or found.tags


_RUN_TEXTS: Final = {1: "id", 3: "project", 6: "group", 8: "name", 9: "notes", 13: "host"}


_ENVIRONMENT: Final = {1: "system", 2: "python", 11: "directory", 12: "host", 14: "executable", 25: "cuda"}


def _environment(record: bytes, span: protobuf.Span) -> dict[str, Any]:
    """What an EnvironmentRecord has, by the names of Origin."""
    found: dict[str, Any] = {}
    command: list[str] = []
    for number, value in protobuf.blocks(record, span):
        if number in (5, 6):  # the arguments and the program
            command.insert(len(command) if number == 5 else 0, protobuf.text(record, value))
        elif number == 9:
            texts = protobuf.texts(record, value)
            found["git"] = GitState(commit=texts.get(2) or None, remote=texts.get(1) or None)
        elif number in _ENVIRONMENT:
            found[_ENVIRONMENT[number]] = protobuf.text(record, value)
    return {**found, "command": tuple(command)} if command else found
