"""What a screen shows, written to a file; a name that will not do is a sentence in the prompt."""

from __future__ import annotations

import csv
import errno
import os
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from textual.widgets import Input, Static
from viewing import rows, text, typed, until

from neurockt.errors import UsageError
from neurockt_viewer import exporting
from neurockt_viewer.app import ViewerApp
from neurockt_viewer.charts.series import ChartSettings, Line
from neurockt_viewer.exporting import as_arrow, check_target, complete_target, points
from neurockt_viewer.screens.runs import RunsScreen
from neurockt_viewer.widgets.chart import Chart
from neurockt_viewer.widgets.prompts import Ask

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "sample_runs"
NUMBERS = [1.0, 0.1 + 0.2, float("nan"), float("inf"), 5e-324]

REFUSED = {
    "~nosuchuser/x.csv": "not a file name",
    f"{'a' * 300}.csv": "File name too long",
    f"{'a' * 249}.csv": "File name too long",  # fits, but not its temporary name
    f"{'d/' * 3000}x.csv": "File name too long",
    "a\0b.csv": "not a file name",
    "\ud800.csv": "no file name can have",
    "there.csv": "exists",
    "directory.csv": "exists",
    "dangling.csv": "exists",
    "nowhere/x.csv": "no directory nowhere",
    "there.csv/x.csv": "no directory there.csv",
    "loop/x.csv": "no directory",
    "x": "end the name in",
    "x.json": "end the name in",
    "x.csv.xlsx": "end the name in",
    ".csv": "end the name in",
    "": "end the name in",
    "..": "end the name in",
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with things that are in the way."""
    folder = tmp_path / "here"
    (folder / "directory.csv").mkdir(parents=True)
    (folder / "there.csv").touch()
    (folder / "dangling.csv").symlink_to("nothing")
    (folder / "loop").symlink_to("loop")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("name", REFUSED)
def test_a_name_that_will_not_do_is_refused_in_a_sentence(here: Path, name: str) -> None:
    with pytest.raises(UsageError, match=REFUSED[name]) as caught:
        check_target(name)
    assert "Errno" not in str(caught.value)


def as_nobody(program: str) -> str:
    """What a program prints as a user without a home, without an entry in passwd, and without permission."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    imports = (
        "import os; from neurockt_viewer import exporting, settings, terminal; os.setgroups([]); os.setuid(33333)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CONFIG_HOME")}
    environment.pop("XDG_STATE_HOME", None)
    command = [sys.executable, "-c", imports + program]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("name", "why"), [("closed/x.csv", "Permission denied"), ("./x.csv", "no permission to write in .")]
)
def test_a_directory_without_permission_is_refused(here: Path, name: str, why: str) -> None:
    (here / "closed").mkdir(mode=0o700)
    for folder in [here, *here.parents[:3]]:
        folder.chmod(0o755)
    program = f"try: exporting.check_target({name!r})\nexcept exporting.UsageError as error: print(error)"
    assert why in as_nobody(program)


def test_without_a_home_nothing_is_remembered_or_logged(tmp_path: Path) -> None:
    """The viewer starts with its own settings, and goes on."""
    program = "settings.Settings(theme='light').save(); print(settings.load_settings().theme)\n"
    assert as_nobody(program + "print(terminal.log_fault(ValueError()))") == "None\nNone\n"


async def test_the_viewer_stays_over_every_name(here: Path) -> None:
    """The prompt shows why, and takes another answer."""
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(160, 48)) as pilot:
        await until(lambda: isinstance(app.screen, RunsScreen) and len(rows(app.screen, "#runs")) == 12)
        await pilot.press("e")
        await until(lambda: isinstance(app.screen, Ask))
        for name, why in REFUSED.items():
            app.screen.query_one(Input).value = name
            await pilot.press("enter")
            await until(lambda why=why: why in str(app.screen.query_one(".problem", Static).content))
        app.screen.query_one(Input).value = "new.CSV"
        await pilot.press("enter")
        await until((here / "new.CSV").exists)
    assert app.fault is None


async def test_a_full_disk_is_reported_and_leaves_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The notice does not hide the next question."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(exporting, "_write", full)
    before = sorted(here.iterdir())
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(160, 48), notifications=True) as pilot:
        await until(lambda: isinstance(app.screen, RunsScreen) and len(rows(app.screen, "#runs")) == 12)
        await typed(pilot, "e\r")
        await until(lambda: "not written: [Errno 28] No space left" in text(app))
        await pilot.press("e")
        await until(lambda: ".parquet; tab completes" in text(app) and "not written" in text(app))
    assert sorted(here.iterdir()) == before


async def test_a_current_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Export and copy still work where a full path is given."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(160, 48)) as pilot:
        gone.rmdir()
        await until(lambda: isinstance(app.screen, RunsScreen) and len(rows(app.screen, "#runs")) == 12)
        await pilot.press("y", "e")
        await until(lambda: isinstance(app.screen, Ask))
        app.screen.query_one(Input).value = str(tmp_path / "runs.parquet")
        await pilot.press("enter")
        await until((tmp_path / "runs.parquet").exists)
        monkeypatch.chdir(tmp_path)
    assert app.fault is None


