"""Configs of every kind as JSON: what the user wrote comes back, nested and all."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import enum
import itertools
import json
import math
import sys
import tempfile
from collections import ChainMap, OrderedDict, UserDict, deque, namedtuple
from collections.abc import Callable
from datetime import datetime, timezone
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import MappingProxyType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neurockt import open_run
from neurockt.errors import UsageError
from neurockt.monitor import Recorder
from neurockt.run_info import Attempt, RunInfo
from neurockt.store.base.json_values import ELLIPSIS, SIZE_LIMIT, mapping_of, plain, text_of, texts_of
from neurockt.store.base.run_file import read_info, write_info


class Schedule(enum.Enum):
    COSINE = 1


class Mode(str, enum.Enum):
    TRAIN = "train"


@dataclasses.dataclass
class Optimiser:
    lr: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    schedule: Schedule = Schedule.COSINE


@dataclasses.dataclass
class Settings:
    optimiser: Optimiser = dataclasses.field(default_factory=Optimiser)
    layers: list[Optimiser] = dataclasses.field(default_factory=lambda: [Optimiser(0.2)])
    where: Path = Path("/scratch/data")


OPTIMISER = {"lr": 0.1, "betas": [0.9, 0.95], "schedule": "COSINE"}
SETTINGS = {"optimiser": OPTIMISER, "layers": [{**OPTIMISER, "lr": 0.2}], "where": "/scratch/data"}
Point = namedtuple("Point", "x y")


class Slots:
    __slots__ = ("lr",)


class Rude:
    def __str__(self) -> str:
        raise RuntimeError("no")


class Named:
    def __str__(self) -> str:
        return "1"


class Lying(dict):
    def items(self) -> Any:
        return itertools.repeat(("a", 1))


class Endless(list):
    def __iter__(self) -> Any:
        return itertools.count()


class Number(int):
    def __int__(self) -> int:
        raise ValueError("no")


class Text(str):
    def encode(self, *_: Any) -> bytes:
        raise ValueError("no")


class Masked:
    @property
    def __class__(self) -> Any:
        raise RuntimeError("no")


class Disguised:
    def __getattr__(self, name: str) -> Any:
        raise OSError(self)

    def __repr__(self) -> str:
        raise RuntimeError("no")


class Shallow:
    """Each look gives another one of these."""

    def keys(self) -> list[str]:
        return ["a", "b"]

    def items(self) -> Any:
        return ()

    def __getitem__(self, key: str) -> Any:
        return Shallow()


class RudeMapping(UserDict):
    def __getitem__(self, key: Any) -> Any:
        raise RuntimeError("no")


class Keyed:
    """As ml_collections has it: keys and items, yet no Mapping."""

    def keys(self) -> list[str]:
        return ["lr"]

    def items(self) -> list[tuple[str, float]]:
        return [("lr", 0.1)]

    def __getitem__(self, key: str) -> float:
        return 0.1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Settings(), SETTINGS),
        ({"a": Settings()}, {"a": SETTINGS}),
        (argparse.Namespace(lr=0.1, nested=argparse.Namespace(a=1)), {"lr": 0.1, "nested": {"a": 1}}),
        (SimpleNamespace(a=SimpleNamespace(b=None)), {"a": {"b": None}}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (ChainMap({"a": 1}, {"b": 2}), {"b": 2, "a": 1}),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        ({"keyed": Keyed()}, {"keyed": {"lr": 0.1}}),
        ({1: "a", None: "b", Schedule.COSINE: "c", (1, 2): "d"}, {"1": "a", "None": "b", "COSINE": "c", "(1, 2)": "d"}),
        (Point(1, Point(2, 3)), {"x": 1, "y": {"x": 2, "y": 3}}),
        (deque([1, 2]), [1, 2]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset(), []),
        (range(10**12), "range(0, 1000000000000)"),
        (b"\xff", "b'\\xff'"),
        (Path("a/b"), "a/b"),
        (Mode.TRAIN, "train"),
        (Schedule.COSINE, "COSINE"),
        (True, True),
        (np.float32(0.5), 0.5),
        (np.float64("nan"), "NaN"),
        (np.longdouble(0.5), 0.5),
        (np.int64(2**62), 2**62),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.array(3), 3),
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        (-math.inf, "-Infinity"),
        (10**30, 10**30),
        (Decimal("0.10"), "0.10"),
        (1 + 2j, "(1+2j)"),
        (torch.float32, "torch.float32"),
        (torch.device("cpu"), "cpu"),
        (torch.tensor(0.5), 0.5),
        (torch.tensor([1, 2]), [1, 2]),
        (torch.Size([1, 2]), [1, 2]),
        (torch.nn.ReLU, "torch.nn.modules.activation.ReLU"),
        (math.sqrt, "math.sqrt"),
        (plain, "neurockt.store.base.json_values.plain"),
        ("\ud800", "?"),
        ({"\ud800": 1}, {"?": 1}),
        (Fraction(1, 4), 0.25),
        (Fraction(10**400), str(10**400)),
        (np.longdouble("1e4000"), "1e+4000"),
        (np.longdouble("inf"), "Infinity"),
        (np.datetime64("2026-11-23T10:15:00.000000001"), "2026-11-23T10:15:00.000000001"),
        (np.array(["2026-11-23"], "datetime64[D]"), ["2026-11-23"]),
        (np.array(b"a"), "b'a'"),
        (np.array([1 + 2j]), ["(1+2j)"]),
        (datetime(2026, 11, 23, 10, 15), "2026-11-23T10:15:00"),
        (Decimal("NaN"), "NaN"),
        (torch.ones(2, device="meta"), "tensor(..., device='meta', size=(2,))"),
        (torch.tensor(1.0, requires_grad=True), 1.0),
        (torch.tensor([1.0], dtype=torch.bfloat16), [1.0]),
        ({1: "a", "1": "b", Named(): "c", (): "d"}, {"1": "a", "1 (2)": "b", "1 (3)": "c", "()": "d"}),
    ],
)
def test_a_value_as_json(value: Any, expected: Any) -> None:
    """Numbers stay numbers, what has fields becomes a mapping, and strict JSON takes it."""
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_an_integer_that_python_would_not_read_is_text() -> None:
    """Of more than 4,300 digits."""
    assert plain(10**5000) == hex(10**5000)


def test_text_says_the_same_in_every_process() -> None:
    """No address in it, so that the configs of two runs compare equal."""
    assert plain(partial(test_a_value_as_json, 1)).startswith("functools.partial(<function test_a_value_as_json>, 1)")
    assert plain(object()) == "<object object>"


def test_long_arrays_and_texts_are_bounded() -> None:
    """A config is no place for data."""
    assert isinstance(plain(np.zeros(100_000)), str)
    assert len(plain(SimpleNamespace(a=Path("x" * 100_000)))["a"]) == 10_000


HOSTILE = [Rude, Lying, Endless, lambda: Number(3), lambda: Text("a"), Masked, Disguised, Shallow]


@pytest.mark.slow
@pytest.mark.parametrize("make", HOSTILE)
def test_no_value_costs_a_run(make: Callable[[], Any]) -> None:
    """Whatever its methods do, something is kept in its place, in bounded time and space."""
    found = plain({"lr": 0.1, "value": make(), "list": [make()]})
    assert found["lr"] == 0.1
    assert found["value"] is not None
    assert len(json.dumps(found, allow_nan=False)) < 100 * SIZE_LIMIT


@pytest.mark.parametrize("make", HOSTILE)
def test_a_hostile_config_is_refused_or_kept(make: Callable[[], Any]) -> None:
    """In the call that is given it."""
    with contextlib.suppress(UsageError):
        assert isinstance(mapping_of(make()), dict)


@pytest.mark.slow
def test_shared_values_do_not_multiply() -> None:
    """Sixty lists of two references each are more values than there are atoms."""
    doubled: Any = [1]
    for _ in range(60):
        doubled = [doubled, doubled]
    assert ELLIPSIS in json.dumps(plain(doubled), ensure_ascii=False)
    assert len(json.dumps(plain({"text": ["x" * 10**6] * 1000}))) < 200 * SIZE_LIMIT


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.text(st.characters(categories=["Cs", "Cc", "Lu"]))
    | st.binary()
    | st.complex_numbers()
    | st.decimals()
    | st.fractions()
    | st.datetimes()
    | st.integers().map(lambda power: 7 ** abs(power % 9000))
    | st.from_regex(r"-?(nan|inf|null|true|1e999)", fullmatch=True),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.integers() | st.none() | st.floats(), inner)
        | st.tuples(inner, inner)
        | st.sets(st.text() | st.integers() | st.floats() | st.binary())
        | inner.map(lambda value: SimpleNamespace(value=value))
    ),
    max_leaves=20,
)


@pytest.mark.slow
@given(st.dictionaries(st.text(), VALUES), VALUES, VALUES, st.lists(VALUES, max_size=3))
def test_what_is_written_is_read(config: dict[str, Any], name: Any, notes: Any, tags: list[Any]) -> None:
    """Any value anywhere gives a run.json that neurockt and strict JSON read, equal to the value's plain form."""
    with tempfile.TemporaryDirectory() as directory:
        now = datetime.now(timezone.utc)
        attempt = Attempt(1, "caf\udce9", 7, "", now)
        written = RunInfo(
            Path(directory), "id", now, name=name, notes=notes, tags=tuple(tags), config=config, attempts=(attempt,)
        )
        write_info(written)
        read = read_info(Path(directory))
        json.loads((Path(directory) / "run.json").read_bytes(), parse_constant=pytest.fail)
    assert read.config == plain(config)
    assert (read.name, read.notes, read.tags) == (text_of(name), text_of(notes), texts_of(tags))
    assert read.attempts[0].host == "caf?"


