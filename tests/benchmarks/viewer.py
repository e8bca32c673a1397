"""``neurockt view`` on a terminal of 160x48, whole process: what it takes to paint, to answer a key, and of memory."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from tests.benchmarks.harness import Effort, Figure, Measure, clean_environment, fresh, progress, scratch, spread
from tests.benchmarks.terminal import DOTS, REDRAW_QUIET, Response, Terminal, opened
from tests.benchmarks.viewer_data import LIVE_RUN, going_on, make_list, make_run

DOWN, PAGE_DOWN, PAGE_UP, LEFT, RIGHT = "\x1b[B", "\x1b[6~", "\x1b[5~", "\x1b[D", "\x1b[C"
CHART_KEYS = ["+", "+", RIGHT, LEFT, "-", "s", "s", "Y", "Y", "S", "S", "x", "x", "x", "x", "i", LEFT, LEFT, "i", "0"]
LIST_KEYS = [DOWN, DOWN, PAGE_DOWN, "G", "g", " ", " ", "s", "s", "p", "p"]
TABLE_KEYS = [DOWN, DOWN, PAGE_DOWN, PAGE_DOWN, RIGHT, RIGHT, PAGE_UP, LEFT, LEFT, "G", "g"]
LOADED_QUIET = 0.8
"""A load is over after this many seconds without output."""
COARSE_TARGET = 1.0
CHARTS = {100_000: (1.0, None), 1_000_000: (1.2, 200.0), 10_000_000: (3.0, 300.0)}
"""By the number of steps: seconds to complete charts, and megabytes, to be reached."""
TABLE_STEPS = 10_000_000
AGES_SECONDS = 20.0


def view(path: Path) -> AbstractContextManager[Terminal]:
    """The viewer, as it is when first started."""
    environment = {**clean_environment(), "XDG_CONFIG_HOME": str(path.parent / "config")}
    return opened([sys.executable, "-m", "neurockt", "view", str(path)], environment)


def at_most(
    measure: str, values: Sequence[float], target: float | None, *, places: int = 2, beside: str = ""
) -> Figure:
    """A figure of one value a round, the median of which is to stay at or below the target."""
    found = spread(values)
    met = None if target is None else found.median <= target
    return Figure(measure, found.text(places), "" if target is None else f"<= {target:g}", met, beside)


def percentile(values: Iterable[float], share: float) -> float:
    """The value that this share of the values is at or below."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def redraw_figure(measure: str, found: Sequence[Response], targets: tuple[float, float] | None) -> Figure:
    """Median and 95th percentile of what keys took until all was redrawn, of all rounds together."""
    whole = [each.whole for each in found]
    middle, high = percentile(whole, 0.5), percentile(whole, 0.95)
    met = targets and middle <= targets[0] and high <= targets[1]
    target = f"<= {targets[0]:g} / {targets[1]:g}" if targets else ""
    beside = f"{percentile([each.written for each in found], 0.5):,} bytes at the median"
    return Figure(measure, f"{middle:.0f} / {high:.0f}", target, met, beside)


def key_figure(measure: str, found: Sequence[Response], targets: tuple[float | None, float] | None) -> Figure:
    """Median and 95th percentile of what keys took until the screen began to change, of all rounds together."""
    changed, whole = [each.changed for each in found], [each.whole for each in found]
    middle, high = percentile(changed, 0.5), percentile(changed, 0.95)
    beside = f"whole redraw {percentile(whole, 0.5):.0f} / {percentile(whole, 0.95):.0f}; {len(found)} keys"
    if targets is None:
        return Figure(measure, f"{middle:.0f} / {high:.0f}", beside=beside)
    met = high <= targets[1] and (targets[0] is None or middle <= targets[0])
    target = f"p95 <= {targets[1]:g}" if targets[0] is None else f"<= {targets[0]:g} / {targets[1]:g}"
    return Figure(measure, f"{middle:.0f} / {high:.0f}", target, met, beside)


def press_all(terminal: Terminal, keys: Sequence[str]) -> list[Response]:
    """What the keys do, one after the other; those that do nothing are left out."""
    return [response for key in keys if (response := terminal.press(key)) is not None]


