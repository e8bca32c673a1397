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
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from keyword import iskeyword
from typing import Any, Final, TextIO, cast

from neurockt import __version__
from neurockt.cli import parsing
from neurockt.errors import NeurocktError, NeurocktWarning, QueryError
from neurockt.formatting import clean, clean_block, nearest

COMMANDS: Final = (
    "demo",
    "ls",
    "show",
    "view",
    "tail",
    "diff",
    "edit",
    "rm",
    "export",
    "plot",
    "report",
    "import",
    "sql",
    "sync",
    "seal",
    "completion",
)
"""The commands, in the order in which the help lists them; each is a module here."""

FAILED: Final = 1
WRONG_USAGE: Final = 2
INTERRUPTED: Final = 130

OTHER_WORDS: Final = {
    **dict.fromkeys(("list", "runs", "status"), "ls"),
    **dict.fromkeys(("info", "describe"), "show"),
    **dict.fromkeys(("open", "tui", "leet"), "view"),
    **dict.fromkeys(("follow", "watch"), "tail"),
    **dict.fromkeys(("compare", "cmp"), "diff"),
    **dict.fromkeys(("rename", "tag", "note", "archive", "unarchive"), "edit"),
    **dict.fromkeys(("remove", "delete", "del", "trash"), "rm"),
    **dict.fromkeys(("download", "dump"), "export"),
    **dict.fromkeys(("upload", "push"), "sync"),
}
"""What other programs call the commands."""

_EXAMPLE: Final = """\
example:
  neurockt ls runs
  neurockt ls --filter 'cfg.lr>=1e-3 valid_loss<0.5' --sort 'best(acc)' -r
  neurockt show --help
"""


class WrongUsage(NeurocktError):
    """The command was called in a way that cannot work."""


def main(argv: Sequence[str] | None = None, arguments: argparse.Namespace | None = None) -> int:
    """Run one command, by default that of this process; gives the exit status.

    Args:
        arguments: gets what the words mean, and what the command keeps until the process ends.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    out, err = _usable(sys.stdout), _usable(sys.stderr)
    with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("always", NeurocktWarning)
        lines = _WarningLines(warnings.showwarning)
        warnings.showwarning = lines
        try:
            if "_ARGCOMPLETE" in os.environ:
                _complete(os.environ.get("COMP_LINE", "").split()[1:])
            status = _run(words, arguments)
            _flush(out)
            return status or (FAILED if lines.printed else 0)
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


def _run(words: Sequence[str], arguments: argparse.Namespace | None) -> int:
    try:
        arguments = _parse(words, arguments)
        status: int = _module(arguments.command).run(arguments)
        return status
    except SystemExit as stop:  # argparse has printed its help, or an error
        return stop.code if isinstance(stop.code, int) else 0


class _Closed(io.TextIOBase):
    """A stream that was closed before the command began."""

    def write(self, text: str) -> int:
        raise OSError(errno.EBADF, "the output is closed")


def _usable(stream: TextIO | None) -> TextIO:
    """The stream, if it is open; it escapes what its encoding lacks."""
    if stream is None or getattr(stream, "closed", False):
        return cast("TextIO", _Closed())
    with suppress(AttributeError, OSError, ValueError):  # a stream that a test or a notebook put in its place
        stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]  # not every TextIO has it
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


def _parse(words: Sequence[str], into: argparse.Namespace | None) -> argparse.Namespace:
    if not words:
        _parser(words)[0].print_help(sys.stderr)  # a script that forgot the command must not take it for a result
        raise SystemExit(WRONG_USAGE)
    if words[0] not in COMMANDS and not words[0].startswith("-"):
        raise WrongUsage(_no_command(words[0]))
    parser, commands = _parser(words)
    arguments, unknown = parser.parse_known_args(words, into or argparse.Namespace())
    if unknown:
        options = re.findall(r"(?<![\w-])--[a-z][a-z-]*", commands[arguments.command].format_help())
        raise WrongUsage(_no_argument(arguments.command, unknown[0], options))
    return arguments


def _complete(words: Sequence[str]) -> None:
    """Give the shell what may follow these words, and end the process."""
    from argcomplete import autocomplete

    autocomplete(_parser(words)[0], always_complete_options=False)


def _no_command(word: str) -> str:
    near = f"view {word}" if os.path.isdir(word) else ""  # noqa: PTH112  (never raises)
    if not near and (found := nearest(word.lower(), [*COMMANDS, *OTHER_WORDS])):
        near = OTHER_WORDS.get(found, found)
    return f"no command {word!r}{_hint(near and f'neurockt {near}')} ('neurockt --help' lists the commands)"


def _no_argument(command: str, word: str, options: Sequence[str]) -> str:
    if not word.startswith("-"):
        return f"{command} does not take {word!r} ('neurockt {command} --help' shows how it is called)"
    near = _hint(nearest(word.partition("=")[0], options))
    return f"{command} has no option {word!r}{near} ('neurockt {command} --help' lists the options)"


def _hint(near: str) -> str:
    return f"; did you mean {near!r}?" if near else ""


def _parser(words: Sequence[str]) -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    """The parser of the words, and those of the commands: where one is named, only of that."""
    parser = argparse.ArgumentParser(
        prog="neurockt",
        description="Training runs recorded without a network: list, show, view and export them.",
        epilog=_EXAMPLE,
        formatter_class=parsing.HelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"neurockt {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    named = next((word for word in words if not word.startswith("-")), None)
    for command in [named] if named in COMMANDS else COMMANDS:
        _module(command).add_parser(subparsers)
    return parser, subparsers.choices


def _module(command: str) -> Any:
    name = f"{command}_" if iskeyword(command) else command
    return importlib.import_module(f"neurockt.cli.{name}")


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
