"""What W&B gets of a run beside its rows: identity, config, tags, axes, and how it ended."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from neurockt.run_info import RunInfo
from neurockt.store import TableName, plain, read_origin, short_form

CONFIG_KEY: Final = "neurockt"
"""Key of the config for what W&B has no field for."""
OWN_KEYS: Final = (CONFIG_KEY, "_wandb")

EXIT_CODES: Final = {"finished": 0, "failed": 1, "killed": 137, "preempted": 143}
"""W&B shows 0 as finished and all others as failed; a tag and the config name the state."""

DEFAULT_PROJECT: Final = "uncategorized"
PROJECT_LIMIT: Final = 128
NAME_LIMIT: Final = 128
TAG_LIMIT: Final = 64
ID_LIMIT: Final = 64
"""Number of characters that W&B takes."""

_SAFE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class About:
    """What people may change of a run, here and in W&B; an empty text for none."""

    name: str = ""
    notes: str = ""
    group: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Description:
    identity: str
    """Differs from that of every other run, whatever their names and directories."""
    about: About
    config: dict[str, Any]
    """The user's settings and ours, without W&B's wrapping."""
    axes: tuple[tuple[str, str], ...]
    """Each metric's name and the axis it is drawn over, ``step`` or ``epoch``."""
    job_type: str | None
    host: str | None
    exit_code: int | None
    summary: dict[str, Any]

    @property
    def state(self) -> str:
        return {None: "running", 0: "finished"}.get(self.exit_code, "failed")


def describe(
    info: RunInfo,
    names: Mapping[TableName, Mapping[str, str]],
    job_type: str | None = None,
    *,
    others: Mapping[str, float | None] = MappingProxyType({}),
) -> Description:
    """``names`` are those of the metrics in W&B; ``others`` the last values of more metrics, which go over ``step``."""
    attempt = info.attempt
    return Description(
        identity=identity(info),
        about=about(info),
        config=_config(info),
        axes=(
            *(
                (alias, axis)
                for table, axis in (("steps", "step"), ("epochs", "epoch"))
                for alias in names[table].values()  # type: ignore[index]  # mypy does not narrow a tuple of literals
            ),
            *((alias, "step") for alias in others),
        ),
        job_type=job_type,
        host=attempt.host if attempt else None,
        exit_code=EXIT_CODES.get(info.state),
        summary=_summary(info, names) | {alias: value for alias, value in others.items() if value is not None},
    )


def about(info: RunInfo) -> About:
    tags = [*info.tags, *([info.state] if info.state not in ("running", "finished") else [])]
    return About(
        name=info.label[:NAME_LIMIT],
        notes=info.notes or "",
        group=(info.group or "")[:NAME_LIMIT],
        tags=tuple(dict.fromkeys(tag.strip()[:TAG_LIMIT] for tag in tags if tag.strip())),
    )


def changes(wanted: About, sent: About | None, recorded: About, there: About | None) -> dict[str, Any]:
    """The arguments of an upsert that bring W&B up to date; none where it is.

    What somebody has changed in W&B since it was sent stays, and so do tags that were added there.

    Args:
        sent: what was sent last; None where that is not known.
        recorded: what the recorder wrote, before people edited it.
        there: what W&B has; None where it does not have the run.
    """
    if there is None:
        texts = {"displayName": wanted.name, "notes": wanted.notes or None, "groupName": wanted.group or None}
        return {**texts, "tags": list(wanted.tags)}
    found: dict[str, Any] = {}
    for name, argument in (("name", "displayName"), ("notes", "notes"), ("group", "groupName")):
        text = getattr(wanted, name)
        is_changed = text != getattr(sent, name) if sent else bool(text) or text != getattr(recorded, name)
        if is_changed and text != getattr(there, name):
            found[argument] = text
    ours = (sent or recorded).tags
    if sent is None or set(ours) != set(wanted.tags):
        tags = [tag for tag in there.tags if tag not in ours]
        tags += [tag for tag in wanted.tags if tag not in tags]
        if set(tags) != set(there.tags):
            found["tags"] = tags
    return found


