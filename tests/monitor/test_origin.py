"""Where a run came from: real scripts in real repositories, what is kept of them, and what never is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import preloaded
import pytest
from leftovers import nothing_left
from monitor.scripts import ENVIRONMENT

from neurockt import open_run
from neurockt.cli import main
from neurockt.monitor.context.git import Git
from neurockt.monitor.context.origin import installed_packages
from neurockt.store.base.origin import Origin, origin_path, read_origin

pytestmark = pytest.mark.slow

SCRIPT = """
import sys
from neurockt.monitor import Recorder
recorder = Recorder("runs", run_id="run", quiet=True, save_diff="--diff" in sys.argv)
loss = recorder.track_scalar("loss")(float)
with recorder(train=True):
    loss(1.0)
recorder.finish()
"""
SECRET = "hunter2-S3CR3T"


def git(directory: Path, *words: str) -> str:
    """Runs git, whoever the user is."""
    settings = [
        item
        for setting in ("user.name=me", "user.email=me@example.org", "init.defaultBranch=main")
        for item in ("-c", setting)
    ]
    done = subprocess.run(["git", *settings, *words], cwd=directory, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A directory that holds a training script, not in a repository."""
    directory = tmp_path / "code"
    directory.mkdir()
    (directory / "train.py").write_text(SCRIPT)
    return directory


@pytest.fixture
def repository(code: Path) -> Path:
    """The same, committed on the branch ``main``, with a remote whose address holds a password."""
    git(code, "init", "-q")
    (code / ".gitignore").write_text("runs\n")
    git(code, "add", ".")
    git(code, "commit", "-qm", "first")
    git(code, "remote", "add", "origin", f"https://me:{SECRET}@example.org/me/code.git")
    return code


def train(code: Path, *arguments: str, cwd: Path | None = None, **environment: str) -> Origin | None:
    """Runs the script to its end; gives where its run came from."""
    command = [sys.executable, code / "train.py", *arguments]
    done = preloaded.run(command, cwd=cwd or code, env={**ENVIRONMENT, **environment})
    assert (done.returncode, done.stderr) == (0, "")
    return open_run((cwd or code) / "runs" / "run").origin()


def test_what_is_kept_of_a_run(repository: Path, driver: Path) -> None:
    """Command, directory, commit, machine and versions."""
    command = [sys.executable, "-u", repository / "train.py", "--lr", "0.1"]
    gpus = {"LD_LIBRARY_PATH": str(driver), "CUDA_VISIBLE_DEVICES": "1,0"}
    subprocess.run(command, cwd=repository, env={**ENVIRONMENT, **gpus}, check=True)
    origin = open_run(repository / "runs" / "run").origin()
    assert origin is not None
    assert origin.command == (sys.executable, "-u", str(repository / "train.py"), "--lr", "0.1")
    assert origin.directory == str(repository)
    assert origin.git is not None
    assert origin.git.root == str(repository)
    assert (origin.git.commit, origin.git.branch) == (git(repository, "rev-parse", "HEAD"), "main")
    assert origin.git.dirty is False
    assert origin.git.remote == "https://***@example.org/me/code.git"
    assert origin.host == os.uname().nodename
    assert origin.python == sys.version.split()[0]
    assert origin.executable == sys.executable
    assert origin.cpus == len(os.sched_getaffinity(0))
    assert origin.packages["numpy"] == metadata.version("numpy")
    assert origin.gpus == ("Fake A100", "Fake H100")
    assert (origin.torch, origin.world_size, origin.slurm, origin.diff) == (None, None, {}, None)
    assert origin.captured is not None
    assert not list(repository.rglob("*.lock"))


def test_no_secret_and_no_environment_is_stored(repository: Path) -> None:
    """Nowhere in the run directory; of the variables only SLURM's from the list."""
    (repository / "train.py").write_text(f'{SCRIPT}\napi_key = "{SECRET}"\n')
    origin = train(
        repository,
        "--diff",
        "--token",
        SECRET,
        f"--password={SECRET}",
        f"wandb.api_key={SECRET}",
        f"https://user:{SECRET}@example.org",
        MY_VARIABLE=f"value-{SECRET}",
        WANDB_API_KEY=SECRET,
        SLURM_JOB_ID="4711",
        SLURM_JOB_NODELIST="node[01-02]",
        SLURM_NTASKS="8",
        SLURM_JOB_USER_TOKEN=SECRET,
        SLURM_CONF_SERVER="not-listed",
    )
    assert origin is not None
    assert origin.slurm == {"SLURM_JOB_ID": "4711", "SLURM_JOB_NODELIST": "node[01-02]", "SLURM_NTASKS": "8"}
    assert origin.world_size == 8
    assert origin.diff == "whole"
    files = [path for path in (repository / "runs").rglob("*") if path.is_file()]
    assert origin_path(repository / "runs" / "run", 1).with_suffix(".diff") in files
    for path in files:
        data = path.read_bytes()
        for never in (SECRET, "MY_VARIABLE", "not-listed", "WANDB_API_KEY"):
            assert never.encode() not in data, path


