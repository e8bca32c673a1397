"""``run.json``: a run's description on disk, replaced whole. FORMAT.md section 5 lists its fields."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from neurockt.errors import CorruptRun, FormatTooNew, RunNotFound
from neurockt.records import Attempt, ColumnSummary, Failure, RunInfo, TableSummary
from neurockt.store import files, layout
from neurockt.store.plain import from_number, number, plain


def write_info(info: RunInfo) -> None:
    """Replace the run's ``run.json``."""
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
    except ValueError as error:
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
        "attempts": [
            {**vars(attempt), "started": _time(attempt.started), "ended": _time(attempt.ended)}
            for attempt in info.attempts
        ],
        "steps": _table_to_json(info.steps),
        "epochs": _table_to_json(info.epochs),
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
        id=str(document["id"]),
        created=datetime.fromisoformat(document["created"]),
        name=document["name"],
        project=document["project"],
        group=document["group"],
        tags=tuple(document["tags"]),
        notes=document["notes"],
        config=document["config"],
        state=document["state"],
        ended=_from_time(document["ended"]),
        updated=_from_time(document["updated"]),
        heartbeat=document["heartbeat"],
        attempts=tuple(_attempt_from_json(attempt) for attempt in document["attempts"]),
        steps=_table_from_json(document["steps"]),
        epochs=_table_from_json(document["epochs"]),
        failure=Failure(failure["type"], failure["message"], failure["traceback"]) if failure else None,
        dropped=document["dropped"],
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
        document["rows"],
        {
            name: ColumnSummary(
                count=column["count"],
                last=from_number(column["last"]),
                last_at=column["last_at"],
                min=from_number(column["min"]),
                min_at=column["min_at"],
                max=from_number(column["max"]),
                max_at=column["max_at"],
            )
            for name, column in document["columns"].items()
        },
    )


def _attempt_from_json(document: Any) -> Attempt:
    return Attempt(
        number=document["number"],
        host=document["host"],
        pid=document["pid"],
        process=document["process"],
        started=datetime.fromisoformat(document["started"]),
        ended=_from_time(document["ended"]),
    )


def now() -> datetime:
    """This moment, UTC."""
    return datetime.now(timezone.utc)


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _from_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
