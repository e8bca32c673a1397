"""Import the runs of other trackers: find them, read them, and write them as runs of neurockt."""

from __future__ import annotations

from typing import Final

FORMATS: Final = ("tensorboard", "wandb", "csv", "jsonl", "trainer-state")