def identity(info: RunInfo) -> str:
    """A text that no other run has; a copy of the directory is the same run."""
    first = info.attempts[0] if info.attempts else None
    return f"{info.id} {info.created.isoformat()} {f'{first.host} {first.pid}' if first else ''}".strip()


def run_ids(info: RunInfo, generation: int = 1, wanted: str | None = None) -> tuple[str, str]:
    """The id in W&B of the run's upload number ``generation``, and the one it gets if another run has that.

    W&B never reuses the id of a deleted run.
    """
    digest = hashlib.sha256(identity(info).encode("utf-8", "replace")).hexdigest()[:8]
    text = wanted or info.id
    plain_id = text if _SAFE_ID.fullmatch(text) and len(text) <= ID_LIMIT - 13 else ""
    if not plain_id:
        plain_id = f"{re.sub('[^A-Za-z0-9._-]+', '-', text).strip('-.')[: ID_LIMIT - 24] or 'run'}-{digest}"
    suffix = f"-{generation}" if generation > 1 else ""
    return f"{plain_id}{suffix}", f"{plain_id}-{digest}{suffix}"


def safe_project(name: str | None) -> str:
    """The name with what W&B refuses in it replaced."""
    kept = ("-" if one in "/\\#?%:" or not one.isprintable() else one for one in name or "")
    cleaned = "".join(kept).strip()[:PROJECT_LIMIT]
    return cleaned if cleaned.strip(".") else DEFAULT_PROJECT


def wandb_config(described: Description) -> dict[str, Any]:
    """The config as the server keeps it: each value wrapped, and the axes of the metrics beside them."""
    metrics: list[dict[str, Any]] = [{"1": axis, "6": [2, 3], "7": []} for axis in ("step", "epoch")]
    indices = {"step": 1, "epoch": 2}
    for name, axis in described.axes:
        escaped = name.replace(".", "\\.")  # unescaped, a dot means a path
        metrics.append({"1": escaped, "5": indices[axis], "6": [1, 3], "7": []})
    values = {key: {"value": value} for key, value in described.config.items()}
    # without a "t", which has the telemetry of its own runs, W&B's client takes the run for one that does not exist
    return {**values, "_wandb": {"value": {"t": {}, "m": metrics}}}


def _config(info: RunInfo) -> dict[str, Any]:
    about: dict[str, Any] = {
        "run": identity(info),
        "state": info.state,
        "cause": info.cause,
        "started": info.created.isoformat(),
        "ended": info.ended.isoformat() if info.ended else None,
        "seconds": info.seconds if info.state != "running" else None,
        "host": info.attempt.host if info.attempt else None,
        "attempts": len(info.attempts),
        "dropped": info.dropped,
    }
    if info.imported:
        about["imported"] = {name: info.imported.get(name) for name in ("format", "source", "when")}
    if info.failure:
        about["failure"] = {"type": info.failure.type, "message": info.failure.message}
    if origin := read_origin(info.path):
        about["origin"] = short_form(origin)
    config = {f"{key} (config)" if key in OWN_KEYS else key: value for key, value in info.config.items() if key}
    return {**plain(config), CONFIG_KEY: plain(about)}


def _summary(info: RunInfo, names: Mapping[TableName, Mapping[str, str]]) -> dict[str, Any]:
    """The last value of each metric, as W&B itself would keep it."""
    summary: dict[str, Any] = {"step": info.steps.number, "epoch": info.epochs.number}
    summary["_wandb"] = {"runtime": round(info.seconds or 0)}  # what W&B shows as the run's duration
    for table, columns in (("steps", info.steps.columns), ("epochs", info.epochs.columns)):
        aliases = names[table]  # type: ignore[index]  # as above
        summary.update(
            {aliases[name]: column.last for name, column in columns.items() if column.count and name in aliases}
        )
    return summary
