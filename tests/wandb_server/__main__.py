"""A W&B server in a process of its own: prints its address and the key it takes, and serves until stdin ends."""

from __future__ import annotations

import sys

from wandb_server.server import KEY, WandbServer

if __name__ == "__main__":
    print(WandbServer().url, KEY, flush=True)
    sys.stdin.read()
