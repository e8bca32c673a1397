"""Configs of OmegaConf, pydantic and attrs as JSON; none of them is imported for it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import msgspec
import pytest

from neurockt.store.base.json_values import mapping_of, plain


@dataclasses.dataclass
class Settings:
    width: int = 64


def test_omegaconf() -> None:
    """Interpolations are resolved, what is missing is told as it was written, and lists are lists."""
    OmegaConf = pytest.importorskip("omegaconf").OmegaConf
    config = OmegaConf.create(
        {"width": 64, "model": {"hidden": "${width}", "layers": [{"size": "${width}"}, 2]}, "name": "???"}
    )
    expected = {"width": 64, "model": {"hidden": 64, "layers": [{"size": 64}, 2]}, "name": "???"}
    assert mapping_of(config) == expected
    assert plain(config) == expected
    assert plain({"cfg": config.model}) == {"cfg": expected["model"]}
    assert plain(config.model.layers) == [{"size": 64}, 2]
    assert plain(OmegaConf.structured(Settings(width=3))) == {"width": 3}
    unresolved = OmegaConf.create({"a": 1, "b": "${nowhere.to.be.found}"})
    assert mapping_of(unresolved) == {"a": 1, "b": "${nowhere.to.be.found}"}


def test_pydantic_and_attrs() -> None:
    """Their models are mappings, at the top and nested; a secret of pydantic's stays one."""
    pydantic = pytest.importorskip("pydantic")
    attrs = pytest.importorskip("attrs")

    class Inner(pydantic.BaseModel):
        lr: float = 0.1
        token: pydantic.SecretStr = pydantic.SecretStr("hunter2")

    class Outer(pydantic.BaseModel, extra="allow"):
        inner: Inner = Inner()

    Grid = attrs.make_class("Grid", {"width": attrs.field(default=3), "inner": attrs.field(factory=Inner)})
    inner = {"lr": 0.1, "token": "**********"}
    assert plain(mapping_of(Outer(more=[1]))) == {"inner": inner, "more": [1]}
    assert plain({"grid": Grid()}) == {"grid": {"width": 3, "inner": inner}}


def test_msgspec() -> None:
    """A Struct has fields, whether it is the config or a value in it."""
    Inner = msgspec.defstruct("Inner", [("lr", float, 0.1)], frozen=True)
    Outer = msgspec.defstruct("Outer", [("width", int, 3), ("inner", Inner, Inner())])
    assert plain(mapping_of(Outer())) == plain({"a": Outer()})["a"] == {"width": 3, "inner": {"lr": 0.1}}


def test_nothing_is_imported_for_it() -> None:
    """Neither OmegaConf nor pydantic nor numpy is loaded to see whether a value is theirs."""
    code = """
import sys
from neurockt.store.base.json_values import plain
before = set(sys.modules)
plain({"a": [1, object()]})
print(*sorted((set(sys.modules) - before) | {"omegaconf", "pydantic", "numpy", "attrs"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.split() == []
