"""``neurockt plot``: figures for papers, of one run or several."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final

from neurockt.cli import FAILED, WrongUsage, completers, output, parsing, selecting
from neurockt.cli.export import check_target
from neurockt.formatting import alternatives, format_count
from neurockt.query.fields import matching, split_names, unquoted
from neurockt.store import expanded

if TYPE_CHECKING:
    from neurockt_viewer.charts.lines import RunLines
    from neurockt_viewer.charts.source import Metric

AXES: Final = {"step": "step", "epoch": "epoch", "time": "relative", "date": "wall"}

_DESCRIPTION: Final = """\
Draw metrics of one or more runs with matplotlib, as PNG, SVG or PDF by the ending of FILE.

Each --metric is a plot of its own; metrics with a comma between them share one. The curves have the colours of the
viewer, and every extreme of every pixel column, however long the run.
"""
_EXAMPLE: Final = """\
  neurockt plot brave-otter --metric train_loss -o loss.pdf
  neurockt plot -f tag:sweep -m valid_loss -m acc --seeds -o sweep.svg
  neurockt plot a b -m loss --smooth 0.05 --log-y --size 3.3 2.2 -o loss.pdf
"""


def add_parser(subparsers: parsing.Subparsers[argparse.ArgumentParser]) -> None:
    parser = parsing.add_command(subparsers, "plot", "draw figures for papers", _EXAMPLE, _DESCRIPTION)
    selecting.add_arguments(parser, or_latest=True)
    metric = parser.add_argument(
        "-m",
        "--metric",
        metavar="NAMES",
        action="append",
        required=True,
        help="what to draw; several share a plot, and * is any text",
    )
    completers.add(metric, completers.metric_lists)
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the figure: .png, .svg or .pdf")
    parser.add_argument("--force", action="store_true", help="replace FILE if it exists")
    data = parser.add_argument_group("curves")
    data.add_argument("-x", "--x", choices=AXES, default="step", help="what runs along x (default: step)")
    data.add_argument(
        "--smooth", metavar="SHARE", type=_share, default=0.0, help="average over this share of x, as 0.05"
    )
    data.add_argument("--seeds", action="store_true", help="draw runs that differ only in the seed as mean and band")
    data.add_argument("--log-x", action="store_true", help="logarithmic x axis")
    data.add_argument("--log-y", action="store_true", help="logarithmic y axis")
    data.add_argument(
        "--xlim", metavar=("LOW", "HIGH"), nargs=2, type=parsing.number, help="the part of x to draw; of time, seconds"
    )
    data.add_argument("--ylim", metavar=("LOW", "HIGH"), nargs=2, type=parsing.number, help="the part of y to draw")
    look = parser.add_argument_group("look")
    look.add_argument("--title", metavar="TEXT", default="", help="above the figure")
    look.add_argument("--label", metavar="TEXT", action="append", default=[], help="name of a curve, in their order")
    look.add_argument("--xlabel", metavar="TEXT", help="name of the x axis")
    look.add_argument("--ylabel", metavar="TEXT", help="name of the y axis (default: the metric)")
    look.add_argument("--no-legend", action="store_true", help="without a legend")
    look.add_argument("--size", metavar=("WIDTH", "HEIGHT"), nargs=2, type=_inches, help="inches (default: 4 3 a plot)")
    look.add_argument("--font", metavar="NAME", default="", help="such as 'Times New Roman'")
    look.add_argument("--font-size", metavar="POINTS", type=_inches, help="default: 9, or the style's")
    look.add_argument(
        "--dpi", metavar="N", type=parsing.count, default=200, help="dots an inch of a PNG (default: 200)"
    )
    look.add_argument("--style", metavar="STYLE", default="", help="a style of matplotlib, by its name or file")


def run(arguments: argparse.Namespace) -> int:
    from neurockt_viewer.charts.lines import RunLines
    from neurockt_viewer.charts.series import ChartSettings
    from neurockt_viewer.figures import ENDINGS, Chart, Look, save

    target = expanded(arguments.output)
    if target.suffix.lower() not in ENDINGS:
        raise WrongUsage(f"{arguments.output}: end the name in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    check_target(target, force=arguments.force)
    for name, limits in (("x", arguments.log_x and arguments.xlim), ("y", arguments.log_y and arguments.ylim)):
        if limits and min(limits) <= 0:
            raise WrongUsage(f"--{name}lim: a logarithmic axis has no room for 0 and below")
    paths = selecting.selected_or_latest(arguments)
    if not paths:
        return FAILED
    lines = RunLines(paths)
    lines.open()
    lines.outline()
    plots = [_metrics(lines, text) for text in arguments.metric]
    lines.read([metric for plot in plots for metric in plot], lambda: True)
    for problem in [*lines.errors.values(), *map(str, lines.damaged)]:
        output.note(problem)
    axis: Any = AXES[arguments.x]
    window = tuple(arguments.xlim) if arguments.xlim else None
    look = Look(
        ChartSettings(axis, arguments.log_x, arguments.log_y, arguments.smooth, window),
        tuple(arguments.ylim) if arguments.ylim else None,
        arguments.title,
        arguments.xlabel,
        arguments.ylabel,
        tuple(arguments.label),
        not arguments.no_legend,
        tuple(arguments.size) if arguments.size else None,
        arguments.font,
        arguments.font_size,
        arguments.style,
        arguments.dpi,
    )
    charts = [
        Chart(", ".join(metric.name for metric in plot), lines.lines(plot, axis, banded=arguments.seeds))
        for plot in plots
    ]
    if len(arguments.label) > (curves := max(len(chart.lines) for chart in charts)):
        raise WrongUsage(f"{len(arguments.label)} labels for {format_count(curves, 'curve')}; give one for each")
    save(target, charts, look)
    return FAILED if lines.errors or lines.damaged else 0


def _metrics(lines: RunLines, text: str) -> list[Metric]:
    """The metrics of one plot, by their names or patterns; that of the validations where both tables have the name."""
    found: dict[str, Metric] = {}
    for name in split_names(text):
        wanted, _, table = unquoted(name).rpartition("@")
        known = [each for each in lines.metrics if table in ("steps", "epochs", "system") and each == (table, wanted)]
        names = matching(name, {each.name for each in lines.metrics})
        known = known or [each for each in lines.metrics if each.name in names]
        if not known:
            there = alternatives(name, (each.name for each in lines.metrics))
            raise WrongUsage(f"no run has the metric {name!r}; {there}")
        for each in sorted(known, key=lambda metric: ("epochs", "steps", "system").index(metric.table)):
            found.setdefault(each.name, each)
    return list(found.values())


def _share(text: str) -> float:
    share = parsing.number(text)
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share of x, from 0 to below 1")
    return share


def _inches(text: str) -> float:
    size = parsing.number(text)
    if not 0 < size <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not above 0, and 100 at most")
    return size
