"""The page itself: tables as HTML, which are read without JavaScript too, and what the charts are drawn from.

Every text of a run is escaped here, once: what a run holds never becomes markup, and what the page runs is named in its
Content-Security-Policy by digest. That policy also keeps the page from loading, or sending, anything.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from html import escape
from importlib import resources
from string import Template
from typing import Any, Final

from neurockt import __version__
from neurockt.errors import MissingExtra
from neurockt.formatting import clean, clean_block, format_count, format_exact, format_value, utc_now, width_after_point
from neurockt.query.fields import Field, sort_key
from neurockt.run_info import RunInfo
from neurockt.shortening import shorten
from neurockt_viewer.charts import palette
from neurockt_viewer.charts.seeds import settings_of
from neurockt_viewer.charts.series import AXES
from neurockt_viewer.comparison import compare_configs
from neurockt_viewer.report.arrays import pack
from neurockt_viewer.report.curves import Curves

SCRIPTS: Final = ("tables.js", "curves.js", "charts.js", "tools.js")
"""They are one script in the page."""
NAME_WIDTH: Final = 32
"""Characters of a run's name in the legend."""
DASHES: Final = 3
KEYS_ACROSS: Final = 6
"""From more runs on, each is a row of the table of configs."""
WHOLE: Final = 1_000_000
DIGIT_SPACE: Final = "\u2007"
POINT_SPACE: Final = "\u2008"


@dataclass(frozen=True)
class Entry:
    """What the page has of a run beside its curves; any text."""

    info: RunInfo
    facts: Mapping[str, object]
    origin: Mapping[str, object]
    attempts: Sequence[str]
    config: Mapping[str, object]
    metrics: Sequence[Sequence[str]]
    """The rows of a table, the first of which has the titles."""
    failure: str
    traceback: str


def page(title: str, entries: Sequence[Entry], columns: Mapping[str, Field], curves: Curves) -> str:
    """The report as HTML.

    Args:
        columns: of the table of runs, by their titles.

    Raises:
        MissingExtra: plotly is not installed.
    """
    library, packed = _plotly()
    script, style = "\n".join(map(_part, SCRIPTS)), _part("page.css")
    infos = [entry.info for entry in entries]
    return Template(_part("page.html")).substitute(
        policy=_policy(script, library),
        style=style,
        script=script,
        title=_text(title),
        made=_text(f"{format_count(len(infos), 'run')}, {utc_now().astimezone():%Y-%m-%d %H:%M %Z}"),
        runs=_runs(infos, columns),
        config="\n".join(_config(infos)),
        details="\n".join(_details(at, entry) for at, entry in enumerate(entries)),
        footer=_text(f"Written by neurockt {__version__}. The page loads nothing and sends nothing."),
        curves=embedded(_curves(infos, curves)),
        numbers=curves.arrays.packed(),
        plotly=packed,
    )


def embedded(document: Any) -> str:
    """JSON that may be in a script element: there is nothing in it that a parser of HTML would take for markup."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)  # in ASCII: so U+2028 is escaped as well
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _part(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def _plotly() -> tuple[str, str]:
    """The library, and the same packed."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise MissingExtra("a report needs plotly: pip install 'neurockt[report]'") from error
    found: str = get_plotlyjs()
    return found, pack(found.encode())


def _policy(*scripts: str) -> str:
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _text(value: object) -> str:
    return escape(clean(value, WHOLE))


def _block(text: str) -> str:
    return escape(clean_block(text, WHOLE))


def _names(infos: Sequence[RunInfo]) -> list[str]:
    """What the runs are called: their names, with the id where several have the same one."""
    counts = Counter(info.label for info in infos)
    return [clean(info.label if counts[info.label] == 1 else f"{info.label} ({info.id})") for info in infos]


def _curves(infos: Sequence[RunInfo], curves: Curves) -> dict[str, Any]:
    """What the script draws, with the arrays by their indices."""
    both = {name for table, name in curves.charts if table == "steps"} & {
        name for table, name in curves.charts if table == "epochs"
    }
    axes = {axis for each in curves.charts.values() for curve in each for axis in curve["axes"]}
    names = _names(infos)
    several = [each for each in settings_of(infos, names, range(len(infos))) if len(each.runs) > 1]
    of_run = {run: index for index, each in enumerate(several) for run in each.runs}
    return {
        "runs": [
            {"name": name, "begin": info.created.timestamp(), **({"setting": of_run[at]} if at in of_run else {})}
            for at, (name, info) in enumerate(zip(shorten(names, NAME_WIDTH), infos, strict=True))
        ],
        "settings": [clean(each.name) for each in several],
        "colours": [palette.ON_LIGHT, palette.ON_DARK],
        "axes": [axis for axis in AXES if axis in axes or (axis == "wall" and axes)],
        "charts": [
            {"name": clean(f"{name}@{table}" if name in both else name), "curves": some}
            for (table, name), some in curves.charts.items()
        ],
        "index": curves.arrays.index,
        "sizes": curves.arrays.sizes,
    }


# Tables


