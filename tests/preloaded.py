"""Scripts in processes of their own, forked from one that has loaded torch and torchmetrics, which takes seconds.

The first script starts it, for all workers of this test session, with which it ends. Of a script only the imports are
quicker; where these matter, a test starts Python itself.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

OWNER = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
ADDRESS = f"\0neurockt-tests-{OWNER}"


class Process:
    """A script that runs."""

    def __init__(
        self,
        script: Path,
        *arguments: object,
        stdout: IO[str] | int = 1,
        stderr: IO[str] | int = 2,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        given = {
            "argv": [str(script), *map(str, arguments)],
            "cwd": str(cwd or Path.cwd()),
            "env": dict(env or os.environ),
        }
        self._socket = _connect()
        streams = [stream if isinstance(stream, int) else stream.fileno() for stream in (stdout, stderr)]
        socket.send_fds(self._socket, [json.dumps(given).encode() + b"\n"], streams)
        self._answers = self._socket.makefile()
        self.pid = int(self._answers.readline())

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float = 300.0) -> int:
        """The exit status."""
        with self._socket, self._answers:
            self._socket.settimeout(timeout)
            return int(self._answers.readline())


def run(
    script: Path, *arguments: object, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a script to its end."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        status = Process(script, *arguments, stdout=out, stderr=err, cwd=cwd, env=env).wait()
        for stream in (out, err):
            stream.seek(0)
        return subprocess.CompletedProcess(str(script), status, out.read(), err.read())


def _connect() -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    for attempt in range(15_000):  # 5 minutes at least: a busy machine with a cold cache loads torch slowly
        try:
            connection.connect(ADDRESS)
            return connection
        except ConnectionRefusedError:
            if attempt == 0:
                environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
                os.posix_spawn(sys.executable, [sys.executable, __file__, ADDRESS[1:], str(OWNER)], environment)
            time.sleep(0.02)
    raise TimeoutError("the process that loads torch does not answer")


def _serve(address: str, owner: int) -> None:
    """Fork for each request a process that starts the script, waits for its end and gives its status."""
    server = socket.socket(socket.AF_UNIX)
    try:
        server.bind(f"\0{address}")
    except OSError:
        return  # another worker was first
    server.listen()

    import torch._dynamo  # which optimizers load
    import torch.distributed
    import torch.utils.data  # noqa: F401
    import torchmetrics.classification  # noqa: F401

    gc.freeze()  # else the end of each script takes seconds
    server.settimeout(1.0)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those that wait for scripts are not waited for
    while Path(f"/proc/{owner}").exists():
        try:
            connection, _ = server.accept()
        except TimeoutError:
            continue
        if not os.fork():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            server.close()
            _start(connection)
            return
        connection.close()


def _start(connection: socket.socket) -> None:
    import runpy

    data, streams, *_ = socket.recv_fds(connection, 2**20, 2)
    while not data.endswith(b"\n"):
        data += connection.recv(2**20)
    given = json.loads(data)
    if pid := os.fork():
        connection.sendall(f"{pid}\n".encode())
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        connection.sendall(f"{status}\n".encode())
        os._exit(0)
    connection.close()
    for number, stream in enumerate((os.open(os.devnull, os.O_RDONLY), *streams)):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(given["cwd"])
    os.environ.clear()
    os.environ.update(given["env"])
    sys.argv = given["argv"]
    sys.path[:1] = [str(Path(sys.argv[0]).parent), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
