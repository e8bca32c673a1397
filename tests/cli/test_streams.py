"""Commands whose streams, locale, home or terminal are not what a well-kept terminal has: a sentence or nothing."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import pty
import resource
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from neurockt.cli import main

from .conftest import Done

pytestmark = pytest.mark.slow

COMMANDS = [["ls"], ["ls", "--json"], ["show", "fast"], ["export", "fast"], ["export", "fast", "--format", "jsonl"]]
NEUROCKT = f"{sys.executable} -m neurockt"


def shell(line: str, root: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A line of bash, with the runs in ``$NEUROCKT_DIR``; ``$N`` is the command."""
    environment = {**os.environ, "NEUROCKT_DIR": str(root), "N": NEUROCKT, **environment}
    return subprocess.run(["bash", "-c", line], capture_output=True, env=environment, timeout=120)


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """A disk on which no file may have more bytes. Python keeps nothing that it compiles: it would be cut and stay."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE), sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[0][1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before[0])
        sys.dont_write_bytecode = before[1]


@pytest.mark.parametrize("stream", [None, "closed", "bare"])
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_output_that_is_closed_is_an_error(
    words: list[str], stream: str | None, runs: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """None as Python makes it, closed, or without ``flush`` and ``isatty``: nothing that is lost counts as done."""
    monkeypatch.setenv("NEUROCKT_DIR", str(runs))
    written: list[str] = []

    class Bare:
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

        def writelines(self, lines: list[str]) -> None:
            written.extend(lines)

    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", {None: None, "closed": closed, "bare": Bare()}[stream])
    assert main(words) == (0 if stream == "bare" else 1)
    assert ("fast" in "".join(written) or "train_loss" in "".join(written)) is (stream == "bare")
    assert capfd.readouterr().err == ("" if stream == "bare" else "neurockt: the output is closed\n")


@pytest.mark.parametrize(
    ("words", "target"),
    [
        (["export", "fast"], "out.csv"),
        (["export", "fast"], "out.jsonl"),
        (["export", "fast"], "out.parquet"),
        (["plot", "fast", "-m", "acc"], "out.png"),
        (["plot", "fast", "-m", "acc"], "out.pdf"),
        (["plot", "fast", "-m", "acc", "--style", "ggplot"], "out.svg"),
        (["report", "fast"], "out.html"),
    ],
    ids=str,
)
def test_a_file_that_cannot_be_written_whole_is_named_and_removed(
    neurockt: Callable[..., Done], words: list[str], target: str, runs: Path
) -> None:
    before = sorted(runs.parent.rglob("*"))
    with at_most(60):
        done = neurockt(*words, "-o", target)
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    assert done.err.startswith(f"neurockt: {target}: ")
    assert os.strerror(errno.EFBIG) in done.err
    assert sorted(runs.parent.rglob("*")) == before


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full", ">/dev/full 2>&1"])
def test_no_stream_costs_a_traceback(runs: Path, redirection: str) -> None:
    """Errors are not printed among the results where stderr is closed."""
    for words in ("ls --json", "ls nowhere", "--help"):
        done = shell(f"$N {words} {redirection}", runs)
        assert done.returncode in (0, 1)
        assert b"Traceback" not in done.stderr
        assert b"nowhere" not in done.stdout


def test_all_runs_are_sealed_where_nobody_reads_what_was_done(runs: Path) -> None:
    """``neurockt seal | head -0``, and a closed output."""
    assert shell("$N seal | head -c 0; exit ${PIPESTATUS[0]}", runs).returncode == 0
    assert shell("$N seal --json", runs).stdout.count(b'"already": true') == len(list(runs.iterdir()))


@pytest.mark.parametrize("columns", ["0", "-1", "wide", "9" * 5000, "\u00b2", ""])
def test_any_columns_and_lines_may_be_exported(runs: Path, columns: str) -> None:
    """They are not numbers, or not of this terminal."""
    done = shell("$N show fast --steps 2", runs, COLUMNS=columns, LINES=columns)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_terminal_of_one_column(runs: Path) -> None:
    """Lines are cut to it, whatever an exported COLUMNS says of another window."""
    for width, exported in ((1, "200"), (30, "200")):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 5, width, 0, 0))
        environment = {**os.environ, "COLUMNS": exported, "NO_COLOR": "1"}
        done = subprocess.run([sys.executable, "-m", "neurockt", "ls", str(runs)], stdout=theirs, env=environment)
        os.close(theirs)
        written = b""
        while (lines := written.splitlines()) is not None and len(lines) < 3:
            written += os.read(ours, 65_536)
        os.close(ours)
        assert done.returncode == 0
        assert width == 1 or max(len(line.decode()) for line in lines) <= width


def test_an_ascii_locale_and_no_home(runs: Path, tmp_path: Path) -> None:
    """A bare batch job: no locale, no HOME, no entry of the user."""
    done = shell("unset HOME; $N ls && $N show fast && $N export fast", runs, LC_ALL="C", PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (0, b"")
    nobody = "unset HOME; $N sync"
    unreachable = {"WANDB_BASE_URL": "http://127.0.0.1:1", "WANDB_API_KEY": "", "PYTHONPATH": no_passwd(tmp_path)}
    done = shell(nobody, runs, **unreachable)
    assert done.returncode == 1
    assert done.stderr.startswith(b"neurockt: no API key for 127.0.0.1")


def no_passwd(tmp_path: Path) -> str:
    """A directory whose ``sitecustomize`` has the password database be empty."""
    (tmp_path / "sitecustomize.py").write_text(
        "import pwd\ndef absent(*_): raise KeyError('no entry')\npwd.getpwuid = pwd.getpwnam = absent\n"
    )
    return str(tmp_path)
