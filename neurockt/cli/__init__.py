"""The command ``neurockt``: one module a command, imported only when it is used.

Results go to stdout and everything else to stderr. The exit status is 0 when done, 1 when something failed or could not
be read, 2 for wrong usage, and 130 when interrupted.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from typing import Any, Final, TextIO, cast

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
    """Run one command, by default that of this process; gives the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    out, err = _usable(sys.stdout), _usable(sys.stderr)
    with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("always", NeurocktWarning)
        lines = _WarningLines(warnings.showwarning)
        warnings.showwarning = lines
        try:
            arguments = _parser(words).parse_args(words)
            status: int = _module(arguments.command).run(arguments)
            _flush(out)
            return status or (FAILED if lines.printed else 0)
        except SystemExit as stop:  # argparse has printed its help, or an error
            _discard(out)
            return stop.code if isinstance(stop.code, int) else 0
        except NeurocktError as error:
            _print(clean_block(str(error)))
            return WRONG_USAGE if isinstance(error, (WrongUsage, QueryError)) else FAILED
        except BrokenPipeError:  # the reader, such as `head`, has enough
            _discard(out)
            return 0
        except OSError as error:
            where = f"{clean(os.fsdecode(error.filename), 1000)}: " if error.filename else ""
            _print(f"{where}{clean(error.strerror or error, 1000)}")
            _discard(out)
            return FAILED
        except KeyboardInterrupt:
            return INTERRUPTED
        finally:
            _discard(err)


class _Closed(io.TextIOBase):
    """A stream that was closed before the command began."""

    def write(self, text: str) -> int:
        raise OSError(errno.EBADF, "the output is closed")


def _usable(stream: TextIO | None) -> TextIO:
    """The stream, if it is open; it escapes what its encoding lacks."""
    if stream is None or getattr(stream, "closed", False):
        return cast("TextIO", _Closed())
    with suppress(AttributeError, OSError, ValueError):  # a stream that a test or a notebook put in its place
        stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]
    return stream


def _flush(stream: TextIO) -> None:
    with suppress(AttributeError):  # a stream put in its place may lack the method
        stream.flush()


def _discard(stream: TextIO) -> None:
    """Drop what cannot be written, so that Python does not try, and complain, once more as it exits."""
    try:
        _flush(stream)
    except (OSError, ValueError):
        with suppress(OSError, ValueError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="neurockt",
        description="Training runs recorded without a network: list, show, view and export them.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"neurockt {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    named = next((word for word in words if not word.startswith("-")), None)
    for command in [named] if named in COMMANDS else COMMANDS:
        _module(command).add_parser(subparsers)
    return parser


def _module(command: str) -> Any:
    return importlib.import_module(f"neurockt.cli.{command}")


class _WarningLines:
    """Prints what could not be read as one line each; leaves other warnings as they are."""

    def __init__(self, others: Callable[..., None]) -> None:
        self.printed: set[str] = set()
        self._others = others

    def __call__(self, message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if not issubclass(category, NeurocktWarning):
            self._others(message, category, *where, **more)
        elif str(message) not in self.printed:
            self.printed.add(str(message))
            _print(clean(message, 1000))


def _print(message: str) -> None:
    with suppress(OSError, ValueError):
        print(f"neurockt: {message}", file=sys.stderr)
