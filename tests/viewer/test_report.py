"""The page of ``neurockt report``: what is in it, without a browser."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
import random
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from written import Written, attached

from neurockt import list_runs, testing
from neurockt.cli import main
from neurockt.monitor import Recorder
from neurockt_viewer.charts.series import Series
from neurockt_viewer.report import curves, page
from neurockt_viewer.report.arrays import Arrays
from neurockt_viewer.report.page import embedded

HOSTILE = "</script><img src=x onerror=owned=1>\u2028<!--<script>alert(1)</script>\u202e&lt;\"'`${owned}"
Floats = npt.NDArray[np.float64]


class Parsed(HTMLParser):
    """The elements of a page, and the text outside of them and inside each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self.text = ""
        self._script: str | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self._script = dict(attrs).get("id") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is None:
            self.text += data
        else:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data


class Charts:
    """The curves of a page, decoded as its script does it."""

    def __init__(self, parsed: Parsed) -> None:
        self.data: dict[str, Any] = json.loads(parsed.scripts["curves"])
        packed = gzip.decompress(base64.b64decode(parsed.scripts["numbers"]))
        doubles, floats = self.data["sizes"]
        assert len(packed) == 8 * doubles + 4 * floats
        self._pools = [
            np.frombuffer(packed, np.uint8, 8 * doubles).reshape(8, doubles).T.copy().view("<f8").ravel(),
            np.frombuffer(packed, np.uint8, 4 * floats, 8 * doubles).reshape(4, floats).T.copy().view("<f4").ravel(),
        ]

    def curve(self, chart: str, run: int = 0) -> dict[str, Any]:
        (found,) = [each for each in self.data["charts"] if each["name"] == chart]
        (curve,) = [each for each in found["curves"] if each["run"] == run]
        return dict(curve)

    def arrays(self, chart: str, axis: str = "step", run: int = 0) -> dict[str, Floats]:
        return {name: self._array(index) for name, index in self.curve(chart, run)["axes"][axis].items()}

    def _array(self, index: int) -> Floats:
        pool, begin, length, divisor = self.data["index"][index]
        values = self._pools[pool][begin : begin + length].astype(np.float64)
        return np.cumsum(values) / divisor if divisor else values


def report(*words: object, target: Path) -> Parsed:
    assert main(["report", *map(str, words), "-o", str(target)]) == 0
    return Parsed(target.read_text(encoding="utf-8"))


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Path]:
    """Makes a finished run with one value a step of each metric; gives its root."""

    def make(
        steps: dict[str, list[float | None]], epochs: dict[str, list[float | None]] | None = None, **about: Any
    ) -> Path:
        recorder = Recorder(tmp_path / "runs", quiet=True, **about)
        testing.record(recorder, steps, epochs)
        recorder.finish()
        return tmp_path / "runs"

    return make


def test_text_of_a_run_is_text_of_the_page(record: Callable[..., Path], tmp_path: Path) -> None:
    """Nothing of it is markup or a script, wherever a user may have put it; there is no address of anywhere."""
    recorder = Recorder(
        tmp_path / "runs",
        quiet=True,
        name=HOSTILE,
        notes=f"first\n{HOSTILE}",
        tags=(HOSTILE,),
        group=HOSTILE,
        config={HOSTILE: {HOSTILE: HOSTILE}, "lr": 1},
    )
    testing.record(recorder, {HOSTILE.replace("\u2028", "").replace("\u202e", ""): [1.0, 2.0]})
    recorder.finish()
    path = recorder.run_dir / "run.json"
    document = json.loads(path.read_bytes())
    document |= {"state": "failed", "failure": {"type": HOSTILE, "message": HOSTILE, "traceback": HOSTILE}}
    document["attempts"] = [{**document["attempts"][0], "host": HOSTILE, "cause": HOSTILE}] * 2
    path.write_text(json.dumps(document))
    record({"loss": [1.0]}, config={"lr": 2})
    parsed = report(tmp_path / "runs", "--title", HOSTILE, target=tmp_path / "r.html")
    tags = [tag for tag, _ in parsed.elements]
    assert tags.count("script") == 4
    assert not {"img", "link", "iframe", "object", "embed", "form", "base"} & {*tags}
    assert parsed.text.count("<img src=x onerror=owned=1>") >= 12
    assert not {"\u2028", "\u202e"} & {*(tmp_path / "r.html").read_text(encoding="utf-8")}
    for tag, attributes in parsed.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcset", "action")], tag
        assert (attributes.get("href") or "#").startswith("#")
    names = [run["name"] for run in json.loads(parsed.scripts["curves"])["runs"]]
    assert any("<" in name for name in names)