@pytest.mark.parametrize(("name", "parquet"), [("x.csv.parquet", True), ("x.parquet.csv", False), ("X.PARQUET", True)])
async def test_the_last_ending_decides(here: Path, name: str, parquet: bool) -> None:
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(160, 48)) as pilot:
        await until(lambda: isinstance(app.screen, RunsScreen) and len(rows(app.screen, "#runs")) == 12)
        await pilot.press("e")
        await until(lambda: isinstance(app.screen, Ask))
        app.screen.query_one(Input).value = name
        await pilot.press("enter")
        await until((here / name).exists)
    assert ((here / name).read_bytes()[:4] == b"PAR1") == parquet
    if parquet:
        assert len(pq.read_table(here / name)) == 12


def test_values_of_any_kind_are_written(tmp_path: Path) -> None:
    """Numbers as numbers; texts, moments, lists and mixed columns as text, whatever is in them."""
    moment = datetime(2026, 11, 23, 10, 15, tzinfo=timezone.utc)
    values: list[list[object]] = [
        [1, 2.5, True, "a\0\ud800,\n", moment, ("x", "y"), 2**80, 1, {"a": [1]}],
        [None, 3, None, None, None, (), 1, "x", None],
    ]
    names = [f"c{at}\ud800" for at in range(len(values[0]))]
    schema, tables = as_arrow(names, values)
    for ending in ".csv", ".parquet":
        assert exporting._write(tmp_path / f"x{ending}", ending, schema, tables) == 2
    first, second = pq.read_table(tmp_path / "x.parquet").to_pylist()
    assert list(first.values()) == [
        1, 2.5, True, "a\0?,\n", "2026-11-23T10:15:00+00:00", "x, y", str(2**80), "1", "{'a': [1]}"
    ]  # fmt: skip
    assert list(second.values())[:4] == [None, 3.0, None, None]


def test_points_are_written_bit_for_bit(tmp_path: Path) -> None:
    """Those within the window, with any label."""
    line = Line.of('a,"b"', [1, 2, 3, 4, 5], NUMBERS)
    schema, tables = as_arrow(*points([line], ChartSettings(window=(2.0, 5.0))))
    exporting._write(tmp_path / "points.csv", ".csv", schema, tables)
    with (tmp_path / "points.csv").open(newline="") as file:
        head, *found = csv.reader(file)
    assert head == ["line", "step", "value", "low", "high", "values"]
    assert [(row[0], row[1], repr(float(row[2]))) for row in found] == [
        ('a,"b"', str(step), repr(value)) for step, value in zip(range(2, 6), NUMBERS[1:], strict=True)
    ]


def test_a_path_is_completed_as_in_a_shell(here: Path) -> None:
    """Directories and files of the two kinds, as far as they agree; what harms a terminal is not offered."""
    for name in ("there.parquet", "thesis", "other.txt", "the\x1b]0;x\x07.csv", ".hidden.csv"):
        (here / name).touch()
    (here / "data" / "deep").mkdir(parents=True)
    assert complete_target("dat") == ("data/", [])
    assert complete_target("data/d") == ("data/deep/", [])
    assert complete_target("the") == ("there.", ["there.csv", "there.parquet"])
    assert complete_target(".h") == (".hidden.csv", [])
    assert complete_target("") == ("", ["dangling.csv", "data/", "directory.csv/", "there.csv", "there.parquet"])
    for nothing in ("x", "nowhere/x", "there.csv/x", "~nosuchuser/x", "a\0/b", "loop/x"):
        assert complete_target(nothing) == (nothing, [])


async def test_the_prompt_shows_where_the_file_will_be(here: Path) -> None:
    """The whole path as it is typed, completed by Tab; in a chart as in the list of runs."""
    (here / "figures").mkdir()
    app = ViewerApp(SAMPLES / "adamw-0.003-late")
    async with app.run_test(size=(140, 40)) as pilot:
        await until(lambda: "5 charts" in text(app) and isinstance(app.focused, Chart))
        await typed(pilot, "e")
        await until(lambda: isinstance(app.screen, Ask) and "the points of train_loss: export to" in text(app))
        await typed(pilot, "fi")
        await pilot.press("tab")
        await typed(pilot, "loss.csv")
        hint = app.screen.query_one(".hint", Static)
        await until(lambda: str(hint.content).startswith(f"{here / 'figures' / 'loss.csv'}, .csv"))
        await pilot.press("enter")
        await until((here / "figures" / "loss.csv").exists)


async def test_a_chart_is_drawn_as_a_figure(here: Path) -> None:
    """As it is seen; an ending of a table writes its points."""
    pytest.importorskip("matplotlib")
    app = ViewerApp(SAMPLES / "adam-0.003-s0")
    async with app.run_test(size=(140, 40)) as pilot:
        await until(lambda: "5 charts" in text(app) and isinstance(app.focused, Chart))
        await typed(pilot, "e")
        ask = app.screen.query_one(Input)
        ask.value = "figure.svg"
        await pilot.press("enter")
        await until(lambda: (here / "figure.svg").exists())
    assert "<svg" in (here / "figure.svg").read_text()