def listing(effort: Effort) -> Iterator[Figure]:
    """The list of 200 runs, and of 10,000."""
    paints: list[float] = []
    memory: list[float] = []
    idle: list[float] = []
    keys: list[Response] = []
    downs: list[Response] = []
    with scratch() as directory:
        root = directory / "runs"
        root.mkdir()
        make_list(root, 200)
        for _ in range(effort.rounds):
            with view(root) as terminal:
                paints.append(terminal.until("copy-"))
                terminal.until_quiet(LOADED_QUIET)
                keys += press_all(terminal, LIST_KEYS)
                downs += press_all(terminal, [DOWN] * 8)
                memory.append(terminal.resident())
                idle.append(100 * terminal.idle_share(5.0))
    yield at_most("list of 200 runs: first paint, s", paints, 0.8)
    yield key_figure("list of 200 runs: key, ms p50 / p95", keys, (20, 60))
    yield redraw_figure("list of 200 runs: whole redraw, ms p50 / p95", keys, (16, 25))
    yield redraw_figure("list of 200 runs: whole redraw of an arrow key, ms p50 / p95", downs, (16, 19))
    yield at_most("list of 200 runs: memory, MB", memory, 130, places=0)
    yield at_most("list of 200 runs: idle, % of a core", idle, 1.0, places=1)
    first: list[float] = []
    whole: list[float] = []
    ordered: list[float] = []
    keys = []
    with scratch() as directory:
        root = directory / "runs"
        root.mkdir()
        make_list(root, 10_000)
        for _ in range(effort.rounds):
            with view(root) as terminal:
                first.append(terminal.until("copy-"))
                whole.append(terminal.until(re.compile(r" 10,000 runs(?! · reading)")))
                terminal.until_quiet(LOADED_QUIET)
                terminal.timed("$", "")
                terminal.until_quiet(LOADED_QUIET)
                ordered.append(terminal.timed("s", re.compile("[▲▼]")) / 1000)
                terminal.until_quiet(LOADED_QUIET)
                keys += press_all(terminal, LIST_KEYS[:5])
    together = [sum(pair) for pair in zip(whole, ordered, strict=True)]
    beside = f"all read after {spread(whole).text()}, sorted in {spread(ordered).text()}"
    yield at_most("list of 10,000 runs: first rows, s", first, 0.8)
    yield at_most("list of 10,000 runs: sorted by a metric, s", together, 4.0, beside=beside)
    yield key_figure("list of 10,000 runs: key, ms p50 / p95", keys, (20, 60))
    yield redraw_figure("list of 10,000 runs: whole redraw, ms p50 / p95", keys, (20, 40))


def charts(effort: Effort) -> Iterator[Figure]:
    """The charts of five metrics."""
    for steps, (target, most) in CHARTS.items():
        coarse: list[float] = []
        whole: list[float] = []
        memory: list[float] = []
        idle: list[float] = []
        keys: list[Response] = []
        during: list[Response] = []
        with scratch() as directory:
            path = directory / "run"
            fresh(make_run_at, path=path, steps=steps)
            for number in range(effort.rounds):
                progress(f"charts of {steps:,} steps: round {number + 1} of {effort.rounds}")
                with view(path) as terminal:
                    coarse.append(terminal.until(DOTS))
                    whole.append(terminal.until_quiet(LOADED_QUIET))
                    memory.append(terminal.resident())
                    keys += press_all(terminal, CHART_KEYS)
                    idle.append(100 * terminal.idle_share(3.0))
                if steps > 1_000_000:
                    during += keys_during_load(path)
        name = f"charts of {steps:,} steps"
        yield at_most(f"{name}: first, of all of it, s", coarse, COARSE_TARGET)
        yield at_most(f"{name}: complete, s", whole, target)
        yield key_figure(f"{name}: key, ms p50 / p95", keys, (20, 60))
        yield at_most(f"{name}: memory, MB", memory, most, places=0)
        yield at_most(f"{name}: idle, % of a core", idle, 1.0, places=1)
        if during:
            yield key_figure(f"{name}: key while it loads, ms p50 / p95", during, (None, 100))


def make_run_at(path: str, steps: int) -> None:
    """``make_run`` in a process of its own."""
    make_run(Path(path), steps)


AXES = ("x: epoch", "x: time since", "x: time of day", "x: step")


def keys_during_load(path: Path) -> list[Response]:
    """Response times of keys, judged by their effect, while the charts are being read."""
    found = []
    with view(path) as terminal:
        terminal.until(DOTS)
        for name in (*AXES, *AXES):
            taken = terminal.timed("x", name)
            found.append(Response(taken, taken))
    return found


