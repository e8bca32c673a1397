"""What a WandbRecorder is told: its mode, where the run is to go, and whatever else ``wandb.init`` takes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from sync.recording import train
from wandb_server import WandbServer

import neurockt
from neurockt.errors import NeurocktWarning, UsageError
from neurockt.monitor.wandb import WandbRecorder

from .conftest import MakeWandbRecorder, Sync


@pytest.mark.parametrize("by", ["argument", "variable", "settings"])
@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_modes_that_send_nothing(
    mode: str,
    by: str,
    server: WandbServer,
    make_recorder: MakeWandbRecorder,
    sync: Sync,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both record the run; a sync of an offline run honours where it was to go."""
    if by == "variable":
        monkeypatch.setenv("WANDB_MODE", mode)
    options = {"argument": {"mode": mode}, "settings": {"settings": {"mode": mode}}, "variable": {}}[by]
    recorder = make_recorder(
        **options, project="p", entity="team", id="my id", job_type="train", tags=["a", "b"], name="n"
    )
    train(recorder)
    recorder.finish()
    assert recorder.url is None
    assert server.requests == []
    assert len(neurockt.open_run(recorder.run_dir).steps()) == 50
    assert sync()[0].status == "complete"
    run = server.only_run
    assert (run.project, run.tags, run.display_name, run.is_exact) == ("p", ["a", "b"], "n", True)
    if mode == "offline":
        assert (run.entity, run.job_type) == ("team", "train")
        assert run.name.startswith("my-id-")
    else:
        assert (run.entity, run.name) == ("tester", recorder.run_dir.name)


@pytest.mark.slow
def test_where_the_run_is_to_go_is_honoured(server: WandbServer, make_recorder: MakeWandbRecorder) -> None:
    """Entity, id and job type have no place in a run directory, and are kept beside it for every sync."""
    recorder = make_recorder(project="p", entity="team", id="chosen", job_type="train")
    train(recorder)
    recorder.finish()
    run = server.only_run
    assert (run.entity, run.project, run.name, run.job_type) == ("team", "p", "chosen", "train")


@pytest.mark.slow
def test_arguments_before_settings_before_the_environment(
    server: WandbServer, make_recorder: MakeWandbRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``wandb.init`` has it; the real ``wandb.Settings`` counts for what was set in it."""
    from wandb import Settings

    for name in ("PROJECT", "NAME", "NOTES", "TAGS"):
        monkeypatch.setenv(f"WANDB_{name}", "from,environment")
    settings = Settings(run_name="from settings", project="from settings", mode="offline")
    recorder = make_recorder(project="argument", settings=settings)
    train(recorder)
    info = neurockt.open_run(recorder.run_dir).info
    assert (info.project, info.name, info.notes) == ("argument", "from settings", "from,environment")
    assert info.tags == ("from", "environment")


@pytest.mark.slow
def test_a_key_and_a_server_may_come_from_settings(
    server: WandbServer, make_recorder: MakeWandbRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is in no file."""
    key, url = os.environ["WANDB_API_KEY"], os.environ["WANDB_BASE_URL"]
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:1")
    recorder = make_recorder(settings={"api_key": key, "base_url": url})
    train(recorder)
    recorder.finish()
    assert server.only_run.state == "finished"
    files = [path for path in recorder.run_dir.rglob("*") if path.is_file()]
    assert not [path for path in files if key.encode() in path.read_bytes()]


def test_a_config_may_be_a_file_and_be_chosen_from(make_recorder: MakeWandbRecorder, tmp_path: Path) -> None:
    """As for ``wandb.init``: YAML whose values may be wrapped, and keys to keep or to leave out."""
    path = tmp_path / "config.yaml"
    path.write_text("wandb_version: 1\nlr:\n  desc: rate\n  value: 0.1\nwidth: 3\nseed: 0\n")
    assert make_recorder(config=str(path), mode="offline").config == {"lr": 0.1, "width": 3, "seed": 0}
    assert make_recorder(config=str(path), config_exclude_keys=["seed"], mode="offline").config.keys() == {
        "lr",
        "width",
    }
    assert make_recorder(config={"a": 1, "b": 2}, config_include_keys=["b"], mode="offline").config == {"b": 2}
    for wrong, message in ((tmp_path / "none.yaml", "cannot read"), (Path(__file__), "not YAML|not a mapping")):
        with pytest.raises(UsageError, match=message):
            make_recorder(config=wrong, mode="offline")


def test_whatever_wandb_init_takes_is_taken(make_recorder: MakeWandbRecorder) -> None:
    """Every argument of the installed SDK; one warning names those that ask for what is not done."""
    import inspect

    import wandb

    taken: dict[str, Any] = dict.fromkeys(inspect.signature(wandb.init).parameters)
    make_recorder(**{**taken, "mode": "offline", "reinit": True, "dir": "/nowhere", "force": False})
    with pytest.warns(NeurocktWarning, match="does nothing about sync_tensorboard=True$"):
        make_recorder(mode="offline", sync_tensorboard=True)


@pytest.mark.parametrize("by", ["argument", "settings", "variable"])
def test_runs_are_kept_where_wandb_is_asked_to_keep_its_own(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In ``runs`` of DIR; ``root``, and our own variable before W&B's, say otherwise."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NEUROCKT_DIR", raising=False)
    if by == "variable":
        monkeypatch.setenv("WANDB_DIR", "~/scratch")
    chosen: dict[str, Any] = {
        "argument": {"dir": Path("~/scratch")},
        "settings": {"settings": {"root_dir": tmp_path / "scratch"}},
        "variable": {},
    }[by]
    assert WandbRecorder(mode="offline", **chosen).run_dir.parent == tmp_path / "scratch" / "runs"
    assert WandbRecorder(tmp_path / "mine", mode="offline", **chosen).run_dir.parent == tmp_path / "mine"
    monkeypatch.setenv("NEUROCKT_DIR", str(tmp_path / "ours"))
    expected = tmp_path / "ours" if by == "variable" else tmp_path / "scratch" / "runs"
    assert WandbRecorder(mode="offline", **chosen).run_dir.parent == expected


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mode": "of"}, "'online', 'offline' or 'disabled'"),
        ({"resume": "perhaps"}, "unknown resume='perhaps'"),
        ({"settings": 3}, "a wandb.Settings or a dict"),
        ({"id": 3}, "is not a string"),
    ],
)
def test_what_cannot_be_understood_is_refused(
    wrong: dict[str, Any], message: str, make_recorder: MakeWandbRecorder
) -> None:
    """At the call that said it."""
    with pytest.raises(UsageError, match=message):
        make_recorder(**wrong)


def test_an_unknown_argument_is_an_error(make_recorder: MakeWandbRecorder) -> None:
    """As everywhere in Python."""
    with pytest.raises(TypeError, match="projct"):
        make_recorder(projct="p")
