"""``python -m neurockt`` is the command ``neurockt``."""

from __future__ import annotations

import sys

from neurockt.cli import main

if __name__ == "__main__":
    sys.exit(main())
