"""For tests of code that records: a temporary recorder, rows in one call, the times of rows, the pace of the writer.

from neurockt import open_run, testing

with testing.temporary_recorder() as recorder:
    train(recorder)  # your code
    assert open_run(recorder.run_dir).steps()["loss"].to_pylist() == [1.0, 0.5]
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta, timezone
from itertools import count
from typing import Any, Final
from unittest.mock import patch

from neurockt.monitor import Recorder
from neurockt.monitor.capture import block
from neurockt.monitor.lifetime import open_rows
from neurockt.store.base.layout import TableName
from neurockt.store.writing import timing
from neurockt.store.writing.timing import Timing

__all__ = ["Timing", "fixed_clock", "record", "seal", "temporary_recorder", "writer_timing"]

Values = Mapping[str, Sequence[float | None]]
"""By metric, a value for each row, and None where the row has none."""

START: Final = datetime(2026, 1, 1, tzinfo=timezone.utc)


@contextmanager
def temporary_recorder(**options: Any) -> Iterator[Recorder]:
    """A quiet recorder with the given options, in a directory that is deleted with its run afterwards."""
    with tempfile.TemporaryDirectory(prefix="neurockt-") as root:
        recorder = Recorder(root, **{"quiet": True, **options})
        try:
            yield recorder
        finally:
            recorder.finish()


def record(recorder: Recorder, steps: Values, epochs: Values | None = None, *, every: int | None = None) -> None:
    """Record rows with the given values, as blocks do.

    Args:
        recorder: records them; may have rows already.
        steps: the values of training blocks.
        epochs: the values of validation blocks.
        every: a validation block follows each ``every`` training blocks. Default: all follow the last one.
    """
    train = {name: recorder.track_scalar(name, _last)(_same) for name in steps}
    valid = {name: recorder.metric(name, _last)(_same) for name in epochs or {}}
    validations = _rows(epochs or {})
    for number, row in enumerate(_rows(steps), 1):
        _record_row(recorder, train, row, is_training=True)
        if every is not None and number % every == 0 and (validation := next(validations, None)) is not None:
            _record_row(recorder, valid, validation, is_training=False)
    for validation in validations:
        _record_row(recorder, valid, validation, is_training=False)


def seal(recorder: Recorder, *tables: TableName) -> None:
    """Write the rows that these tables (default: all) have so far to Parquet now, instead of within a minute."""
    if recorder._writer is not None:
        recorder._writer.seal(*tables)


@contextmanager
def fixed_clock(start: datetime = START, interval: timedelta = timedelta(seconds=1)) -> Iterator[None]:
    """Rows recorded meanwhile have the times ``start``, ``start + interval`` and so on."""
    ticks = count(round(start.timestamp() * 1e9), round(interval.total_seconds() * 1e9))
    with patch.object(block, "time_ns", lambda: next(ticks)), patch.object(open_rows, "time_ns", lambda: next(ticks)):
        yield


def writer_timing(**fields: Any) -> AbstractContextManager[object]:
    """Runs that begin meanwhile are written at another pace: sealed sooner, for example, or never in the background.

    The fields are those of ``Timing``, such as ``tick=0.005, seal=0.03`` or ``tick=3600.0``.
    """
    return patch.object(timing, "default", Timing(**fields))


def _rows(values: Values) -> Iterator[dict[str, float | None]]:
    return (dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True))


def _record_row(
    recorder: Recorder, functions: Mapping[str, Any], row: Mapping[str, float | None], *, is_training: bool
) -> None:
    with recorder(train=is_training):
        for name, value in row.items():
            if value is not None:
                functions[name](value)


def _same(value: float) -> float:
    return value


def _last(values: list[Any]) -> float:
    return float(values[-1])
