"""What the shell completes: asked by a real bash, as it asks at each press of Tab."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from neurockt import attach
from neurockt.store import Edit, edit_run

from .conftest import Done, record

Command = Callable[..., Done]

PRESS_TAB = """
COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9
_python_argcomplete neurockt
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def complete(tmp_path: Path, neurockt: Command) -> Callable[..., list[str]]:
    """Gives what bash puts in the place of the last word of a line, in a directory where ``runs`` may be."""
    code = neurockt("completion", "bash").out
    program = tmp_path / "bin" / "neurockt"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m neurockt "$@"\n')
    program.chmod(0o755)

    def press_tab(line: str) -> list[str]:
        path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
        words = ["bash", "-c", code + PRESS_TAB, "bash", line]
        done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PATH": path}, cwd=tmp_path)
        assert done.stderr == ""
        return done.stdout.split("\n")[:-1]

    return press_tab


@pytest.mark.slow
def test_commands_options_runs_fields_and_files(complete: Callable[..., list[str]], runs: Path, tmp_path: Path) -> None:
    record(runs, {"loss": [1.0]}, run_id="r9", name="$(touch owned)\x1b[2J")
    record(runs, {"loss": [1.0]}, run_id="r8", name="$(touch owned); `x`")
    (tmp_path / "rows.csv").touch()
    assert complete("neurockt sho") == ["show "]
    assert complete("neurockt ls --col") == ["--columns "]
    assert complete("neurockt show r") == ["r0", "r1", "r2", "r8", "r9", "runs/"]
    assert complete("neurockt show fa") == ["fast "]
    assert complete("neurockt show --root nowhere fa") == [""]
    assert complete("neurockt export fast --table e") == ["epochs "]
    assert complete("neurockt export fast -o ro") == ["rows.csv "]
    assert complete("neurockt ls --sort cfg.") == ["cfg.lr", "cfg.model.width"]
    assert complete("neurockt ls --columns name,valid") == ["name,valid_loss "]
    assert complete("neurockt plot -m st") == [""], "the state of a run is not drawn"
    assert complete("neurockt tail --columns acc,valid") == ["acc,valid_loss "]
    assert complete("neurockt export --columns step,cfg.l") == ["step,cfg.lr "]
    with attach(runs / "r0", "mmlu") as evaluation:
        evaluation.log({"acc": 0.5}, step=1)
    assert complete("neurockt export slow --attached m") == ["mmlu "]
    assert complete("neurockt ls --filter 'fast valid") == ["fast valid_loss"]
    assert complete("neurockt edit fast --tag p") == ["paper "]
    edit_run(runs / "r2", Edit({"name": "zeta"}))
    assert complete("neurockt show ze") == ["zeta "], "as people have edited it"
    hostile = complete("neurockt show \\$")
    assert len(hostile) == 1
    assert "\x1b" not in hostile[0]
    assert shlex.split(hostile[0]) == ["$(touch owned); `x`"], "bash runs none of it"
    assert not (tmp_path / "owned").exists()


def test_the_code_is_for_the_shell_in_use(neurockt: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of ``$SHELL``, unless one is named."""
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert "complete --command neurockt" in neurockt("completion").out
    assert "compdef _python_argcomplete neurockt" in neurockt("completion", "zsh").out
    monkeypatch.setenv("SHELL", "/bin/dash")
    assert neurockt("completion").status == 2
    assert neurockt("completion").err == "neurockt: name the shell: neurockt completion bash|zsh|fish|tcsh\n"