@pytest.mark.parametrize(
    ("value", "text"), [(3, "3"), (0.1, "0.1"), (True, "True"), (None, None), (["a", 1], "['a', 1]"), (Path("a"), "a")]
)
def test_a_name_as_text(value: Any, text: str | None) -> None:
    """A seed as a name, a fold as a group: kept as they print."""
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("value", "texts"),
    [((42, "baseline"), ("42", "baseline")), ("one", ("one",)), (None, ()), ({"b", "a"}, ("a", "b"))],
)
def test_tags_as_texts(value: Any, texts: tuple[str, ...]) -> None:
    """One or several, of any kind."""
    assert texts_of(value) == texts


def test_what_holds_itself_ends() -> None:
    """Directly, through others, and however deep."""
    loop: dict[str, Any] = {"a": 1}
    loop["self"] = loop
    loop["list"] = [loop]
    assert plain(loop) == {"a": 1, "self": ELLIPSIS, "list": [ELLIPSIS]}
    space = SimpleNamespace()
    space.up = SimpleNamespace(down=space)
    assert plain(space) == {"up": {"down": ELLIPSIS}}
    deep: Any = 1
    for _ in range(10_000):
        deep = [deep]
    assert ELLIPSIS in json.dumps(plain(deep), ensure_ascii=False)
    shared = [1]
    assert plain([shared, shared]) == [[1], [1]]


