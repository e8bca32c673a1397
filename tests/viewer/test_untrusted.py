"""Text from a run directory is shown literally and steers nothing, on every screen, whoever wrote it."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from real_terminal import NEUROCKT, RealTerminal
from real_tmux import Tmux
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import Input, Static
from viewing import rows, text, typed, until

from neurockt.formatting import clean
from neurockt.monitor import Recorder
from neurockt_viewer.app import ViewerApp
from neurockt_viewer.screens.compare import CompareScreen
from neurockt_viewer.screens.runs import RunsScreen
from neurockt_viewer.text import Scrub
from neurockt_viewer.widgets.chart import Chart
from neurockt_viewer.widgets.chart_grid import ChartGrid
from neurockt_viewer.widgets.prompts import Choose

pytestmark = pytest.mark.slow

HOSTILE = "[/x][@click=app.bell]y[/]\x1b]0;owned\x07\x1b]52;c;b3duZWQ=\x07\x1b[2J\x9b2Jb\u202ec\x00\r\nd"
"""Markup that fails or acts; a title, a clipboard, a cleared screen (also as C1); another direction; broken lines."""
FOLDER = HOSTILE.replace("/", "|").replace("\0", "")
"""The same as a directory can be called."""
SHOWN = "[/x][@click"
"""Its begin, as it is to be seen."""
SEEN = {"steps": "at step 1 ", "epochs": "at epoch 1 ", "info": "failure"}
"""What is on the screen once a tab of a run is."""
REORDERING = set("\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def make_hostile(root: Path) -> Path:
    """Two runs whose every text is hostile, directories included, and one that cannot be read for a hostile reason."""
    for index in range(2):
        recorder = Recorder(root, run_id=f"r{index}", quiet=True, config={"seed": index})
        loss, acc = recorder.track_scalar("loss")(float), recorder.metric("acc")(float)
        for step in range(1, 5):
            with recorder(train=True):
                loss(step / 4)
            with recorder(train=False):
                acc(step / 4)
        recorder.finish()
        path = recorder.run_dir
        document = json.loads((path / "run.json").read_text())
        for table, name in (("steps", "loss"), ("epochs", "acc")):
            hostile = f"{name}{HOSTILE}"
            for part in (path / table).glob("*.parquet"):
                whole = pq.read_table(part)
                names = [hostile if column == name else column for column in whole.column_names]
                pq.write_table(whole.rename_columns(names), part)
            document[table]["columns"] = {hostile: document[table]["columns"][name]}
        document |= {"name": HOSTILE, "project": HOSTILE, "group": HOSTILE, "notes": f"{HOSTILE}\n{HOSTILE}"}
        document |= {"tags": [HOSTILE, f"{HOSTILE}2"], "state": "failed"}
        document["config"] = {HOSTILE: {HOSTILE: [HOSTILE, {HOSTILE: index}]}, "seed": index}
        document["failure"] = {"type": HOSTILE, "message": HOSTILE, "traceback": f"{HOSTILE}\n  {HOSTILE}"}
        document["attempts"][0] |= {"host": HOSTILE}
        (path / "run.json").write_text(json.dumps(document))
        path.rename(root / f"r{index}{FOLDER}")
    broken = root / f"broken{FOLDER}"
    broken.mkdir()
    (broken / "run.json").write_text(json.dumps({"format": HOSTILE}))
    return root


async def visit_everything(pilot: Pilot[None], frames: dict[str, str]) -> None:
    """Go to every screen, and keep what the terminal shows there."""
    app = pilot.app

    def keep(name: str) -> None:
        frames[name] = text(app)

    async def prompt(key: str, name: str, *keys: str) -> None:
        screen = app.screen
        await pilot.press(key)
        await until(lambda: app.screen is not screen)
        await pilot.press(*keys)
        keep(name)
        await pilot.press("escape")
        await until(lambda: app.screen is screen)

    await until(lambda: isinstance(app.screen, RunsScreen) and len(rows(app.screen, "#runs")) == 2)
    await until(lambda: [chart for chart in app.screen.query(Chart) if chart.lines])
    keep("runs, details and charts")
    await pilot.press("space")
    await until(lambda: "1 marked run " in text(app))
    keep("a marked run")
    await pilot.press("k")
    await pilot.press("escape")
    await prompt("o", "columns")
    await prompt("e", "export")
    await prompt("exclamation_mark", "problems")
    await prompt("question_mark", "help")
    await prompt("ctrl+p", "palette")
    await pilot.press("b")
    await until(lambda: isinstance(app.screen, Choose))
    await typed(pilot, "tags")
    await pilot.press("enter")
    await until(lambda: len(rows(app.screen, "#runs")) == 6)
    keep("groups")
    await pilot.press("j", "y")
    keep("toast")
    await pilot.press("slash")
    app.screen.query_one("#filter", Input).value = f'name:"{SHOWN}'
    await pilot.pause()
    keep("filter")
    await pilot.press("ctrl+u")
    await typed(pilot, "tag:")
    await pilot.press("tab")
    keep("completed filter")
    await pilot.press("escape", "enter")

    await until(lambda: app.screen.query(ChartGrid) and len(app.screen.query_one(ChartGrid).charts) == 2)
    charts = app.screen.query_one(ChartGrid)
    await until(lambda: all(chart.lines for chart in charts.charts) and charts.charts[0].has_focus)
    keep("charts")
    await pilot.press("i", "enter")
    keep("large chart")
    await pilot.press("escape", "escape")
    await prompt("e", "chart export")
    for tab, (name, seen) in zip("234", SEEN.items(), strict=True):
        await pilot.press(tab)
        await until(lambda seen=seen: seen in text(app))
        keep(name)
        if name == "steps":
            await pilot.press("l", "l", "l", "n", "s")
            keep("steps, sorted")
    await prompt("question_mark", "help of a run")
    await pilot.press("escape")

    await until(lambda: isinstance(app.screen, RunsScreen))
    await pilot.press("a", "c")
    await until(lambda: isinstance(app.screen, CompareScreen) and len(rows(app.screen, "#metrics")) == 2)
    await until(lambda: all(chart.lines for chart in app.screen.query_one(ChartGrid).charts))
    await pilot.pause()
    keep("compare")
    await pilot.press("2")
    keep("metrics")
    await pilot.press("3", "a", "y")
    keep("config")
    await pilot.press("escape")


async def test_every_screen_shows_hostile_text_literally(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No screen fails, acts on markup, or hands a control character on, though here the last filter lets all pass."""
    root = make_hostile(tmp_path / "runs")
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    monkeypatch.setattr(Scrub, "apply", lambda self, segments, background: segments)
    rung: list[None] = []
    monkeypatch.setattr(ViewerApp, "action_bell", lambda self: rung.append(None))
    app = ViewerApp(root)
    frames: dict[str, str] = {}
    async with app.run_test(size=(160, 48), notifications=True) as pilot:
        await visit_everything(pilot, frames)
    assert app.fault is None
    assert app.return_code in (None, 0)
    assert not rung
    for name, frame in frames.items():
        harmful = {c for c in frame if c != "\n" and (unicodedata.category(c) in ("Cc", "Cs") or c in REORDERING)}
        assert not harmful, name
    assert len(frames) == 22
    said = {"steps": "loss[/x]", "epochs": "acc[/x]", "charts": "loss[/x]", "compare": "loss[/x]", "metrics": "acc["}
    said |= {"info": "failure", "config": f"{SHOWN}=app.bell]y[/]", "problems": "broken[|x][@click"}
    ours = {"help", "help of a run", "palette", "export", "chart export"}
    for name, frame in frames.items():
        assert said.get(name, "" if name in ours else SHOWN) in frame, name
    assert app.clipboard == clean(app.clipboard, 1000)
    assert all(clean(path.name) == path.name for path in (tmp_path / "out").iterdir())