def _runs(infos: Sequence[RunInfo], columns: Mapping[str, Field]) -> str:
    names = _names(infos)
    heads, kinds, shown = [], [], []
    for at, (title, field) in enumerate(columns.items()):
        kinds.append("first" if not at else "number" if _is_number(field, infos) else "")
        heads.append(_head(title, kinds[-1]))
        values = map(field.value, infos)
        texts = [
            _moment(value) if isinstance(value, datetime) else format_value(value, field.kind, WHOLE)
            for value in values
        ]
        shown.append(_aligned(texts) if kinds[-1] == "number" else texts)
    rows = []
    for at, info in enumerate(infos):
        cells = []
        for column, field in enumerate(columns.values()):
            value = field.value(info)
            key = sort_key(value)
            order = f' data-v="{_order(key[1])}"' if key is not None and key[0] == 0 else ""
            exact = f' title="{_text(format_exact(value))}"' if isinstance(value, float) else ""
            if column:
                kind = _text(info.state) if field.name == "state" else kinds[column]
                cells.append(f'<td class="{kind}"{order}{exact}>{_text(shown[column][at])}</td>')
            else:
                dash = at // palette.COLOURS % DASHES
                label = f'<a href="#run-{at}">{_text(names[at])}</a>'
                cells.append(f'<th class="first d{dash}" scope="row"><i class="key"></i>{label}</th>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return _table("sorted", heads, rows)


def _aligned(texts: Sequence[str]) -> list[str]:
    """Numbers that end in spaces as wide as the digits, and the point, that they lack."""
    tails = list(map(width_after_point, texts))
    after = max(tails, default=0)
    filled = [POINT_SPACE * (not tail) + DIGIT_SPACE * (after - max(tail, 1)) if tail < after else "" for tail in tails]
    return [text + spaces for text, spaces in zip(texts, filled, strict=True)]


def _is_number(field: Field, infos: Sequence[RunInfo]) -> bool:
    values = [value for info in infos if (value := field.value(info)) is not None]
    return bool(values) and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


def _order(number: float) -> str:
    """The number as JavaScript reads it."""
    return repr(number).replace("inf", "Infinity")


def _moment(moment: datetime) -> str:
    """Without how long ago: nobody knows when the page is read."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def _table(kind: str, heads: Iterable[str], rows: Iterable[str]) -> str:
    body = "\n".join(rows)
    return f'<table class="{kind}">\n<thead><tr>{"".join(heads)}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>'


def _head(title: str, kind: str = "") -> str:
    return f'<th class="{kind}" scope="col">{_text(title)}</th>'


def _config(infos: Sequence[RunInfo]) -> Iterator[str]:
    """The keys that differ, then those that are the same in all runs."""
    every = compare_configs(infos)
    rows = [key for key in every if key.differs]
    if not every:
        yield '<p class="muted">No run has a config.</p>'
        return
    if rows:
        names = _names(infos)
        columns = [list(map(_cell, key.values, key.stand_out())) for key in rows]
        if len(infos) <= KEYS_ACROSS:
            lines = [(key.name, "".join(cells)) for key, cells in zip(rows, columns, strict=True)]
            heads = ["key", *names]
        else:
            lines = [(name, "".join(cells)) for name, *cells in zip(names, *columns, strict=True)]
            heads = ["run", *(key.name for key in rows)]
        body = (f'<tr><th class="first" scope="row">{_text(name)}</th>{cells}</tr>' for name, cells in lines)
        titles = [_head(title, "" if at else "first") for at, title in enumerate(heads)]
        yield f'<div class="scroll">{_table("sorted", titles, body)}</div>'
    elif len(infos) > 1:
        yield '<p class="muted">The configs do not differ.</p>'
    same = {key.name: key.values[0] for key in every if not key.differs}
    if same:
        title = "The config" if len(infos) == 1 else f"The same in all runs: {format_count(len(same), 'key')}"
        is_open = " open" if len(infos) == 1 else ""
        yield f"<details{is_open}><summary>{_text(title)}</summary>{_pairs(same)}</details>"


def _cell(value: str, differs: bool) -> str:
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    order = f' data-v="{_order(number)}"' if number == number else ""
    return f'<td class="{"differs" * differs}"{order}>{_text(value) or "&nbsp;"}</td>'


def _pairs(values: Mapping[str, object]) -> str:
    pairs = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in values.items())
    return f"<dl>{pairs}</dl>"


def _details(at: int, entry: Entry) -> str:
    info = entry.info
    sections = [_pairs(entry.facts)]
    if info.notes:
        sections.append(f'<h3>Notes</h3><div class="notes">{_block(info.notes)}</div>')
    if entry.failure:
        sections.append(f"<h3>Failure</h3><pre>{_block(entry.failure)}</pre>")
        if entry.traceback:
            sections.append(f"<details><summary>traceback</summary><pre>{_block(entry.traceback)}</pre></details>")
    if entry.origin:
        sections.append(f"<h3>Origin</h3>{_pairs(entry.origin)}")
    if entry.attempts:
        items = "".join(f"<li>{_text(each)}</li>" for each in entry.attempts)
        sections.append(f"<h3>Attempts</h3><ol>{items}</ol>")
    if entry.metrics:
        header, *rows = entry.metrics
        rows = list(
            zip(*(_aligned(texts) if at else texts for at, texts in enumerate(zip(*rows, strict=True))), strict=True)
        )
        body = (
            "<tr>"
            + "".join(f"<td{' class=number' * bool(n)}>{_text(cell)}</td>" for n, cell in enumerate(row))
            + "</tr>"
            for row in rows
        )
        table = _table("", map(_head, header), body)
        sections.append(f'<h3>Metrics</h3><div class="scroll">{table}</div>')
    if entry.config:
        title = f"config, {format_count(len(entry.config), 'key')}"
        sections.append(f"<details><summary>{title}</summary>{_pairs(entry.config)}</details>")
    summary = (
        f'<summary><b>{_text(info.label)}</b><span class="{_text(info.state)}">{_text(info.standing)}</span></summary>'
    )
    return f'<details id="run-{at}">{summary}{"".join(sections)}</details>'
