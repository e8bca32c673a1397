"""Readers that have read a run which is then resumed from a checkpoint: they say so, and show the clean series."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from live_run import wait_until
from live_run.rewound import dead_run as dead_run
from live_run.rewound import train

from neurockt import open_run
from neurockt.monitor import Recorder
from neurockt.store.reading.random_access import RowReader
from neurockt.store.writing import timing
from neurockt.store.writing.timing import Timing


def test_follow_tells_that_the_run_was_rewound(dead_run: Path) -> None:
    """Which of the rows given still stand, and then the new ones."""
    run = open_run(dead_run)
    assert [len(table) for table in run.follow()] == [50, 5]
    recorder = train(dead_run.parent, 2, 2.0, resume=35)
    new = run.follow()
    assert (new.rewound, new.kept) == (True, (35, 3))
    assert new.steps["step"].to_pylist() == [36, 37]
    assert new.steps["loss"].to_pylist() == [2.0, 2.0]
    assert len(new.epochs) == 0
    train_on(recorder, 3)
    new = run.follow()
    assert (new.rewound, new.kept) == (False, (None, None))
    assert new.steps["step"].to_pylist() == [38, 39, 40]
    steps, epochs = new  # a pair, as ever
    assert (len(steps), epochs["epoch"].to_pylist()) == (3, [4])
    recorder.finish()
    assert not run.follow().rewound


def train_on(recorder: Recorder, steps: int) -> None:
    for _ in range(steps):
        with recorder(train=True):
            pass
        if recorder.step % 10 == 0:
            with recorder(train=False):
                pass


def test_follow_does_not_tell_of_rows_it_has_not_given(dead_run: Path) -> None:
    """Who is not as far as the checkpoint has nothing to forget; a continued run that was not rewound neither."""
    run = open_run(dead_run)
    behind = run.follower("steps", after=20)
    behind.last = 20
    assert len(run.follow().steps) == 50
    train(dead_run.parent, 3, 2.0).finish()
    assert not run.follow().rewound
    assert len(behind.new_rows()) == 33
    assert behind.rewound_to is None


def test_rows_by_their_place_are_looked_up_again(dead_run: Path) -> None:
    """The reader counts how often what was read before became void."""
    reader = open_run(dead_run).rows("steps")
    reader.refresh()
    assert (reader.groups.total, reader.rewinds) == (50, 0)
    recorder = train(dead_run.parent, 15, 2.0, resume=35)
    assert reader.groups.total == 50
    assert reader.refresh(), "as many rows as before, and others"
    assert reader.rewinds > 0
    assert losses(reader) == [1.0] * 35 + [2.0] * 15
    recorder.finish()
    reader.refresh()
    assert losses(reader) == [1.0] * 35 + [2.0] * 15


def losses(reader: RowReader) -> list[int | float | None]:
    blocks = [reader.read(group, ["loss"])["loss"] for group in range(len(reader.groups))]
    return [block.at(index) for block in blocks for index in range(len(block.values))]


@pytest.mark.slow
def test_readers_never_see_anything_but_a_clean_series(dead_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a run is taken over, rewound and recorded to again and again, a look is at the rows 1 to n, once each."""
    monkeypatch.setattr(timing, "default", Timing(tick=0.005, seal=0.0))
    wrong: list[object] = []
    looks = 0
    stop = threading.Event()

    def look() -> None:
        nonlocal looks
        run = open_run(dead_run)
        shown: list[float] = []
        try:
            while not stop.is_set():
                looks += 1
                rows = run.steps()
                values = rows["loss"].to_pylist()
                if rows["step"].to_pylist() != list(range(1, len(rows) + 1)) or values != sorted(values):
                    wrong.append(rows.to_pydict())
                outline = run.outline("steps")
                if outline.total != int(outline.axes["step"][1][-1]):
                    wrong.append(outline)
                new = run.follow()
                if new.kept[0] is not None:
                    del shown[new.kept[0] :]
                shown += new.steps["loss"].to_pylist() if len(new.steps) else []
                if new.steps["step"].to_pylist() != list(range(len(shown) - len(new.steps) + 1, len(shown) + 1)):
                    wrong.append(new.steps.to_pydict())
            last = run.follow()
            if last.kept[0] is not None:
                del shown[last.kept[0] :]
            shown += last.steps["loss"].to_pylist() if len(last.steps) else []
            if shown != run.steps()["loss"].to_pylist():
                wrong.append(shown)
        except Exception as error:
            wrong.append(error)

    reader = threading.Thread(target=look)
    reader.start()
    for attempt in range(2, 8):
        resume = 40 - 5 * attempt if attempt % 2 else None
        recorder = train(dead_run.parent, 25, float(attempt), resume)
        train_on_with = recorder.track_scalar("loss")(float)
        for _ in range(5):
            with recorder(train=True):
                train_on_with(float(attempt))
        seen = looks
        wait_until(lambda seen=seen: looks > seen or wrong, "a look")  # type: ignore[misc]
        recorder.finish()
    stop.set()
    reader.join()
    assert not wrong, wrong[0]
