"""The page of ``neurockt report`` in a real browser: what is drawn, what the cursor shows, and that nothing leaves."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pytest
from chromium import Chromium, command, opened_report

from neurockt import testing
from neurockt.monitor import Recorder
from neurockt_viewer.charts import palette
from neurockt_viewer.charts.smoothing import smooth
from neurockt_viewer.report import curves

pytestmark = pytest.mark.slow

STEPS: Final = 1600
HOSTILE: Final = "</script><img src=x onerror=owned=1><b>bold</b><a href='http://example.com/'>"
RATES: Final = 0.1, 0.01, 1.0


def losses(run: int) -> list[float]:
    """Values with a spike; those of the last run diverge."""
    found = np.random.default_rng(run).normal(2 + run, 0.1, STEPS)
    found[634] = 9.5
    if run == 2:
        found[800:1000] = 1e9
        found[1000:] = math.nan
    return [float(value) for value in found]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """Three runs; the second has a hostile name and metric. Curves are reduced to 200 entries."""
    command()
    place = tmp_path_factory.mktemp("report")
    for run, rate in enumerate(RATES):
        name = HOSTILE if run == 1 else f"run-{run}"
        recorder = Recorder(place / "runs", quiet=True, name=name, notes=name, config={"lr": rate}, run_id=f"r{run}")
        testing.record(
            recorder, {"loss": losses(run), HOSTILE: [1.0] * STEPS}, {"acc": [0.1 * run + 0.5, 0.75]}, every=STEPS // 2
        )
        recorder.finish()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "MOST", 200)
        with opened_report(place) as browser:
            yield browser


@pytest.fixture(autouse=True)
def fresh(page: Chromium) -> None:
    """Each test begins with everything shown, nothing zoomed."""
    page.run(
        """hidden.clear(); Object.assign(settings, {axis: "step", smoothing: 0, logx: false, logy: false, all: false});
        id("find").value = ""; id("find").oninput(); reset(charts); scrollTo(0, 0); id("charts").scrollIntoView()"""
    )
    page.until("charts.every((chart) => !chart.dirty || !chart.seen) && charts[0].seen")


def traces(page: Chromium) -> list[dict[str, Any]]:
    """What is drawn in the chart of the loss."""
    script = """JSON.stringify(charts[0].plot.data.map(({ x, y, fill, meta, line }) =>
        ({ x: [...x], y: [...y], fill, meta, colour: line.color })))"""
    return list(json.loads(page.run(script)))


def test_nothing_leaves_the_page_and_no_text_is_run(page: Chromium) -> None:
    """Not one request but for the file itself, no violated policy, no error; hostile names are text."""
    assert [url for url in page.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert page.complaints == []
    assert page.run("typeof owned") == "undefined"
    assert page.run("document.querySelectorAll('main img, main a[href^=http], #legend b').length") == 0
    assert page.run("document.querySelector('#legend').textContent").count("<") > 0
    assert page.run("[...document.querySelectorAll('figcaption span')].map((each) => each.textContent)") == [
        "loss",
        HOSTILE,
        "acc",
    ]


def test_every_extreme_is_drawn(page: Chromium) -> None:
    """Each run is a band from its lowest to its highest values, and their mean over it, in the viewer's colours."""
    found = traces(page)
    areas = [each for each in found if each.get("fill")]
    assert [each["meta"] for each in areas] == [0, 1, 2]
    for run, area in enumerate(areas):
        values = [value for value in losses(run) if math.isfinite(value)]
        drawn = [value for value in area["y"] if value is not None]
        assert (min(drawn), max(drawn)) == (min(values), max(values))
    assert [each["colour"] for each in found if not each.get("fill")] == list(palette.ON_LIGHT[:3])
    top = page.run("charts[0].plot.layout.yaxis.range[1]")
    assert 5 < top < 1000, "what diverges does not flatten the rest"
    note = page.run("charts[0].note.textContent")
    assert note == "run-2: 600 NaN · off the scale: run-2"
    page.run("id('all').click()")
    assert page.run("charts[0].plot._fullLayout.yaxis.range[1]") > 1e8
    page.run("id('all').click()")


def test_a_constant_has_a_range_of_its_own_size_and_steps_are_whole(page: Chromium) -> None:
    """Not between -1 and 1; and there is no epoch 1.5."""
    page.run("charts[1].figure?.scrollIntoView(); id('axis').value = 'epoch'; id('axis').oninput(); charts.map(draw)")
    assert page.run("charts[1].plot.layout.yaxis.range") == [0.9, 1.1]
    ticks = page.run("[...charts[2].plot.querySelectorAll('.xtick text')].map((each) => each.textContent)")
    assert ticks == ["1", "2"]


def test_zooming_shows_the_exact_values_of_that_part(page: Chromium) -> None:
    """By dragging; a double click shows all again."""
    left, top, width, height = page.box("#grid .nsewdrag")
    page.drag((left + 0.3 * width, top + 0.5 * height), (left + 0.4 * width, top + 0.5 * height))
    low, high = page.until("charts[0].x")
    assert high - low == pytest.approx(0.1 * STEPS * 1.04, rel=0.05)
    inside = losses(0)[math.ceil(low) : math.floor(high)]
    area = traces(page)[0]
    assert min(inside) in area["y"]
    assert max(inside) in area["y"]
    assert len(area["x"]) < 100
    x, y = left + 0.5 * width, top + 0.5 * height
    for clicks in (1, 2):
        page.mouse("Pressed", x, y, clicks)
        page.mouse("Released", x, y, clicks)
    page.until("charts[0].x === null")