def table(effort: Effort) -> Iterator[Figure]:
    """The table of ten million steps."""
    paints: list[float] = []
    jumps: list[float] = []
    ends: list[float] = []
    sorts: list[float] = []
    resident: list[float] = []
    after: list[float] = []
    keys: list[Response] = []
    during: list[Response] = []
    with scratch() as directory:
        path = directory / "run"
        fresh(make_run_at, path=path, steps=TABLE_STEPS)
        for number in range(effort.rounds):
            progress(f"table: round {number + 1} of {effort.rounds}")
            with view(path) as terminal:
                terminal.type("2")
                paints.append(terminal.until(re.compile(r"loss_0 [-.\de]+ at step 1 ")))
                terminal.until_quiet(LOADED_QUIET)
                resident.append(terminal.resident())
                keys += press_all(terminal, TABLE_KEYS)
                for jump in range(10):
                    step = (7_654_321 * (jump + 1)) % TABLE_STEPS
                    terminal.timed(":", "go to step")
                    terminal.until_quiet(REDRAW_QUIET)
                    terminal.timed(str(step), str(step))
                    jumps.append(terminal.timed("\r", re.compile(rf"loss_0 [-.\de]+ at step {step:,} ")))
                    terminal.until_quiet(0.2)
                for key, step in ("G", TABLE_STEPS), ("g", 1):
                    ends.append(terminal.timed(key, re.compile(rf"loss_0 [-.\de]+ at step {step:,} ")))
                    terminal.until_quiet(0.2)
                sorts.append(sort_seconds(terminal))
                during += keys_during_sort(terminal)
                after.append(terminal.resident())
    yield at_most("table of 10,000,000 steps: first paint, s", paints, 0.8)
    yield key_figure("table of 10,000,000 steps: key, ms p50 / p95", keys, (20, 60))
    yield p95_figure("table of 10,000,000 steps: jump to a step, ms p95", jumps, 60)
    yield p95_figure("table of 10,000,000 steps: to an end, ms p95", ends, 60)
    yield at_most("table of 10,000,000 steps: sort, s", sorts, 3.0)
    yield key_figure("table of 10,000,000 steps: key while it sorts, ms p50 / p95", during, (None, 100))
    beside = f"{spread(after).text(0)} once sorted"
    yield at_most("table of 10,000,000 steps: memory, MB", resident, 160, places=0, beside=beside)


def p95_figure(measure: str, values: Sequence[float], target: float) -> Figure:
    """The 95th percentile of all rounds together."""
    high, middle = percentile(values, 0.95), percentile(values, 0.5)
    return Figure(measure, f"{high:.0f}", f"<= {target:g}", high <= target, f"median {middle:.0f}; {len(values)} times")


def sort_seconds(terminal: Terminal) -> float:
    """By the first loss."""
    taken = terminal.timed("s", re.compile("loss_0 [▲▼]")) / 1000
    terminal.until_quiet(0.3)
    return taken


def keys_during_sort(terminal: Terminal) -> list[Response]:
    """Response times of keys, judged by their effect, while the table is being sorted in reverse."""
    found = []
    terminal.type("g")
    terminal.until_quiet(0.3)
    terminal.type("s")
    terminal.until("sorting by")
    for row in range(2, 12):
        taken = terminal.timed(DOWN, re.compile(rf"row {row} of"))
        found.append(Response(taken, taken))
        time.sleep(0.05)
    terminal.until(re.compile("loss_0 [▲▼]"))
    terminal.until_quiet(0.3)
    return found


def live(effort: Effort) -> Iterator[Figure]:
    """A run that is being written, on the charts and in the table."""
    for name, keys in ("charts", ""), ("table", "2"):
        progress(f"live: {name}")
        begun = time.time()
        with scratch() as directory, going_on(LIVE_RUN, directory, begun), view(directory / "live") as terminal:
            terminal.until("neurockt")
            terminal.type(keys)
            terminal.until(re.compile(r"clock \d"))
            found = ages(terminal, begun, AGES_SECONDS if not effort.quick else 5.0, r"clock (\d+\.\d+)")
            idle = terminal.idle_share(10.0)
        yield age_figure(f"live, {name}: age of the value shown, s p50 / p95", found, (0.7, 1.5))
        yield Figure(f"live, {name}: % of a core", f"{100 * idle:.1f}", "<= 5", idle <= 0.05)


def ages(terminal: Terminal, begun: float, seconds: float, pattern: str) -> list[float]:
    """How old the latest value on the screen is, looked at again and again; a value is its seconds since ``begun``."""
    return sampled(lambda: terminal.text(0.05), begun, seconds, pattern)


def sampled(look: Callable[[], str], begun: float, seconds: float, pattern: str) -> list[float]:
    """The ages of the latest value in what was drawn, or in what a screen shows, every twentieth of a second."""
    found, latest = [], None
    end = time.time() + seconds
    while (now := time.time()) < end:
        values = re.findall(pattern, look())
        latest = float(values[-1]) if values else latest
        if latest is not None:
            found.append(time.time() - begun - latest)
        time.sleep(max(0.0, now + 0.05 - time.time()))
    return found


def age_figure(measure: str, found: Sequence[float], targets: tuple[float, float] | None) -> Figure:
    """Median and 95th percentile."""
    middle, high = percentile(found, 0.5), percentile(found, 0.95)
    if targets is None:
        return Figure(measure, f"{middle:.2f} / {high:.2f}")
    met = middle <= targets[0] and high <= targets[1]
    return Figure(measure, f"{middle:.2f} / {high:.2f}", f"<= {targets[0]:g} / {targets[1]:g}", met)


MEASURES = [
    Measure("viewer-list", "the viewer's list of 200 and of 10,000 runs", listing),
    Measure("viewer-charts", "its charts of 100,000 to 10,000,000 steps", charts),
    Measure("viewer-table", "its table of 10,000,000 steps", table),
    Measure("viewer-live", "how it follows a run that is being written", live),
]
