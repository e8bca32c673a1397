"""Runs made with the recorder, and the command run in this process."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from neurockt import testing
from neurockt.cli import main
from neurockt.monitor import Recorder

HOSTILE = "a\x1b]0;owned\x07\x1b[2Jb\u202ec\r\nd"
"""Text that retitles a terminal, clears it, turns its direction and breaks the line."""


class Done(NamedTuple):
    """What a command came to."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as strict JSON."""

        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} is not JSON")

        return json.loads(self.out, parse_constant=refuse)


class Terminal(StringIO):
    """An output that says it is a terminal; ``COLUMNS`` says how wide."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def neurockt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Done]:
    """Runs the command with these words, in a directory of its own; ``terminal=60`` has it write to one so wide.

    Without colours, unless ``colour``.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NEUROCKT_DIR", raising=False)

    def run(*words: object, terminal: int | None = None, colour: bool = False) -> Done:
        monkeypatch.setenv("NO_COLOR", "" if colour else "1")
        monkeypatch.setenv("TERM", "xterm-256color")
        out, err = StringIO() if terminal is None else Terminal(), StringIO()
        if terminal is not None:
            monkeypatch.setenv("COLUMNS", str(terminal))
        with redirect_stdout(out), redirect_stderr(err):
            status = main([str(word) for word in words])
        return Done(status, out.getvalue(), err.getvalue())

    return run


def record(
    root: Path,
    steps: dict[str, list[float | None]],
    epochs: dict[str, list[float | None]] | None = None,
    finish: bool = True,
    **about: Any,
) -> Recorder:
    """A run whose columns hold these values, null for None."""
    recorder = Recorder(root, quiet=True, system_seconds=None, **about)
    testing.record(recorder, steps, epochs)
    if finish:
        recorder.finish()
    return recorder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three finished runs: ``slow``, ``fast`` and one that diverged."""
    root = tmp_path / "runs"
    for index, (name, rate, loss, acc) in enumerate(
        [("slow", 1e-4, 0.9, 0.5), ("fast", 1e-2, 0.1, 0.97), ("diverged", 1.0, math.nan, 0.1)]
    ):
        record(
            root,
            {"train_loss": [2.0, 1.0, loss]},
            {"valid_loss": [1.5, loss], "acc": [0.1, acc]},
            name=name,
            run_id=f"r{index}",
            project="digits",
            tags=("paper",) if index else (),
            config={"lr": rate, "model": {"width": 32 * (index + 1)}},
            notes="first line\nsecond line",
        )
    return root


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A run in which every text that the user chooses is hostile, and ``run.json`` was made worse by hand."""
    root = tmp_path / "hostile"
    recorder = record(
        root,
        {"损失/train, \"a\" 'b'\u202e": [1.0]},
        {"μ=acc": [0.5]},
        name=HOSTILE,
        project=HOSTILE,
        group=HOSTILE,
        tags=(HOSTILE,),
        notes=HOSTILE,
        run_id="bad",
        config={HOSTILE: {HOSTILE: HOSTILE, "list": [HOSTILE]}},
    )
    path = recorder.run_dir / "run.json"
    document = json.loads(path.read_bytes())
    document["state"] = "failed"
    document["failure"] = {"type": HOSTILE, "message": HOSTILE, "traceback": HOSTILE}
    document["attempts"][0]["host"] = HOSTILE
    document["epochs"]["columns"][HOSTILE] = document["epochs"]["columns"]["μ=acc"]
    path.write_text(json.dumps(document))
    return root


@pytest.fixture
def odd_values(tmp_path: Path) -> Path:
    """A run of numbers that text formats get wrong, two of its columns with names that need quotes."""
    shuffled = random.Random(7)
    values = [0.1, 1 / 3, -0.0, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan, None]
    values += [shuffled.uniform(-1, 1) * 10.0 ** shuffled.randint(-300, 300) for _ in range(200)]
    other = [None if index % 3 else 0.5 for index in range(len(values))]
    return record(tmp_path / "runs", {'val,"odd" λ': values, "sparse": other}, run_id="odd").run_dir


@pytest.fixture
def live_run(tmp_path: Path) -> Iterator[Path]:
    """A run that this process is writing."""
    recorder = record(tmp_path / "runs", {"loss": [1.0, 0.5]}, {"acc": [0.5]}, finish=False, run_id="live")
    yield recorder.run_dir
    with suppress(Exception):
        recorder.finish()
