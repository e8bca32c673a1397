"""The connection to a W&B server: JSON over HTTP, with bounded waits, and a sentence for every failure.

Each request may be sent twice without harm, so one that got no answer is repeated.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from neurockt.errors import SyncFailed
from neurockt.formatting import clean
from neurockt.sync.account import Account

CONNECTIONS: Final = 16
"""Connections kept open, at most."""
CONNECT_SECONDS: Final = 6.0
READ_SECONDS: Final = 60.0
"""How long one request may take to connect, and to be answered."""
GREETING_SECONDS: Final = 12.0
"""How long the first contact may take in all; then the error asks whether the machine is online."""
PATIENCE_SECONDS: Final = 120.0
"""How long one request is repeated while the server does not answer or is busy."""
FIRST_PAUSE_SECONDS: Final = 0.25
LONGEST_PAUSE_SECONDS: Final = 15.0

BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which the same request is sent again."""
_NOT_WANDB: Final = "does not answer as a W&B server does; check WANDB_BASE_URL, and proxies in between"


class Unreachable(SyncFailed):
    """The server did not answer, or was busy for too long."""


class Refused(SyncFailed):
    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """One server, one key; may be used from several threads."""

    def __init__(
        self,
        account: Account,
        *,
        patience: float = PATIENCE_SECONDS,
        on_wait: Callable[[str], None] = lambda why: None,
    ) -> None:
        """``on_wait`` is called with the reason when nothing happens for a while."""
        self.account = account
        self.host = urlsplit(account.url).netloc
        self.stopped = threading.Event()
        self._patience = patience
        self._on_wait = on_wait
        self._session = _session(account.url)

    def close(self) -> None:
        self.stopped.set()
        self._session.close()

    def greet(self) -> str:
        """The user's default entity; ``SyncFailed`` unless the server answers soon and takes the key."""
        result: list[Any] = []

        def ask() -> None:
            try:
                result.append(self.graphql(_VIEWER, {}, min(self._patience, GREETING_SECONDS - 2)))
            except SyncFailed as error:
                result.append(error)

        # looking up a host name takes no time limit, but a thread can be left to it
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(GREETING_SECONDS)
        answer = result[0] if result else Unreachable(self._no_answer("no answer"))
        if isinstance(answer, SyncFailed):
            raise answer
        viewer = answer.get("viewer")
        if not viewer:
            raise Refused(self._wrong_key(), 401)
        return str(viewer.get("entity") or viewer.get("username") or "")

    def graphql(self, query: str, variables: dict[str, Any], patience: float | None = None) -> dict[str, Any]:
        """The data that answers a query; fails as ``post`` does, also where the server does not know what is asked."""
        name = query.split("(", 1)[0].split()[1].rstrip("{")
        answer = self.post("/graphql", {"query": query, "variables": variables, "operationName": name}, patience)
        data = answer.get("data") or {}
        if not isinstance(data, dict):
            raise Refused(f"{self.host} {_NOT_WANDB}", 200)
        if answer.get("errors") and not any(data.values()):
            raise Refused(f"{self.host} does not answer {name}: {_first_message(answer)}", 200)
        return data

    def post(self, path: str, document: Any, patience: float | None = None) -> dict[str, Any]:
        """Send a JSON document; gives the answer. It is repeated for ``patience`` seconds while the server is busy.

        Raises:
            Refused: the server refuses the request, or its answer is not W&B's.
            Unreachable: no answer in time.
        """
        body = json.dumps(document).encode()
        deadline = time.monotonic() + (self._patience if patience is None else patience)
        pause = FIRST_PAUSE_SECONDS
        while True:
            asked = 0.0
            left = max(1.0, deadline - time.monotonic())
            try:
                response = self._session.post(
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
                raise SyncFailed(f"{self.account.url} is not the address of a server; check WANDB_BASE_URL") from error
            except (requests.exceptions.RequestException, OSError) as error:
                why = _reason(error)
            wait = max(asked, pause * random.uniform(0.7, 1.3))  # noqa: S311  (no secret: it keeps clients apart)
            if self.stopped.is_set() or time.monotonic() + wait > deadline:
                raise Unreachable(self._no_answer(why))
            if wait >= 1.0:
                self._on_wait(f"waiting {wait:.0f} s for {self.host}: {why}")
            self.stopped.wait(wait)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _no_answer(self, why: str) -> str:
        return (
            f"cannot reach {self.host} ({why}): is this machine online? Behind a proxy, set HTTPS_PROXY; "
            "for a server of your own, WANDB_BASE_URL. The next sync sends whatever is not confirmed"
        )

    def _wrong_key(self) -> str:
        return f"{self.host} refuses the API key: run 'wandb login --relogin', or set WANDB_API_KEY to a valid one"

    def _refusal(self, response: requests.Response) -> Refused:
        status = response.status_code
        if status == 401:
            return Refused(self._wrong_key(), status)
        if 300 <= status < 400:
            return Refused(f"{self.host} redirects to another address ({status}); check WANDB_BASE_URL", status)
        try:
            message = _first_message(_json(response))
        except SyncFailed:
            message = f"it answers {status}"
        return Refused(f"{self.host}: {message} (status {status})".replace(self.account.key, "***"), status)


def _session(url: str) -> requests.Session:
    """Connections to the server, shared by all threads and kept for the next request."""
    session = requests.Session()
    # looked up once: at each request it would take a tenth of the time of all of it
    session.trust_env = False
    session.proxies.update(requests.utils.get_environ_proxies(url))
    session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS, pool_block=True))
    return session


def _json(response: requests.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise Refused(f"{urlsplit(response.url).netloc} {_NOT_WANDB}", 200)
    return answer


def _first_message(answer: dict[str, Any]) -> str:
    errors = answer.get("errors") or [answer.get("error")]
    first = errors[0] if isinstance(errors, list) and errors else errors
    text = first.get("message") if isinstance(first, dict) else first
    return clean(text or "no reason given", 300)


def _reason(error: Exception) -> str:
    """Why a request got no answer, in words. The exception's own text may hold a proxy's password."""
    text = str(error)
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy refuses the connection"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, requests.exceptions.Timeout):
        return "no answer in time"
    if "NameResolution" in text or "getaddrinfo" in text or "Name or service" in text:
        return "unknown host name"
    return "connection refused" if "refused" in text else "the connection broke"


def _seconds(text: str | None) -> float:
    try:
        return max(0.0, float(text or 0))
    except ValueError:
        return 0.0


_VIEWER: Final = """query Viewer {
  viewer { id entity username }
}"""
