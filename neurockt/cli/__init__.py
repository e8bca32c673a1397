"""The command ``neurockt``: one module a command, imported only when it is the one asked for.

Results go to stdout and everything else to stderr. It ends with 0 when done, 1 when it failed, 2 when it was called
wrongly, and 130 when interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, TextIO, cast

from neurockt import __version__
from neurockt.errors import NeurocktError, NeurocktWarning, QueryError
from neurockt.formatting import clean, clean_block

COMMANDS: Final = ("demo", "ls", "show", "view", "export", "sync", "seal")
"""The commands, in the order in which the help lists them; each is a module here."""

FAILED: Final = 1
WRONG_USAGE: Final = 2
INTERRUPTED: Final = 130

_EXAMPLE: Final = """\
example:
  neurockt ls runs
  neurockt ls --filter 'cfg.lr>=1e-3 valid_loss<0.5' --sort 'best(acc)' -r
"""


class WrongUsage(NeurocktError):
    """The command was called in a way that cannot work."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit status.

    Args:
        argv: the words after ``neurockt``; default those of this process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # a stream that a test or a notebook put in its place
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    with warnings.catch_warnings():
        warnings.simplefilter("always", NeurocktWarning)
        warnings.showwarning = _WarningLines(warnings.showwarning)
        try:
            arguments = _parser(words).parse_args(words)
            status = cast("int", arguments.run(arguments))
            sys.stdout.flush()
            return status
        except SystemExit as stop:  # argparse has printed its help, or what is wrong
            return stop.code if isinstance(stop.code, int) else 0
        except NeurocktError as error:
            _tell(clean_block(str(error)))
            return WRONG_USAGE if isinstance(error, (WrongUsage, QueryError)) else FAILED
        except BrokenPipeError:  # whoever reads, such as `head`, has seen enough
            _let_go_of_output()
            return 0
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            _tell(clean(f"{where}{error.strerror or error}", 1000))
            _let_go_of_output()
            return FAILED
        except KeyboardInterrupt:
            return INTERRUPTED


def _let_go_of_output() -> None:
    """Have what cannot be written go nowhere, lest Python try, and complain, once more as it exits."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        with suppress(OSError, ValueError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of the command in use; of all of them where none is named."""
    parser = argparse.ArgumentParser(
        prog="neurockt",
        description="Training runs recorded without a network: list, show, view and export them.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"neurockt {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    named = next((word for word in words if not word.startswith("-")), None)
    for command in [named] if named in COMMANDS else COMMANDS:
        importlib.import_module(f"neurockt.cli.{command}").add_parser(subparsers)
    return parser


class _WarningLines:
    """Shows what reading could not do as one line each; leaves other warnings as they are."""

    def __init__(self, others: object) -> None:
        self._others = others
        self._told: set[str] = set()

    def __call__(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if not issubclass(category, NeurocktWarning):
            self._others(message, category, filename, lineno, file, line)  # type: ignore[operator]
        elif str(message) not in self._told:
            self._told.add(str(message))
            _tell(clean(message, 1000))


def _tell(message: str) -> None:
    print(f"neurockt: {message}", file=sys.stderr)
