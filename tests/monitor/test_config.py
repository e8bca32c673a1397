"""``recorder.config``: a dict with attribute access that copies, pickles, becomes JSON and can be assigned."""

from __future__ import annotations

import argparse
import copy
import io
import json
import pickle
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from neurockt import open_run
from neurockt.monitor import Recorder
from neurockt.testing import record

PLAIN: dict[str, Any] = {
    "lr": 0.1,
    "optimizer": {"name": "adam", "betas": [0.9, 0.99], "groups": {"head": {"lr": 1.0}}},
}


@pytest.fixture
def configured(make_recorder: Callable[..., Recorder]) -> Recorder:
    """A recorder with a nested config and one row."""
    recorder = make_recorder(quiet=True, config=PLAIN)
    record(recorder, {"loss": [1.0]})
    return recorder


def stored(recorder: Recorder) -> Any:
    """The config in ``run.json``."""
    return open_run(recorder.run_dir).info.config


def wait_until_stored(recorder: Recorder, config: Any) -> None:
    """Fails if the config is not in ``run.json`` soon, while the run goes on."""
    until = time.monotonic() + 60
    while stored(recorder) != config:
        assert time.monotonic() < until, stored(recorder)
        time.sleep(0.02)


@pytest.mark.parametrize(
    "through",
    [
        copy.copy,
        copy.deepcopy,
        dict,
        lambda config: config.copy(),
        lambda config: config | {},
        lambda config: pickle.loads(pickle.dumps(config)),
        lambda config: pickle.loads(pickle.dumps({"config": config, "again": config}))["again"],
        lambda config: json.loads(json.dumps(config)),
    ],
)
def test_the_config_is_equal_however_it_travels(configured: Recorder, through: Callable[[Any], Any]) -> None:
    """Copies, pickles and JSON, inside a checkpoint too; a copy does not change the run."""
    assert configured.config == PLAIN
    twin = through(configured.config)
    assert twin == PLAIN
    assert isinstance(twin, dict)
    twin["lr"] = 0.5
    assert configured.config == PLAIN


def test_a_checkpoint_loads_without_neurockt(configured: Recorder) -> None:
    """torch.load accepts it with ``weights_only``, its default: plain data, none of our classes."""
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    torch.save({"config": configured.config, "nested": configured.config.optimizer}, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    assert loaded == {"config": PLAIN, "nested": PLAIN["optimizer"]}
    assert b"neurockt" not in pickle.dumps(configured.config)


def test_a_deep_copy_is_independent(configured: Recorder) -> None:
    """It has attributes as well, and what is changed in it stays in it."""
    twin = copy.deepcopy(configured.config)
    twin.optimizer.groups.head.lr = 2.0
    assert configured.config == PLAIN
    assert twin.optimizer.groups.head.lr == 2.0


def test_attributes_are_items(configured: Recorder) -> None:
    """Nested too; a missing one is an AttributeError, so ``getattr`` with a default works."""
    config = configured.config
    assert config.lr == 0.1
    assert config.optimizer.groups.head.lr == 1.0
    config.seed = 3
    config.optimizer.name = "sgd"
    del config.lr
    assert config == {"seed": 3, "optimizer": {**PLAIN["optimizer"], "name": "sgd"}}
    assert getattr(config, "momentum", None) is None
    with pytest.raises(AttributeError, match="momentum"):
        config.momentum  # noqa: B018
    with pytest.raises(AttributeError, match="momentum"):
        del config.momentum
    assert {"lr", "seed", "optimizer"} - set(dir(config)) == {"lr"}


def clear_nested(config: Any) -> None:
    config["optimizer"].clear()


def replace_in_place(config: Any) -> None:
    config |= {"lr": 0.2}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda config: config.update(lr=0.2), {**PLAIN, "lr": 0.2}),
        (lambda config: config.update([("lr", 0.2)], seed=1), {**PLAIN, "lr": 0.2, "seed": 1}),
        (lambda config: config.update(argparse.Namespace(lr=0.2)), {**PLAIN, "lr": 0.2}),
        (replace_in_place, {**PLAIN, "lr": 0.2}),
        (lambda config: config.setdefault("seed", {}).update(a=1), {**PLAIN, "seed": {"a": 1}}),
        (lambda config: config.pop("optimizer"), {"lr": 0.1}),
        (lambda config: config.popitem(), {"lr": 0.1}),
        (lambda config: config.clear(), {}),
        (clear_nested, {"lr": 0.1, "optimizer": {}}),
        (lambda config: config["optimizer"]["groups"].update(tail={"lr": 3}), None),
        (lambda config: config.__setitem__("new", {"a": {"b": 1}}), {**PLAIN, "new": {"a": {"b": 1}}}),
    ],
)
def test_every_change_reaches_the_run_while_it_goes_on(
    configured: Recorder, change: Callable[[Any], Any], expected: Any
) -> None:
    """Within about a second, at any depth."""
    change(configured.config)
    if expected is None:
        expected = copy.deepcopy(PLAIN)
        expected["optimizer"]["groups"]["tail"] = {"lr": 3}
    assert configured.config == expected
    wait_until_stored(configured, expected)


