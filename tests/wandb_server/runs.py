"""What the server keeps of a run: lines at their offsets, and a note of everything that should not have happened."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

HISTORY = "wandb-history.jsonl"
SUMMARY = "wandb-summary.json"
EVENTS = "wandb-events.jsonl"
OUTPUT = "output.log"

_FIELDS = {
    "displayName": "display_name",
    "notes": "notes",
    "groupName": "group",
    "jobType": "job_type",
    "host": "host",
    "tags": "tags",
    "state": "state",
    "jobProgram": "program",
}


@dataclass
class StoredRun:
    """One run."""

    entity: str
    project: str
    name: str
    display_name: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    notes: str | None = None
    group: str | None = None
    job_type: str | None = None
    host: str | None = None
    program: str | None = None
    state: str = "running"
    exit_code: int | None = None
    summary: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, dict[int, str]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    created: float = field(default_factory=time.time)
    received: int = 0
    """History lines that were sent, repeats included."""
    overwritten: list[tuple[int, str, str]] = field(default_factory=list)
    """Lines of the history that were replaced by something else: rows lost."""
    counts: list[tuple[float, int]] = field(default_factory=list)
    """How many history lines there were, and since when."""

    def append(self, name: str, offset: int, content: list[str]) -> None:
        """Put lines at their places; the same lines again change nothing."""
        lines = self.lines.setdefault(name, {})
        if name == SUMMARY:
            self.summary = json.loads(content[-1])
            return
        for number, line in enumerate(content, offset):
            earlier = lines.get(number)
            if name == HISTORY:
                self.received += 1
                if earlier is not None and earlier != line:
                    self.overwritten.append((number, earlier, line))
            lines[number] = line
        if name == HISTORY:
            self.counts.append((time.monotonic(), len(lines)))

    @property
    def history(self) -> list[str]:
        """The lines of the history, in order."""
        lines = self.lines.get(HISTORY, {})
        return [lines[number] for number in sorted(lines)]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of the history."""
        return [json.loads(line) for line in self.history]

    @property
    def is_exact(self) -> bool:
        """Whether every line is in its place, none was ever replaced, and the steps rise by one."""
        lines = self.lines.get(HISTORY, {})
        numbers = sorted(lines)
        steps = [json.loads(lines[number])["_step"] for number in numbers]
        return not self.overwritten and numbers == list(range(len(numbers))) == steps

    def count(self, late: float = 0.0) -> int:
        """The number of history lines, as of the given seconds ago."""
        moment = time.monotonic() - late
        return next((count for since, count in reversed(self.counts) if since <= moment), 0)

    def tree(self, late: float = 0.0) -> dict[str, Any]:
        """The run as GraphQL shows it."""
        count = self.count(late)
        lines = self.history[:count]
        last = json.loads(lines[-1]) if lines else {}
        project = {
            "id": "UHJvamVjdA==",
            "name": self.project,
            "internalId": "UHJvamVjdEludGVybmFsSWQ6MQ==",
            "entity": {"id": "RW50aXR5", "name": self.entity},
        }
        return {
            "id": base64.b64encode(f"Run:v1:{self.name}:{self.project}:{self.entity}".encode()).decode(),
            "internalId": "1",
            "projectId": 1,
            "name": self.name,
            "displayName": self.display_name or self.name,
            "state": self.state,
            "config": json.dumps(self.config),
            "summaryMetrics": json.dumps(self.summary),
            "tags": self.tags,
            "notes": self.notes,
            "group": self.group,
            "jobType": self.job_type,
            "createdAt": datetime.fromtimestamp(self.created, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S"),
            "heartbeatAt": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S"),
            "historyLineCount": count,
            "eventsLineCount": len(self.lines.get(EVENTS, {})),
            "logLineCount": len(self.lines.get(OUTPUT, {})),
            "historyTail": json.dumps(lines[-1:]),
            "eventsTail": "[]",
            "wandbConfig": self._own_config,
            "history": self._range(lines),
            "sampledHistory": lambda specs=(): [[json.loads(line) for line in lines] for _ in specs],
            "parquetHistory": lambda liveKeys=None: {"parquetUrls": [], "liveData": []},
            "historyKeys": {"lastStep": last.get("_step", -1), "keys": {}},
            "user": {"name": "Tester", "username": "tester"},
            "project": project,
            "files": lambda **_: {
                "edges": [{"node": {"name": name, "sizeBytes": len(data)}} for name, data in self.files.items()],
                "pageInfo": {"hasNextPage": False},
            },
        }

    def _own_config(self, keys: list[str] | None = None) -> str:
        """What clients keep under ``_wandb``; they take a run for one that exists when it has a ``t``."""
        kept = (self.config.get("_wandb") or {}).get("value") or {}
        return json.dumps({key: kept[key] for key in keys or kept if key in kept})

    @staticmethod
    def _range(lines: list[str]) -> Any:
        def history(minStep: int = 0, maxStep: int = 10**18, samples: int = 10**9) -> list[str]:
            # a line begins with its step where neurockt wrote it, which saves reading all of a long history
            return [line for line in lines if minStep <= json.loads(line)["_step"] < maxStep][:samples]

        return history

    def update(self, given: dict[str, Any]) -> None:
        """The run as the answer to an upsertBucket."""
        for name, attribute in _FIELDS.items():
            if given.get(name) is not None:
                setattr(self, attribute, given[name])
        if given.get("config"):
            self.config = json.loads(given["config"])
        if given.get("summaryMetrics"):
            self.summary = json.loads(given["summaryMetrics"])