async def test_the_last_filter_stops_what_a_widget_hands_on() -> None:
    """Text that no one cleaned is harmless all the same."""

    class Careless(App[None]):
        def compose(self) -> ComposeResult:
            yield Static(HOSTILE, markup=False)
            yield Input(HOSTILE)

        def get_line_filters(self) -> list[object]:
            return [Scrub()]

    app = Careless()
    async with app.run_test(size=(160, 10)):
        assert SHOWN in text(app)
        assert not any(unicodedata.category(c) == "Cc" for c in text(app) if c != "\n")
        assert "\u202e" not in text(app)


def test_a_terminal_hears_nothing_but_what_we_say(tmp_path: Path) -> None:
    """Among the bytes that are written there is no title, no clipboard and no cleared screen of a stranger's."""
    root = make_hostile(tmp_path / "runs")
    with RealTerminal(*NEUROCKT, "view", root, cwd=tmp_path) as terminal:
        terminal.wait_for("1 cannot be read")
        terminal.press("enter")
        terminal.wait_for("1 Charts")
        for tab, seen in zip("234", SEEN.values(), strict=True):
            terminal.press(tab)
            assert SHOWN in terminal.wait_for(seen)
        terminal.press("escape")
        terminal.wait_for("1 cannot be read")
        terminal.press("q")
        assert terminal.wait() == 0
        assert terminal.is_restored
        assert {command.partition(b";")[0] for command in terminal.commands} <= {b"22"}, "the pointer's shape alone"
        said = terminal.written.decode()
        assert not {c for c in said if "\x7f" <= c <= "\x9f" or c in REORDERING}
        assert "\x1b]0;" not in said
        assert "\x00" not in said


def test_tmux_keeps_its_title_buffer_and_modes(tmux: Tmux, tmp_path: Path) -> None:
    """Title and paste buffer are what they were, and once it has quit the screen and the mouse are too."""
    root = make_hostile(tmp_path / "runs")
    tmux.start("sh", 160, 48)
    tmux.ask("set", "-g", "set-clipboard", "on")
    tmux.ask("set-buffer", "mine")
    tmux.ask("select-pane", "-T", "mine")
    tmux.press(f"{' '.join(NEUROCKT)} view {root}; echo code $?", "Enter")
    tmux.wait("1 cannot be read")
    assert tmux.ask("display", "-p", "#{alternate_on} #{mouse_any_flag}") == "1 1"
    for keys, seen in (("Enter", "1 Charts"), *zip("234", SEEN.values(), strict=True), ("Escape", "1 cannot be read")):
        tmux.press(keys)
        tmux.wait(lambda screen, seen=seen: seen in screen and SHOWN in screen)
    tmux.press("q")
    tmux.wait("code 0")
    assert tmux.ask("display", "-p", "#{pane_title} #{alternate_on} #{mouse_any_flag}") == "mine 0 0"
    assert tmux.ask("show-buffer") == "mine"
