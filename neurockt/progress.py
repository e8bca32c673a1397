"""How far a run is: the share that is done, its speed, the time left, and how long its job may still take."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from neurockt.formatting import format_duration, format_number, format_share, utc_now
from neurockt.run_info import RunInfo

LARGEST: Final = 2**63
"""A damaged ``run.json`` may have any integer."""
SLOW: Final = 0.1
"""Steps a second; a slower run is described by the seconds a step takes."""


def share_done(info: RunInfo) -> float | None:
    """The last step as a share of all; None where their number has not been given."""
    # steps that are counted from 0 are one more than the last one's number
    done, total = max(info.steps.rows, info.steps.number, 0), info.total_steps or 0
    return done / total if 0 < total <= LARGEST and done <= LARGEST else None


def speed(info: RunInfo) -> float | None:
    """Steps a second, over the last minutes that have been recorded, to the three digits that a speed has."""
    found = info.steps.speed
    return float(f"{found:.3g}") if found is not None and math.isfinite(found) and found > 0 else None


def seconds_left(info: RunInfo) -> float | None:
    """Seconds until the last step, at the present speed; None for a run that is not running."""
    share, rate = share_done(info), speed(info)
    if info.state != "running" or share is None or rate is None or info.total_steps is None:
        return None
    return max(0.0, 1.0 - share) * info.total_steps / rate


def seconds_idle(info: RunInfo) -> float | None:
    """Whole seconds since the last row, of training or a validation; None for a run that is not running."""
    times = [each.last_time for each in (info.steps, info.epochs, info.late) if each.last_time is not None]
    return float(max(0, math.floor(_elapsed(max(times))))) if times and info.state == "running" else None


def job_seconds_left(info: RunInfo) -> float | None:
    """Seconds until the scheduler ends the job; None for a run that is not running, or whose job has no known end."""
    end = info.attempt.job_end if info.attempt else None
    return max(0.0, -_elapsed(end)) if end is not None and info.state == "running" else None


def is_short_of_time(info: RunInfo) -> bool:
    """Whether the job ends before the last step is done, at the present speed."""
    left, job = seconds_left(info), job_seconds_left(info)
    return left is not None and job is not None and left > job


def live_fields(runs: Iterable[RunInfo]) -> list[str]:
    """The fields that show how far runs are, for a list: those that one that is running has a value for.

    The end of the job is among them where it may come before the last step.
    """
    live = [info for info in runs if info.state == "running"]
    names = [
        name
        for name, read in (("progress", share_done), ("left", seconds_left))
        if any(read(info) is not None for info in live)
    ]
    is_limited = any(
        job_seconds_left(info) is not None and (seconds_left(info) is None or is_short_of_time(info)) for info in live
    )
    return [*names, "job_left"] if is_limited else names


def progress_facts(info: RunInfo) -> list[str]:
    """The same in words, as far as it is known: ``42.0% of 10,000 steps``, ``12 steps/s``, ``1h 20m left``."""
    share, rate, facts = share_done(info), speed(info), []
    if share is not None:
        facts.append(f"{format_share(share)} of {info.total_steps:,} steps")
    if rate is not None and info.state == "running":
        facts.append(f"{format_duration(1 / rate)} a step" if rate < SLOW else f"{format_number(rate)} steps/s")
    if (left := seconds_left(info)) is not None:
        facts.append(f"{format_duration(left)} left")
    if (idle := seconds_idle(info)) is not None:
        facts.append(f"last row {format_duration(idle)} ago")
    if (job := job_seconds_left(info)) is not None:
        facts.append(f"job ends in {format_duration(job)}" + " (too soon)" * is_short_of_time(info))
    return facts


def _elapsed(moment: datetime) -> float:
    return (utc_now() - moment).total_seconds()
