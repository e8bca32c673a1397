"""W&B's server over HTTP: GraphQL, and lines put at their places. Every wait is bounded, every failure a sentence.

A line goes to a place that we name, and the same line sent twice changes nothing, so whatever got no answer is simply
sent again. This is the protocol that W&B's own client speaks to the server.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlsplit

import requests

from neurockt.errors import SyncFailed
from neurockt.formatting import clean
from neurockt.sync.account import Account

CONNECT_SECONDS: Final = 6.0
READ_SECONDS: Final = 60.0
"""How long one request may take to connect, and to be answered."""
GREETING_SECONDS: Final = 12.0
"""How long the first contact may take in all; a machine without network is told so after that."""
PATIENCE_SECONDS: Final = 120.0
"""How long one request is repeated while the server does not answer, or says that it is busy."""
FIRST_PAUSE_SECONDS: Final = 0.25
LONGEST_PAUSE_SECONDS: Final = 15.0

BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which the same request is sent again."""
HISTORY: Final = "wandb-history.jsonl"
SYSTEM: Final = "wandb-events.jsonl"
SUMMARY: Final = "wandb-summary.json"


class Unreachable(SyncFailed):
    """The server did not answer, or was busy for too long."""


class Refused(SyncFailed):
    """The server said no."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class ServerRun:
    """A run as the server has it."""

    storage_id: str
    """The server's own name for it."""
    run_id: str
    state: str
    rows: int
    """Lines of its history, as far as the server has counted."""
    last_step: int
    """``_step`` of the last row, -1 where there is none."""
    last_line: str
    config: dict[str, Any]
    tags: tuple[str, ...] = ()
    name: str = ""
    summary: dict[str, Any] = field(default_factory=dict)
    samples: int = 0
    """Lines of its system metrics."""

    @property
    def is_settled(self) -> bool:
        """Whether count and last row agree; a server may be some seconds behind itself."""
        return self.rows == self.last_step + 1


