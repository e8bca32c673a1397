"""Python in processes of their own, forked from one that has loaded pyarrow, or torch, which take long.

The first of a kind starts that one, for all workers of this test session, with which it ends. Only the imports are
quicker; where these matter, or Python's own options and variables, a test starts Python itself.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
import types
import warnings
from pathlib import Path
from typing import Any, Final

OWNER: Final = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
MODULES: Final = {
    "pyarrow": "argcomplete asyncio msgspec numpy psutil pyarrow.compute pyarrow.parquet requests tqdm",
    # Optimizers load _dynamo.
    "torch": "torch._dynamo torch.distributed torch.utils.data torchmetrics.classification",
}


class Popen(subprocess.Popen[Any]):
    """As ``subprocess.Popen`` of ``[sys.executable, ...]`` and a file, ``-c`` or ``-m``."""

    def __init__(self, command: list[Any], *, preload: str = "pyarrow", **options: Any) -> None:
        assert command[0] == sys.executable
        self._preload = preload
        super().__init__(command, **options)

    def _execute_child(self, args: Any, *options: Any) -> None:
        cwd, env = options[4:6]
        pipes = options[9:15]  # of stdin, stdout and stderr, for reading and for writing
        streams = [pipes[0], pipes[3], pipes[5]]
        given = {
            "words": [os.fsdecode(word) for word in args[1:]],
            "cwd": os.fspath(cwd or Path.cwd()),
            "env": dict(os.environ if env is None else env),
        }
        self._socket = _connect(self._preload)
        streams = [stream if stream >= 0 else number for number, stream in enumerate(streams)]
        socket.send_fds(self._socket, [json.dumps(given).encode()], streams)
        self.pid = int(self._socket.recv(20))
        self._child_created = True
        self._close_pipe_fds(*pipes)

    def _try_wait(self, flags: int) -> tuple[int, int]:
        try:
            answer = self._socket.recv(20, socket.MSG_DONTWAIT if flags else 0)
        except BlockingIOError:
            return 0, 0
        self._socket.close()
        return self.pid, int(answer or signal.SIGKILL)

    def _internal_poll(self, _deadstate: int | None = None) -> int | None:
        if self._waitpid_lock.acquire(blocking=False):  # otherwise another thread waits
            try:
                if self.returncode is None and (ended := self._try_wait(os.WNOHANG))[0]:
                    self._handle_exitstatus(ended[1])
            finally:
                self._waitpid_lock.release()
        return self.returncode


def run(command: list[Any], *, timeout: float = 300.0, **options: Any) -> subprocess.CompletedProcess[str]:
    """As ``subprocess.run`` with what is printed."""
    with Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _connect(preload: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    address = f"\0neurockt-tests-{OWNER}-{preload}"
    for attempt in range(15_000):  # 5 minutes at least: a busy machine starts it slowly
        try:
            connection.connect(address)
            return connection
        except ConnectionRefusedError:
            if attempt == 0:
                environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
                os.posix_spawn(
                    sys.executable, [sys.executable, __file__, address[1:], str(OWNER), preload], environment
                )
            time.sleep(0.02)
    raise TimeoutError(f"the process that loads {preload} does not answer")


def _serve(address: str, owner: int, preload: str) -> None:
    """Fork for each request a process that starts Python's child, waits for its end and gives its status."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        server.bind(f"\0{address}")
    except OSError:
        return  # another worker was first
    server.listen()
    for name in MODULES[preload].split():
        importlib.import_module(name)
    gc.freeze()  # else the end of each process takes seconds
    server.settimeout(1.0)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those that wait for processes are not waited for
    while Path(f"/proc/{owner}").exists():
        try:
            connection, _ = server.accept()
        except TimeoutError:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # libraries have started threads, which are idle
            is_parent = os.fork()
        if not is_parent:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            server.close()
            _start(connection)
            return
        connection.close()


def _start(connection: socket.socket) -> None:
    data, streams, *_ = socket.recv_fds(connection, 2**20, 3)
    if pid := os.fork():
        connection.send(str(pid).encode())
        for stream in streams:
            os.close(stream)
        connection.send(str(os.waitpid(pid, 0)[1]).encode())
        os._exit(0)
    connection.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = sys.__stdin__ = os.fdopen(0, closefd=False)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    given = json.loads(data)
    os.chdir(given["cwd"])
    os.environ.clear()
    os.environ.update(given["env"])
    _run(*given["words"])


def _run(what: str, *words: str) -> None:
    """What ``python what *words`` does."""
    here = {"-c": "", "-m": str(Path.cwd())}.get(what, str(Path(what).parent))
    sys.path[:1] = [here, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = [what, *words]
    sys.orig_argv = [sys.executable, what, *words]
    if what == "-m":
        sys.argv = sys.argv[1:]
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
        return
    sys.modules["__main__"] = main = types.ModuleType("__main__")
    if what == "-c":
        del sys.argv[1]
        code = compile(words[0], "<string>", "exec")
    else:
        main.__file__ = what
        code = compile(Path(what).read_bytes(), what, "exec")
    exec(code, vars(main))


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), sys.argv[3])
