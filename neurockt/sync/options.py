"""The options of a sync, and its outcome for a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

SETTLE_SECONDS: Final = 30.0
"""How long the server may take to show what it was sent; it may be some seconds behind."""

STILL_RUNNING: Final = "still running; --running uploads what there is"

Status = Literal["complete", "running", "pending", "failed"]
"""*complete*: all of it is proved to be in W&B; *running*: all there is so far of a run that still trains; *pending*:
there is more to send, which this sync was not asked to do."""


@dataclass(frozen=True)
class Options:
    entity: str | None = None
    project: str | None = None
    running: bool = False
    dry_run: bool = False
    verify: bool = False
    files: bool = False
    replace: bool = False
    turn_rows: int | None = None
    """Rows that a run may send before the others have their turn; None for all."""
    settle: float = SETTLE_SECONDS


@dataclass(frozen=True)
class Outcome:
    path: Path
    id: str
    label: str
    status: Status
    rows: int = 0
    """Rows that are proved to be in W&B."""
    sent: int = 0
    """Rows that this sync sent, or would send."""
    url: str | None = None
    reason: str | None = None
