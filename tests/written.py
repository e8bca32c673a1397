"""Run directories with given rows in each table, late rows and numbers that jump among them, written row by row."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from neurockt.run_info import RunInfo
from neurockt.store.base.layout import TableName
from neurockt.store.base.run_file import now
from neurockt.store.journal.records import NULL
from neurockt.store.writing.run_writer import RunWriter
from neurockt.store.writing.timing import Timing

Values = Mapping[str, float]


class Written:
    """A run that this process writes."""

    def __init__(self, path: Path, **about: object) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        info = RunInfo(path, path.name, now(), **about)  # type: ignore[arg-type]
        self.path = path
        self.writer = RunWriter(info, {"steps": (), "epochs": ()}, timing=Timing(tick=3600.0))

    def add(self, table: TableName, step: int, values: Values, epoch: int = 1) -> None:
        """A row; ``epoch`` is of those of `steps` and `late`."""
        axes: list[float] = [epoch] if table == "late" else []
        names = ("epoch", *values) if table == "late" else tuple(values)
        if table not in self.writer.tables:
            self.writer.tables[table] = self.writer._create_table(table, names)
        writer = self.writer.tables[table]
        if new := [name for name in names if name not in writer.columns]:
            writer.set_columns((*writer.columns, *new))
        row = dict(zip(names, [*axes, *values.values()], strict=True))
        number, other = (step, epoch) if table == "steps" else (writer.last + 1, step)
        writer.append_at(number, other, time.time_ns(), [row.get(name, NULL) for name in writer.columns])

    def publish(self) -> None:
        """Bring ``run.json`` up to date."""
        self.writer._write_info()

    def finish(self) -> Path:
        self.writer.close()
        return self.path


def attached(run: Path, name: str, rows: Mapping[int, Values]) -> Written:
    """What another process records beside a run: evaluations at these steps. It is not finished."""
    found = Written(run / "attached" / name)
    for step, values in rows.items():
        found.add("epochs", step, values)
    found.publish()
    return found


def train(run: Written, steps: range) -> None:
    for step in steps:
        run.add("steps", step, {"loss": 1 / step})
    run.publish()
