"""Which files in a directory are runs of other trackers. They are known by their content, never by their name alone."""

from __future__ import annotations

import json
import math
import os
import shlex
import stat
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice, takewhile
from pathlib import Path
from typing import Final

from neurockt.errors import UsageError
from neurockt.store.base import layout

SKIPPED: Final = frozenset((".git", "node_modules", "media", "__pycache__", ".venv", "site-packages"))
CSV_NAMES: Final = ("metrics.csv", "progress.csv", "progress.txt", "results.csv", "history.csv")
UNNUMBERED: Final = ("progress.csv", "progress.txt")
"""Tables that loggers of reinforcement learning write, some of them without a column that numbers the rows."""
JSONL_NAMES: Final = (
    *("metrics.json", "metrics.jsonl", "scalars.json", "log.jsonl", "wandb-history.jsonl", "result.json"),
)
NUMBERED: Final = "result.json"
"""By RLlib; others give this name to what is no run, and has no steps."""
STEPS: Final = (
    *("step", "global_step", "_step", "trainer/global_step", "iteration", "iter", "itr"),
    *("time/total_timesteps", "misc/total_timesteps", "total_timesteps", "timesteps_total", "timesteps"),
    *("timestepssofar", "totalenvinteracts", "training_iteration", "epoch"),
)
"""Columns that number the rows, in lower case; the first that there is counts."""
COUNTS: Final = ("steps", "total_steps", "frame", "frames", "episode", "episodes", "generation")
"""Columns that number the rows where there is none of the former: the first that rises. They may also count
something of each row."""
PARTS: Final = frozenset("train training learn validation valid val eval test".split())
"""Directories beside each other that are parts of one run: Keras, CatBoost and others make them."""
WANDB_MAGIC: Final = b":W&B\xe1\xbe\x00"
HINT_FILES: Final = 10_000
"""Files that are looked at for a hint."""
STATE: Final = "trainer_state.json"
GZIP: Final = b"\x1f\x8b"
LFS_POINTER: Final = b"version https://git-lfs"


@dataclass
class Sources:
    """What there is to import."""

    events: dict[Path, list[Path]] = field(default_factory=dict)
    """Directories of event files, with the files."""
    wandb: list[Path] = field(default_factory=list)
    files: list[tuple[str, Path]] = field(default_factory=list)
    """Formats and files."""
    dvclive: dict[Path, list[Path]] = field(default_factory=dict)
    """Directories of DVCLive, with their tables."""
    remarks: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """What cannot be read."""

    def __bool__(self) -> bool:
        return bool(self.events or self.wandb or self.files or self.dvclive)


def find_sources(paths: Iterable[Path], format: str | None = None) -> Sources:
    """What is at these paths and in the directories there; links are not followed, and no file counts twice.

    Args:
        format: take files of this format alone, and a file that is named itself as one of it.

    Raises:
        UsageError: one of the paths does not exist.
    """
    found = Sources()
    seen: set[tuple[int, int]] = set()
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} does not exist")
        for file in [path] if path.is_file() else _walk(path, found):
            try:
                status = file.stat()
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    _add(found, file, format, named=file == path)
            except OSError as error:
                found.faults.append(f"cannot read {file}: {error.strerror}")
    _only_latest_states(found)
    if format is None:
        _prefer_events(found)
    return found


def hint(directory: Path) -> str:
    """What could be imported from a directory, and how; empty where there is nothing, or not among its first files."""
    found = Sources()
    for file in islice(_walk(directory, found), HINT_FILES):
        with suppress(OSError):
            _add(found, file, None, named=False)
    counts = {
        "of TensorBoard": len(found.events),
        "of W&B": len({path.stem for path in found.wandb}),
        "in text": len(found.files) + len(found.dvclive),
    }
    runs = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    return f"there are runs of other trackers ({runs}): neurockt import {shlex.quote(str(directory))}" if runs else ""


def _walk(root: Path, found: Sources) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        found.faults.append(f"cannot list {error.filename}: {error.strerror}")

    for directory, names, files in os.walk(root, onerror=refuse):
        if layout.RUN_FILE in files:
            names.clear()  # a run of ours
            continue
        names[:] = sorted(name for name in names if name not in SKIPPED and not name.startswith(".import-"))
        for name in sorted(files):
            path = Path(directory, name)
            if _is_regular(path):
                yield path


