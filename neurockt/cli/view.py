"""``neurockt view``: the viewer, which is a package and an extra of its own."""

from __future__ import annotations

import argparse
from pathlib import Path

from neurockt.catalogue import default_root
from neurockt.cli import output
from neurockt.errors import MissingExtra, RunNotFound

_EXAMPLE = """\
  neurockt view runs
  neurockt view runs/20261123-101500-brave-otter
"""


def add_parser(subparsers: output.Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = output.add_command(subparsers, "view", "look at runs in the terminal, live", _EXAMPLE)
    parser.add_argument(
        "path", metavar="PATH", nargs="?", help="a directory of runs, or one run (default: $NEUROCKT_DIR, else runs)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Open the viewer."""
    path = Path(arguments.path) if arguments.path else default_root()
    if not path.is_dir():
        raise RunNotFound(f"no directory {path}; name one that holds runs, or a run")
    try:
        from neurockt_viewer.app import run_viewer  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("textual", "rich", "neurockt_viewer"):
            raise
        raise MissingExtra("the viewer needs Textual: pip install 'neurockt[viewer]'") from error
    return int(run_viewer(path))