def test_a_policy_lets_the_page_run_its_own_scripts_alone(record: Callable[..., Path], tmp_path: Path) -> None:
    """They are named by digest; nothing may be loaded, sent or framed."""
    parsed = report(record({"loss": [1.0]}), target=tmp_path / "r.html")
    (policy,) = [
        attributes["content"] for tag, attributes in parsed.elements if tag == "meta" and "http-equiv" in attributes
    ]
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    library = gzip.decompress(base64.b64decode(parsed.scripts["plotly"]))
    for script in (parsed.scripts[""].encode(), library):
        assert base64.b64encode(hashlib.sha256(script).digest()).decode() in policy
    assert "unsafe-eval" not in policy
    assert "http" not in policy


@pytest.mark.parametrize("text", ["</script>", "<!--", "<SCRIPT", "]]>", "\u2028\u2029", "&lt;"])
def test_embedded_json_is_read_back_and_has_no_markup(text: str) -> None:
    found = embedded({"name": text})
    assert json.loads(found) == {"name": text}
    assert found.isascii()
    assert not {"<", ">", "&"} & {*found}


def test_short_runs_are_in_the_page_value_by_value(record: Callable[..., Path], tmp_path: Path) -> None:
    shuffled = random.Random(3)
    losses = [shuffled.uniform(-1, 1) * 10.0 ** shuffled.randint(-300, 300) for _ in range(300)]
    sparse = [None if index % 3 else 0.1 * index for index in range(300)]
    root = record({"loss": [*losses], "sparse": sparse}, {"acc": [0.1, 0.9]}, config={"lr": 1})
    charts = Charts(report(root, target=tmp_path / "r.html"))
    loss = charts.arrays("loss")
    assert loss["low"].tolist() == loss["high"].tolist() == loss["mean"].tolist() == losses
    assert loss["x"].tolist() == list(range(1, 301))
    assert charts.arrays("sparse")["low"].tolist() == [value for value in sparse if value is not None]
    assert charts.arrays("sparse")["x"].tolist() == list(range(1, 301, 3))
    assert charts.data["axes"] == ["step", "epoch", "relative", "wall"]
    times = list_runs(root)[0]
    assert charts.data["runs"][0]["begin"] == times.created.timestamp()
    assert (np.diff(charts.arrays("loss", "relative")["x"]) >= 0).all()


