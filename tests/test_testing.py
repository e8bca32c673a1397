"""`neurockt.testing`: what it gives to tests, ours and other people's."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

from neurockt import open_run, testing
from neurockt.store.base.layout import part_paths


def test_a_temporary_recorder_leaves_nothing() -> None:
    """Its run can be read inside the block; afterwards directory and threads are gone."""
    before = threading.active_count()
    with testing.temporary_recorder(run_id="mine", config={"lr": 0.1}) as recorder:
        testing.record(recorder, {"loss": [1.0, 0.5]})
        assert recorder.run_dir.name == "mine"
        assert open_run(recorder.run_dir).steps()["loss"].to_pylist() == [1.0, 0.5]
    assert not recorder.run_dir.parent.exists()
    assert threading.active_count() <= before + 1  # the thread that waits for signals


def test_rows_are_recorded_as_given(tmp_path: Path) -> None:
    """Nulls are null, and validations follow the steps they belong to."""
    with testing.temporary_recorder() as recorder:
        testing.record(
            recorder, {"loss": [4.0, 3.0, 2.0, 1.0], "lr": [None, 0.1, None, 0.2]}, {"acc": [0.5, 0.7]}, every=2
        )
        testing.record(recorder, {"loss": [0.5]}, {"acc": [0.9]})
        run = open_run(recorder.run_dir)
        assert run.steps(["loss", "lr"]).to_pydict() == {
            "loss": [4.0, 3.0, 2.0, 1.0, 0.5],
            "lr": [None, 0.1, None, 0.2, None],
        }
        assert run.epochs(["step", "acc"]).to_pydict() == {"step": [2, 4, 5], "acc": [0.5, 0.7, 0.9]}


def test_the_clock_can_be_fixed() -> None:
    """The times of rows are exact, and the clock goes on afterwards."""
    start, interval = datetime(2026, 11, 23, 10, 15, tzinfo=timezone.utc), timedelta(milliseconds=50)
    with testing.temporary_recorder() as recorder:
        with testing.fixed_clock(start, interval):
            testing.record(recorder, {"loss": [1.0, 2.0]})
        testing.record(recorder, {"loss": [3.0]})
        first, second, third = open_run(recorder.run_dir).steps()["time"].to_pylist()
    assert (first, second) == (start, start + interval)
    assert abs(datetime.now(timezone.utc) - third) < timedelta(minutes=1)


def test_rows_are_sealed_when_the_test_says_so() -> None:
    """And not in the background."""
    with testing.writer_timing(tick=3600.0), testing.temporary_recorder() as recorder:
        testing.record(recorder, {"loss": [1.0]})
        assert part_paths(recorder.run_dir, "steps") == []
        testing.seal(recorder)
        assert len(part_paths(recorder.run_dir, "steps")) == 1


def test_the_test_and_the_background_do_not_seal_at_once() -> None:
    """Each waits for the other, and no row is lost or reported."""
    with testing.writer_timing(tick=0.0001, seal=0.0), testing.temporary_recorder() as recorder:
        for step in range(100):
            testing.record(recorder, {"loss": [float(step)]})
            testing.seal(recorder)
        assert open_run(recorder.run_dir).steps()["loss"].to_pylist() == [float(step) for step in range(100)]


def test_a_recorder_without_rows_has_nothing_to_seal() -> None:
    """Nor does it leave a directory."""
    with testing.temporary_recorder() as recorder:
        testing.seal(recorder)
