"""The documentation is true: its code runs, its terminal sessions print what they show, its bytes decode."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import preloaded
import pytest
from api_page import page
from wandb_server import KEY, WandbServer

import neurockt.testing
from neurockt import list_runs, open_run
from neurockt.monitor import Recorder
from neurockt.monitor.wandb import WandbRecorder
from neurockt.store.journal.records import JournalDecoder

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FORMAT = (ROOT / "neurockt" / "store" / "FORMAT.md").read_text(encoding="utf-8")

BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
PYTHON = [body for language, body in BLOCKS if language == "python"]
SQL = [body for language, body in BLOCKS if language == "sql"]
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


def example(part: str) -> str:
    """The example in Python that has this part."""
    (found,) = [body for body in PYTHON if part in body]
    return found


def run(code: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """A script, run in a directory; it must succeed."""
    done = preloaded.run([sys.executable, "-c", code], cwd=directory)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
def test_the_first_example_of_the_readme_runs(tmp_path: Path) -> None:
    """It has twelve lines at most, and leaves a finished run with a row for each step, from 0 on."""
    assert len(PYTHON[0].split("\n\n", 1)[1].strip().splitlines()) <= 12
    done = run(PYTHON[0], tmp_path)
    (run_dir,) = (tmp_path / "runs").iterdir()
    recorded = open_run(run_dir)
    assert recorded.steps()["step"].to_pylist() == list(range(300))
    assert recorded.epochs()["step"].to_pylist() == [99, 199, 299]
    assert recorded.state == "finished"
    assert f"neurockt: recording {run_dir.relative_to(tmp_path)}" in done.stderr


@pytest.mark.slow
def test_the_training_loop_of_the_readme_runs(tmp_path: Path) -> None:
    """It trains, prints its table and leaves a finished run."""
    (tmp_path / "train.py").write_text(example("TotalLoss"))
    done = preloaded.run([sys.executable, "train.py"], preload="torch", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (run_dir,) = (tmp_path / "runs").iterdir()
    recorded = open_run(run_dir)
    assert recorded.state == "finished"
    assert len(recorded.epochs()) == len(done.stdout.splitlines()) - 1


TRAINERS = re.findall(r"^\| ([^|]+) \| `([^`]+)` \| `(from neurockt\.integrations\.[^`]+)` \|$", README, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize(("trainer", "line", "imported"), TRAINERS, ids=[trainer for trainer, *_ in TRAINERS])
def test_the_lines_for_trainers_of_the_readme_run(
    trainer: str, line: str, imported: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the framework is installed: the import works, and the adapter takes those arguments."""
    assert len(TRAINERS) == 7
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {
        name: lambda **options: options for name in ("Trainer", "Fabric", "SFTTrainer", "Accelerator")
    }
    if trainer == "Ignite":
        engine = pytest.importorskip("ignite.engine")
        namespace |= {"trainer": engine.Engine(lambda engine, batch: None), "Events": engine.Events}
    try:
        exec(imported, namespace)
    except ModuleNotFoundError as error:
        pytest.skip(f"{error}")
    eval(line, namespace)


@pytest.mark.slow
def test_the_process_beside_the_run_of_the_readme(tmp_path: Path) -> None:
    """What it attaches is read with the run."""
    shutil.copytree(ROOT / "sample_runs", tmp_path / "sample_runs")
    run(example("neurockt.attach"), tmp_path)
    run_dir = open_run(tmp_path / "sample_runs" / "adam-0.003-s0")
    assert [(name, each.epochs()["acc"].to_pylist()) for name, each in run_dir.attached.items()] == [("mmlu", [0.71])]
    assert list(run_dir.info.attached_metrics) == ["mmlu/acc", "brier"]


def test_the_reading_example_of_the_readme_runs() -> None:
    """It reads the sample runs and prints a line for each."""
    assert len(run(example("run.follow()"), ROOT).stdout.splitlines()) == len(list_runs(ROOT / "sample_runs"))


