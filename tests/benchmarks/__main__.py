"""``python -m tests.benchmarks``: measures neurockt, and prints a table.

Each measurement runs in a process of its own. Where a ratio is asked for, neurockt and what it is compared with take
turns, and the ratio is that of each round. Values are medians over the rounds, with their extremes in parentheses.
The floor is one json.dumps of the same row and one os.write a step.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from tests.benchmarks.harness import Effort, Figure, Measure, progress
from tests.benchmarks.table import machine, table_lines

FAMILIES = (
    *("blocked", "log", "total", "stall", "growth", "torchmetric", "disk", "kills", "reading", "jumping", "imports"),
    *("listing", "columns", "viewer", "leet", "wandb_live", "wandb_sync", "importing"),
)
"""The modules here with ``MEASURES``, in the order of the table."""
PEERS = ("accelerator", "peers", "lightning", "leet_long")
ON_REQUEST = (*PEERS, "soak")
"""The same, measured only when they are asked for."""


def measures_of(families: Sequence[str]) -> dict[str, Measure]:
    """The measures by name."""
    modules = [importlib.import_module(f"tests.benchmarks.{family}") for family in families]
    return {measure.name: measure for module in modules for measure in module.MEASURES}


def main() -> None:
    """Measure what is asked for."""
    usual, on_request = measures_of(FAMILIES), measures_of(ON_REQUEST)
    arguments = _arguments([*usual, *on_request])
    if arguments.list:
        for measure in (*usual.values(), *on_request.values()):
            print(f"{measure.name:<12} {measure.about}")
        return
    names = arguments.only or list(usual)
    if arguments.peers:
        names += measures_of(PEERS)
    effort = Effort(arguments.rounds, arguments.quick, arguments.minutes)
    figures: list[Figure] = []
    for name in dict.fromkeys(names):
        for figure in {**usual, **on_request}[name].run(effort):
            figures.append(figure)
            progress(f"{figure.measure}: {figure.value}  {figure.beside}")
    if arguments.json:
        json.dump({"figures": [asdict(figure) for figure in figures], "machine": machine()}, sys.stdout, indent=1)
        print()
    else:
        print(*table_lines(figures), "", machine(), sep="\n")


def _arguments(names: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="NAME", nargs="+", choices=names, help="only these measures")
    parser.add_argument("--rounds", metavar="N", type=int, default=5, help="rounds of each measure (default: 5)")
    parser.add_argument("--quick", action="store_true", help="fewer steps and kills where there are many")
    parser.add_argument("--minutes", metavar="M", type=float, default=60.0, help="how long to soak (default: 60)")
    parser.add_argument("--peers", action="store_true", help="measure the other recorders, and LEET at length, too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--list", action="store_true", help="list the measures")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds must be 1 or more")
    if arguments.minutes < 0.5:
        parser.error("--minutes must be 0.5 or more")
    return arguments


if __name__ == "__main__":
    main()
