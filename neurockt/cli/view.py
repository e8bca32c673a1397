"""``neurockt view``: opens the viewer, which is an extra of its own; without a terminal, prints the plain list."""

from __future__ import annotations

import argparse
import gc
import os
import sys

from neurockt.catalogue import find_run, has_runs
from neurockt.cli import completers, main, output, parsing
from neurockt.cli.ls import no_runs
from neurockt.errors import MissingExtra, RunNotFound
from neurockt.store import default_root, expanded

_EXAMPLE = """\
  neurockt view runs
  neurockt view brave-otter
"""


def add_parser(subparsers: parsing.Subparsers[argparse.ArgumentParser]) -> None:
    parser = parsing.add_command(subparsers, "view", "look at runs in the terminal, live", _EXAMPLE)
    path = parser.add_argument(
        "path", metavar="PATH|RUN", nargs="?", help="a directory of runs, or one run (default: ROOT)"
    )
    parser.add_argument("--root", metavar="ROOT", help="where to look for RUN (default: $NEUROCKT_DIR, else runs)")
    completers.add(path, completers.run_names)


def run(arguments: argparse.Namespace) -> int:
    root = expanded(arguments.root) if arguments.root else default_root()
    path = expanded(arguments.path) if arguments.path else root
    if not os.path.isdir(path):  # noqa: PTH112  (never raises)
        if not arguments.path or os.sep in arguments.path:
            raise RunNotFound(f"no directory {path}; name one that holds runs, or a run")
        path = find_run(arguments.path, root).path
    if not has_runs(path) and ", but " in (nothing := no_runs(path)):
        raise RunNotFound(nothing)
    if why := _why_not_interactive():
        output.note(f"{why}: printing the plain list")
        return main(["ls", "--", str(path)])
    gc.disable()  # what is loaded now stays; the viewer enables it once it is on the screen
    try:
        from neurockt_viewer.app import run_viewer
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("textual", "rich", "neurockt_viewer"):
            raise
        raise MissingExtra("the viewer needs Textual: pip install 'neurockt[viewer]'") from error
    return run_viewer(path)


def _why_not_interactive() -> str:
    for name, stream in (("stdin", sys.stdin), ("stdout", sys.stdout), ("stderr", sys.stderr)):
        if not output.is_terminal(stream):
            return f"{name} is not a terminal"
    return "TERM is dumb" if os.environ.get("TERM") == "dumb" else ""
