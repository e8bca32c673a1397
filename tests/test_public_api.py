"""The names users may rely on; adding or removing one is a decision, not an accident."""

from __future__ import annotations

import inspect
from types import ModuleType

import pytest

import neurockt
import neurockt.errors
import neurockt.monitor
import neurockt.monitor.wandb
import neurockt.store
import neurockt.testing
import neurockt.torch

RECORDER = {
    *(
        "config",
        "epoch",
        "finish",
        "id",
        "is_writer",
        "log",
        "metric",
        "name",
        "resume",
        "run_dir",
        "step",
        "total_steps",
        "track_scalar",
    ),
}


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (neurockt, ["Run", "__version__", "attach", "connect", "list_runs", "open_run"]),
        (neurockt.monitor, ["Recorder", "RecorderHelper", "torch_mean"]),
        (neurockt.monitor.wandb, ["WandbRecorder"]),
        (
            neurockt.testing,
            ["Timing", "fixed_clock", "record", "seal", "temporary_recorder", "writer_timing"],
        ),
        (neurockt.torch, ["forward"]),
    ],
)
def test_the_public_names(module: ModuleType, names: list[str]) -> None:
    """``__all__`` is exactly this, everything in it exists, and has a docstring."""
    assert sorted(module.__all__) == names
    for name in names:
        value = getattr(module, name)
        assert isinstance(value, str) or inspect.getdoc(value)


@pytest.mark.parametrize(
    "owner",
    [
        neurockt.Run,
        neurockt.monitor.Recorder,
        neurockt.monitor.RecorderHelper,
        neurockt.monitor.wandb.WandbRecorder,
    ],
)
def test_every_public_method_is_documented(owner: type) -> None:
    """With a docstring."""
    undocumented = [
        name
        for name, member in inspect.getmembers(owner)
        if not name.startswith("_")
        and (callable(member) or isinstance(member, property))
        and not inspect.getdoc(member)
    ]
    assert undocumented == []


def test_the_error_tree_is_drawn_as_it_is() -> None:
    """The docstring of ``neurockt.errors`` names every error and nothing else."""
    classes = {
        name
        for name, value in vars(neurockt.errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    drawn = {
        word
        for line in (neurockt.errors.__doc__ or "").splitlines()
        for word in line.replace("├──", " ").replace("└──", " ").replace("│", " ").split()[:1]
        if line.startswith("    ")
    }
    assert drawn == classes - {"NeurocktWarning"}


@pytest.mark.parametrize(
    ("owner", "members"),
    [
        (neurockt.monitor.Recorder, RECORDER),
        (neurockt.monitor.wandb.WandbRecorder, RECORDER | {"url"}),
        (neurockt.monitor.RecorderHelper, {"metric", "track_scalar"}),
    ],
)
def test_the_public_members(owner: type, members: set[str]) -> None:
    """What a completion shows is what a training script uses; the recorder's own parts are elsewhere."""
    arguments = {neurockt.monitor.RecorderHelper: [neurockt.monitor.Recorder()]}
    options = {neurockt.monitor.wandb.WandbRecorder: {"mode": "disabled"}}
    made = owner(*arguments.get(owner, []), **options.get(owner, {}))
    assert {name for name in dir(made) if not name.startswith("_")} == members


def test_the_store_names_what_others_may_import() -> None:
    """Each name of ``__all__`` is there."""
    assert sorted(neurockt.store.__all__) == sorted(neurockt.store._HOMES)
    for name in neurockt.store.__all__:
        assert getattr(neurockt.store, name) is not None
    with pytest.raises(AttributeError):
        neurockt.store.nothing  # noqa: B018
