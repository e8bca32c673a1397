"""The fresh process of a measurement: ``python -m tests.benchmarks.worker '["module", "function", {arguments}]'``."""

from __future__ import annotations

import importlib
import json
import os
import sys


def main() -> None:
    """Call the function; its result is all that reaches stdout, whatever else is printed."""
    result = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    module, function, arguments = json.loads(sys.argv[1])
    value = getattr(importlib.import_module(module), function)(**arguments)
    os.write(result, json.dumps(value).encode())


if __name__ == "__main__":
    main()
