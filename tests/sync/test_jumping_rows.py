"""Runs whose steps jump up to 10^12, and whose last rows are open, in W&B: each row once, at its place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from live_run.jumping import LARGE, Jumping
from wandb_server import WandbServer
from wandb_server.runs import EVENTS

from neurockt import open_run
from neurockt.store.writing.table_writer import TableWriter
from neurockt.sync.rows import START, RunRows

from .conftest import MakeWandbRecorder, Sync

EVERY = LARGE // 1000


@pytest.fixture
def run(root: Path) -> Iterator[Jumping]:
    made = Jumping(root / "run")
    yield made
    made.release()


def lines_of(path: Path) -> list[str]:
    """The lines of the history, as of now."""
    run = open_run(path)
    return [line for lines in RunRows(run, run.info).after(START) for line in lines.lines]


def places(lines: list[str]) -> list[tuple[int, int, bool]]:
    """Step, epoch, and whether it is a validation."""
    rows = [json.loads(line) for line in lines]
    assert [row["_step"] for row in rows] == list(range(len(rows)))
    return [(row["step"], row["epoch"], "acc" in row) for row in rows]


@pytest.mark.slow
def test_jumping_rows_arrive_once_and_in_order(server: WandbServer, run: Jumping, sync: Sync) -> None:
    """While the run goes on, which sends what is final, and when it has ended, which sends the rest."""
    run.write([0, 7])
    run.validate(7)
    run.steps.seal()
    run.write([LARGE])
    run.open("steps", LARGE + 5, 2, {"loss": 1.0})
    run.beat()
    (outcome,) = sync(running=True)
    assert (outcome.status, outcome.rows) == ("running", 4)
    run.open("steps", LARGE + 5, 2, {"loss": 2.0, "lr": 0.1})
    run.open("epochs", 2, LARGE + 5, {"acc": 0.5})
    assert sync(running=True)[0].sent == 0
    run.die()
    (outcome,) = sync()
    assert (outcome.status, outcome.rows, outcome.sent) == ("complete", 6, 2)
    stored = server.only_run
    assert stored.is_exact
    assert stored.received == 6
    assert places(stored.history) == [
        (0, 1, False),
        (7, 1, False),
        (7, 1, True),
        (LARGE, 2, False),
        (LARGE + 5, 2, False),
        (LARGE + 5, 2, True),
    ]
    assert stored.rows[4]["loss"] == 2.0
    assert (stored.summary["step"], stored.summary["epoch"]) == (LARGE + 5, 2)
    assert sync(verify=True)[0].status == "complete"


@pytest.mark.slow
def test_a_run_up_to_a_trillion_takes_as_many_requests(server: WandbServer, root: Path, sync: Sync) -> None:
    """As one of as many rows that are numbered one by one."""
    taken = []
    for name, every in (("one by one", 1), ("far apart", EVERY)):
        run = Jumping(root / name)
        run.write(range(0, 1000 * every, every))
        run.finish()
        before = len(server.requests)
        (outcome,) = sync(run.path)
        assert (outcome.status, outcome.rows) == ("complete", 1000)
        taken.append(len(server.requests) - before)
    assert taken[0] == taken[1]


def test_a_run_up_to_a_trillion_is_read_a_few_rows_at_a_time(run: Jumping) -> None:
    """Windows hold rows, however far apart their numbers are."""
    run.write(range(0, LARGE, EVERY))
    assert run.steps.last == LARGE - EVERY
    rows = RunRows(open_run(run.path), run.info)
    assert rows.total == 1000
    assert len(list(rows._windows("steps", -1))) == 1
    found = rows.row(500, START)
    assert found is not None
    assert json.loads(found.line)["step"] == 500 * EVERY
    again = rows.row(999, found.before)
    assert again is not None
    assert (again.after.rows, again.after.step) == (1000, LARGE - EVERY)


@pytest.mark.slow
def test_a_rewind_to_before_everything_is_uploaded_again(server: WandbServer, root: Path, sync: Sync) -> None:
    """The rows at the same positions are others then."""
    run = Jumping(root / "run")
    run.write([0, 100])
    run.finish()
    sync()
    replaced = Jumping(root / "other")
    replaced.write([0, 50, 100])
    replaced.finish()
    for part in ("steps/part-00000.parquet",):
        (run.path / part).write_bytes((replaced.path / part).read_bytes())
    (run.path / "run.json").write_text((run.path / "run.json").read_text().replace('"heartbeat": 2', '"heartbeat": 3'))
    (outcome,) = sync(run.path)
    assert outcome.status == "failed"
    (outcome,) = sync(run.path, replace=True)
    assert (outcome.status, outcome.rows) == ("complete", 3)


class Logging:
    """Rows that stay open until a later step is logged, as ``log`` keeps them."""

    def __init__(self, run: Jumping, *, validates_first: bool) -> None:
        self.run = run
        self._first = validates_first
        self._step: tuple[int, int] | None = None
        self._validation: tuple[int, int] | None = None
        self._latest = -1

    def log(self, step: int, *, train: bool) -> None:
        if step > self._latest:
            self._latest = step
            self.close()
        if train and (self._step is None or self._step[0] != step):
            if step <= self.run.steps.last or self._step is not None:
                return  # a late row
            self._step = step, self.run.epoch + (self._validation is not None)
        if not train and (self._validation is None or self._validation[1] != step):
            self._close_validation()
            self._validation = self.run.epoch, step
        if self._step is not None:
            self.run.open("steps", *self._step, {"loss": float(step)})
        if self._validation is not None:
            self.run.open("epochs", *self._validation, {"acc": float(step)})

    def close(self) -> None:
        closing = [self._close_step, self._close_validation]
        for close in reversed(closing) if self._first else closing:
            close()

    def _close_step(self) -> None:
        if self._step is not None:
            step, epoch = self._step
            self.run.steps.append_at(step, epoch, self.run.now(), [float(step)])
            self._step = None

    def _close_validation(self) -> None:
        if self._validation is not None:
            self.run.validate(self._validation[1])
            self._validation = None


@pytest.mark.slow
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    calls=st.lists(st.tuples(st.sampled_from([0, 1, 5, EVERY, -1, -5]), st.booleans()), min_size=1, max_size=25),
    looks=st.sets(st.integers(0, 25), max_size=6),
    validates_first=st.booleans(),
)
@example(calls=[(5, True), (5, True), (-5, False), (1, False)], looks={3}, validates_first=True)
def test_the_lines_of_a_live_run_are_a_beginning_of_those_of_the_finished_one(
    tmp_path_factory: pytest.TempPathFactory,
    calls: list[tuple[int, bool]],
    looks: set[int],
    validates_first: bool,
) -> None:
    """Whatever is logged in which order, validations of earlier and of later steps too."""
    run = Jumping(tmp_path_factory.mktemp("runs") / "run")
    logging = Logging(run, validates_first=validates_first)
    seen: list[list[str]] = []
    step = 0
    for index, (gap, train) in enumerate(calls):
        step = max(0, step + gap)
        logging.log(step, train=train)
        if index in looks:
            run.beat()
            seen.append(lines_of(run.path))
    run.die()
    whole = lines_of(run.path)
    for lines in seen:
        assert lines == whole[: len(lines)]
    logging.close()
    assert len(whole) == len(open_run(run.path).steps()) + len(open_run(run.path).epochs())


@pytest.mark.slow
def test_a_row_that_waits_keeps_nothing_else_back(server: WandbServer, run: Jumping, sync: Sync) -> None:
    """A validation of a step that is not there yet: the run is sent as far as it can be, the machine's samples too."""
    run.write([0])
    run.validate(500)
    system = TableWriter(run.path, "system", ["epoch", "cpu_percent"])
    system.append(0, run.now(), [1.0, 50.0])
    run.beat()
    (outcome,) = sync(running=True)
    assert (outcome.status, outcome.rows) == ("running", 1)
    assert len(server.only_run.lines[EVENTS]) == 1
    system.close()
    run.die()
    assert sync()[0].rows == 2


def test_a_validation_without_steps_waits_a_minute_at_most(run: Jumping) -> None:
    """A process that only evaluates shows its rows while it goes on."""
    run.validate(500)
    run.beat()
    assert lines_of(run.path) == []
    for _ in range(61):
        run.now()
    run.beat()
    assert places(lines_of(run.path)) == [(500, 1, True)]


@pytest.mark.slow
def test_what_is_logged_at_jumping_steps_is_live_in_wandb(
    server: WandbServer, make_recorder: MakeWandbRecorder
) -> None:
    """Each step once when the run has ended, with all that was logged of it."""
    recorder = make_recorder()
    steps = [0, 3, LARGE, LARGE + 1, 2 * LARGE]
    for step in steps:
        recorder.log({"loss": float(step)}, step=step)
        recorder.log({"lr": 0.5}, step=step)
        recorder.log({"acc": 0.25}, step=step, train=False)
    recorder.finish()
    stored = server.only_run
    assert (stored.state, stored.is_exact) == ("finished", True)
    assert [row["step"] for row in stored.rows if "acc" in row] == steps
    assert [(row["step"], row["loss"], row["lr"]) for row in stored.rows if "loss" in row] == [
        (step, step, 0.5) for step in steps
    ]
