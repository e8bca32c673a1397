"""The documentation is true: its code runs, its terminal sessions print what they show, its bytes decode."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from wandb_server import KEY, WandbServer

from neurockt import list_runs, open_run
from neurockt.store.journal.records import JournalDecoder

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FORMAT = (ROOT / "neurockt" / "store" / "FORMAT.md").read_text(encoding="utf-8")

BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
PYTHON = [body for language, body in BLOCKS if language == "python"]
SESSIONS = [
    (command, output)
    for language, body in BLOCKS
    if language == "console"
    for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", body, re.MULTILINE)
]
SYNCS = [session for session in SESSIONS if session[0].startswith("neurockt sync")]
SESSIONS = [session for session in SESSIONS if session not in SYNCS]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WandbServer]:
    """A W&B server."""
    started = WandbServer()
    yield started
    started.stop()


def test_the_readme_has_something_to_check() -> None:
    """The patterns above find the blocks."""
    assert PYTHON
    assert len(SESSIONS) > 2


@pytest.mark.slow
def test_the_training_loop_of_the_readme_runs(tmp_path: Path) -> None:
    """Copied into a file it trains, prints its table and leaves a finished run."""
    script = tmp_path / "train.py"
    script.write_text(PYTHON[0])
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (run_dir,) = (tmp_path / "runs").iterdir()
    run = open_run(run_dir)
    assert run.state == "finished"
    assert len(run.epochs()) == len(done.stdout.splitlines()) - 1


def test_the_reading_example_of_the_readme_runs() -> None:
    """It reads the sample runs and prints a line for each."""
    done = subprocess.run([sys.executable, "-c", PYTHON[1]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(list_runs(ROOT / "sample_runs"))


def test_the_testing_example_of_the_readme_runs() -> None:
    """Its assertion holds."""
    exec(PYTHON[2], {})


@pytest.mark.slow
@pytest.mark.parametrize(("command", "output"), SESSIONS, ids=[command for command, _ in SESSIONS])
def test_the_terminal_sessions_of_the_readme(command: str, output: str) -> None:
    """Run in the repository, each command prints exactly what the README shows."""
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "120", "TZ": "UTC"},
    )
    assert done.stdout.rstrip().splitlines() == output.rstrip().splitlines(), done.stderr


@pytest.mark.slow
def test_the_syncs_of_the_readme(server: WandbServer, tmp_path: Path) -> None:
    """One after the other on a copy of the sample runs, with a server: each prints exactly what the README shows."""
    assert len(SYNCS) == 3
    shutil.copytree(ROOT / "sample_runs", tmp_path / "sample_runs")
    for command, output in SYNCS:
        done = run_beside(server, tmp_path, *shlex.split(command))
        assert (done.stdout, done.stderr) == (output, ""), command
    assert len(server.runs) == 12
    assert all(run.is_exact for run in server.runs.values())


@pytest.mark.slow
def test_the_recorder_of_the_readme_swaps(server: WandbServer, tmp_path: Path) -> None:
    """The training loop of the README with those lines in place of its own: the run is in W&B as well."""
    imported, made = PYTHON[3].strip().split("\n\n")
    script, count = re.subn(r"^recorder = .*$", f"{imported}\n{made}", PYTHON[0], flags=re.MULTILINE)
    assert count == 1
    (tmp_path / "train.py").write_text(script)
    done = run_beside(server, tmp_path, str(tmp_path / "train.py"))
    assert done.returncode == 0, done.stderr
    (run_dir,) = (tmp_path / "runs").iterdir()
    run = open_run(run_dir)
    assert len(server.only_run.rows) == len(run.steps()) + len(run.epochs())
    assert (server.only_run.state, server.only_run.project) == ("finished", "stripes")


def run_beside(server: WandbServer, directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A script, or a module, in a process that knows that server alone."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "PYTEST_"))}
    environment |= {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY, "HOME": str(directory)}
    how = [] if words[0].endswith(".py") else ["-m"]
    return subprocess.run(
        [sys.executable, *how, *words], cwd=directory, capture_output=True, text=True, check=False, env=environment
    )


def test_the_files_the_readme_points_to_exist() -> None:
    """Links and pictures with a relative path."""
    prose = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", prose):
        assert (ROOT / target).exists(), target


def test_ci_runs_the_test_command_of_the_readme() -> None:
    """Every command of the README is a target of the Makefile, and `.ci/run` calls `make test` and nothing else."""
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^make (\w+)", README, re.MULTILINE)
    assert {"demo", "check", "test"} <= set(targets)
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []
    commands = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line and not line.startswith("#")]
    assert commands == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "make test"]


def test_the_worked_example_of_the_format_decodes() -> None:
    """The bytes in FORMAT.md are a journal of one row."""
    lines = re.findall(r"^    ((?:[0-9a-f]{2} )+)", FORMAT, re.MULTILINE)
    (rows,) = JournalDecoder().feed(bytes.fromhex("".join(lines)))
    assert rows.columns == ("loss",)
    number, other, time_ns, values, _ = rows.data[0]
    assert (number, other, values.tolist()) == (1, 1, [0.5])
    assert time_ns == 1_795_428_900 * 10**9


def test_the_numbers_of_the_format_are_those_of_the_code() -> None:
    """Limits that FORMAT.md states."""
    from neurockt.store.journal import records
    from neurockt.store.owner import liveness
    from neurockt.store.tables import parts
    from neurockt.store.writing.timing import Timing

    assert f"{parts.PART_ROWS:,} rows or {parts.PART_BYTES >> 20} MiB" in FORMAT
    assert f"row groups of at most {parts.ROW_GROUP_ROWS:,} rows" in FORMAT
    timing = Timing()
    assert f"every minute, at {timing.seal_rows:,} rows or at {timing.seal_bytes >> 20} MiB" in FORMAT
    assert timing.seal == 60.0
    assert f"0x{records.NULL_BITS:X}" in FORMAT
    assert f"has not moved for {liveness.STALE_SECONDS:.0f} seconds" in FORMAT
    assert f"every {timing.heartbeat:.0f} seconds while the process lives" in FORMAT
    assert f"fsynced every {timing.sync:.0f} seconds" in FORMAT


def test_words_that_a_reader_has_to_translate_are_absent() -> None:
    """From source and documents."""
    odd = re.compile(r"\b(amid|anew|lest|likewise|came to|comes to)\b", re.IGNORECASE)
    texts = [
        path for name in ("neurockt", "viewer") for path in (ROOT / name).rglob("*") if path.suffix in (".py", ".md")
    ]
    texts += [ROOT / "README.md", ROOT / "CHANGELOG.md"]
    lines = ((path, line) for path in texts for line in path.read_text(encoding="utf-8").splitlines())
    assert [f"{path.relative_to(ROOT)}: {line.strip()}" for path, line in lines if odd.search(line)] == []
