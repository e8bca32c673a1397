"""A W&B server on this machine, for tests over real HTTP: it speaks what the clients speak, and fails on request."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from ports import free_port

from wandb_server.artifacts import Artifacts
from wandb_server.graphql import Document, Selected, parse, select
from wandb_server.runs import HISTORY, StoredRun

KEY = "0123456789abcdef0123456789abcdef01234567"
"""The key that the server takes."""
ENTITY = "tester"


@dataclass
class Fault:
    """What goes wrong with the next requests.

    Attributes:
        what: ``status``, or when the connection closes: ``before`` the body is read, ``during`` it, ``after`` it; or
            ``lost``: applied, then closed; ``lost_500``: applied, then answered with 500; ``half``: half of it is kept
            and the answer is 200; ``alternate``: every other line is; ``hang``: no answer until the server stops;
            ``wait``: served once it is ``released``, though the client may be gone by then.
        where: part of the path, or the name of the GraphQL operation.
        times: how many requests; the others are served.
        after: how many matching requests are served before.
    """

    what: str
    where: str = "file_stream"
    times: int = 1
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    after: int = 0
    seen: int = 0
    reached: threading.Event = field(default_factory=threading.Event)
    """Set when a request waits."""
    released: threading.Event = field(default_factory=threading.Event)

    def strikes(self, target: str) -> bool:
        """Whether it is this request's turn."""
        if self.where not in target or self.times <= 0:
            return False
        self.seen += 1
        if self.seen <= self.after:
            return False
        self.times -= 1
        return True