@pytest.mark.parametrize("module", ["omegaconf", "argparse"])
def test_a_module_that_another_thread_is_loading_is_no_obstacle(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A background thread stores values while the training script imports; the module lacks its classes then."""
    monkeypatch.setitem(sys.modules, module, ModuleType(module))
    assert plain({"lr": [0.1], "at": object}) == {"lr": [0.1], "at": "builtins.object"}


def test_a_class_that_refuses_is_named(tmp_path: Path) -> None:
    """And everything else of the config is kept."""
    config = {"lr": 0.1, "rude": Rude(), "mapping": RudeMapping(a=1)}
    recorder = Recorder(tmp_path, quiet=True, config=config)
    with recorder(train=True):
        pass
    recorder.finish()
    found = open_run(recorder.run_dir).config
    assert found["lr"] == 0.1
    assert found["rude"] == "Rude that cannot be read: RuntimeError('no')"
    assert "RudeMapping that cannot be read" in found["mapping"]


class Attributes:
    depth = 3

    def __init__(self) -> None:
        self.lr = 0.1
        self._private = 1


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (None, {}),
        (Attributes(), {"lr": 0.1}),
        (argparse.Namespace(lr=0.1), {"lr": 0.1}),
        (Settings(), {**vars(Settings())}),
        (Keyed(), {"lr": 0.1}),
        (Point(1, 2), {"x": 1, "y": 2}),
    ],
)
def test_what_a_config_may_be(config: Any, expected: dict[str, Any]) -> None:
    """Anything with names for its values."""
    assert mapping_of(config) == expected


@pytest.mark.parametrize("config", [3, "lr=0.1", ["lr"], {"lr"}, Slots()])
def test_what_it_may_not_be(config: Any) -> None:
    """A clear error at once."""
    with pytest.raises(UsageError, match="config must be a mapping"):
        Recorder(config=config)
