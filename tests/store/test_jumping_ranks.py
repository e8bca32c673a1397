"""A run whose ranks keep rows of their own, with numbers that jump: at other steps, or at their own pace."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live_run.by_hand import shrink
from live_run.jumping import LARGE, Jumping, column

from neurockt import open_run
from neurockt.store import RowReader, layout
from neurockt.store.reading import ranks as reading
from neurockt.sync.rows import START, RunRows

Pairs = list[tuple[int, int]]
"""Steps and ranks."""


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of nine rows in row groups of three."""
    shrink(monkeypatch)


@pytest.fixture
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], list[Jumping]]]:
    """Makes the ranks of a run."""
    made: list[Jumping] = []

    def ranks(count: int) -> list[Jumping]:
        path = tmp_path_factory.mktemp("runs") / "run"
        each = [Jumping(layout.rank_path(path, rank), rank=rank, ranks=count) for rank in range(count)]
        made.extend(each)
        return each

    yield ranks
    for each in made:
        each.release()


def pairs(path: Path) -> Pairs:
    rows = open_run(path).steps()
    return list(zip(rows["step"].to_pylist(), rows["rank"].to_pylist(), strict=True))


def by_position(reader: RowReader) -> Pairs:
    found: Pairs = []
    for group in range(len(reader.groups)):
        columns = reader.read(group, ["step", "rank"])
        found += zip(columns["step"].values.tolist(), columns["rank"].values.tolist(), strict=True)
    return found


STEPS = st.sets(st.one_of(st.integers(0, 60), st.integers(0, LARGE)), max_size=30)


@pytest.mark.slow
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(each=st.lists(STEPS, min_size=1, max_size=3), share=st.integers(1, 5), cut=st.integers(0, LARGE))
def test_any_steps_of_any_ranks_are_read_in_every_way(
    make: Callable[[int], list[Jumping]], each: list[set[int]], share: int, cut: int
) -> None:
    """In two goes: those up to some step, then the others."""
    ranks = make(len(each))
    path = ranks[0].path.parent
    run = open_run(path)
    follower, reader = run.follower("steps"), run.rows("steps")
    reader._share = share  # type: ignore[attr-defined]
    followed: Pairs = []
    for first in (True, False):
        for steps, rank in zip(each, ranks, strict=True):
            rank.write(sorted(step for step in steps if (step <= cut) == first))
            if first:
                rank.steps.seal()
        new = follower.new_rows()
        followed += zip(new["step"].to_pylist(), new["rank"].to_pylist(), strict=True)
        expected = sorted((step, r) for r, steps in enumerate(each) for step in steps if step <= cut or not first)
        assert followed == pairs(path) == expected
        reader.refresh()
        assert by_position(reader) == expected
        numbers = np.array([step for step, _ in expected])
        for position, (step, _) in enumerate(expected):
            assert reader.position_of(step) == int(np.searchsorted(numbers, step))
            assert reader.groups.position_of(step) in (reader.position_of(step), None)
            assert reader.groups.of(position) < len(reader.groups)
        assert all(
            len(reader.groups.span(group)) <= share * len(each) or group == len(reader.groups) - 1
            for group in range(len(reader.groups))
        )
        for count in (1, 3, 100):
            rows = run.last_rows("steps", count)
            assert list(zip(rows["step"].to_pylist(), rows["rank"].to_pylist(), strict=True)) == expected[-count:]
    assert run.current_info().steps.last == max((step for steps in each for step in steps), default=None)


def test_groups_of_ranks_do_not_depend_on_how_far_apart_steps_are(make: Callable[[int], list[Jumping]]) -> None:
    """A thousand rows are a few groups; as the ranks go on, those that are full stay."""
    ranks = make(2)
    for rank in ranks:
        rank.write(range(0, LARGE, LARGE // 500))
    reader = reading.RankedRows(ranks[0].path.parent, "steps", ranks=1024)
    reader.refresh()
    before = reader.groups
    assert (before.total, len(before)) == (1000, 1000 // (2 * 64) + 1)
    for rank in ranks:
        rank.write(range(LARGE, 2 * LARGE, LARGE // 100))
    reader.refresh()
    assert reader.groups.starts[: len(before)] == before.starts[:-1]
    assert reader.rewinds == 0


def test_a_step_waits_for_each_live_rank(make: Callable[[int], list[Jumping]]) -> None:
    """Also for one that has nothing but an open row; the open row of a dead one counts."""
    ranks = make(3)
    run = open_run(ranks[0].path.parent)
    ranks[0].write([0, 10, LARGE])
    ranks[1].write([0, 10])
    ranks[1].open("steps", LARGE, 1, {"loss": 5.0})
    assert run.settled("steps") == 10
    ranks[2].open("steps", 0, 1, {"loss": 7.0})
    assert run.settled("steps") == -1
    assert RunRows(run, run.info).total == 0
    assert pairs(run.path) == [(0, 0), (0, 1), (0, 2), (10, 0), (10, 1), (LARGE, 0), (LARGE, 1)]
    follower = run.follower("steps")
    assert len(follower.new_rows()) == 5
    assert column(follower.open_rows, "rank") == [2, 1]
    ranks[2].die()
    ranks[1].die()
    assert run.settled("steps") == LARGE
    assert column(follower.new_rows(), "rank") == [2, 1]
    rows = RunRows(run, run.info)
    assert rows.total == 3
    lines = [line for some in rows.after(START) for line in some.lines]
    assert json.loads(lines[0])["loss"] == pytest.approx(7 / 3)
    ranks[0].die()
    assert RunRows(run, run.info).total == 3


def test_ranks_share_a_group(make: Callable[[int], list[Jumping]]) -> None:
    """So that a group of a run of many ranks takes no more memory than one of a single rank."""
    assert reading.RankedRows(make(1)[0].path.parent, "steps", 4)._share == 16_384
