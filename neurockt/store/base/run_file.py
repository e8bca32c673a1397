"""``run.json``: a run's description on disk, replaced whole. FORMAT.md section 5 lists its fields."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import asdict, astuple, fields, replace

from neurockt.errors import CorruptRun, FormatTooNew, RunNotFound
from neurockt.run_info import RunInfo, TableSummary
from neurockt.store.base import files, layout
from neurockt.store.base.json_values import number, plain, texts_of
from neurockt.store.base.layout import TABLES

_ELSEWHERE: Final = ("path", "attached", "archived")
"""What ``RunInfo`` has that is not in the file; its other fields are, in the same order, after the format."""

_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LATEST: Final = datetime(9999, 1, 1, tzinfo=timezone.utc)
"""No moment that this program can count with is before, or from then on."""

_EMPTY: Final = RunInfo(Path(), "", datetime.min)
_decoder: Final = msgspec.json.Decoder(
    msgspec.defstruct(
        "RunFile",
        [
            ("format", int),
            *(
                (each.name, each.type, msgspec.NODEFAULT if each.required else getattr(_EMPTY, each.name))
                for each in fields(RunInfo)
                if each.name not in _ELSEWHERE
            ),
        ],
    ),
    strict=False,
)
"""Reads a file without an object for each of its values, which takes a quarter of the time."""


def write_info(info: RunInfo) -> None:
    """Replace the run's ``run.json``. Rank 0 of several writes that of the whole run too."""
    if info.rank == 0:
        _publish(replace(info, path=info.path.parent, rank=None))
    _publish(info)


def _publish(info: RunInfo) -> None:
    files.publish_json(info.path / layout.RUN_FILE, to_json(info))


def read_info(run_dir: str | Path) -> RunInfo:
    """The run's description; a field that cannot be read has its default. Raises as ``open_run``."""
    path = f"{run_dir}/{layout.RUN_FILE}"  # a Path takes longer, and a list reads ten thousand runs
    try:
        return from_json(Path(run_dir), files.read(path))
    except (FileNotFoundError, NotADirectoryError):
        is_there = os.path.exists(run_dir)
        what = "is not a run: it has no run.json" if is_there else "does not exist"
        raise RunNotFound(f"{run_dir} {what}; 'neurockt ls DIRECTORY' lists the runs in a directory") from None
    except OSError as error:
        raise CorruptRun(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise CorruptRun(
            f"{path} is damaged ({error}); the tables beside it are plain Parquet and can still be read"
        ) from None


def to_json(info: RunInfo) -> dict[str, Any]:
    """The document that ``run.json`` holds: whatever was given as a name, a tag or a setting, in types of JSON."""
    left_out = (*_ELSEWHERE, "config", *TABLES)
    document = plain({name: value for name, value in asdict(info).items() if name not in left_out})
    texts = {name: document[name] for name in ("id", "name", "project", "group", "notes")}
    return {
        "format": layout.FORMAT_VERSION,
        **document,
        **{name: text if text is None else str(text) for name, text in texts.items()},
        "tags": texts_of(info.tags),
        "config": plain(info.config),
        **{
            table: _table_to_json(getattr(info, table))
            for table in TABLES
            if table in ("steps", "epochs") or getattr(info, table).rows
        },
    }


def _table_to_json(table: TableSummary) -> dict[str, Any]:
    return {
        "rows": table.rows,
        "last": table.last,
        "last_time": plain(table.last_time),
        "speed": number(table.speed),
        "columns": {
            name: {**asdict(column), "last": number(column.last), "min": number(column.min), "max": number(column.max)}
            for name, column in table.columns.items()
        },
        **(
            {"best": {name: dict(zip(row, map(number, row.values()), strict=True)) for name, row in table.best.items()}}
            if table.best
            else {}
        ),
    }


def from_json(run_dir: Path, data: bytes) -> RunInfo:
    """The run that a file describes; raises ValueError where it describes none, or FormatTooNew."""
    try:
        version, *known = astuple(_decoder.decode(data))
        info = RunInfo(run_dir, *known)
    except (msgspec.MsgspecError, RecursionError):
        document = files.decode_json(data)
        version = document.get("format") if isinstance(document, dict) else None
        if not isinstance(version, int):
            raise ValueError("it does not have the fields of a run") from None
        _check_version(run_dir, version)
        info = files.from_json(RunInfo, {**document, "path": run_dir, "attached": {}, "archived": False}, strict=False)
    _check_version(run_dir, version)
    moments = _moments(info)
    with suppress(TypeError):  # some have a time zone, some do not
        if min(moments) >= _EARLIEST and max(moments) < _LATEST:
            return info
    if not _is_moment(info.created):
        raise ValueError("`created` is not a time with a time zone")
    attempts = tuple(
        replace(each, job_end=_sound(each.job_end))
        for each in info.attempts
        if _is_moment(each.started) and (each.ended is None or _is_moment(each.ended))
    )
    info = replace(info, updated=_sound(info.updated), ended=_sound(info.ended), attempts=attempts)
    return info.with_tables(
        {name: replace(each, last_time=_sound(each.last_time)) for name in TABLES for each in [getattr(info, name)]}
    )


def _moments(info: RunInfo) -> list[datetime]:
    """All that its file has."""
    moments = [info.created, info.updated, info.ended, info.steps.last_time, info.epochs.last_time]
    moments += info.system.last_time, info.late.last_time
    for each in info.attempts:
        moments += each.started, each.ended, each.job_end
    return [moment for moment in moments if moment is not None]


def _check_version(run_dir: Path, version: int) -> None:
    if version > layout.FORMAT_VERSION:
        raise FormatTooNew(
            f"{run_dir} has format {version}, this neurockt reads {layout.FORMAT_VERSION}: pip install -U neurockt"
        )


def _sound(found: datetime | None) -> datetime | None:
    return found if found is not None and _is_moment(found) else None


def _is_moment(found: datetime) -> bool:
    return found.tzinfo is not None and _EARLIEST <= found < _LATEST


def now() -> datetime:
    """This moment, UTC, by the clock that rows take their time from."""
    return datetime.fromtimestamp(time.time(), timezone.utc)


def moment(time_ns: int) -> datetime | None:
    """The moment so many nanoseconds after 1970, in UTC; None where no calendar has it."""
    try:
        return datetime.fromtimestamp(time_ns / 1e9, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None
