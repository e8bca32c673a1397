"""What other processes record beside a run, and rows that arrived late, as readers see them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from written import Written, attached

import neurockt
from neurockt.catalogue import RunWatcher
from neurockt.errors import NeurocktWarning


@pytest.fixture
def run(tmp_path: Path) -> Written:
    """A live run at step 3."""
    made = Written(tmp_path / "runs" / "run")
    for step in (1, 2, 3):
        made.add("steps", step, {"loss": 1 / step})
    return made


def test_late_rows_are_a_table_by_arrival(run: Written) -> None:
    """With the step of each, and whatever columns they have."""
    run.add("late", 2, {"loss": 0.7}, epoch=1)
    run.add("late", 1, {"extra": 5.0}, epoch=1)
    late = neurockt.open_run(run.path).late()
    assert late.column_names == ["arrival", "step", "epoch", "time", "loss", "extra"]
    assert late.select(["arrival", "step", "epoch", "loss", "extra"]).to_pydict() == {
        "arrival": [1, 2],
        "step": [2, 1],
        "epoch": [1, 1],
        "loss": [0.7, None],
        "extra": [None, 5.0],
    }
    assert neurockt.open_run(run.finish()).late(["loss"]).to_pydict() == {"loss": [0.7, None]}


def test_what_is_attached_is_a_run_of_its_own_by_name(run: Written) -> None:
    """Its rows and its state are read while it is written, and long after the run has finished."""
    run.finish()
    evaluator = attached(run.path, "mmlu", {100: {"acc": 0.5}, 50: {"acc": 0.25}})
    opened = neurockt.open_run(run.path)
    assert list(opened.attached) == ["mmlu"]
    assert opened.attached["mmlu"].epochs(["step", "acc"]).to_pydict() == {"step": [100, 50], "acc": [0.5, 0.25]}
    assert (opened.state, opened.attached["mmlu"].state) == ("finished", "running")
    assert opened.info.attached["mmlu"].epochs.rows == 2
    evaluator.finish()
    assert opened.attached["mmlu"].state == "finished"


def test_the_latest_rows_of_what_is_attached_are_counted(run: Written) -> None:
    """Also those since its ``run.json`` was written, and where the run itself has ended."""
    evaluator = attached(run.path, "mmlu", {1: {"acc": 0.5}})
    evaluator.add("epochs", 2, {"acc": 0.75})
    opened = neurockt.open_run(run.finish())
    assert opened.info.attached["mmlu"].epochs.rows == 1
    assert opened.current_info().attached["mmlu"].epochs.columns["acc"].last == 0.75


def test_a_list_of_runs_has_one_entry_with_what_is_attached(run: Written) -> None:
    """Nothing attached is listed as a run."""
    attached(run.path, "mmlu", {1: {"acc": 0.5}})
    run.publish()
    (info,) = neurockt.list_runs(run.path.parent)
    assert (info.id, list(info.attached)) == ("run", ["mmlu"])
    assert list(info.metrics) == ["loss", "acc"]


def test_one_that_watches_sees_what_comes(run: Written) -> None:
    """A new directory, and new values in it, are changes of the run."""
    run.publish()
    watcher = RunWatcher(run.path.parent)
    assert any(watcher.look())
    assert not any(watcher.look())
    evaluator = attached(run.path, "mmlu", {1: {"acc": 0.5}})
    assert any(watcher.look())
    assert not any(watcher.look())
    evaluator.add("epochs", 2, {"acc": 0.75})
    evaluator.publish()
    assert any(watcher.look())
    assert watcher.runs[0].attached["mmlu"].epochs.columns["acc"].last == 0.75


def test_names_that_several_have_are_qualified(run: Written) -> None:
    """The run's own metric keeps its name, and so does one that only one evaluator has."""
    attached(run.path, "a", {1: {"acc": 0.5, "loss": 3.0, "f1": 0.25}})
    attached(run.path, "b", {1: {"acc": 0.75}})
    run.publish()
    info = neurockt.open_run(run.path).info
    assert info.attached_metrics == {
        "a/acc": ("a", "acc"),
        "a/loss": ("a", "loss"),
        "f1": ("a", "f1"),
        "b/acc": ("b", "acc"),
    }


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": 99}', b"[]", None])
def test_one_that_cannot_be_read_hides_nothing_else(run: Written, content: bytes | None) -> None:
    """A warning names it; None for a directory in the place of its ``run.json``."""
    attached(run.path, "good", {1: {"acc": 0.5}})
    path = attached(run.path, "bad", {1: {"acc": 0.5}}).path / "run.json"
    path.unlink()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    run.publish()
    with pytest.warns(NeurocktWarning, match="attached/bad"):
        info = neurockt.open_run(run.path).info
    assert list(info.attached) == ["good"]
    with pytest.warns(NeurocktWarning, match="attached/bad"):
        assert list(neurockt.list_runs(run.path.parent)[0].attached) == ["good"]


def test_nothing_leads_out_of_the_run(run: Written, tmp_path: Path) -> None:
    """Links, files, hidden names and directories without a run in them are not what another process has attached."""
    other = Written(tmp_path / "elsewhere" / "other").finish()
    directory = run.path / "attached"
    directory.mkdir()
    (directory / "link").symlink_to(other)
    (directory / "file").write_text("text")
    (directory / "empty").mkdir()
    (directory / ".hidden").symlink_to(other)
    run.publish()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert neurockt.open_run(run.path).info.attached == {}
    for entry in directory.iterdir():
        entry.rmdir() if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    directory.rmdir()
    directory.symlink_to(other.parent)
    assert dict(neurockt.open_run(run.path).attached) == {}
    directory.unlink()
    directory.write_text("a file")
    assert dict(neurockt.open_run(run.path).attached) == {}


def test_a_document_cannot_claim_to_have_something_attached(run: Written) -> None:
    """What is attached lies in its own directory, and its files say what it is."""
    run.publish()
    path = run.path / "run.json"
    document = json.loads(path.read_bytes())
    path.write_text(json.dumps({**document, "attached": {"x": document}}))
    assert neurockt.open_run(run.path).info.attached == {}
