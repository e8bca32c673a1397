"""``neurockt completion``: prints the code with which a shell completes commands, runs, fields and files."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Final

from neurockt.cli import WrongUsage, parsing

SHELLS: Final = ("bash", "zsh", "fish", "tcsh")

_DESCRIPTION: Final = """\
Print the code with which a shell completes commands, options, the names of runs, their fields, and files.

Add the line below to ~/.bashrc, or with zsh for bash to ~/.zshrc, after compinit. In fish, write the code to a file of
its own, once.
"""
_EXAMPLE: Final = """\
  eval "$(neurockt completion bash)"
  neurockt completion fish > ~/.config/fish/completions/neurockt.fish
"""


def add_parser(subparsers: parsing.Subparsers[argparse.ArgumentParser]) -> None:
    parser = parsing.add_command(subparsers, "completion", "print the code for tab completion", _EXAMPLE, _DESCRIPTION)
    parser.add_argument("shell", nargs="?", choices=SHELLS, help="default: the shell that $SHELL names")


def run(arguments: argparse.Namespace) -> int:
    from argcomplete.shell_integration import shellcode

    shell = arguments.shell or Path(os.environ.get("SHELL", "")).name
    if shell not in SHELLS:
        raise WrongUsage(f"name the shell: neurockt completion {'|'.join(SHELLS)}")
    print(shellcode(["neurockt"], shell=shell))
    return 0
