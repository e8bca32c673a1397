"""W&B's files, record by record, for what the SDK does not write any more or only after a crash."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from struct import pack
from typing import Any
from zlib import crc32

from .event_files import block, number

MAGIC = b":W&B\xe1\xbe\x00"
BLOCK = 32 * 2**10


def run(run_id: str, *, started: int = 1_700_000_000, config: Mapping[str, Any] | None = None, **texts: str) -> bytes:
    numbers = {"project": 3, "group": 6, "name": 8, "notes": 9, "host": 13}
    updates = b"".join(block(1, block(1, key) + block(16, json.dumps(value))) for key, value in (config or {}).items())
    fields = b"".join(block(numbers[name], text) for name, text in texts.items())
    return block(17, block(1, run_id) + fields + block(4, updates) + block(17, number(1, started)))


def row(values: Mapping[Any, Any], step: int, time: float = 1.7e9, *, nested: bool = True) -> bytes:
    """A key may be a tuple: newer versions write each value of a mapping as an item of its own."""
    whole = {**values, "_step": step, "_timestamp": time, "_runtime": 1}
    items = b"".join(block(1, _key(key, nested=nested) + block(16, json.dumps(value))) for key, value in whole.items())
    return block(2, items + block(2, number(1, step)))


def summary(values: Mapping[Any, Any], removed: Iterable[str] = (), *, own: bool = False) -> bytes:
    """The summary as it follows a row; ``own`` as newer versions write what the user has set or removed."""
    items = b"".join(block(1, block(1, key) + block(16, json.dumps(value))) for key, value in values.items())
    gone = b"".join(block(2, block(1, key)) for key in removed)
    return (block(200, block(1, "id")) if own else b"") + block(3, items + gone)


def _key(key: str | tuple[str, ...], *, nested: bool) -> bytes:
    return b"".join(block(2, each) for each in key) if isinstance(key, tuple) else block(2 if nested else 1, key)


def metric(name: str, step_metric: str) -> bytes:
    return block(12, block(2 if "*" in name else 1, name) + block(4, step_metric))


def end(code: int) -> bytes:
    return block(18, number(1, code) if code else b"")


def framed(records: list[bytes], *, early: bool = False) -> bytes:
    """The records in blocks; ``early`` as wandb-core 0.17.0 counted them."""
    data, shift = bytearray(MAGIC), len(MAGIC) if early else 0
    for index, content in enumerate(records):
        rest, kind = number(1, index) + content, 0
        while True:
            room = BLOCK - (len(data) - shift) % BLOCK
            if room < 7:
                data += bytes(room)
                continue
            piece, rest = rest[: room - 7], rest[room - 7 :]
            kind = (1 if kind == 0 else 4) if not rest else (2 if kind == 0 else 3)
            data += pack("<IHB", crc32(bytes([kind]) + piece), len(piece), kind) + piece
            if not rest:
                break
    return bytes(data)


def write(directory: Path, run_id: str, records: list[bytes], *, at: int = 1, early: bool = False) -> Path:
    home = directory / f"offline-run-20231114_{at:06}-{run_id}"
    home.mkdir(parents=True)
    path = home / f"run-{run_id}.wandb"
    path.write_bytes(framed(records, early=early))
    return path