def test_a_value_that_was_assigned_is_watched_too(configured: Recorder) -> None:
    """Also where it replaces one, and where it is assigned nested."""
    configured.config["a"] = {"b": {"c": 1}}
    wait_until_stored(configured, {**PLAIN, "a": {"b": {"c": 1}}})
    configured.config["a"]["b"]["c"] = 2
    wait_until_stored(configured, {**PLAIN, "a": {"b": {"c": 2}}})


@pytest.mark.parametrize("before", [True, False])
def test_the_config_can_be_assigned(recorder: Recorder, before: bool) -> None:
    """Before the first row and after it, and added to afterwards; what the name referred to follows."""
    config = recorder.config
    if not before:
        record(recorder, {"loss": [1.0]})
    recorder.config = argparse.Namespace(lr=0.1, nested={"a": 1})
    assert recorder.config is config
    if before:
        record(recorder, {"loss": [1.0]})
    recorder.config.nested.a = 2
    recorder.finish()
    assert stored(recorder) == {"lr": 0.1, "nested": {"a": 2}}


def test_assigning_the_config_to_itself_changes_nothing(configured: Recorder) -> None:
    """As ``recorder.config |= {...}`` does."""
    configured.config |= {"seed": 1}
    configured.config = configured.config
    assert configured.config == {**PLAIN, "seed": 1}


def test_a_config_that_holds_itself(make_recorder: Callable[..., Recorder]) -> None:
    """Is recorded, copied and pickled as far as it goes."""
    loop: dict[str, Any] = {"lr": 0.1}
    loop["self"] = loop
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"deeper": deep}
    recorder = make_recorder(quiet=True, config={"loop": loop})
    recorder.config["deep"] = deep
    record(recorder, {"loss": [1.0]})
    assert copy.deepcopy(recorder.config.loop).self.self.lr == 0.1
    assert pickle.loads(pickle.dumps(recorder.config.loop))["self"]["lr"] == 0.1
    recorder.finish()
    assert stored(recorder)["loop"]["lr"] == 0.1


def test_a_dict_whose_own_items_fail_is_kept(make_recorder: Callable[..., Recorder]) -> None:
    class Failing(dict[str, int]):
        def items(self) -> Any:
            raise ValueError("no items")

    recorder = make_recorder(config={"inner": Failing(a=1)})
    assert recorder.config == {"inner": {"a": 1}}


def test_one_object_that_is_gone_hides_no_other_setting(make_recorder: Callable[..., Recorder]) -> None:
    """As a value, deeper, and as a key: whatever is asked of a proxy of what is gone raises."""
    gone: Any = weakref.proxy(set())
    recorder = make_recorder(quiet=True, config={"lr": 0.1, "model": gone, "all": [1, gone]})
    record(recorder, {"loss": [1.0]})
    recorder.config["net"] = {"inner": gone}
    recorder.config[Unprintable()] = 2  # type: ignore[index]
    recorder.finish()
    text = open_run(recorder.run_dir).info.config["model"]
    assert open_run(recorder.run_dir).info.config == {
        "lr": 0.1,
        "model": text,
        "all": [1, text],
        "net": {"inner": text},
        "Unprintable that cannot be read: OSError('no text')": 2,
    }
    assert "ReferenceError" in text


class Unprintable:
    def __str__(self) -> str:
        raise OSError("no text")
