"""Which files are runs of other trackers."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from neurockt.importing.discover import find_sources, hint

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n"
NAMES = [
    *("events.out.tfevents.1.h.2.0", "run-x.wandb", "metrics.csv", "progress.csv", "training.log"),
    *("trainer_state.json", "metrics.jsonl", "dvclive/plots/metrics/loss.tsv"),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("named", [False, True])
def test_a_pointer_of_git_lfs_is_named(tmp_path: Path, name: str, named: bool) -> None:
    """In the place of any file that may be a run; no other file hides."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(POINTER)
    (tmp_path / "results.csv").write_text("epoch,loss\n1,2\n")
    found = find_sources([path, tmp_path / "results.csv"] if named else [tmp_path])
    assert found.faults == [f"{path} is a Git LFS pointer: git lfs pull"]
    assert found.files == [("csv", tmp_path / "results.csv")]
    assert (found.events, found.wandb, found.dvclive) == ({}, [], {})


@pytest.mark.parametrize("name", NAMES[:-1])
def test_what_is_compressed_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(b"step,loss\n1,2\n"))
    assert find_sources([tmp_path]).faults == [f"{path} is compressed: gunzip it"]


@pytest.mark.parametrize("format", ["csv", "tensorboard", "wandb", "jsonl", "trainer-state"])
def test_a_pointer_is_one_whatever_the_user_says(tmp_path: Path, format: str) -> None:
    path = tmp_path / "mine"
    path.write_bytes(POINTER)
    assert find_sources([path], format).faults == [f"{path} is a Git LFS pointer: git lfs pull"]


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("result.json", '{"timesteps_total": 4000, "episode_reward_mean": 1.5, "done": false}\n', "jsonl"),
        ("result.json", '{"accuracy": 0.5, "f1": 0.25}\n', None),
        ("wandb-history.jsonl", '{"loss": 0.5, "_step": 0, "_runtime": 1.5, "_timestamp": 1.5e9}\n', "jsonl"),
        ("progress.txt", "Epoch\tAverageEpRet\tTotalEnvInteracts\n0\t1.5\t4000\n", "csv"),
        ("notes.txt", "Epoch\tAverageEpRet\n0\t1.5\n", None),
    ],
)
def test_what_is_a_run_in_text(tmp_path: Path, name: str, text: str, kind: str | None) -> None:
    (tmp_path / name).write_text(text)
    assert [found for found, _ in find_sources([tmp_path]).files] == ([kind] if kind else [])


@pytest.mark.parametrize("name", ["metrics.csv", "events.out.tfevents.1.host.1.0", "run-a.wandb", "metrics.jsonl"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    assert not find_sources([tmp_path])
    assert not find_sources([tmp_path / name])
    assert hint(tmp_path) == ""


def test_other_pointers_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(POINTER)
    (tmp_path / "data.csv").write_bytes(POINTER)
    assert find_sources([tmp_path]).faults == []


def test_event_files_beside_a_state_in_a_checkpoint_are_the_run(tmp_path: Path) -> None:
    """The HF Trainer writes them to `runs/` beside its checkpoints."""
    state = tmp_path / "out" / "checkpoint-10" / "trainer_state.json"
    state.parent.mkdir(parents=True)
    state.write_text('{"log_history": []}')
    runs = tmp_path / "out" / "runs" / "Jan01"
    runs.mkdir(parents=True)
    (runs / "events.out.tfevents.1.h.2.0").touch()
    found = find_sources([tmp_path])
    assert (found.files, list(found.events)) == ([], [runs])
    assert "--from trainer-state takes it" in found.remarks[0]
