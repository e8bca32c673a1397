"""A run opened for reading: its description, its tables, and their new rows."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from neurockt.errors import NeurocktError, NeurocktWarning, RunNotFound
from neurockt.run_info import RunInfo, State, TableSummary
from neurockt.store.base.edits import read_edited
from neurockt.store.base.layout import (
    KEY,
    TABLES,
    TableName,
    attached_paths,
    expanded,
    rank_paths,
    superseded_names,
    superseded_paths,
)
from neurockt.store.base.run_file import read_info
from neurockt.store.owner.liveness import Liveness

if TYPE_CHECKING:
    import pyarrow as pa

    from neurockt.store.base.origin import Origin
    from neurockt.store.reading.follow import TableFollower
    from neurockt.store.reading.random_access import RowReader
    from neurockt.store.reading.table_reader import Damage, TableReader
    from neurockt.store.tables.outline import Outline


class _Tables(NamedTuple):
    steps: pa.Table
    epochs: pa.Table


class NewRows(_Tables):
    """The new rows since the last ``follow()``: a pair of tables."""

    rewound: bool = False
    """Whether returned rows are superseded, because the run was resumed from a checkpoint before them."""
    kept: tuple[int | None, int | None] = (None, None)
    """If so, the last valid step and epoch, -1 for no row, each None where its table was not cut. Forget the rows after
    them; the new rows follow."""


class Run:
    """One run directory. Reading it never writes to it, and is safe while it is being written."""

    def __init__(self, path: Path, liveness: Liveness | None = None) -> None:
        self.path = path
        self._liveness = liveness or Liveness()
        self._damaged: dict[TableName, tuple[Damage, ...]] = {}
        self._followers: tuple[TableFollower, TableFollower] | None = None

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def info(self) -> RunInfo:
        """The content of ``run.json`` now, as people have edited it, with the inferred state, and what is attached."""
        return self._liveness.infer(read_edited(self.path))

    @property
    def config(self) -> Mapping[str, Any]:
        """What was given as the run's settings."""
        return self.info.config

    @property
    def state(self) -> State:
        """running, finished, failed, preempted or killed."""
        return self.info.state

    def steps(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of the training steps: ``step``, ``epoch``, ``time``, then one float64 column per scalar.

        While the run goes on, ``log`` may still add values to the last one.

        Args:
            columns: only these, in that order; ``_`` may stand for ``/`` in a name.

        Raises:
            ColumnNotFound: there are rows, and no such column.
            UsageError: ``columns`` is a name, not a list.
        """
        return self._read("steps", columns)

    def epochs(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of the validations: ``step``, ``epoch``, ``time``, then one float64 column per metric."""
        return self._read("epochs", columns)

    def system(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Measurements of the machine: ``sample``, ``step``, ``epoch``, ``time``, then one float64 column per measure.

        Empty where nothing was sampled.
        """
        return self._read("system", columns)

    def late(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Values of `steps` logged at a step that had gone by: ``arrival``, ``step``, ``epoch``, ``time``, then those.

        In the order in which they came.
        """
        return self._read("late", columns)

    def batches(
        self,
        table: TableName,
        columns: Sequence[str] | None = None,
        *,
        after: int = -1,
        until: int | None = None,
        final: bool = False,
    ) -> tuple[pa.Schema, Iterator[pa.Table]]:
        """What ``steps()``, ``epochs()``, ``system()`` or ``late()`` gives, a row group at a time, in bounded memory.

        Returns the schema and the pieces, with the rows numbered above ``after`` and up to ``until``; every piece has
        the schema. With ``final``, without the row of a live run to which ``log`` may still add.
        """
        reader = self._reader(table, final=final)
        schema, pieces = reader.batches(columns, after=after, until=until)

        def watched() -> Iterator[pa.Table]:
            yield from pieces
            self._warn(reader, table)

        return schema, watched()

    def window(
        self, table: TableName, columns: Sequence[str] | None = None, *, after: int = -1, until: int | None = None
    ) -> pa.Table:
        """The rows numbered above ``after`` and up to ``until``; only the row groups that hold them are read."""
        return self._read(table, columns, after, until)

    def outline(self, table: TableName, *, final: bool = False) -> Outline:
        """A summary of a table, row group by row group, from the Parquet footers; the journal's rows come last.

        ``final`` as in ``batches``.
        """
        reader = self._reader(table, final=final)
        outline = reader.outline()
        self._warn(reader, table)
        return outline

    def last_rows(self, table: TableName, count: int) -> pa.Table:
        """The last ``count`` rows of a table, read from its end."""
        rows = self._read(table, None, after=self._reader(table).before_last(count))
        return rows.slice(max(0, len(rows) - count))

    def open_rows(self, table: TableName) -> pa.Table:
        """The row to which ``log`` may still add values, of several ranks that of each; it may be final by now."""
        return self._reader(table).open_rows()

    def current_info(self) -> RunInfo:
        """``info``, with the rows since ``run.json`` was last written added to its summaries."""
        info = self._with_attached_now(self.info)
        if info.state not in ("running", "killed", "preempted"):
            return info
        from neurockt.store.tables.summary import summarise_rows

        def counted(table: TableName, summary: TableSummary) -> TableSummary:
            after = summary.last if summary.last is not None else summary.rows or -1
            return summarise_rows(self._read(table, None, after), KEY[table], onto=summary)

        return info.with_tables({table: counted(table, getattr(info, table)) for table in TABLES})

    def _with_attached_now(self, info: RunInfo) -> RunInfo:
        """``info``, with the ``current_info()`` of what is attached; as it is where that cannot be read."""
        attached = dict(info.attached)
        for name, each in attached.items():
            with suppress(NeurocktError):
                attached[name] = Run(each.path, self._liveness).current_info()
        return replace(info, attached=attached) if attached else info

    def follow(self) -> NewRows:
        """The rows since the last call; at the first call, all.

        A requeued job resumes from its checkpoint, and the rows past that are superseded. Then the next call has
        ``rewound`` set, and ``kept`` to the last valid rows, and goes on after these. While the file system refuses to
        read, it returns no rows, with a warning. A row that ``log`` may still add to comes once it is final.
        """
        if self._followers is None:
            self._followers = self.follower("steps"), self.follower("epochs")
        steps, epochs = self._followers
        new = NewRows(steps.new_rows(), epochs.new_rows())
        new.kept = steps.rewound_to, epochs.rewound_to
        new.rewound = new.kept != (None, None)
        self._warn_of_changes(steps, "steps")
        self._warn_of_changes(epochs, "epochs")
        return new

    def follower(self, table: TableName, *, after: int = -1) -> TableFollower:
        """Returns new rows of a table at each call; at first, those after row ``after``."""
        from neurockt.store.reading.follow import TableFollower

        return TableFollower(self.path, table, after=after, is_live=lambda: self._is_live(self.path))

    def rows(self, table: TableName) -> RowReader:
        """Returns any rows of a table by their position, reading only the row groups that hold them."""
        from neurockt.store.reading.random_access import RowReader

        return RowReader(self.path, table)

    @property
    def rewind_token(self) -> frozenset[str]:
        """Changes with every rewind; a reader that keeps what it has read must then read again."""
        return superseded_names(self.path)

    def settled(self, table: TableName) -> int:
        """The number up to which the table is final: its last final row, or the last of the slowest live rank."""
        return self._reader(table, final=True).last_number()

    def superseded(self, table: TableName = "steps") -> dict[int, pa.Table]:
        """The rows that a resumption superseded, by the number of the latest attempt that recorded them."""
        from neurockt.store.reading.table_reader import TableReader

        return {attempt: TableReader(path, table).read() for attempt, path in superseded_paths(self.path).items()}

    def origin(self, attempt: int | None = None) -> Origin | None:
        """The origin of an attempt, from 1, by default the latest; None where it is not known."""
        from neurockt.store.base.origin import read_origin

        return read_origin(self.path, attempt)

    def diff(self, attempt: int | None = None) -> str | None:
        """The difference between the code and its commit, where ``Recorder(save_diff=True)`` stored it."""
        from neurockt.store.base.origin import read_diff

        return read_diff(self.path, attempt)

    @property
    def attached(self) -> Mapping[str, Run]:
        """What other processes record beside the run, by name, each as a run of its own: see ``neurockt.attach``."""
        return {name: Run(path, self._liveness) for name, path in attached_paths(self.path).items()}

    @property
    def ranks(self) -> tuple[int, ...]:
        """The ranks that keep their own rows; none where one process wrote the run for all.

        The tables of a run that has some hold the rows of all of them, by step and then by the column ``rank``.
        """
        return tuple(rank_paths(self.path))

    def rank_states(self) -> dict[int, State]:
        """The state of each rank that keeps its own rows: one may be dead while the others go on."""
        return {rank: self._rank_state(path) for rank, path in rank_paths(self.path).items()}

    def _rank_state(self, path: Path) -> State:
        try:
            return self._liveness.infer(read_info(path)).state
        except NeurocktError:
            return "killed"  # for all that can be read of it

    def _is_live(self, path: Path) -> bool:
        """Whether the run, or the rank, there may still be written. One that cannot be read now may be."""
        try:
            return self._liveness.infer(read_info(path)).state == "running"
        except NeurocktError as error:
            return isinstance(error.__cause__, OSError)

    def rank(self, rank: int) -> Run:
        """One rank's own rows, as a run; raises RunNotFound where that rank has none."""
        paths = rank_paths(self.path)
        if rank not in paths:
            there = f"there are {', '.join(map(str, paths))}" if paths else "one process wrote this run for all"
            raise RunNotFound(f"no rank {rank} in {self.path}: {there}")
        return open_run(paths[rank])

    @property
    def damaged(self) -> tuple[Damage, ...]:
        """The files that the last read of each table could not read, and why."""
        return tuple(damage for found in self._damaged.values() for damage in found)

    def _read(
        self, table: TableName, columns: Sequence[str] | None, after: int = -1, until: int | None = None
    ) -> pa.Table:
        reader = self._reader(table)
        rows = reader.read(columns, after=after, until=until)
        self._warn(reader, table)
        return rows

    def _reader(self, table: TableName, *, final: bool = False) -> TableReader:
        from neurockt.store.reading.table_reader import TableReader

        return TableReader(self.path, table, final=final and self._is_live(self.path))

    def _warn_of_changes(self, follower: TableFollower, table: TableName) -> None:
        if self._damaged.get(table, ()) != tuple(follower.damaged):
            self._warn(follower, table)

    def _warn(self, reader: TableReader | TableFollower, table: TableName) -> None:
        self._damaged[table] = tuple(reader.damaged)
        for damage in reader.damaged:
            warnings.warn(str(damage), NeurocktWarning, stacklevel=4)


def open_run(path: str | os.PathLike[str]) -> Run:
    """A run opened for reading, live or not.

    Args:
        path: the run directory; ``~`` is the home directory.

    Raises:
        RunNotFound: it is not a run directory.
        CorruptRun: its ``run.json`` cannot be read.
        FormatTooNew: a later neurockt wrote it.
    """
    directory = expanded(path)
    if read_info(directory).keeps_ranks:
        from neurockt.store.reading.ranks import RankedRun

        return RankedRun(directory)
    return Run(directory)
