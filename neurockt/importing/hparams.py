"""Hyperparameters beside a run: `hparams.yaml` and files like it. What such a file would run is kept as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from neurockt.store.base import files

NAMES: Final = ("hparams.yaml", "args.yaml", "opt.yaml", "hyp.yaml")
"""By Lightning, and by Ultralytics and YOLOv5; an earlier one counts over a later."""

LIMIT: Final = 2**20
"""Bytes of such a file: a parser of YAML takes seconds for more."""


def read(directory: Path) -> tuple[dict[str, Any], list[str]]:
    """The config in a directory's files, and what the user should know of them."""
    found: dict[str, Any] = {}
    remarks: list[str] = []
    for name in NAMES:
        path = directory / name
        try:
            data = files.read_if_there(path)
        except OSError as error:
            remarks.append(f"cannot read {path}: {error.strerror}")
            continue
        if data is None:
            continue
        if len(data) > LIMIT:
            remarks.append(f"{path} is left out: it has more than {LIMIT // 2**20} MiB")
            continue
        try:
            document = _load(data.decode("utf-8", "replace"))
        except ImportError:
            remarks.append(f"{path} is left out: pip install pyyaml")
        except Exception as error:  # a parser of foreign text may raise anything
            remarks.append(f"cannot read {path}: {type(error).__name__}")
        else:
            if isinstance(document, dict):
                found = {**document, **found}
    return found, remarks


def _load(text: str) -> Any:
    """The document in a text of YAML. A node with a tag of Python's is the value it is made of; nothing is called."""
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML declares no types
        pass

    def keep(loader: Any, suffix: str, node: Any) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return loader.construct_scalar(node) or suffix.rpartition(":")[2]
        if isinstance(node, yaml.SequenceNode):
            return loader.construct_sequence(node, deep=True)
        return loader.construct_mapping(node, deep=True)

    Loader.add_multi_constructor("", keep)
    return yaml.load(text, Loader)  # noqa: S506  (it builds plain values only)