def test_the_sql_of_the_readme_runs() -> None:
    """Over the files alone, without neurockt."""
    duckdb = pytest.importorskip("duckdb")
    rows = duckdb.sql(SQL[0].replace("'runs/", f"'{ROOT}/sample_runs/")).fetchall()
    assert len(rows) == 20


def test_the_testing_example_of_the_readme_runs() -> None:
    """Its assertion holds."""
    exec(example("testing.temporary_recorder"), {})


def test_what_the_readme_says_of_the_recorder_exists() -> None:
    """In code and tables: its members, and the arguments of Recorder and WandbRecorder."""
    assert set(re.findall(r"\brecorder\.(\w+)", README)) <= {*dir(Recorder)}
    for kind in (Recorder, WandbRecorder):
        taken = {*inspect.signature(Recorder).parameters, *inspect.signature(kind).parameters}
        for arguments in re.findall(rf"\b{kind.__name__}\(([^()]*)\)", README):
            assert set(re.findall(r"(\w+)=", arguments)) <= taken, arguments


def test_the_page_on_the_api_is_that_of_the_source() -> None:
    """neurockt/API.md is what ``make api`` writes, and names everything that is public."""
    text = (ROOT / "neurockt" / "API.md").read_text(encoding="utf-8")
    assert text == page(), "run `make api`"
    public = {*neurockt.__all__, *neurockt.monitor.__all__, *neurockt.testing.__all__} - {"__version__", "Timing"}
    assert public <= set(re.findall(r"^### (\w+)$", text, re.MULTILINE))


@pytest.mark.slow
@pytest.mark.parametrize(("command", "output"), SESSIONS, ids=[command for command, _ in SESSIONS])
def test_the_terminal_sessions_of_the_readme(command: str, output: str, tmp_path: Path) -> None:
    """Each command prints exactly what the README shows, run beside a copy of the sample runs."""
    shutil.copytree(ROOT / "sample_runs", tmp_path / "sample_runs")
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "120", "TZ": "UTC"},
    )
    assert _without_ages(done.stdout + done.stderr) == _without_ages(output)


def _without_ages(printed: str) -> list[str]:
    """The lines, without how long ago something was: that changes from day to day."""
    without = re.sub(r"\d+ \w+ ago(, \w+ \d+ \d\d:\d\d|, \d{4}-\d\d-\d\d)?", "some time ago", printed)
    return [re.sub(" +", " ", line) if "some time ago" in line else line for line in without.rstrip().splitlines()]


@pytest.mark.slow
def test_the_syncs_of_the_readme(server: WandbServer, tmp_path: Path) -> None:
    """One after the other on a copy of the sample runs, with a server: each prints exactly what the README shows."""
    assert len(SYNCS) == 3
    shutil.copytree(ROOT / "sample_runs", tmp_path / "sample_runs")
    for command, output in SYNCS:
        words = [sys.executable, "-m", *shlex.split(command)]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env=beside(server, tmp_path))
        assert (done.stdout, done.stderr) == (output, ""), command
    assert len(server.runs) == 12
    assert all(run.is_exact for run in server.runs.values())


@pytest.mark.slow
def test_the_recorder_of_the_readme_swaps(server: WandbServer, tmp_path: Path) -> None:
    """The training loop of the README with those lines in place of its own: the run is in W&B as well."""
    imported, made = example("WandbRecorder(").strip().split("\n\n")
    script, count = re.subn(r"^recorder = .*$", f"{imported}\n{made}", example("TotalLoss"), flags=re.MULTILINE)
    assert count == 1
    (tmp_path / "train.py").write_text(script)
    command = [sys.executable, "train.py"]
    done = preloaded.run(command, preload="torch", cwd=tmp_path, env=beside(server, tmp_path))
    assert done.returncode == 0, done.stderr
    (run_dir,) = (tmp_path / "runs").iterdir()
    run = open_run(run_dir)
    assert len(server.only_run.rows) == len(run.steps()) + len(run.epochs())
    assert (server.only_run.state, server.only_run.project) == ("finished", "stripes")


def beside(server: WandbServer, home: Path) -> dict[str, str]:
    """The environment of a process that knows that server alone."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "PYTEST_"))}
    return {**kept, "WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY, "HOME": str(home)}


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