class Client:
    """One server, one key; may be used from several threads."""

    def __init__(
        self,
        account: Account,
        *,
        patience: float = PATIENCE_SECONDS,
        on_wait: Callable[[str], None] = lambda why: None,
    ) -> None:
        """Nothing is sent yet.

        Args:
            patience: how many seconds a request is repeated.
            on_wait: hears why nothing happens for a while.
        """
        self.account = account
        self.host = urlsplit(account.url).netloc
        self.stopped = threading.Event()
        """Once set, nothing is waited for any more."""
        self._patience = patience
        self._on_wait = on_wait
        self._local = threading.local()
        self._sessions: list[requests.Session] = []

    def close(self) -> None:
        """Wait for nothing any more, and close the connections."""
        self.stopped.set()
        for session in self._sessions:
            session.close()

    def greet(self) -> tuple[str, tuple[str, ...]]:
        """The user's default entity, and all of theirs; proves that the server answers and takes the key.

        Raises:
            SyncFailed: not within ``GREETING_SECONDS``, or the key is refused.
        """
        result: list[Any] = []

        def ask() -> None:
            try:
                result.append(self._graphql(_VIEWER, {}, min(self._patience, GREETING_SECONDS - 2)))
            except SyncFailed as error:
                result.append(error)

        # looking up a name cannot be given a time limit, but can be left alone
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(GREETING_SECONDS)
        answer = result[0] if result else Unreachable(self._no_answer("no answer"))
        if isinstance(answer, SyncFailed):
            raise answer
        viewer = answer.get("viewer")
        if not viewer:
            raise Refused(self._wrong_key(), 401)
        edges = (viewer.get("teams") or {}).get("edges") or []
        names = [viewer.get("entity"), *(edge["node"]["name"] for edge in edges)]
        mine = tuple(dict.fromkeys(name for name in names if name))
        return viewer.get("entity") or viewer.get("username") or "", mine

    def find(self, entity: str, project: str, run_id: str) -> ServerRun | None:
        """The run of that id; None where there is none."""
        data = self._graphql(_RUN, {"entity": entity, "project": project, "name": run_id})
        found = (data.get("project") or {}).get("run")
        return _server_run(found) if found else None

    def rows(self, entity: str, project: str, run_id: str, first: int, count: int) -> list[dict[str, Any]]:
        """Rows of a run's history, from the one whose ``_step`` is ``first``."""
        given = {"entity": entity, "project": project, "run": run_id, "pageSize": count}
        data = self._graphql(_HISTORY, {**given, "minStep": first, "maxStep": first + count})
        found = (data.get("project") or {}).get("run") or {}
        return [json.loads(line) if isinstance(line, str) else line for line in found.get("history") or []]

    def upsert(self, entity: str, project: str, run_id: str, about: dict[str, Any]) -> ServerRun:
        """Create a run or renew what is told of it; gives it as it is now."""
        data = self._graphql(_UPSERT, {"entity": entity, "project": project, "name": run_id, **about})
        bucket = (data.get("upsertBucket") or {}).get("bucket")
        if not bucket:
            raise Refused(f"{self.host} did not take the run and did not say why", 200)
        return _server_run(bucket)

    def delete(self, storage_id: str) -> None:
        """Remove a run from the server for good."""
        self._graphql(_DELETE, {"id": storage_id})

    def send(
        self,
        entity: str,
        project: str,
        run_id: str,
        start: int = 0,
        lines: Sequence[str] = (),
        *,
        file: str = HISTORY,
        summary: dict[str, Any] | None = None,
        exit_code: int | None = None,
    ) -> None:
        """Put lines of the history at their places, from ``start`` on; with nothing to put, a sign of life.

        Args:
            file: what the lines are of instead, ``SYSTEM``.
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
        path = "/".join(quote(part, safe="") for part in (entity, project, run_id))
        self._post(f"/files/{path}/file_stream", document, self._patience)

    # Inside

    def _graphql(self, query: str, variables: dict[str, Any], patience: float | None = None) -> dict[str, Any]:
        name = query.split("(", 1)[0].split()[1].rstrip("{")
        document = {"query": query, "variables": variables, "operationName": name}
        answer = self._post("/graphql", document, self._patience if patience is None else patience)
        if answer.get("errors") and not (answer.get("data") and any(answer["data"].values())):
            raise Refused(_first_message(answer), 200)
        return answer.get("data") or {}

    def _post(self, path: str, document: Any, patience: float) -> dict[str, Any]:
        body = json.dumps(document).encode()
        deadline = time.monotonic() + patience
        pause = FIRST_PAUSE_SECONDS
        while True:
            asked = 0.0
            left = max(1.0, deadline - time.monotonic())
            try:
                response = self._session().post(
                    self.account.url + path,
                    data=body,
                    headers={"Content-Type": "application/json"},
                    auth=("api", self.account.key),
                    timeout=(min(CONNECT_SECONDS, left), min(READ_SECONDS, left)),
                    allow_redirects=False,
                )
                status = response.status_code
                if status == 200:
                    return _json(response)
                if status not in BUSY:
                    raise self._refusal(response)
                why = f"it answers {status}"
                asked = _seconds(response.headers.get("Retry-After"))
            except requests.exceptions.InvalidURL as error:
                raise SyncFailed(f"{self.account.url} is no address of a server; look at WANDB_BASE_URL") from error
            except (requests.exceptions.RequestException, OSError) as error:
                why = _reason(error)
            wait = max(asked, pause * random.uniform(0.7, 1.3))  # noqa: S311  (no secret: it keeps clients apart)
            if self.stopped.is_set() or time.monotonic() + wait > deadline:
                raise Unreachable(self._no_answer(why))
            if wait >= 1.0:
                self._on_wait(f"waiting {wait:.0f} s for {self.host}: {why}")
            self.stopped.wait(wait)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            made = self._local.session = requests.Session()
            # looked up once: at each request it would take a tenth of the time of all of it
            made.trust_env = False
            made.proxies.update(requests.utils.get_environ_proxies(self.account.url))
            made.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
            self._sessions.append(made)
        session: requests.Session = self._local.session
        return session

    def _no_answer(self, why: str) -> str:
        return (
            f"cannot reach {self.host} ({why}): is this machine online? Behind a proxy, set HTTPS_PROXY; "
            "for a server of your own, WANDB_BASE_URL. What is not proved to be there is sent by the next sync"
        )

    def _wrong_key(self) -> str:
        return f"{self.host} refuses the API key: run 'wandb login --relogin', or set WANDB_API_KEY to a valid one"

    def _refusal(self, response: requests.Response) -> Refused:
        status = response.status_code
        if status == 401:
            return Refused(self._wrong_key(), status)
        if 300 <= status < 400:
            return Refused(f"{self.host} sends us elsewhere ({status}); look at WANDB_BASE_URL", status)
        try:
            message = _first_message(_json(response))
        except SyncFailed:
            message = f"it answers {status}"
        return Refused(f"{self.host}: {message} (status {status})".replace(self.account.key, "***"), status)


def _json(response: requests.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise Refused("the answer is not W&B's; look at WANDB_BASE_URL, and at proxies on the way", 200)
    return answer


def _first_message(answer: dict[str, Any]) -> str:
    errors = answer.get("errors") or [answer.get("error")]
    first = errors[0] if isinstance(errors, list) and errors else errors
    text = first.get("message") if isinstance(first, dict) else first
    return clean(text or "no reason given", 300)


def _reason(error: Exception) -> str:
    """Why a request got no answer, in words; the exception's own text may hold a proxy's password."""
    text = str(error)
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy does not let us through"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, requests.exceptions.Timeout):
        return "no answer in time"
    if "NameResolution" in text or "getaddrinfo" in text or "Name or service" in text:
        return "the name is not known here"
    return "connection refused" if "refused" in text else "the connection broke"


def _seconds(text: str | None) -> float:
    try:
        return max(0.0, float(text or 0))
    except ValueError:
        return 0.0


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
        tags=tuple(found.get("tags") or ()),
        name=found.get("displayName") or "",
        summary=json.loads(found.get("summaryMetrics") or "{}") or {},
    )


_VIEWER: Final = """query Viewer {
  viewer { id entity username teams { edges { node { name } } } }
}"""

_RUN_FIELDS: Final = (
    "id name displayName state config tags historyLineCount historyTail historyKeys summaryMetrics eventsLineCount"
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
