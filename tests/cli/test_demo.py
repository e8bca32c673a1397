"""``neurockt demo`` trains for real and leaves a run to look at."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from neurockt import list_runs, open_run

from .conftest import Done


@pytest.mark.slow
def test_the_demo_prints_its_table_and_leaves_a_finished_run(neurockt: Callable[..., Done], tmp_path: Path) -> None:
    """A line for each epoch, a model that learns, and the commands to go on with."""
    done = neurockt("demo", "--epochs", "2")
    assert done.status == 0
    header, *rows = done.out.splitlines()
    assert header.split() == ["valid_loss", "acc", "f1"]
    assert len(rows) == 2
    (info,) = list_runs(tmp_path / "runs")
    assert info.state == "finished"
    assert info.epochs.columns["acc"].last == pytest.approx(float(rows[-1].split()[1]), abs=1e-4)
    assert info.epochs.columns["acc"].last > 0.5
    assert open_run(info.path).steps().column_names == ["step", "epoch", "time", "train_loss", "grad_norm"]
    assert f"neurockt show runs/{info.id}" in done.err


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["torch", "torchmetrics", "sklearn"])
def test_without_its_extra_the_demo_says_what_to_install(
    missing: str, neurockt: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sentence, and nothing on disk."""
    monkeypatch.delitem(sys.modules, "neurockt.cli._digits", raising=False)
    for name in {missing, *(name for name in sys.modules if name.startswith(f"{missing}."))}:
        monkeypatch.setitem(sys.modules, name, None)
    done = neurockt("demo")
    assert done.status == 1
    assert done.err == (
        "neurockt: the demo needs PyTorch, torchmetrics and scikit-learn: pip install 'neurockt[demo]'\n"
    )
    assert list(tmp_path.iterdir()) == []
