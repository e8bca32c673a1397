"""Any life of a run of jumping steps, looked at in every way: open rows, sealings, deaths, resumptions, rewinds."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from live_run import numbers
from live_run.by_hand import shrink
from live_run.jumping import LARGE, Jumping, column

from neurockt import open_run
from neurockt.store.recovery.sealing import seal_run
from neurockt.store.recovery.takeover import Takeover
from neurockt.store.writing.table_writer import TableWriter
from neurockt_viewer.charts.source import Metric, RunSeries

LOSS = Metric("steps", "loss")
Row = tuple[int, float]


class Life:
    """A run, and what each way of looking has to show of it. Every value is another one."""

    def __init__(self, path: Path) -> None:
        self.run = Jumping(path)
        self.path = path
        self.final: list[Row] = []
        self.open_row: list[Row] = []
        self._values = 0
        self._resumed = -1
        self._opened = open_run(path)
        self._followed: list[Row] = []
        self._reader = self._opened.rows("steps")
        self._series = RunSeries(path)

    @property
    def last(self) -> int:
        return max([self._resumed, *(step for step, _ in self.final)])

    def value(self) -> float:
        self._values += 1
        return float(self._values)

    def write(self, gap: int) -> None:
        """A row that is final at once; the open row becomes final before."""
        self.close()
        row = self.last + gap, self.value()
        self.run.steps.append_at(row[0], 1, self.run.now(), [row[1]])
        self.final.append(row)

    def open(self, gap: int) -> None:
        """The next open row, or with 0 more values in the one there is."""
        if gap or not self.open_row:
            self.close()
            self.open_row = [(self.last + max(1, gap), self.value())]
        self.open_row = [(self.open_row[0][0], self.value())]
        self.run.open("steps", self.open_row[0][0], 1, {"loss": self.open_row[0][1]})

    def close(self) -> None:
        for step, value in self.open_row:
            self.run.steps.append_at(step, 1, self.run.now(), [value])
            self.final.append((step, value))
        self.open_row = []

    def seal(self, _: int) -> None:
        self.run.steps.seal()

    def switch(self, _: int) -> None:
        """The begin of a sealing: there are two journals from here on."""
        if self.run.steps._sealing_fd < 0:
            self.run.steps._switch()

    def resume(self, step: int) -> None:
        """Another process goes on after some step; it may be past all rows."""
        self.run.die()
        takeover = Takeover(self.path)
        takeover.resume(step)
        takeover.begin(takeover.info, 1)
        last, summary = takeover.finish()["steps"]
        rows, self.open_row = [*self.final, *self.open_row], []
        self.final = [row for row in rows if row[0] <= step]
        assert last == (min(step, rows[-1][0]) if rows else -1)
        self._resumed = last
        self.run.live_on(takeover.info)
        self.run.steps = TableWriter(self.path, "steps", ["loss"], last=last, summary=summary)

    def look(self, _: int = 0) -> None:
        rows = [*self.final, *self.open_row]
        steps = self._opened.steps()
        assert list(zip(numbers(steps), column(steps, "loss"), strict=True)) == rows
        new = self._opened.follow()
        if new.kept[0] is not None:
            self._followed = [row for row in self._followed if row[0] <= new.kept[0]]
        self._followed += zip(numbers(new.steps), column(new.steps, "loss"), strict=True)
        assert self._followed == self.final
        self._reader.refresh()
        groups = [self._reader.read(group, ["step", "loss"]) for group in range(len(self._reader.groups))]
        found = [pair for each in groups for pair in zip(*(each[name].values.tolist() for name in each), strict=True)]
        assert found == rows
        self._series.outline()
        while self._series.read([LOSS]) or self._series.poll():
            pass
        line = self._series.line(LOSS, "step").series
        assert list(zip(line.x.tolist(), line.last.tolist(), strict=True)) == rows
        summary = self._opened.current_info().steps
        assert (summary.rows, summary.number) == (len(rows), rows[-1][0] if rows else 0)


GAPS = st.one_of(st.integers(1, 3), st.integers(1, LARGE))
ACTIONS = st.one_of(
    st.tuples(st.just("write"), GAPS),
    st.tuples(st.just("open"), st.one_of(st.just(0), GAPS)),
    st.tuples(st.just("resume"), st.one_of(st.integers(-1, 6), st.integers(0, 3 * LARGE))),
    st.tuples(st.sampled_from(["seal", "switch", "look"]), st.just(0)),
)


@pytest.mark.slow
@example(actions=[("write", 2), ("look", 0), ("resume", 0), ("resume", 0), ("write", 1)])  # row 0 after a rewind to it
@example(actions=[("write", 5), ("look", 0), ("resume", 0), ("write", 1)])  # as many rows as before
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=st.lists(ACTIONS, max_size=25))
def test_any_life_is_shown_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, actions: list[tuple[str, int]]
) -> None:
    """By whoever has looked from the beginning on, and at the end by who never looked before."""
    shrink(monkeypatch)
    life = Life(tmp_path_factory.mktemp("runs") / "run")
    try:
        for name, argument in actions:
            getattr(life, name)(argument)
        life.look()
    finally:
        life.run.die()
    rows = [*life.final, *life.open_row]
    for _ in range(2):
        run = open_run(life.path)
        assert list(zip(numbers(run.steps()), column(run.steps(), "loss"), strict=True)) == rows
        assert numbers(run.follow().steps) == [step for step, _ in rows]
        seal_run(life.path)
