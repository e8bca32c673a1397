"""The command as a process: help, exit statuses, streams, and what it does not import."""

from __future__ import annotations

import csv
import importlib
import io
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from keyword import iskeyword
from pathlib import Path

import preloaded
import pytest

import neurockt as package
from neurockt.catalogue import list_runs
from neurockt.cli import COMMANDS

from .conftest import Done

Command = Callable[..., Done]


def process(*words: object, code: str | None = None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own; ``code`` runs instead of it."""
    if code is None:
        return preloaded.run([sys.executable, "-m", "neurockt", *words])
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(neurockt: Command, command: str) -> None:
    """And ends with 0."""
    done = neurockt(command, "--help")
    assert done.status == 0
    assert "example:" in done.out
    assert f"neurockt {command}" in done.out.partition("example:")[2]


def test_the_help_lists_every_command(neurockt: Command) -> None:
    """With a line on each."""
    done = neurockt("--help")
    assert done.status == 0
    listed = [line.split()[0] for line in done.out.splitlines() if line.startswith("    ") and line.split()]
    assert [command for command in listed if command in COMMANDS] == list(COMMANDS)


@pytest.mark.parametrize("width", [80, 120, 300])
def test_help_fits_the_terminal(neurockt: Command, width: int) -> None:
    """Descriptions are wrapped, and examples fit 80 columns."""
    for command in ("", *COMMANDS):
        done = neurockt(*filter(None, [command]), "--help", terminal=width)
        assert max(map(len, done.out.splitlines())) < min(width, 122), command
        assert done.status == 0


@pytest.mark.slow
def test_a_bare_command_lists_the_commands() -> None:
    """Beside stdout, and with 2: a script that forgot the command has no result."""
    done = process()
    assert (done.returncode, done.stdout) == (2, "")
    assert [command for command in COMMANDS if f"\n    {command} " in done.stderr] == list(COMMANDS)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["lss"], "no command 'lss'; did you mean 'neurockt ls'?"),
        (["SHOW"], "did you mean 'neurockt show'?"),
        (["list"], "did you mean 'neurockt ls'?"),
        (["uploads"], "did you mean 'neurockt sync'?"),
        (["runs"], "no command 'runs'; did you mean 'neurockt view runs'?"),
        (["qqq"], "no command 'qqq' ('neurockt --help' lists the commands)"),
        (["x\x1b[2J"], "no command"),
        (["ls", "--colums", "id"], "ls has no option '--colums'; did you mean '--columns'?"),
        (["ls", "--colums=id"], "did you mean '--columns'?"),
        (["show", "fast", "--stesp", "3"], "did you mean '--steps'?"),
        (["ls", "runs", "more"], "ls does not take 'more'"),
    ],
)
def test_what_is_misspelt_is_named_with_what_is_near(
    neurockt: Command, runs: Path, words: list[str], wanted: str
) -> None:
    """A command, a word of another program, a directory, an option: one harmless line, and wrong usage."""
    done = neurockt(*words)
    assert (done.status, done.out) == (2, "")
    assert wanted in done.err
    assert done.err.count("\n") == 1
    assert "\x1b" not in done.err


@pytest.mark.slow
def test_version() -> None:
    """``neurockt --version``."""
    done = process("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"neurockt {package.__version__}\n", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [[], ["lss"], ["ls", "--nope"], ["ls", "-n", "0"], ["ls", "-n", "x"], ["ls", "-f", "("], ["diff"]]
)
def test_wrong_usage_ends_with_2(words: list[str]) -> None:
    """Nothing on stdout; what is wrong on stderr."""
    done = process(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_done_ends_with_0_and_failed_with_1(runs: Path) -> None:
    """An error is one line, said once."""
    assert process("ls", runs).returncode == 0
    done = process("ls", runs / "nowhere")
    assert done.returncode == 1
    assert done.stderr.startswith(f"neurockt: no directory {runs / 'nowhere'}; name one")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_warnings_are_lines_without_source(runs: Path) -> None:
    """As a user reads them."""
    (runs / "r0" / "run.json").write_text("[]")
    done = process("ls", runs)
    assert done.returncode == 1, "a script hears that something is missing"
    assert "fast" in done.stdout, "and has the others"
    assert "Warning" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_is_no_error(runs: Path) -> None:
    """``neurockt ls | head -1`` is quiet."""
    command = f"{sys.executable} -m neurockt ls {runs} --json | head -c 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout == "[0\n"
    assert done.stderr == ""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize(("words", "unbuffered"), [("ls", ""), ("ls", "1"), ("--help", ""), ("ls --help", "")])
def test_a_full_disk_is_an_error(runs: Path, words: str, unbuffered: str) -> None:
    """What could not be written is not taken for done, and told once."""
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m neurockt {words} > /dev/full"],
        cwd=runs.parent,
        capture_output=True,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    assert (done.returncode, done.stderr) == (1, b"neurockt: No space left on device\n")


@pytest.mark.slow
def test_ctrl_c_ends_with_130() -> None:
    """Quietly."""
    code = """
import os, signal, sys
import neurockt.cli.ls
neurockt.cli.ls.list_runs = lambda root, **_: os.kill(os.getpid(), signal.SIGINT)
sys.exit(neurockt.cli.main(["ls"]))
"""
    done = process(code=code)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
    assert signal.SIGINT == 2


@pytest.mark.slow
def test_the_process_ends_as_others_do(runs: Path) -> None:
    """It frees no memory, but calls what was registered while the command ran, and leaves nothing unwritten."""
    code = """
import atexit, io, os, sys
class Stream(io.StringIO):
    def writelines(self, lines):
        self.write("".join(lines))
    def write(self, text):
        atexit.register(os.write, 2, b"called ")
        return super().write(text)
    def flush(self):
        os.write(1, self.getvalue().encode())
        self.seek(0), self.truncate()
sys.stdout = Stream()
sys.argv = ["neurockt", *{words}]
from neurockt.__main__ import run
run()
"""
    done = process(code=code.format(words=["ls", str(runs), "--csv"]))
    assert done.returncode == 0
    assert set(done.stderr.split()) == {"called"}
    assert len(list(csv.reader(io.StringIO(done.stdout)))) == 1 + len(list_runs(runs))
    done = process(code=code.format(words=["ls", str(runs), "--sort", "nothing"]))
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.slow
def test_text_that_the_terminal_cannot_show_is_escaped(runs: Path) -> None:
    """A login node with an old locale lists runs with new names."""
    path = runs / "r0" / "run.json"
    path.write_text(path.read_text().replace('"slow"', '"损失"'))
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-m", "neurockt", "ls", str(runs)], capture_output=True, env=environment)
    assert done.returncode == 0
    assert b"\\u635f" in done.stdout


@pytest.mark.slow
def test_listing_imports_nothing_heavy(runs: Path) -> None:
    """A login node pays for JSON alone."""
    code = f"""
import sys
from neurockt.cli import main
for words in (["ls"], ["ls", "--json"], ["ls", "-f", "has:acc", "-s", "acc"], ["--help"]):
    main([*words, {str(runs)!r}])
print(*sorted(set(sys.modules) & {{"numpy", "pyarrow", "pandas", "torch", "textual", "wandb", "tqdm", "difflib"}}))
"""
    done = process(code=code)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == ""


READING = (
    "show r0 --json --steps 5",
    "tail r0",
    "export r0 -o r0.csv",
    "plot r0 --metric train_loss --x time -o r0.svg",
    "report -o r0.html",
    "sql FROM\tsteps",
)


@pytest.mark.slow
def test_reading_rows_loads_no_pandas(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is installed, Arrow would load it for a moment, and for half a second."""
    monkeypatch.chdir(runs.parent)
    monkeypatch.delenv("NEUROCKT_DIR", raising=False)
    code = f"""
import sys
from neurockt.cli import main
print([words for words in {READING} if main(words.split(" ")) or "pandas" in sys.modules])
"""
    assert process(code=code).stdout.splitlines()[-1] == "[]"


def test_only_the_command_in_use_is_imported(runs: Path) -> None:
    """Others cost nothing."""
    code = f"""
import sys
from neurockt.cli import main
main(["ls", {str(runs)!r}])
print("neurockt.cli.export" in sys.modules)
"""
    assert process(code=code).stdout.splitlines()[-1] == "False"


def test_the_viewer_without_textual_is_a_sentence(runs: Path) -> None:
    """With the line that installs it, where there is a terminal that could show it."""
    code = f"""
import sys
sys.modules["textual"] = None
sys.modules["neurockt_viewer"] = None
from neurockt.cli import main
sys.exit(main(["view", {str(runs)!r}]))
"""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    done = subprocess.run([sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    assert done.returncode == 1
    assert os.read(ours, 1000) == b"neurockt: the viewer needs Textual: pip install 'neurockt[viewer]'\r\n"
    os.close(ours)


def test_the_latest_run_is_meant_where_none_is_named(neurockt: Command, runs: Path, tmp_path: Path) -> None:
    """An archived one is not; ``view`` opens the directory of all."""
    (runs / "r2" / "edits.json").write_text('{"format": 1, "archived": true}')
    assert neurockt("show").out.startswith("fast\n")
    assert neurockt("tail").out.splitlines()[-1].startswith("fast  finished")
    assert neurockt("show", "ast").out == neurockt("show").out
    (tmp_path / "empty").mkdir()
    assert "no runs in empty" in neurockt("show", "--root", "empty").err
    assert neurockt("view", "fast").out == neurockt("ls", runs / "r1").out
    assert neurockt("view").out == neurockt("ls").out


def test_viewing_what_is_not_there_is_an_error(neurockt: Command, tmp_path: Path) -> None:
    """Before the viewer is loaded."""
    done = neurockt("view", tmp_path / "nowhere")
    assert done.status == 1
    assert "nowhere" in done.err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_a_module_with_the_same_two_functions(command: str) -> None:
    """``add_parser`` and ``run``: adding a command is adding its name."""
    module = importlib.import_module(f"neurockt.cli.{command}{'_' * iskeyword(command)}")
    assert callable(module.add_parser)
    assert callable(module.run)