def test_of_long_runs_every_extreme_is_kept(
    record: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each stretch its smallest and largest value, to the last bit, and its mean; what is not finite is counted."""
    monkeypatch.setattr(curves, "MOST", 100)
    shuffled = np.random.default_rng(5)
    losses = shuffled.normal(size=3000)
    odd = np.where(np.arange(3000) % 700 == 5, np.nan, losses)
    odd[1500] = math.inf
    root = record({"loss": losses.tolist(), "odd": odd.tolist()})
    charts = Charts(report(root, target=tmp_path / "r.html"))
    found = charts.arrays("loss")
    starts = (found["x"] - 1).astype(int)
    stretches = np.split(losses, starts[1:])
    assert 50 <= len(starts) <= 100
    assert found["low"].tolist() == [each.min() for each in stretches]
    assert found["high"].tolist() == [each.max() for each in stretches]
    assert found["count"].tolist() == [len(each) for each in stretches]
    assert found["mean"] == pytest.approx([each.mean() for each in stretches], abs=1e-6)
    assert found["above"] == pytest.approx([each[each > 0].min() for each in stretches])
    finite = [each[np.isfinite(each)] for each in np.split(odd, starts[1:])]
    assert charts.arrays("odd")["low"].tolist() == [each.min() for each in finite]
    assert charts.curve("odd")["odd"] == [5, 1, 0]


@given(st.lists(st.floats(width=64), min_size=1, max_size=60), st.integers(1, 20))
def test_a_reduced_series_has_the_extremes_of_the_whole(values: list[float], most: int) -> None:
    series = Series.of(np.arange(len(values)), values)
    found = curves.reduced(series, most)
    assert len(found) <= max(most, 1)
    finite = [value for value in values if math.isfinite(value)]
    assert np.nanmin(found.low, initial=math.inf) == min(finite, default=math.inf)
    assert np.nanmax(found.high, initial=-math.inf) == max(finite, default=-math.inf)
    assert found.count is None or int(found.count.sum()) == len(finite)
    assert (np.diff(found.x) > 0).all()
    assert np.all((found.mean <= found.high) | (found.count == 0) | np.isclose(found.mean, found.high))


@pytest.mark.slow
def test_twenty_long_runs_fit_a_mail() -> None:
    """Of five metrics each, of numbers that nothing compresses, below zero and above: with Plotly under 8 MB."""
    shuffled = np.random.default_rng(1)
    packed = Arrays()
    most = curves.entries_each([10**6] * 100)
    for _ in range(100):
        low, high = shuffled.normal(-3, 1, most), shuffled.normal(3, 1, most)
        series = Series(np.arange(most) * 512.0, low, high, low + high, low, high, positive=np.abs(low))
        curves._stored(series, "step", packed, odd=False)
    assert len(packed.packed()) + len(page._plotly()[1]) < 7_900_000


def test_what_short_curves_leave_is_for_long_ones() -> None:
    assert curves.entries_each([10, 10, 10**9]) == curves.MOST
    assert curves.entries_each([10**6] * 100) == curves.ENTRIES // 100
    assert curves.entries_each([10**6] * 99 + [0]) == curves.ENTRIES // 99
    assert curves.entries_each([10**6] * 10**4) == curves.LEAST


def test_a_run_that_was_killed_has_all_its_rows(crashed_run: Path, tmp_path: Path) -> None:
    """Also those in its journals, which ``run.json`` does not know of."""
    parsed = report(crashed_run, target=tmp_path / "r.html")
    charts = Charts(parsed)
    assert charts.arrays("loss")["low"].tolist() == [1 / step for step in range(1, 31)]
    assert charts.arrays("acc", "epoch")["x"].tolist() == [1, 2, 3]
    assert "killed" in parsed.text


def test_a_live_run_has_the_row_that_may_still_change(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "runs", run_id="live", quiet=True)
    for step in range(3):
        recorder.log({"loss": step / 4}, step=step)
    charts = Charts(report("live", "--root", tmp_path / "runs", target=tmp_path / "r.html"))
    recorder.finish()
    assert charts.arrays("loss")["low"].tolist() == [0, 0.25, 0.5]


def test_what_is_attached_is_a_chart(tmp_path: Path) -> None:
    run = Written(tmp_path / "runs" / "r")
    for step in range(3):
        run.add("steps", step, {"loss": step})
    run.publish()
    attached(run.path, "evaluator", {1: {"mmlu": 0.25}, 2: {"mmlu": 0.5}})
    run.finish()
    charts = Charts(report(run.path, target=tmp_path / "r.html"))
    assert charts.arrays("mmlu")["low"].tolist() == [0.25, 0.5]


def test_ranks_are_a_band_and_late_values_are_at_their_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the ranks the lowest, the mean and the highest."""
    for rank, steps in ((0, 5), (1, 5), (2, 2)):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "3")
        recorder = Recorder(tmp_path / "runs", run_id="ranked", ranks="all", quiet=True)
        testing.record(recorder, {"loss": [float(step + rank) for step in range(1, steps + 1)]})
        recorder.finish()
    monkeypatch.delenv("RANK")
    monkeypatch.delenv("WORLD_SIZE")
    recorder = Recorder(tmp_path / "runs", run_id="late", quiet=True)
    for step in (1, 2, 5, 3):
        recorder.log({"loss": step / 2}, step=step)
    recorder.finish()
    charts = Charts(report("ranked", "late", "--root", tmp_path / "runs", target=tmp_path / "r.html"))
    ranked, late = charts.arrays("loss"), charts.arrays("loss", run=1)
    assert ranked["low"].tolist() == [1, 2, 3, 4, 5]
    assert ranked["mean"].tolist() == [2, 3, 3.5, 4.5, 5.5]
    assert ranked["high"].tolist() == [3, 4, 4, 5, 6]
    assert dict(zip(late["x"].tolist(), late["low"].tolist(), strict=True)) == {1: 0.5, 2: 1, 3: 1.5, 5: 2.5}


