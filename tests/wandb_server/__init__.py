"""A W&B server on this machine, for tests over real HTTP."""

from wandb_server.runs import StoredRun
from wandb_server.server import ENTITY, KEY, Fault, WandbServer, wait_until

__all__ = ["ENTITY", "KEY", "Fault", "StoredRun", "WandbServer", "wait_until"]