def test_the_cursor_shows_exact_values(page: Chromium) -> None:
    """Of the nearest run its extremes, or its value where an entry is one."""
    left, top, width, height = page.box("#grid .nsewdrag")
    page.mouse("Moved", left + 0.5 * width, top + 0.9 * height)
    tip = page.until("!id('tip').hidden && id('tip').innerText")
    first = int(tip.split()[1].replace(",", ""))
    values = losses(0)[first - 1 : first + 7]
    assert f"step {first:,} until {first + 8:,}, 8 values" in tip
    assert f"lowest {min(values)!r}, highest {max(values)!r}" in tip
    assert "run-0" in tip
    assert HOSTILE[:12] in tip
    page.mouse("Moved", left + 0.75 * width, top + 0.9 * height)
    rows = page.until("id('tip').innerText.startsWith('step 1,2') && id('tip').innerText")
    assert "NaN" in rows.splitlines()[-1], "what has no value comes last"
    page.run("charts[2].figure.scrollIntoView({block: 'center'})")
    page.until("charts[2].seen && !charts[2].dirty")
    left, top, width, height = page.box("figure[data-at='2'] .nsewdrag")
    page.mouse("Moved", left + 2, top + 0.5 * height)
    page.until("id('tip').innerText.includes('0.7')")
    assert page.run("id('tip').innerText").startswith("step 800")


def test_the_legend_hides_runs_and_shows_one_alone(page: Chromium) -> None:
    page.run("document.querySelector('#legend button').click()")
    assert {each["meta"] for each in traces(page)} == {1, 2}
    assert page.run("document.querySelector('#legend button').getAttribute('aria-pressed')") == "false"
    page.run("toggle(0)")
    assert len({each["meta"] for each in traces(page)}) == 3
    page.run("toggle(1, true)")
    assert {each["meta"] for each in traces(page)} == {1}


def test_the_filter_and_the_order_of_the_table(page: Chromium) -> None:
    """What is filtered out is not drawn; runs without a value come last in either order."""
    for words, shown in (("run-", {0, 2}), ("lr<0.5 run", {0}), ("lr<=0.1", {0, 1}), ("state=failed", set())):
        page.run(f"id('find').value = {words!r}; id('find').oninput()")
        assert {each["meta"] for each in traces(page)} == shown, words
        assert page.run("id('found').textContent") == f"{len(shown)} of 3"
    page.run("id('find').value = ''; id('find').oninput()")
    click = "[...document.querySelectorAll('#runs thead button')].find((each) => each.textContent === 'cfg.lr').click()"
    links = "[...document.querySelectorAll('#runs tbody a')].map((each) => Number(each.hash.slice(5)))"
    page.run(click)
    assert page.run(links) == [1, 0, 2]
    page.run(click)
    assert page.run(links) == [2, 0, 1]


def test_curves_are_smoothed_as_in_the_viewer(page: Chromium) -> None:
    page.run("id('smooth').value = 4; id('smooth').oninput()")
    assert page.run("id('smoothed').textContent") == "5%"
    found = page.run("Array.from(charts[0].curves[0].smoothed)")
    x, mean = (np.array(page.run(f"Array.from(charts[0].drawn[0].s.{name})")) for name in ("x", "mean"))
    assert found == pytest.approx(smooth(x, mean, 0.05 * (page.run("drawn(charts[0]).whole[1]") - x[0])).tolist())


def test_logarithmic_axes_and_time(page: Chromium) -> None:
    """On a logarithmic axis every extreme above zero is drawn; by time and date, the same values."""
    page.run("id('logy').click(); id('logx').click()")
    assert page.run("[charts[0].plot.layout.xaxis.type, charts[0].plot.layout.yaxis.type]") == ["log", "log"]
    assert max(value for value in traces(page)[0]["y"] if value) == max(losses(0))
    page.run("id('logy').click(); id('logx').click()")
    for axis, kind in (("epoch", "linear"), ("relative", "linear"), ("wall", "date")):
        page.run(f"id('axis').value = {axis!r}; id('axis').oninput()")
        assert page.run("charts[0].plot.layout.xaxis.type") == kind
        assert max(value for value in traces(page)[0]["y"] if value) == max(losses(0))


def test_dark_and_narrow(page: Chromium) -> None:
    """The colours follow the reader's. On a phone nothing is wider than the screen, a drag scrolls the page, and a tap
    shows values.
    """
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    page.until(f"charts[0].plot.data.some((each) => each.line.color === {palette.ON_DARK[0]!r})")
    page.call("Emulation.setEmulatedMedia", features=[])
    page.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2, mobile=True)
    page.call("Emulation.setTouchEmulationEnabled", enabled=True)
    page.until("document.documentElement.scrollWidth <= 390")
    page.run("redrawAll()")
    assert page.run("charts[0].plot.layout.dragmode") is False
    page.run("charts[0].figure.scrollIntoView()")
    left, top, width, height = page.box("#grid .nsewdrag")
    finger = {"x": left + width / 2, "y": top + height / 2}
    page.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[finger])
    page.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    assert "run-0" in page.until("!id('tip').hidden && id('tip').innerText")
    page.call("Emulation.clearDeviceMetricsOverride")
    page.call("Emulation.setTouchEmulationEnabled", enabled=False)
