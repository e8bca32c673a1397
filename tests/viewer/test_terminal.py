"""Manners towards a real terminal: it is painted, it is left as it was found, and exit codes tell how it went."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from real_terminal import NEUROCKT, RealTerminal

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "sample_runs"

CRASH = """
import sys
from pathlib import Path
from neurockt_viewer import app

def fail(self):
    password = "hunter2"
    raise RuntimeError("boom\\x1b]0;owned\\x07")

app.ViewerApp.action_theme = fail
sys.exit(app.run_viewer(Path(sys.argv[1])))
"""

INKS = re.compile(rb"[34]8;2;(\d+);(\d+);(\d+)")


def test_keys_and_sizes(home: Path) -> None:
    """It paints, obeys keys, fits every size that the window takes, and quits with q."""
    with RealTerminal(*NEUROCKT, "view", SAMPLES) as terminal:
        terminal.wait_for("12 runs")
        terminal.wait_for("sgd-0.1-s0")
        terminal.press("/", "adamw-0.003-late", "enter")
        terminal.wait_for("1 of 12 runs")
        terminal.press("enter")
        terminal.wait_for("5 charts")
        terminal.press("2")
        terminal.wait_for("row 1 of 900")
        for width, height in ((40, 10), (12, 3), (200, 60)):
            terminal.resize(width, height)
            for tab in "4123":
                terminal.press(tab)
        terminal.wait_for(lambda text: "3 Epochs 20" in text.splitlines()[1])
        terminal.resize(40, 10)
        terminal.wait_for(lambda text: len(text.splitlines()) == 10 and "valid_loss" in text and "Epochs" in text)
        terminal.press("escape", "escape")
        terminal.wait_for("12 runs")
        terminal.press("q")
        assert terminal.wait() == 0
        assert terminal.is_restored


UNBLOCKED = """
import os, sys
os.set_blocking(2, False)
os.execv(sys.executable, [sys.executable, "-m", "neurockt", *sys.argv[1:]])
"""


@pytest.mark.parametrize("program", [NEUROCKT, (sys.executable, "-c", UNBLOCKED)])
def test_a_connection_that_stalls(home: Path, program: tuple[str, ...]) -> None:
    """Keys have their effect meanwhile, and all that was drawn arrives in order; also where writing does not wait."""
    with RealTerminal(*program, "view", SAMPLES) as terminal:
        begin = terminal.wait_for(lambda text: "12 runs" in text and text.count("└") == 5)  # the axes of five charts
        terminal.press("p", *"jjj")
        end = terminal.wait_for(lambda text: "5 charts" not in text and text.count("adam-0.03-s0") == 2)
        terminal.press(*"kkk", "p")
        terminal.wait_for(begin)
        with terminal.stalled():
            terminal.press(*"p" * 41, *"jjj")  # half a megabyte
        terminal.wait_for(end)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_as_it_was(home: Path, number: signal.Signals) -> None:
    """A job that is cancelled, or a connection that drops: nothing is left on, and the code tells the signal."""
    with RealTerminal(*NEUROCKT, "view", SAMPLES / "adam-0.003-s0") as terminal:
        terminal.wait_for("5 charts")
        assert terminal.modes_left_on >= {1049, 1000}, "it has the screen and the mouse"
        terminal.signal(number)
        assert terminal.wait() == 128 + number
        assert terminal.is_restored


def test_a_fault_is_told_in_a_sentence(home: Path) -> None:
    """No traceback on the screen, no values of variables anywhere, the terminal as it was, and 1."""
    with RealTerminal(sys.executable, "-c", CRASH, SAMPLES) as terminal:
        terminal.wait_for("12 runs")
        terminal.press("T")
        assert terminal.wait() == 1
        assert terminal.is_restored
        said = " ".join(terminal.text.split())
        assert said.startswith("neurockt: the viewer failed: RuntimeError('boom")
        log = home / "state" / "neurockt" / "viewer.log"
        assert 'raise RuntimeError("boom' in log.read_text() or "in fail" in log.read_text()
        assert "hunter2" not in log.read_text() + said
        assert not [command for command in terminal.commands if command.startswith(b"0;")]


def test_suspended_and_resumed(home: Path) -> None:
    """Ctrl-Z gives the terminal back to the shell, fg takes it again, and Ctrl-C quits."""
    with RealTerminal("bash", "--norc", "-i", env={"PS1": "$ "}) as terminal:
        terminal.wait_for("$ ")
        terminal.press(f"{' '.join(NEUROCKT)} view {SAMPLES}", "enter")
        terminal.wait_for("12 runs")
        terminal.press("ctrl+z")
        terminal.wait_for("Stopped")
        assert not terminal.modes_left_on & {1049, 1000, 1003, 1006}
        terminal.press("fg", "enter")
        terminal.wait_for("12 runs")
        terminal.press("j")
        terminal.press("ctrl+c")
        terminal.wait_for(lambda text: "12 runs" not in text)
        terminal.press("echo code $?", "enter")
        terminal.wait_for("code 0")
        terminal.press("exit", "enter")
        terminal.wait()


def test_without_colour(home: Path) -> None:
    """NO_COLOR: greys alone, and letters tell the curves apart."""
    with RealTerminal(*NEUROCKT, "view", SAMPLES, env={"NO_COLOR": "1"}) as terminal:
        terminal.wait_for("12 runs")
        terminal.press(" ", " ", " ", "c")
        terminal.wait_for("5 charts")
        terminal.wait_for(lambda text: text.count("B adamw-0.003-late") > 5)
        terminal.press("q")
        assert terminal.wait() == 0
        inks = {tuple(map(int, found)) for found in INKS.findall(terminal.written)}
        assert inks
        assert all(len(set(ink)) == 1 for ink in inks)


def test_a_terminal_that_takes_ascii_alone(home: Path) -> None:
    """Where the stream is not UTF-8 nothing but ASCII is written, and the columns stay straight."""
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    with RealTerminal(*NEUROCKT, "view", SAMPLES, env=ascii_only) as terminal:
        text = terminal.wait_for(
            lambda text: "12 runs" in text and "v finished 1.6s" in text and "|" in text.splitlines()[13]
        )
        _, header, *runs = text.splitlines()[:14]
        divider, state = header.index("|"), header.index("state")
        assert {line.find("|") for line in runs} == {divider}, "also beside a name of other characters"
        assert {line[state:].split()[1] for line in runs} == {"finished", "failed", "killed"}
        terminal.press("enter")
        terminal.wait_for("5 charts")
        terminal.press("q")
        assert terminal.wait() == 0
        assert terminal.written.isascii()
        assert b"\\u" not in terminal.written


def test_no_terminal_no_viewer(home: Path) -> None:
    """Without a terminal, or in one that cannot place text, the plain list is printed; a wrong path is a sentence."""
    with RealTerminal(*NEUROCKT, "view", SAMPLES, env={"TERM": "dumb"}) as terminal:
        assert terminal.wait() == 0
        assert "TERM is dumb: printing the plain list" in terminal.text
        assert "adam-0.003-s0" in terminal.text
        assert b"\x1b" not in terminal.written
    with RealTerminal(*NEUROCKT, "view", "no/such") as terminal:
        assert terminal.wait() == 1
        assert "no directory no/such; name one that holds runs, or a run" in terminal.text
    done = subprocess.run([*NEUROCKT, "view", SAMPLES], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == "neurockt: stdin is not a terminal: printing the plain list\n"
    assert "adam-0.003-s0" in done.stdout


def test_the_size_is_that_of_the_terminal(home: Path) -> None:
    """Not what a shell exported as COLUMNS and LINES some time ago."""
    with RealTerminal(
        *NEUROCKT, "view", SAMPLES, width=120, height=30, env={"COLUMNS": "40", "LINES": "10"}
    ) as terminal:
        terminal.wait_for("12 runs")
        terminal.wait_for(lambda _: "q Quit" in terminal.lines[29] and "q Quit" in terminal.lines[29][60:])
        terminal.press("q")
        assert terminal.wait() == 0


def test_a_terminal_that_vanishes_while_it_is_drawn_on(home: Path) -> None:
    """As when a connection is lost: the viewer ends, though nothing takes what it still has to write."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 48, 160, 0, 0))
    adopt = 'exec 3<>"$0"; exec "$@" 3<&-'  # a session's leader gets the first terminal that it opens
    viewer = subprocess.Popen(
        ["sh", "-c", adopt, os.ttyname(slave), *NEUROCKT, "view", str(SAMPLES)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8"},
        start_new_session=True,
    )
    os.close(slave)
    seen = b""
    while b"adamw-0.003" not in seen:
        seen += os.read(master, 65_536)
    os.write(master, b" j" * 100)  # it draws more than the terminal holds, and waits for room
    for _ in range(3):
        os.read(master, 1000)
    os.close(master)
    assert viewer.wait(60) in (1, 128 + signal.SIGHUP)
