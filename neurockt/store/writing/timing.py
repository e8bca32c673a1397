"""How often and how soon a run that is being written is looked after. Tests give a run a quicker ``Timing``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Seconds, unless the name says otherwise."""

    tick: float = 0.25
    """How often the background thread checks what is due."""
    sync: float = 2.0
    """How often new rows are put on stable storage: what a power cut may lose. A killed process loses nothing."""
    first_heartbeat: float = 1.0
    """The first heartbeat comes sooner than the others, so that a young run's numbers show in a list."""
    heartbeat: float = 10.0
    """How often ``run.json`` is written; after three missed heartbeats readers call the run killed."""
    seal: float = 60.0
    """A journal of this age is sealed into a part,"""
    seal_rows: int = 65_536
    """or of so many rows,"""
    seal_bytes: int = 16 * 2**20
    """or bytes."""
    seal_retry: float = 10.0
    """When a sealing that failed is tried again; each one may write a whole part."""
    retry: float = 1.0
    """When a disk that refused a row is tried again."""
    first_sample: float = 1.0
    """The first sample of `system` comes sooner than the others, so that a short run has one."""
    origin: float = 10.0
    """How long the end of a run waits for the record of where it came from; git may take half as long."""


default = Timing()