class WandbServer:
    """The server, with everything it received; ``stop()`` and ``start()`` keep that, and the port."""

    def __init__(self) -> None:
        self.runs: dict[tuple[str, str, str], StoredRun] = {}
        """By entity, project and id."""
        self.artifacts = Artifacts()
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        """The paths, and the names of the GraphQL operations, in the order in which they came."""
        self.late = 0.0
        """Line counts are answered as of this many seconds ago."""
        self.entities = {ENTITY, "team"}
        self.deleted: set[tuple[str, str]] = set()
        """By project and id."""
        self.on_history: Callable[[StoredRun], None] = lambda run: None
        """Hears of each piece of history as it is kept."""
        self.port = free_port()
        self.lock = threading.RLock()
        self.stopped = threading.Event()
        self._http: _Http | None = None
        self.start()

    @property
    def url(self) -> str:
        """What ``WANDB_BASE_URL`` has to be."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def only_run(self) -> StoredRun:
        """The run, where there is one."""
        (run,) = self.runs.values()
        return run

    def run(self, name: str) -> StoredRun:
        """The run of that id, in whatever project."""
        (run,) = (run for run in self.runs.values() if run.name == name)
        return run

    def requested(self, what: str) -> int:
        """How many requests named that."""
        return sum(what in request for request in self.requests)

    def start(self) -> None:
        """Listen, at the same port as before."""
        self.stopped = threading.Event()
        self._http = _Http(self, self.port)
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Stop listening, and close every connection, as a server that dies."""
        http, self._http = self._http, None
        if http is not None:
            self.stopped.set()
            http.shutdown()
            http.server_close()
            http.close_connections()

    # What it answers

    def graphql(self, document: Document, base: str) -> dict[str, Any]:
        """The data of an answer."""
        return {selected.alias: self._resolve(selected, document, base) for selected in document.fields}

    def _resolve(self, selected: Selected, document: Document, base: str) -> Any:
        arguments = selected.arguments
        given = arguments.get("input") or {}
        value: Any
        if selected.name == "viewer":
            value = {"id": "VXNlcjox", "username": ENTITY, "entity": ENTITY, "email": "", "flags": "{}", "admin": False}
            value["teams"] = {"edges": [{"node": {"name": name}} for name in sorted(self.entities)]}
        elif selected.name == "serverInfo":
            value = {"features": [], "cliVersionInfo": {"max_cli_version": "9.9.9"}, "latestLocalVersionInfo": None}
        elif selected.name == "entity":
            value = {"name": arguments.get("name")} if arguments.get("name") in self.entities else None
        elif selected.name in ("project", "model"):
            value = self._project(arguments.get("entityName") or ENTITY, arguments["name"])
        elif selected.name == "upsertBucket":
            value = self._upsert(given)
        elif selected.name == "deleteRun":
            value = self._delete(given)
        elif selected.name == "createRunFiles":
            value = self._run_files(given, base)
        elif selected.name == "markRunFilesUploaded":
            value = {"success": True}
        else:
            value = self.artifacts.resolve(selected.name, given or arguments, base)
        return select(value, selected.fields, document)

    def _project(self, entity: str, project: str) -> dict[str, Any] | None:
        there = [run for run in self.runs.values() if (run.entity, run.project) == (entity, project)]
        if not there:
            return None

        def one(name: str, **_: Any) -> dict[str, Any] | None:
            run = self.runs.get((entity, project, name))
            return run.tree(self.late) if run else None

        def several(**_: Any) -> dict[str, Any]:
            edges = [{"node": run.tree(self.late), "cursor": ""} for run in there]
            return {"edges": edges, "totalCount": len(edges), "pageInfo": {"hasNextPage": False, "endCursor": ""}}

        tree = {"id": "UHJvamVjdA==", "name": project, "entity": {"id": "RW50aXR5", "name": entity}}
        return {**tree, "internalId": "1", "run": one, "bucket": one, "runs": several, "runCount": len(there)}

    def _upsert(self, given: dict[str, Any]) -> dict[str, Any]:
        entity, project, name = given.get("entityName") or ENTITY, given["modelName"], given["name"]
        if entity not in self.entities:
            raise Refusal(404, f"entity {entity} not found during upsertBucket")
        if (project, name) in self.deleted:
            raise Refusal(409, f"run {name} was previously created and deleted; try a new run name")
        key = (entity, project, name)
        inserted = key not in self.runs
        run = self.runs.setdefault(key, StoredRun(entity, project, name))
        if not inserted and given.get("state") is None:
            run.state = "running"
        run.update(given)
        return {"bucket": run.tree(self.late), "inserted": inserted}

    def _delete(self, given: dict[str, Any]) -> dict[str, Any]:
        for key, run in list(self.runs.items()):
            if run.tree()["id"] == given["id"]:
                del self.runs[key]
                self.deleted.add((run.project, run.name))
        return {"clientMutationId": None}

    def _run_files(self, given: dict[str, Any], base: str) -> dict[str, Any]:
        entity, project, run = given.get("entityName") or ENTITY, given["projectName"], given["runName"]
        prefix = f"{base}/storage/run/{entity}/{project}/{run}"
        files = [{"name": name, "uploadUrl": f"{prefix}/{name}"} for name in given["files"]]
        return {"runID": run, "uploadHeaders": [], "files": files}

    def file_stream(self, key: tuple[str, str, str], document: dict[str, Any], keep: str = "all") -> None:
        """Keep what a file_stream request brings."""
        run = self.runs.get(key)
        if run is None:
            raise Refusal(404, "no such run")
        for name, piece in (document.get("files") or {}).items():
            content, offset = piece["content"], piece["offset"]
            if name == HISTORY and keep == "half":
                content = content[: len(content) // 2]
            if name == HISTORY and keep == "alternate":
                for number in range(0, len(content), 2):
                    run.append(name, offset + number, [content[number]])
                continue
            run.append(name, offset, content)
            if name == HISTORY:
                self.on_history(run)
        if document.get("complete"):
            run.exit_code = document.get("exitcode")
            run.state = "finished" if run.exit_code == 0 else "failed"

    def put(self, path: str, data: bytes) -> None:
        """Keep a file that was uploaded."""
        _, _, kind, *rest = path.split("/")
        if kind == "run":
            entity, project, run, *name = rest
            self.runs[(entity, project, run)].files["/".join(name)] = data
        else:
            self.artifacts.put("/".join(rest), data)


class Refusal(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, server: WandbServer, port: int) -> None:
        self.wandb = server
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        try:
            super().finish_request(request, client_address)
        finally:
            self._connections.discard(request)

    def close_connections(self) -> None:
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is not an error of the server."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_GET

    def _serve(self) -> None:
        wandb = self.server.wandb
        path = unquote(urlsplit(self.path).path)
        length = int(self.headers.get("Content-Length") or 0)
        is_graphql = path.endswith("/graphql")
        target = path
        body = b""
        early = not is_graphql and self._fault(wandb, target)
        if early and early.what in ("before", "during"):
            if early.what == "during":
                self.rfile.read(length // 2)
            self._hang_up()
            return
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        request: dict[str, Any] = {}
        if is_graphql:
            request = json.loads(body)
            target = f"{path} {request.get('operationName') or ''} {request['query'][:80]}"
        fault = early if not is_graphql else self._fault(wandb, target)
        wandb.requests.append(target)
        if fault and fault.what in ("before", "during", "after"):
            self._hang_up()
            return
        if fault and fault.what == "hang":
            wandb.stopped.wait(600)
            self._hang_up()
            return
        if fault and fault.what == "wait":
            fault.reached.set()
            fault.released.wait(600)
        if fault and fault.what == "status":
            self._answer(fault.status, {"errors": [{"message": f"a fault: {fault.status}"}]}, fault.headers)
            return
        try:
            status, answer = 200, self._apply(wandb, path, request, body, fault.what if fault else "all")
        except Refusal as refusal:
            status, answer = refusal.status, {"errors": [{"message": str(refusal)}]}
        if fault and fault.what == "lost":
            self._hang_up()
        elif fault and fault.what == "lost_500":
            self._answer(500, {"error": "a fault: lost"})
        else:
            self._answer(status, answer)

    def _fault(self, wandb: WandbServer, target: str) -> Fault | None:
        with wandb.lock:
            return next((fault for fault in wandb.faults if fault.strikes(target)), None)

    def _apply(self, wandb: WandbServer, path: str, request: dict[str, Any], body: bytes, keep: str) -> Any:
        if path.startswith("/sdk/otel") or path.startswith("/healthz"):
            return {}
        base = f"http://127.0.0.1:{wandb.port}"
        with wandb.lock:
            if path.startswith("/storage"):
                if self.command == "PUT":
                    wandb.put(path, body)
                    return {}
                return wandb.artifacts.get(path.split("/", 3)[3])
            self._check_key()
            if path.endswith("/graphql"):
                document = parse(request["query"], request.get("variables"))
                return {"data": wandb.graphql(document, base)}
            if path.endswith("/file_stream"):
                entity, project, run = path.split("/")[2:5]
                wandb.file_stream((entity, project, run), json.loads(body), keep)
                return {"exitcode": None, "limits": {}}
        raise Refusal(404, f"no page {path}")

    def _check_key(self) -> None:
        given = self.headers.get("Authorization", "")
        if given != "Basic " + base64.b64encode(f"api:{KEY}".encode()).decode():
            raise Refusal(401, "user is not logged in")

    def _answer(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        with suppress(OSError):
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Return once something another thread or process does has come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it did not come true")
        time.sleep(0.01)