def test_the_diff_restores_what_ran(repository: Path, tmp_path: Path) -> None:
    """Applied to the commit it gives the script as it was, staged changes and all."""
    (repository / "train.py").write_text(f"{SCRIPT}# changed\n")
    (repository / "new.py").write_text("staged = True\n")
    git(repository, "add", "new.py")
    origin = train(repository, "--diff")
    assert origin is not None
    assert origin.git is not None
    assert origin.git.dirty is True
    diff = open_run(repository / "runs" / "run").diff()
    assert diff is not None
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(repository), str(clone))
    subprocess.run(["git", "apply"], input=diff, text=True, cwd=clone, check=True)
    for name in ("train.py", "new.py"):
        assert (clone / name).read_text() == (repository / name).read_text()


def test_a_long_diff_is_cut_at_a_line(repository: Path) -> None:
    """A megabyte of it is kept, and it is said that it was cut."""
    (repository / "train.py").write_text(SCRIPT + "# 0123456789 0123456789 0123456789\n" * 60_000)
    origin = train(repository, "--diff")
    assert origin is not None
    assert origin.diff == "cut"
    diff = open_run(repository / "runs" / "run").diff()
    assert diff is not None
    assert 900_000 < len(diff) <= 2**20
    assert diff.endswith("9\n")


def test_a_clean_repository_has_no_diff(repository: Path) -> None:
    """Though one was asked for."""
    origin = train(repository, "--diff")
    assert origin is not None
    assert origin.diff is None
    assert open_run(repository / "runs" / "run").diff() is None


def test_outside_a_repository(code: Path) -> None:
    """All but the commit is known."""
    origin = train(code, "--diff", GIT_CEILING_DIRECTORIES=str(code.parent))
    assert origin is not None
    assert origin.git is None
    assert origin.command[-1] == "--diff"


def test_without_git(repository: Path, tmp_path: Path) -> None:
    """Likewise, without a word."""
    origin = train(repository, PATH=str(tmp_path))
    assert origin is not None
    assert origin.git is None


