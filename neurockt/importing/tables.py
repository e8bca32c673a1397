"""Runs in text: CSV and TSV, JSON lines, the HF Trainer's state, and DVCLive's directories."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TextIO

from neurockt.errors import UsageError
from neurockt.formatting import format_count, listed
from neurockt.importing import hparams
from neurockt.importing.discover import COUNTS, STEPS, encoding, home, is_comment
from neurockt.importing.points import Collector, Found, Process
from neurockt.store.base import files

TIMES: Final = ("timestamp", "_timestamp", "wall_time", "wall time", "time/time_elapsed", "time")
"""Columns with the time of a row, in lower case: seconds since 1970, or since the run began, or a date."""
GENERIC: Final = frozenset(
    "metrics progress results history log scalars training training_log trainer_state wandb-history result".split()
)
"""Names of files that do not name a run: their directory does."""
EPOCH: Final = "epoch"
STEP: Final = "step"
"""The column of DVCLive's tables that numbers their rows."""
_FRACTION: Final = re.compile(r"\.\d+")
"""Of a second; Python 3.10 reads 3 or 6 digits."""
_DECIMAL_COMMA: Final = re.compile(r"^(\s*[-+]?\d+),(\d+(?:[eE][-+]?\d+)?\s*)$")
"""A number as spreadsheets write it in many countries, in tables whose cells a semicolon divides."""
LONG_AGO: Final = 1e8
"""A time below this, in seconds, is not since 1970."""
DEPTH_LIMIT: Final = 16
FIELD_LIMIT: Final = 2**20
"""Characters of a cell."""
LINE_LIMIT: Final = 2**26
"""Characters of a line."""


def read_table(path: Path, format: str, step: str | None = None) -> Found:
    """The run in a file. Raises OSError; a UsageError where the file is not of the format, or lacks the column.

    Args:
        format: csv, jsonl or trainer-state.
        step: the column that numbers the rows.
    """
    found = Found(format, home(path) if path.stem in GENERIC else path, [path])
    reader = {"csv": _csv_rows, "jsonl": _json_lines, "trainer-state": _trainer_state}[format]
    _collect(found, [reader(path, found)], step, path.stat().st_mtime)
    config, remarks = hparams.read(path.parent)
    found.config = {**found.config, **config}
    found.remarks += remarks
    return found


def read_dvclive(directory: Path, paths: Sequence[Path]) -> Found:
    """The run in a directory of DVCLive: one TSV for each metric, named by its path."""
    found = Found("csv", directory, paths)
    tables = []
    for path in paths:
        name = path.relative_to(directory / "plots" / "metrics").with_suffix("").as_posix()
        own = f"{STEP}'" if path.stem == STEP else path.stem
        tables.append(_renamed(_csv_rows(path, found), own, name))
    _collect(found, tables, STEP, max(path.stat().st_mtime for path in paths))
    return found


def _renamed(rows: Iterator[dict[str, Any]], old: str, new: str) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield {new if name == old else name: value for name, value in row.items()}


def _collect(found: Found, tables: Sequence[Iterator[dict[str, Any]]], step: str | None, file_time: float) -> None:
    """The rows as the points of a process, or of several: where the steps of a metric go back, it was restarted."""
    rows = [row for table in tables for row in table]
    names = dict.fromkeys(name for row in rows for name in row)
    if step is not None and step not in names:
        raise UsageError(f"{found.files[0]} has no column {step!r}; it has {listed(names)}")
    step = step or _step_column(names, rows, found)
    if step is not None and _falls(each for row in rows if (each := _step_in(row.get(step))) is not None):
        rows.reverse()  # the newest came first
    clock = next((name for name in _known(TIMES, names) if _is_clock(name, rows)), None)
    moments = [_moment(row.get(clock)) for row in rows] if clock else []
    last = max((moment for moment in moments if moment == moment), default=0.0)
    found.dated = clock is not None and last >= LONG_AGO
    begin = 0.0 if found.dated else file_time - last
    collectors = [Collector()]
    reached: dict[str, int] = {}
    at: int | None = None
    last_step: int | None = None
    without = 0
    for index, row in enumerate(rows):
        if step is None:
            at = index + 1
        elif not _is_blank(row.get(step)):
            last_step = at = _step_in(row[step])
        else:
            at, without = last_step, without + (last_step is not None)
        if at is None:
            found.left_out["rows without a step"] += 1
            continue
        time = begin + moments[index] if clock else math.nan
        values: dict[str, float] = {}
        for name, value in row.items():
            if name in (step, clock):
                continue
            if (number := _number(value)) == number or _is_nan(value):
                values[name] = number
            elif value not in (None, ""):
                found.left_out["texts"] += 1
        if any(reached.get(name, at) > at for name in values):
            collectors.append(Collector())
            reached = {}
        for name, number in values.items():
            collectors[-1].add(name, at, time, number, index)
            reached[name] = at
    found.processes = [Process(collector.points()) for collector in collectors]
    if step is not None and step.lower() == EPOCH:
        found.by_epoch = frozenset(name for process in found.processes for name in process.points)
    if without:
        found.remarks.append(f"{format_count(without, 'row')} without a step: each is at that of the row before it")
    if not clock and rows:
        found.remarks.append("its rows have no times: they have that of the file")


