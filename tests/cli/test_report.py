"""``neurockt report``: which runs are in the page, and where it is written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import HOSTILE, Done, Terminal, record

Command = Callable[..., Done]


def titles(path: Path) -> list[str]:
    """The names of the runs in the page."""
    return [line.split("</b>")[0] for line in path.read_text(encoding="utf-8").split("<summary><b>")[1:]]


def test_takes_directories_and_names_and_filters_them(neurockt: Command, runs: Path, tmp_path: Path) -> None:
    """A run that several of them name is in the page once; without any, all of the root are."""
    record(tmp_path / "more", {"loss": [1.0]}, name="other", run_id="r9")
    for words, expected in (
        ((), ["slow", "fast", "diverged"]),
        (("runs", "more"), ["slow", "fast", "diverged", "other"]),
        (("fas", "more"), ["fast", "other"]),
        (("more/r9", "more"), ["other"]),
        (("runs", "-f", "tag:paper"), ["fast", "diverged"]),
        (("other", "--root", "more"), ["other"]),
    ):
        done = neurockt("report", *words, "--force")
        assert (done.status, done.out) == (0, ""), done.err
        assert f"{len(expected)} run" in done.err
        assert titles(tmp_path / "report.html") == expected, words


def test_archived_runs_are_in_it_where_they_are_named(neurockt: Command, runs: Path, tmp_path: Path) -> None:
    neurockt("edit", "fast", "--archive")
    for words, expected in (
        (("runs",), ["slow", "diverged"]),
        (("runs", "fast"), ["slow", "diverged", "fast"]),
        (("runs", "--archived"), ["slow", "fast", "diverged"]),
        (("runs", "-f", "archived=true"), ["fast"]),
    ):
        neurockt("report", *words, "--force")
        assert titles(tmp_path / "report.html") == expected, words


def test_replaces_a_file_only_by_force(neurockt: Command, runs: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine.html"
    target.write_text("mine")
    done = neurockt("report", "-o", target)
    assert (done.status, target.read_text()) == (1, "mine")
    assert "--force replaces it" in done.err
    assert neurockt("report", "-o", target, "--force").status == 0
    assert "make it first" in neurockt("report", "-o", tmp_path / "no" / "r.html").err
    done = neurockt("report", "-o", "-")
    assert (done.status, done.out.endswith("</html>\n")) == (0, True)
    assert not (tmp_path / "-").exists()


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("nothing",), 1, "no run 'nothing'"),
        (("empty",), 1, "no runs in empty"),
        (("-f", "acc>2"), 1, "no run matches (3 runs)"),
        (("-f", "cfg.l>2"), 2, "no run has 'cfg.l'; did you mean 'cfg.lr'?"),
        (("--metrics", "los"), 2, "no run has the metric 'los'; did you mean"),
        (("--metrics", "*loss,x*"), 2, "no run has the metric 'x*'"),
    ],
)
def test_a_mistake_is_a_sentence_and_writes_nothing(
    neurockt: Command, runs: Path, tmp_path: Path, words: tuple[str, ...], status: int, sentence: str
) -> None:
    (tmp_path / "empty").mkdir()
    done = neurockt("report", *words)
    assert done.status == status
    assert sentence in done.err
    assert not (tmp_path / "report.html").exists()


def test_draws_the_metrics_that_are_asked_for(neurockt: Command, runs: Path, tmp_path: Path) -> None:
    for names, charts in (
        ("*loss", ["train_loss", "valid_loss"]),
        ("acc@epochs", ["acc"]),
        ('"acc",train*', ["train_loss", "acc"]),
    ):
        assert neurockt("report", "--metrics", names, "--force").status == 0
        text = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert [f'{{"name":"{name}","curves":' in text for name in ("train_loss", "valid_loss", "acc")] == [
            name in charts for name in ("train_loss", "valid_loss", "acc")
        ]


def test_a_damaged_run_is_named_and_the_others_are_there(neurockt: Command, runs: Path, tmp_path: Path) -> None:
    part = next((runs / "r1" / "steps").iterdir())
    part.write_bytes(part.read_bytes()[:40])
    done = neurockt("report")
    assert done.status == 1
    assert str(part.relative_to(tmp_path)) in done.err
    assert titles(tmp_path / "report.html") == ["slow", "fast", "diverged"]


def test_hostile_text_is_harmless_in_the_page_and_on_the_terminal(
    neurockt: Command, hostile: Path, tmp_path: Path
) -> None:
    done = neurockt("report", hostile, "--title", HOSTILE)
    assert done.status == 1, "run.json has a column that the table has not"
    assert "no column" in done.err
    for text in (done.err, (tmp_path / "report.html").read_text(encoding="utf-8")):
        assert not {"\x1b", "\x07", "\u202e"} & {*text}
    assert '{"name":"\\u03bc=acc","curves":[{' in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_long_work_shows_its_progress(
    neurockt: Command, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from contextlib import redirect_stderr

    from neurockt.cli import main

    terminal = Terminal()
    with redirect_stderr(terminal):
        assert main(["report", "runs"]) == 0
    assert "report" in terminal.getvalue()
    assert "3/3" in terminal.getvalue() or "0/3" in terminal.getvalue()


def test_without_plotly_it_says_what_to_install(neurockt: Command, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from neurockt_viewer.report import page

    page._plotly.cache_clear()
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    done = neurockt("report")
    assert done.status == 1
    assert "pip install 'neurockt[report]'" in done.err