def test_metrics_of_both_tables_are_charts_of_their_own(record: Callable[..., Path], tmp_path: Path) -> None:
    charts = Charts(report(record({"loss": [3.0, 2.0]}, {"loss": [1.0]}), target=tmp_path / "r.html"))
    assert [chart["name"] for chart in charts.data["charts"]] == ["loss@steps", "loss@epochs"]


def test_the_configs_show_what_differs(record: Callable[..., Path], tmp_path: Path) -> None:
    """Few runs are columns, many are rows; what is unlike most is marked."""
    for seed in range(3):
        record({"loss": [1.0]}, name=f"few-{seed}", config={"lr": 0.1 if seed else 1.0, "seed": seed, "same": "yes"})
    root = record({"loss": [1.0]}, name="few-3", config={"lr": 0.1, "same": "yes"})
    text = (report(root, target=tmp_path / "few.html"), (tmp_path / "few.html").read_text())[1]
    assert '<tr><th class="first" scope="row">lr</th><td class="differs" data-v="1.0">1.0</td><td class=""' in text
    assert "The same in all runs: 1 key<" in text
    for seed in range(4, 9):
        record({"loss": [1.0]}, name=f"many-{seed}", config={"lr": 0.1, "seed": seed, "same": "yes"})
    report(root, target=tmp_path / "many.html")
    text = (tmp_path / "many.html").read_text()
    assert '<tr><th class="first" scope="row">few-0</th><td class="differs" data-v="1.0">1.0</td>' in text


def test_numbers_are_aligned_on_their_decimal_points(record: Callable[..., Path], tmp_path: Path) -> None:
    """By spaces as wide as a digit or a point; what a run lacks is aligned with them."""
    for values in ({"loss": [0.5]}, {"loss": [0.25]}, {"loss": [3.0]}, {"other": [1.0]}):
        root = record(values)
    report(root, target=tmp_path / "r.html")
    cells = re.findall(r'<td class="number"[^>]*>([^<]*)</td>', (tmp_path / "r.html").read_text())
    assert {"0.5\u2007", "0.25", "3\u2008\u2007\u2007", "-\u2008\u2007\u2007"} <= {*cells}


def test_details_have_notes_origin_and_how_it_ended(record: Callable[..., Path], tmp_path: Path) -> None:
    root = record({"loss": [1.0]}, notes="line one\n  line two", tags=("paper",), run_id="r1")
    parsed = report(root, target=tmp_path / "r.html")
    assert "line one\n  line two" in parsed.text
    for word in ("Origin", "command", "finished", "host", "smallest", "paper"):
        assert word in parsed.text, word
    assert " ago" not in parsed.text