def _is_regular(path: Path) -> bool:
    """Whether it is a file and no link; nobody may ever write to a pipe."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return True  # which is reported when it is read


def _add(found: Sources, path: Path, format: str | None, *, named: bool) -> None:
    kind = format if named and format else detect(path, named=named)
    if (kind is None or named) and (fault := _hidden(path, named=named)):
        found.faults.append(fault)
    elif kind is None or (format and kind != format):
        return
    elif kind == "tensorboard":
        found.events.setdefault(path.parent, []).append(path)
    elif kind == "wandb":
        found.wandb.append(path)
    elif (directory := _dvclive(path)) is not None:
        found.dvclive.setdefault(directory, []).append(path)
    else:
        found.files.append((kind, path))


def _hidden(path: Path, *, named: bool) -> str:
    """Why the content of a file, which may be a run by its name, is not there to be read; empty where it is."""
    if not named and _by_name(path, named=False) is None:
        return ""
    head = _head(path, len(LFS_POINTER))
    if head == LFS_POINTER:
        return f"{path} is a Git LFS pointer: git lfs pull"
    return f"{path} is compressed: gunzip it" if head.startswith(GZIP) else ""


def detect(path: Path, *, named: bool = False) -> str | None:
    """The format of a file; None for what is not a run. ``named``: the user has named this file. Raises OSError."""
    kind = _by_name(path, named=named)
    if kind == "tensorboard":
        return kind if path.stat().st_size == 0 or _is_event_file(path) else None
    if kind == "wandb":
        return kind if WANDB_MAGIC.startswith(_head(path, len(WANDB_MAGIC))) else None  # it may be cut off at once
    if kind == "csv":
        return kind if _has_step(path, needed=path.name.lower() not in UNNUMBERED) else None
    if kind == "jsonl" and (named or path.name == STATE) and b'"log_history"' in _head(path, 2**20):
        return "trainer-state"
    return kind if kind == "jsonl" and (named or path.name != STATE) and _has_objects(path) else None


def _by_name(path: Path, *, named: bool) -> str | None:
    """The format that a file may have by its name, compressed or not."""
    name = path.name.lower().removesuffix(".gz")
    if "tfevents" in name:
        return None if name.endswith(".profile-empty") else "tensorboard"
    if name.endswith(".wandb"):
        return "wandb"
    if name in CSV_NAMES or name.endswith((".csv", ".tsv", ".log")):
        usual = name in CSV_NAMES or (name.startswith("training") and name.endswith((".csv", ".log")))
        is_table = (named and not name.endswith(".log")) or usual or _dvclive(path) is not None
        return "csv" if is_table else None
    usual = name in (STATE, *JSONL_NAMES) or name.endswith(".log.json")
    return "jsonl" if usual or (named and name.endswith((".jsonl", ".json"))) else None


def _is_event_file(path: Path) -> bool:
    """Whether the checksum of the first length is right: CRC-32C, turned and offset."""
    head = _head(path, 12)
    crc = 0xFFFFFFFF
    for byte in head[:8]:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    masked = (crc >> 15 | crc << 17) + 0xA282EAD8 & 0xFFFFFFFF
    return len(head) == 12 and masked == int.from_bytes(head[8:], "little")


def _head(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)


def encoding(head: bytes) -> str:
    """The encoding of a text that begins like this: PowerShell writes UTF-16, with a byte order mark."""
    return "utf-16" if head[:2] in (BOM_UTF16_LE, BOM_UTF16_BE) else "utf-8-sig"


def _first_lines(path: Path) -> list[str]:
    head = _head(path, 65_536)
    return [line for line in head.decode(encoding(head), "replace").splitlines() if line.strip()]


def _has_step(path: Path, *, needed: bool) -> bool:
    """Whether a column of a table numbers its rows; where that is not ``needed``, numbers in the first row will do."""
    lines = _first_lines(path)
    comments = [*takewhile(is_comment, lines)]
    lines = lines[len(comments) :][:2] or [""]
    delimiter = max(",\t;", key=lines[0].count)
    first, *rows = ([cell.strip().strip('"') for cell in line.split(delimiter)] for line in lines)
    names = [*first, *(cell.strip("# ") for line in comments for cell in line.split(delimiter))]
    if {name.lower() for name in names} & {*STEPS, *COUNTS}:
        return True
    return not needed and any(len(row) == len(first) > 1 and all(map(_is_number, filter(None, row))) for row in rows)


def is_comment(line: str) -> bool:
    return line.startswith("#")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _has_objects(path: Path) -> bool:
    """Whether the first line is an object, most of whose values are numbers, or one after it that also has a step."""
    lines = enumerate(_first_lines(path))
    return any(_is_row(line, numbered=index > 0 or path.name == NUMBERED) for index, line in lines)


def _is_row(line: str, *, numbered: bool) -> bool:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return False
    if not isinstance(document, dict) or not document:
        return False
    if numbered and not {name.lower() for name in document} & {*STEPS}:
        return False
    values = [value for value in document.values() if not isinstance(value, dict)]
    numbers = sum(isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)) for value in values)
    return numbers * 2 > len(values) or len(values) < len(document)


def _dvclive(path: Path) -> Path | None:
    """The directory of DVCLive that a table is in: it is in `plots/metrics/` there."""
    if path.suffix != ".tsv":
        return None
    for parent in path.parents:
        if parent.name == "metrics" and parent.parent.name == "plots":
            return parent.parent.parent
    return None


def home(path: Path) -> Path:
    """The directory of the run that a table belongs to; a trainer keeps its state in checkpoints there, too."""
    return path.parent.parent if path.name == STATE and _checkpoint(path) is not None else path.parent


def _checkpoint(path: Path) -> int | None:
    """The step of the checkpoint that a file is in."""
    step = path.parent.name.removeprefix("checkpoint-")
    return int(step) if step != path.parent.name and step.isdecimal() else None


def _only_latest_states(found: Sources) -> None:
    """Of the states in checkpoints of one trainer, keep the highest: each is the beginning of the next."""
    best: dict[Path, tuple[float, Path]] = {}
    for kind, path in found.files:
        if kind == "trainer-state":
            step = _checkpoint(path)
            best[home(path)] = max(best.get(home(path), (-1, path)), (math.inf if step is None else step, path))
    kept = {path for _, path in best.values()}
    found.files = [(kind, path) for kind, path in found.files if kind != "trainer-state" or path in kept]


def _prefer_events(found: Sources) -> None:
    """Where event files are beside a table, they are the run: they have times."""
    inside = {path: each for each in reversed(found.events) for path in (each, *each.parents)}
    kept = []
    for kind, path in found.files:
        if (events := inside.get(home(path))) is None:
            kept.append((kind, path))
        else:
            found.remarks.append(
                f"{path} is left out: {events} has the event files of this run (--from {kind} takes it)"
            )
    found.files = kept
