# PYTHON_ARGCOMPLETE_OK  (for shells that complete every such program)
"""The process ``neurockt``, or ``python -m neurockt``."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from argparse import Namespace
from contextlib import suppress
from typing import NoReturn

OBJECTS_BETWEEN_COLLECTIONS = 50_000


def run() -> NoReturn:
    """Run the command that the process was started with, and end the process.

    Its memory is not freed object by object: a list of ten thousand runs would take a tenth of its time for that.
    """
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    arguments, status = Namespace(), 1

    def end(_: Namespace) -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError, OSError, ValueError):
                stream.flush()
        os._exit(status)

    atexit.register(end, arguments)  # what is registered first is called last
    from neurockt.cli import main

    status = main(arguments=arguments)
    sys.exit(status)


if __name__ == "__main__":
    run()
