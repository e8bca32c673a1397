"""A run whose rows have the numbers that the test gives, written by the store's own writer, without a recorder."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import pyarrow as pa
from msgspec.structs import replace

from neurockt.run_info import RunInfo, State
from neurockt.store.base import layout
from neurockt.store.base.layout import TableName
from neurockt.store.base.run_file import write_info
from neurockt.store.journal import open_row
from neurockt.store.journal.records import pack_crc, row_struct
from neurockt.store.owner.attempts import begin_attempt
from neurockt.store.owner.process import process_identity
from neurockt.store.writing.table_writer import TableWriter

BEGAN: Final = datetime(2026, 11, 23, 10, tzinfo=timezone.utc)
SECOND: Final = 10**9
LARGE: Final = 10**12
"""The largest step of these tests."""


class Jumping:
    """A run of a process that lives until ``die``, though this one writes it; ``loss`` is the row's step."""

    def __init__(self, path: Path, **about: Any) -> None:
        path.mkdir(parents=True)
        self.path = path
        self.live_on(RunInfo(path, path.name, BEGAN, attempts=(begin_attempt(),), updated=BEGAN, heartbeat=1, **about))
        self.steps = TableWriter(path, "steps", ["loss"], last=-1)
        self.epochs = TableWriter(path, "epochs", ["acc"], last=-1)
        self._seconds = 0
        self._revision = 0

    def live_on(self, info: RunInfo) -> None:
        """Have the run, as this process has begun or continued it, be that of another one."""
        self._process = process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"?")
        process.stdout.read(1)  # it has begun, and is what it will be
        *earlier, attempt = info.attempts
        pid = self._process.pid
        self.info = replace(info, attempts=(*earlier, replace(attempt, pid=pid, process=process_identity(pid))))
        write_info(self.info)

    @property
    def epoch(self) -> int:
        """The epoch of the next step."""
        return max(0, self.epochs.last) + 1

    def write(self, numbers: Iterable[int]) -> None:
        """Rows of `steps`."""
        for number in numbers:
            self.steps.append_at(number, self.epoch, self.now(), [float(number)])

    def validate(self, step: int) -> None:
        """A row of `epochs`."""
        self.epochs.append_at(self.epoch, step, self.now(), [float(step)])

    def now(self) -> int:
        """Nanoseconds; a second after the last call's."""
        self._seconds += 1
        return (int(BEGAN.timestamp()) + self._seconds) * SECOND

    def open(self, table: TableName, number: int, other: int, values: Mapping[str, float]) -> None:
        """Write the open row of a table, or write it again."""
        self._revision += 1
        payload = row_struct(len(values)).pack(number, other, self.now(), *values.values())
        crc = crc32(payload)
        slot = payload + pack_crc(crc) + open_row.pack_tail(self._revision, self._revision ^ crc)
        layout.open_row_path(self.path, table).write_bytes(open_row.header(list(values)) + slot)

    def beat(self, **changes: object) -> None:
        """Write ``run.json`` as the writer does now and then."""
        now = BEGAN + timedelta(seconds=self._seconds)
        tables = {"steps": self.steps.summary(), "epochs": self.epochs.summary()}
        self.info = replace(self.info.with_tables(tables), updated=now, heartbeat=self.info.heartbeat + 1, **changes)  # type: ignore[arg-type]
        write_info(self.info)

    def die(self) -> Path:
        """What is left where the process is gone; no row is sealed any more."""
        self.release()
        return self.path

    def finish(self, state: State = "finished") -> Path:
        """Seal it all."""
        self.steps.close()
        self.epochs.close()
        self.beat(state=state, ended=BEGAN + timedelta(seconds=self._seconds))
        return self.die()

    def release(self) -> None:
        self._process.kill()
        self._process.communicate()
        self.steps.release()
        self.epochs.release()


def column(table: pa.Table, name: str) -> list[float | int | None]:
    found: list[float | int | None] = table[name].to_pylist() if name in table.column_names else []
    return found
