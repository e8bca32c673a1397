"""neurockt/API.md: the public names with arguments and docstrings, read from the source without importing anything.

``make api`` writes it; a test compares it.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

ROOT = Path(__file__).parent.parent
SECTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "Record": {
        "neurockt.monitor.recorder": ("Recorder",),
        "neurockt.monitor.helper": ("RecorderHelper",),
        "neurockt.monitor.capture.mean": ("torch_mean",),
        "neurockt.torch": ("forward",),
        "neurockt.monitor.wandb": ("WandbRecorder",),
        "neurockt.monitor.attached": ("attach", "Attached"),
    },
    "With a trainer": {
        "neurockt.integrations.lightning": ("NeurocktLogger",),
        "neurockt.integrations.transformers": ("NeurocktCallback",),
        "neurockt.integrations.accelerate": ("NeurocktTracker",),
        "neurockt.integrations.ignite": ("NeurocktLogger",),
        "neurockt.integrations.tensorboard": ("SummaryWriter",),
    },
    "Read": {
        "neurockt.store.reading.run": ("open_run", "Run"),
        "neurockt.catalogue": ("list_runs",),
        "neurockt.sql": ("connect",),
    },
    "Test": {
        "neurockt.testing": ("temporary_recorder", "record", "seal", "fixed_clock", "writer_timing"),
    },
}
"""By heading and module, what is public."""
HOMES = {
    "neurockt.monitor": ("Recorder", "RecorderHelper", "torch_mean"),
    "neurockt": ("attach", "open_run", "list_runs", "connect", "Run"),
}
"""Where users import from, if it is not the module."""
FIELDS = re.compile(r"(Args|Returns|Yields|Raises):")


def page() -> str:
    """The text of neurockt/API.md."""
    lines = ["# API", "", "Written by `make api` from the docstrings.", ""]
    for heading, modules in SECTIONS.items():
        lines += [f"## {heading}", ""]
        for module, names in modules.items():
            found = {node.name: node for node in _tree(module).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
            for name in names:
                home = next((home for home, known in HOMES.items() if name in known), module)
                how = "made by `attach`" if name == "Attached" else f"`from {home} import {name}`"
                lines += [f"### {name}", "", how, "", *_about(found[name])]
    return "\n".join(lines).rstrip() + "\n"


def _tree(module: str) -> ast.Module:
    path = ROOT.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def _about(node: ast.FunctionDef | ast.ClassDef) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef):
        yield from (f"```python\n{_signature(node, node.name)}\n```", "", *_text(node))
        return
    methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
    made = [each for each in methods if each.name == "__init__"] if node.name != "Attached" else []
    yield from (line for each in made for line in (f"```python\n{_signature(each, node.name)}\n```", ""))
    yield from _text(node)
    for each in made:
        yield from _text(each)
    for each in methods:
        marks = {ast.unparse(mark) for mark in each.decorator_list}
        called = "()" if each.name == "__call__" else f".{each.name}"
        is_public = not each.name.startswith("_") or each.name == "__call__"
        if not is_public or not ast.get_docstring(each) or any(mark.endswith(".setter") for mark in marks):
            continue
        is_value = marks & {"property", "cached_property"}
        shown = f".{each.name}" if is_value else _signature(each, called.removesuffix("()"))
        yield from (f"#### `{shown}`", "", *_text(each))


def _signature(node: ast.FunctionDef, name: str) -> str:
    arguments = node.args
    for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
        if each is not None:
            each.annotation = None
    text = ast.unparse(arguments)
    text = re.sub(r"^self(, /)?(, )?", "", text)
    return f"{name}({text})"


def _text(node: ast.FunctionDef | ast.ClassDef) -> Iterator[str]:
    """A docstring as Markdown: paragraphs, and a list of the arguments, results and errors."""
    lines = cleandoc(ast.get_docstring(node) or "").replace("``", "`").splitlines()
    if not lines:
        return
    section = ""
    for line in lines:
        if found := FIELDS.fullmatch(line):
            section = found[1]
            yield from (f"{line}", "")
        elif section in ("Args", "Raises") and (entry := re.match(r"    ([\w, ]+): (.*)", line)):
            yield f"- `{entry[1]}`: {entry[2]}"
        elif section and line.startswith("    "):
            yield f"  {line.strip()}" if section in ("Args", "Raises") else line.strip()
        else:
            section = section if line else ""
            yield line
    yield ""


if __name__ == "__main__":
    sys.stdout.write(page())
