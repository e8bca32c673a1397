"""One project of W&B: its runs, created, read, and written line by line.

A line goes to a position that we name, and the same line sent twice changes nothing. This is the protocol that W&B's
own client speaks to the server.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from neurockt.sync.client import Client, Refused
from neurockt.sync.describe import About

HISTORY: Final = "wandb-history.jsonl"
SYSTEM: Final = "wandb-events.jsonl"
SUMMARY: Final = "wandb-summary.json"


@dataclass(frozen=True)
class ServerRun:
    storage_id: str
    run_id: str
    state: str
    rows: int
    """Lines of its history, as far as the server has counted."""
    last_step: int
    """``_step`` of the last row, -1 where there is none."""
    last_line: str
    config: dict[str, Any]
    about: About
    samples: int = 0

    @property
    def is_settled(self) -> bool:
        """Whether count and last row agree; a server may be some seconds behind itself."""
        return self.rows == self.last_step + 1


class Project:
    """A project of a user or a team; may be used from several threads."""

    def __init__(self, client: Client, entity: str, name: str) -> None:
        self.entity = entity
        self.name = name
        self.url = f"{client.account.app_url}/{entity}/{name}"
        self._client = client
        self._named = {"entity": entity, "project": name}

    def find(self, run_id: str) -> ServerRun | None:
        data = self._client.graphql(_RUN, {**self._named, "name": run_id})
        found = (data.get("project") or {}).get("run")
        return _server_run(found) if found else None

    def rows(self, run_id: str, first: int, count: int) -> list[dict[str, Any]]:
        """Rows of a run's history, from the one whose ``_step`` is ``first``."""
        page = {"run": run_id, "pageSize": count, "minStep": first, "maxStep": first + count}
        data = self._client.graphql(_HISTORY, {**self._named, **page})
        found = (data.get("project") or {}).get("run") or {}
        return [json.loads(line) if isinstance(line, str) else line for line in found.get("history") or []]

    def upsert(self, run_id: str, about: dict[str, Any]) -> ServerRun:
        """Create a run, or update its description; gives it as it is now."""
        data = self._client.graphql(_UPSERT, {**self._named, "name": run_id, **about})
        bucket = (data.get("upsertBucket") or {}).get("bucket")
        if not bucket:
            raise Refused(f"{self._client.host} did not take the run and gave no reason", 200)
        return _server_run(bucket)

    def delete(self, storage_id: str) -> None:
        self._client.graphql(_DELETE, {"id": storage_id})

    def send(
        self,
        run_id: str,
        start: int = 0,
        lines: Sequence[str] = (),
        *,
        file: str = HISTORY,
        summary: dict[str, Any] | None = None,
        exit_code: int | None = None,
    ) -> None:
        """Put lines of the history at their positions, from ``start`` on. Without lines, it is a sign of life.

        Args:
            file: the file that the lines belong to; ``SYSTEM`` for system metrics.
            summary: the last value of each metric.
            exit_code: ends the run.
        """
        pieces: dict[str, Any] = {}
        if lines:
            pieces[file] = {"offset": start, "content": lines}
        if summary is not None:
            pieces[SUMMARY] = {"offset": 0, "content": [json.dumps(summary)]}
        document: dict[str, Any] = {"files": pieces} if pieces else {}
        if exit_code is not None:
            document |= {"complete": True, "exitcode": exit_code}
        path = "/".join(quote(part, safe="") for part in (self.entity, self.name, run_id))
        self._client.post(f"/files/{path}/file_stream", document)


def _server_run(found: dict[str, Any]) -> ServerRun:
    tail = json.loads(found.get("historyTail") or "[]")
    last = tail[-1] if tail else ""
    line = last if isinstance(last, str) else json.dumps(last)
    keys = found.get("historyKeys") or {}
    step = json.loads(line).get("_step", -1) if line else keys.get("lastStep", -1)
    return ServerRun(
        storage_id=found.get("id") or "",
        run_id=found.get("name") or "",
        state=found.get("state") or "",
        rows=found.get("historyLineCount") or 0,
        samples=found.get("eventsLineCount") or 0,
        last_step=-1 if step is None else step,
        last_line=line,
        config=json.loads(found.get("config") or "{}") or {},
        about=About(
            name=found.get("displayName") or "",
            notes=found.get("notes") or "",
            group=found.get("group") or "",
            tags=tuple(found.get("tags") or ()),
        ),
    )


_RUN_FIELDS: Final = (
    "id name displayName notes group tags state config historyLineCount historyTail historyKeys eventsLineCount"
)

_RUN: Final = f"""query Run($project: String!, $entity: String!, $name: String!) {{
  project(name: $project, entityName: $entity) {{ run(name: $name) {{ {_RUN_FIELDS} }} }}
}}"""

_HISTORY: Final = """query HistoryPage($entity: String!, $project: String!, $run: String!, \
$minStep: Int64!, $maxStep: Int64!, $pageSize: Int!) {
  project(name: $project, entityName: $entity) {
    run(name: $run) { history(minStep: $minStep, maxStep: $maxStep, samples: $pageSize) }
  }
}"""

_UPSERT: Final = """mutation UpsertBucket($name: String, $project: String, $entity: String, $groupName: String, \
$displayName: String, $notes: String, $config: JSONString, $host: String, $jobType: String, $tags: [String!]) {
  upsertBucket(input: {name: $name, modelName: $project, entityName: $entity, groupName: $groupName, \
displayName: $displayName, notes: $notes, config: $config, host: $host, jobType: $jobType, tags: $tags}) {
    bucket { id name displayName config historyLineCount project { name entity { name } } }
    inserted
  }
}"""

_DELETE: Final = """mutation DeleteRun($id: ID!) {
  deleteRun(input: {id: $id}) { clientMutationId }
}"""
