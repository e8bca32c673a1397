"""``run.json``: a run's description on disk, replaced whole. FORMAT.md section 5 lists its fields."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, cast

from neurockt.errors import CorruptRun, FormatTooNew, RunNotFound
from neurockt.run_info import Attempt, ColumnSummary, Failure, RunInfo, State, TableSummary
from neurockt.store.base import files, layout
from neurockt.store.base.json_values import from_number, number, plain


def write_info(info: RunInfo) -> None:
    """Replace the run's ``run.json``. What rank 0 of several says of itself, it says of the whole."""
    if info.rank == 0:
        _publish(replace(info, path=info.path.parent, rank=None))
    _publish(info)


def _publish(info: RunInfo) -> None:
    text = json.dumps(to_json(info), ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    files.publish(info.path / layout.RUN_FILE, lambda path: _write(path, text.encode()))


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def read_info(run_dir: Path) -> RunInfo:
    """The run's description as its file tells it.

    Raises:
        RunNotFound: the directory is no run, or there is none.
        CorruptRun: its ``run.json`` cannot be read.
        FormatTooNew: a later neurockt wrote it.
    """
    path = run_dir / layout.RUN_FILE
    try:
        document = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        what = "is no run: it has no run.json" if run_dir.is_dir() else "does not exist"
        raise RunNotFound(f"{run_dir} {what}; 'neurockt ls DIRECTORY' lists the runs in a directory") from None
    except OSError as error:
        raise CorruptRun(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CorruptRun(
            f"{path} is damaged ({error}); the tables beside it are plain Parquet and can still be read"
        ) from None
    try:
        return from_json(run_dir, document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptRun(f"{path} lacks or mistypes a field: {error!r}") from None


def to_json(info: RunInfo) -> dict[str, Any]:
    """The document that ``run.json`` holds."""
    return {
        "format": layout.FORMAT_VERSION,
        "id": info.id,
        "name": plain(info.name),
        "project": plain(info.project),
        "group": plain(info.group),
        "tags": plain(info.tags),
        "notes": plain(info.notes),
        "config": plain(info.config),
        "state": info.state,
        "created": _time(info.created),
        "updated": _time(info.updated),
        "ended": _time(info.ended),
        "heartbeat": info.heartbeat,
        "dropped": info.dropped,
        "failure": plain(vars(info.failure)) if info.failure else None,
        "rank": info.rank,
        "ranks": info.ranks,
        "attempts": [
            {**vars(attempt), "started": _time(attempt.started), "ended": _time(attempt.ended)}
            for attempt in info.attempts
        ],
        "steps": _table_to_json(info.steps),
        "epochs": _table_to_json(info.epochs),
        **({"system": _table_to_json(info.system)} if info.system.rows else {}),
    }


def from_json(run_dir: Path, document: Any) -> RunInfo:
    """The run that a ``run.json`` document describes."""
    version = document["format"]
    if version > layout.FORMAT_VERSION:
        raise FormatTooNew(
            f"{run_dir} has format {version}, this neurockt reads {layout.FORMAT_VERSION}: pip install -U neurockt"
        )
    failure = document["failure"]
    return RunInfo(
        path=run_dir,
        id=_text(document["id"]),
        created=_moment(document["created"]),
        name=_text_or_none(document["name"]),
        project=_text_or_none(document["project"]),
        group=_text_or_none(document["group"]),
        tags=tuple([_text(tag) for tag in document["tags"]]),
        notes=_text_or_none(document["notes"]),
        config=_mapping(document["config"]),
        state=cast("State", _text(document["state"])),
        ended=_moment_or_none(document["ended"]),
        updated=_moment_or_none(document["updated"]),
        heartbeat=_whole(document["heartbeat"]),
        attempts=tuple([_attempt_from_json(attempt) for attempt in document["attempts"]]),
        steps=_table_from_json(document["steps"]),
        epochs=_table_from_json(document["epochs"]),
        system=_table_from_json(document["system"]) if "system" in document else TableSummary(),
        failure=Failure(*(_text(failure[key]) for key in ("type", "message", "traceback"))) if failure else None,
        dropped=_whole(document["dropped"]),
        rank=_whole_or_none(document.get("rank")),
        ranks=_whole_or_none(document.get("ranks")),
    )


def _table_to_json(table: TableSummary) -> dict[str, Any]:
    return {
        "rows": table.rows,
        "columns": {
            name: {
                **vars(column),
                "last": number(column.last),
                "min": number(column.min),
                "max": number(column.max),
            }
            for name, column in table.columns.items()
        },
    }


def _table_from_json(document: Any) -> TableSummary:
    return TableSummary(
        _whole(document["rows"]),
        {
            name: ColumnSummary(
                _whole(column["count"]),
                from_number(column["last"]),
                _whole_or_none(column["last_at"]),
                from_number(column["min"]),
                _whole_or_none(column["min_at"]),
                from_number(column["max"]),
                _whole_or_none(column["max_at"]),
            )
            for name, column in document["columns"].items()
        },
    )


def _attempt_from_json(document: Any) -> Attempt:
    return Attempt(
        number=_whole(document["number"]),
        host=_text(document["host"]),
        pid=_whole(document["pid"]),
        process=_text(document["process"]),
        started=_moment(document["started"]),
        ended=_moment_or_none(document["ended"]),
        cause=_text_or_none(document.get("cause")),
        first_step=_whole(document.get("first_step", 1)),
        first_epoch=_whole(document.get("first_epoch", 1)),
        job=_text_or_none(document.get("job")),
        restart=_whole(document.get("restart", 0)),
        recorder=_whole(document.get("recorder", 1)),
        script=_text(document.get("script", "")),
        cgroup=_text(document.get("cgroup", "")),
        oom_kills=_whole(document.get("oom_kills", 0)),
    )


def now() -> datetime:
    """This moment, UTC, by the clock that rows take their time from."""
    return datetime.fromtimestamp(time.time(), timezone.utc)


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


# What reading a field of run.json gives; a TypeError or ValueError where it holds something else.


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise TypeError(f"{value!r:.60} is no text")


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def _whole(value: Any) -> int:
    if type(value) is int:
        return value
    raise TypeError(f"{value!r:.60} is no whole number")


def _whole_or_none(value: Any) -> int | None:
    return None if value is None else _whole(value)


def _mapping(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise TypeError(f"{value!r:.60} is no mapping")


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None or not 1970 <= moment.year < 9999:
        raise ValueError(f"{value!r} is no moment of this age with a time zone")
    return moment


def _moment_or_none(value: Any) -> datetime | None:
    return None if value is None else _moment(value)