def test_the_warnings_of_training_are_left_alone(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their filters belong to all threads at once: the thread that asks git neither saves nor restores them."""

    def enter(self: warnings.catch_warnings) -> None:  # type: ignore[type-arg]
        raise AssertionError("a warning of another thread may be lost now")

    with monkeypatch.context() as patch:
        patch.setattr(warnings.catch_warnings, "__enter__", enter)
        found = Git.first([str(repository)])
    assert found is not None
    assert found[1].branch == "main"


def test_before_the_first_commit(code: Path) -> None:
    """There is a repository, and no commit."""
    git(code, "init", "-q")
    origin = train(code, "--diff")
    assert origin is not None
    assert origin.git is not None
    assert (origin.git.root, origin.git.commit, origin.git.branch) == (str(code), None, None)


def test_a_commit_without_a_branch(repository: Path) -> None:
    """As of a checkout by hash."""
    git(repository, "checkout", "-q", "--detach")
    origin = train(repository)
    assert origin is not None
    assert origin.git is not None
    assert (origin.git.commit, origin.git.branch) == (git(repository, "rev-parse", "HEAD"), None)


def test_the_repository_of_the_script_counts(repository: Path, tmp_path: Path) -> None:
    """Wherever it is started from."""
    origin = train(repository, cwd=tmp_path)
    assert origin is not None
    assert origin.git is not None
    assert (origin.directory, origin.git.root) == (str(tmp_path), str(repository))


def git_that(tmp_path: Path, action: str) -> str:
    """A search path with a git that does something before it answers."""
    git = tmp_path / "bin" / "git"
    git.parent.mkdir()
    git.write_text(f'#!/bin/sh\n{action}\nexec {shutil.which("git")} "$@"\n')
    git.chmod(0o755)
    return f"{git.parent}:{os.environ['PATH']}"


def test_a_git_that_hangs_is_left(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has not answered in time is not known; it is ended, and nothing waits longer."""
    monkeypatch.setenv("PATH", git_that(tmp_path, 'case "$*" in *status*) exec sleep 3600;; esac'))
    monkeypatch.setattr("neurockt.monitor.context.git.GIT_SECONDS", 2.0)
    with nothing_left():
        found = Git.first([str(repository)])
    assert found is not None
    _, state = found
    assert (state.branch, state.dirty, state.remote) == ("main", None, None)


def test_git_is_asked_while_the_interpreter_exits(repository: Path, tmp_path: Path) -> None:
    """When Python may start no more threads."""
    (repository / "train.py").write_text(SCRIPT.replace("recorder.finish()\n", ""))
    origin = train(repository, PATH=git_that(tmp_path, "sleep 0.1"))
    assert origin is not None
    assert origin.git is not None
    assert origin.git.branch == "main"


TORCH = """
import torch, torch.distributed
torch.distributed.init_process_group("gloo", init_method="file://{store}", rank=0, world_size=1)
"""


def test_torch_is_looked_at_where_it_is_loaded(repository: Path, tmp_path: Path) -> None:
    """Its version, and the world it is in whatever the environment says; it is never imported."""
    script = (repository / "train.py").read_text()
    (repository / "train.py").write_text(TORCH.format(store=tmp_path / "store") + script)
    origin = train(repository, WORLD_SIZE="99")
    assert origin is not None
    assert origin.torch is not None
    assert origin.torch.partition("+")[0] == metadata.version("torch").partition("+")[0]  # as in 2.13.0+cpu
    assert origin.world_size == 1


def test_every_attempt_has_its_own(tiny_run: Path) -> None:
    """By number; the latest is given where none is asked for."""
    first = read_origin(tiny_run, 1)
    assert first is not None
    document = json.loads(origin_path(tiny_run, 1).read_text())
    for attempt in (2, 10):
        document |= {"attempt": attempt, "command": [f"attempt {attempt}"]}
        origin_path(tiny_run, attempt).write_text(json.dumps(document))
    run = open_run(tiny_run)
    assert run.origin(1) == first
    assert [run.origin(attempt).command for attempt in (2, 10)] == [("attempt 2",), ("attempt 10",)]
    assert run.origin().command == ("attempt 10",)
    assert run.origin(3) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"null",
        b'{"command": 3, "git": [], "cpus": "x", "slurm": {"a": 1}, "gpus": [1], "captured": 5, "packages": 0}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_is_no_error(tiny_run: Path, content: bytes) -> None:
    """What cannot be read of it is not known."""
    origin_path(tiny_run, 1).write_bytes(content)
    assert open_run(tiny_run).origin() in (None, Origin())


def test_a_run_without_one(tiny_run: Path) -> None:
    """As of an older neurockt, or of a process that died at once."""
    shutil.rmtree(tiny_run / "origin")
    run = open_run(tiny_run)
    assert (run.origin(), run.origin(1), run.diff()) == (None, None, None)


def test_packages_are_told_by_their_directories(tmp_path: Path) -> None:
    """The first on the path counts, as for an import; names are written in the one way."""
    for place, names in {
        "one": ["My_Package-1.0.dist-info", "old.thing-2.0-py3.10.egg-info", "not-a-package", "half.dist-info"],
        "two": ["my_package-0.5.dist-info", "other-3.1rc1.dist-info"],
    }.items():
        for name in names:
            (tmp_path / place / name).mkdir(parents=True)
    found = installed_packages([str(tmp_path / "one"), str(tmp_path / "missing"), str(tmp_path / "two")])
    assert found == {"my-package": "1.0", "old-thing": "2.0", "other": "3.1rc1"}


def test_every_installed_package_is_found() -> None:
    """As the standard library gives them; of two versions the first one on the path."""
    expected: dict[str, str] = {}
    for each in metadata.distributions():
        expected.setdefault(each.name.lower().replace("_", "-").replace(".", "-"), each.version)
    assert installed_packages(sys.path) == expected


KILLED = SCRIPT.replace("recorder.finish()", "import os\nos.kill(os.getpid(), 9)")


def test_a_killed_run_is_sealed_with_or_without(code: Path) -> None:
    """Dying amid the capture leaves at most a file to be ignored, which sealing removes."""
    (code / "train.py").write_text(KILLED)
    done = preloaded.run([sys.executable, "train.py"], cwd=code)
    assert done.returncode == -signal.SIGKILL
    assert main(["seal", str(code / "runs")]) == 0
    assert not list((code / "runs").rglob("*.tmp"))


def test_show_tells_it(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A few lines, whatever escape sequences a branch or an argument holds; all of it as JSON."""
    git(repository, "checkout", "-qb", "try-\u202ethis")
    origin = train(repository, "--note", "a\x1b[2Jb")
    path = str(repository / "runs" / "run")
    assert main(["show", path]) == 0
    shown = capsys.readouterr().out
    assert origin is not None
    assert origin.git is not None
    assert origin.git.commit is not None
    assert f"git        {origin.git.commit[:12]} on try-" in shown
    assert f"software   Python {origin.python}" in shown
    assert "train.py --note" in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert main(["show", path, "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["origin"]["git"]["commit"] == origin.git.commit
    assert document["origin"]["packages"]["numpy"] == metadata.version("numpy")