def _known(wanted: Iterable[str], names: Iterable[str]) -> Iterator[str]:
    """The columns with these names, in whatever case, in the order of ``wanted``."""
    lower: dict[str, str] = {}
    for name in names:
        lower.setdefault(name.lower(), name)
    return (lower[name] for name in wanted if name in lower)


def _step_column(names: Iterable[str], rows: Sequence[Mapping[str, Any]], found: Found) -> str | None:
    """The column that numbers the rows: most of its values are whole. None where there is none."""
    names = list(names)
    epochs = [_number(row.get(name)) for name in _known((EPOCH,), names) for row in rows]
    why = "no column numbers its rows"
    for name in _known((*STEPS, *COUNTS), names):
        cells = [row.get(name) for row in rows if not _is_blank(row.get(name))]
        whole = sum(_step_in(cell) is not None for cell in cells)
        if whole * 2 <= len(cells) or (name.lower() not in STEPS and not _rises(map(_number, cells))):
            continue
        numbers = [_number(row.get(name)) for row in rows]
        pairs = [*pairwise(zip(numbers, epochs, strict=False))]
        falls = [one[1] < two[1] for one, two in pairs if one[0] > two[0]]
        if falls and all(falls):
            why = f"{name} begins again with each epoch"
            break
        if pairs and all(one[0] == two[0] and one[1] < two[1] for one, two in pairs):
            continue  # how many steps each epoch has
        return name
    if rows:
        found.remarks.append(f"{why}: the rows are numbered from 1")
    return None


def _rises(numbers: Iterable[float]) -> bool:
    """Whether numbers never fall, and do not stay the same."""
    known = list(numbers)
    return all(one <= two for one, two in pairwise(known)) and (len(known) == 1 or known[:1] < known[-1:])


def _falls(numbers: Iterable[int]) -> bool:
    """Whether numbers never rise, and do not stay the same; nearly always known from the first two."""
    differ = False
    for one, two in pairwise(numbers):
        if one < two:
            return False
        differ |= one > two
    return differ


def _is_blank(cell: Any) -> bool:
    return cell is None or _is_nan(cell) or cell == ""


