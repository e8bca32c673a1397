"""The committed sample runs match the documentation, the viewer and the script that makes them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from neurockt import list_runs, open_run
from neurockt.run_info import RunInfo
from neurockt.store.base.layout import journal_path

SAMPLES = Path(__file__).parent.parent / "sample_runs"
LARGEST_BYTES = 2_000_000


@pytest.fixture(scope="module")
def samples() -> dict[str, RunInfo]:
    """The runs by id."""
    return {info.id: info for info in list_runs(SAMPLES)}


def test_they_are_a_dozen_small_runs(samples: dict[str, RunInfo]) -> None:
    """Over optimizer, learning rate and seed; each with its tables."""
    assert len(samples) == 12
    assert sum(path.stat().st_size for path in SAMPLES.rglob("*")) < LARGEST_BYTES
    for key, least in (("optimizer", 3), ("lr", 4), ("seed", 3)):
        assert len({info.config[key] for info in samples.values()}) >= least
    for info in samples.values():
        run = open_run(info.path)
        assert run.steps().num_rows >= 400
        assert run.epochs().column_names[3:] == ["valid_loss", "acc", "f1"]
        assert run.damaged == ()


def test_seeds_form_groups(samples: dict[str, RunInfo]) -> None:
    """Two groups of three runs that differ in the seed alone."""
    for group in ("sgd-0.1", "adam-0.003"):
        configs = [dict(info.config) for info in samples.values() if info.group == group]
        assert sorted(config.pop("seed") for config in configs) == [0, 1, 2]
        assert configs[0] == configs[1] == configs[2]


def test_one_failed_with_an_exception(samples: dict[str, RunInfo]) -> None:
    """Its checkpoint could not be saved."""
    info = samples["adamw-0.003-s0"]
    assert info.state == "failed"
    assert info.failure is not None
    assert "checkpoints/last" in info.failure.message
    assert info.failure.traceback.startswith("Traceback")
    assert info.epochs.rows == 9


def test_one_was_killed_and_kept_its_journals(samples: dict[str, RunInfo]) -> None:
    """Part of its rows is still in them; all thirteen epochs are there."""
    info = samples["adam-0.03-s0"]
    assert info.state == "killed"
    assert journal_path(info.path, "steps").stat().st_size > 0
    run = open_run(info.path)
    assert run.epochs().num_rows == 13
    assert run.steps()["step"].to_pylist() == list(range(1, 13 * 45 + 1))


def test_one_diverged_to_nan(samples: dict[str, RunInfo]) -> None:
    """Finite at first, infinite on the way, NaN at the end."""
    losses = open_run(samples["sgd-diverged"].path).steps()["train_loss"].to_pylist()
    assert math.isfinite(losses[0])
    assert any(math.isinf(loss) for loss in losses)
    assert math.isnan(losses[-1])


def test_one_has_a_metric_that_appears_mid_run(samples: dict[str, RunInfo]) -> None:
    """Null before, a number afterwards."""
    norms = open_run(samples["adamw-0.003-late"].path).steps()["grad_norm"].to_pylist()
    first = 7 * 45
    assert norms[:first] == [None] * first
    assert None not in norms[first:]


def test_one_has_a_name_in_another_script(samples: dict[str, RunInfo]) -> None:
    """Twice as wide in a terminal as it is long."""
    assert samples["adamw-wide"].name == "手書き数字・大きいモデル"


def test_they_say_nothing_of_the_machine_that_made_them(samples: dict[str, RunInfo]) -> None:
    """No absolute path, and the host's name is made up."""
    for info in samples.values():
        assert '"/' not in (info.path / "run.json").read_text(encoding="utf-8")
        assert [attempt.host[:4] for attempt in info.attempts] == ["node"]
