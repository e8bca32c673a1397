"""``neurockt plot``: a figure of metrics, of the runs that are named or match."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Done

pytest.importorskip("matplotlib")

SAMPLES = Path(__file__).parents[2] / "sample_runs"
Command = Callable[..., Done]


@pytest.mark.slow
def test_a_figure_of_several_runs(neurockt: Command, tmp_path: Path) -> None:
    """Bands of seeds beside each other; a second time only with --force."""
    target = tmp_path / "figure.svg"
    words = [
        "plot",
        "--root",
        SAMPLES,
        "-f",
        "group:*",
        "-m",
        "train_loss,valid_loss",
        "-m",
        "acc",
        "--seeds",
        "-o",
        target,
    ]
    assert neurockt(*words, "--smooth", "0.05", "--xlim", 10, 800, "--size", 6, 2) == Done(0, "", "")
    first = target.read_bytes()
    assert b"<svg" in first
    done = neurockt(*words)
    assert (done.status, target.read_bytes() == first) == (1, True)
    assert "--force replaces it" in done.err
    assert neurockt(*words, "--force").status == 0
    assert target.read_bytes() != first


def test_the_latest_run(neurockt: Command, tmp_path: Path) -> None:
    done = neurockt("plot", "--root", SAMPLES, "-m", "acc", "-x", "date", "-o", tmp_path / "x.png")
    assert done.status == 0
    assert "adamw-wide" in done.err
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-m", "acd", "-o", "x.png"], "did you mean 'acc'?"),
        (["-m", "acc", "-o", "x.jpg"], "end the name in .png, .svg or .pdf"),
        (["-m", "acc", "-o", "x.png", "--style", "nope"], "no style 'nope'"),
        (["-m", "acc", "-m", "f1", "-o", "x.png", "--label", "a", "--label", "b"], "2 labels for 1 curve; give one"),
        (["-m", "acc", "-o", "x.png", "--smooth", "2"], "not a share of x"),
        (["-o", "x.png"], "required: -m/--metric"),
        (["-m", "acc", "-o", "/nowhere/x.png"], "no directory /nowhere; make it first"),
        (["-m", "acc", "-o", "/proc/x.png"], "/proc/x.png: "),
        (["-m", "acc", "-o", "x.png", "--smooth", "much"], "'much' is not a number"),
        (["-m", "acc", "-o", "x.png", "--xlim", "nan", "1"], "'nan' is not a number"),
        (["-m", "acc", "-o", "x.png", "--log-y", "--ylim", "0", "1"], "no room for 0 and below"),
        (["-m", "acc", "-o", "x.png", "--size", "0.1", "0.1"], "0.1 by 0.1 inches has no room for its axes"),
        (["-m", "acc", "-o", "x.png", "--dpi", "100000000"], "pixels is too large"),
        (["-m", "acc", "-o", "x.png", "--dpi", "1"], "matplotlib cannot draw this"),
        (["-m", "acc", "-o", "x.png", "--font", "Nope"], "Nope"),
        (["nobody", "-m", "acc", "-o", "x.png"], "no run 'nobody'"),
    ],
)
def test_mistakes(
    neurockt: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = neurockt("plot", "--root", SAMPLES, *words)
    assert done.status in (1, 2)
    assert message in done.err
    assert not re.search(r"Warning|Traceback|\.tmp", done.err)
    assert not list(tmp_path.glob("x.*"))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("limits", [["--xlim", 5, 5], ["--ylim", 0.5, 0.5], ["--ylim", 0, 1e308]])
def test_limits_that_matplotlib_warns_of_are_drawn(neurockt: Command, tmp_path: Path, limits: list[object]) -> None:
    words = ["plot", "--root", SAMPLES, "adamw-wide", "-m", "acc", "-o", tmp_path / "x.png", *limits]
    assert neurockt(*words) == Done(0, "", "")