def _is_clock(name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a column is a time that never goes back, and not a duration of each row."""
    moments = [moment for row in rows if (moment := _moment(row.get(name))) == moment]
    never_falls = all(one <= two for one, two in pairwise(moments))
    return bool(moments) and moments[-1] < 1e11 and (_rises(moments) if name.lower() == "time" else never_falls)


def _moment(value: Any) -> float:
    """The time that a cell is: seconds, or a date as ISO 8601 has it; NaN where it is none."""
    number = _number(value)
    if number == number or not isinstance(value, str):
        return number
    try:
        text = _FRACTION.sub(lambda digits: f"{digits[0]:0<7.7}", value.strip().replace("Z", "+00:00"))
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return math.nan


def _step_in(value: Any) -> int | None:
    number = _number(value)
    return int(number) if math.isfinite(number) and number == math.floor(number) and abs(number) < 2**63 else None


_WORDS: Final = {"true": 1.0, "false": 0.0}


def _number(value: Any) -> float:
    """The number that a cell is; NaN where it is none."""
    try:
        if isinstance(value, str):
            text = value.strip()
            return _WORDS.get(text.lower(), math.nan) if text.lower() in _WORDS else float(text.replace("_", "x"))
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _is_nan(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in ("nan", "-nan", "+nan")
    return isinstance(value, float) and value != value


def _csv_rows(path: Path, found: Found) -> Iterator[dict[str, Any]]:
    """The rows of a CSV or TSV file. A header may come again, also another one; rows may be ragged."""
    csv.field_size_limit(FIELD_LIMIT)
    with _open(path) as file:
        head = file.read(65_536)
        file.seek(0)
        first = next((line for line in head.splitlines() if not is_comment(line)), "")
        delimiter = max(",\t;", key=first.count)
        header: list[str] = []
        comment: list[str] = []
        ended = True

        def lines() -> Iterator[str]:
            nonlocal ended
            for line in _lines(path, file, found):
                ended = line.endswith(("\n", "\r"))
                yield line.replace("\0", "")

        try:
            for cells in csv.reader(lines(), delimiter=delimiter):
                names = [cell.strip() for cell in cells]
                if not any(names):
                    continue
                if not header and is_comment(names[0]):
                    comment = [names[0].lstrip("# "), *names[1:]]
                    continue
                if not header and _are_numbers(names):
                    if len(comment) != len(names):
                        raise UsageError(f"{path} has no header: {first!r:.80} are numbers, and no names of columns")
                    header = _distinct(comment)  # as NumPy writes it
                if not header or _is_header(names, header):
                    header = _distinct(names)
                    continue
                if delimiter == ";":
                    cells = [_DECIMAL_COMMA.sub(r"\1.\2", cell) for cell in cells]
                if not ended and len(cells) < len(header):
                    del cells[-1]  # it may have been cut off
                if len(cells) > len(header):
                    found.left_out["cells without a column"] += len(cells) - len(header)
                yield {name: cell for name, cell in zip(header, cells, strict=False) if name and cell.strip()}
        except csv.Error as error:
            found.remarks.append(f"{path} is damaged: {error}")
            found.damaged = True


def _open(path: Path) -> TextIO:
    with path.open("rb") as file:
        head = file.read(2)
    return path.open(encoding=encoding(head), errors="replace", newline="")


def _lines(path: Path, file: TextIO, found: Found) -> Iterator[str]:
    """The lines of a file, up to one that is too long: it would take all the memory that there is."""
    while line := file.readline(LINE_LIMIT):
        if len(line) == LINE_LIMIT:
            found.remarks.append(f"{path} is damaged: a line has more than {LINE_LIMIT // 10**6} million characters")
            found.damaged = True
            return
        yield line


def _distinct(names: Sequence[str]) -> list[str]:
    """The names of columns, a repeated one with an apostrophe."""
    found: list[str] = []
    for name in names:
        while name and name in found:
            name += "'"
        found.append(name)
    return found


def _is_header(cells: Sequence[str], header: Sequence[str]) -> bool:
    """Whether a row is a header again: none of its cells is a number, and it has names of the one before."""
    return len(set(cells) & set(header)) * 2 > len(cells) and all(math.isnan(_number(cell)) for cell in cells if cell)


def _are_numbers(cells: Sequence[str]) -> bool:
    """Whether all cells are numbers, and not only counts, which may be names."""
    filled = [cell for cell in cells if cell]
    are_numbers = all(_number(cell) == _number(cell) or _is_nan(cell) for cell in filled)
    return are_numbers and not all(map(str.isdecimal, filled))


def _json_lines(path: Path, found: Found) -> Iterator[dict[str, Any]]:
    with _open(path) as file:
        bad = 0
        for line in _lines(path, file, found):
            if bad:
                found.left_out["lines that are not JSON"] += 1  # the last one may be torn
                bad = 0
            if not line.strip():
                continue
            try:
                document = json.loads(line)
            except (ValueError, RecursionError):
                bad = 1
                continue
            if isinstance(document, dict):
                if isinstance(document.get("config"), dict):
                    found.config.update(document.pop("config"))
                yield dict(_flat(document, "", 0))


def _flat(values: Mapping[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and depth < DEPTH_LIMIT:
            yield from _flat(value, f"{prefix}{key}/", depth + 1)
        else:
            yield f"{prefix}{key}", value


def _trainer_state(path: Path, found: Found) -> Iterator[dict[str, Any]]:
    try:
        document = json.loads(files.read(path).decode("utf-8-sig", "replace"))
        history = document["log_history"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(f"{path} is not the state of a trainer: it has no log_history") from None
    found.config = {
        name: value for name, value in document.items() if isinstance(value, (int, float, str)) and name in _SETTINGS
    }
    for entry in history if isinstance(history, list) else ():
        if isinstance(entry, dict):
            yield dict(_flat(entry, "", 0))


_SETTINGS: Final = ("max_steps", "num_train_epochs", "train_batch_size", "eval_steps", "logging_steps", "save_steps")
