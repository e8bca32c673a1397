"""Which process writes a run, whether it is alive, and whether the kernel has killed any of its control group."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from neurockt.run_info import Attempt

_OF_A_THREAD: Final = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP}
"""Signals that a thread causes itself."""
_CGROUPS: Final = Path("/sys/fs/cgroup")
_CGROUP: Final = re.compile(r"[^\0\n]{1,4000}")
_OOM_KILL: Final = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


def leave_signals_to_others() -> None:
    """Block the signals of the process in this thread and in those that it starts.

    A signal that another thread gets would not interrupt what the main thread waits for, where its handler runs.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - _OF_A_THREAD)


def is_exiting() -> bool:
    """Whether the main thread has ended. Python 3.12.0 and 3.12.1 start no more threads then."""
    return not threading.main_thread().is_alive()


@contextmanager
def deaf_threads() -> Iterator[None]:
    """Threads that are started inside get no signal of the process; this thread gets them at the end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - _OF_A_THREAD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def host() -> str:
    return os.uname().nodename


def _read(path: str | Path) -> str:
    return Path(path).read_text("utf-8", "replace")  # names of processes and control groups are any bytes


@cache
def machine() -> str:
    """Boot id and pid namespace, within which a pid is unique; empty where the system has no ``/proc``."""
    try:
        boot = _read("/proc/sys/kernel/random/boot_id").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def process_identity(pid: int) -> str:
    """A text that no later process with the same pid has; empty when the process is gone or unknown.

    Its parts are the machine, the start time, and the address of the stack, which changes when the process starts
    another program (``exec``); 0 where the kernel does not show it to this user.
    """
    try:
        stat = _read(f"/proc/{pid}/stat")
    except OSError:
        return ""
    state, *fields = stat[stat.rindex(")") + 2 :].split()  # the process name may hold spaces and parentheses
    return "" if state in "ZX" or not machine() else f"{machine()}/{fields[18]}/{fields[24]}"


def is_relative(pid: int) -> bool:
    parents = _parents(os.getpid())
    return pid in parents or (_parents(pid)[:1] == parents[:1] != [])


def _parents(pid: int) -> list[int]:
    found: list[int] = []
    while True:
        try:
            stat = _read(f"/proc/{pid}/stat")
        except OSError:
            return found
        pid = int(stat[stat.rindex(")") + 2 :].split()[1])
        if pid <= 1:
            return found
        found.append(pid)


def is_alive(attempt: Attempt) -> bool | None:
    """Whether the attempt's process lives, in the program that it ran then; None when this cannot be known here."""
    if not machine() or not attempt.process.startswith(machine() + "/"):
        return None
    begun, _, stack = attempt.process.removeprefix(machine() + "/").partition("/")
    now, _, stack_now = process_identity(attempt.pid).removeprefix(machine() + "/").partition("/")
    return begun == now and (stack == stack_now or "0" in (stack or "0", stack_now))


def own_cgroup() -> str:
    """The control group that accounts for this process's memory; empty where it is not known."""
    try:
        lines = _read("/proc/self/cgroup").splitlines()
    except OSError:
        return ""
    groups = dict(line.split(":", 2)[1:] for line in lines if line.count(":") >= 2)
    for controllers, name in groups.items():
        if "memory" in controllers.split(","):
            return name
    return groups.get("", "")


def oom_kills(cgroup: str) -> int:
    """How many processes of the group the kernel has killed because it was out of memory; 0 where that is not known.

    The name may come from a run's file: only paths below the tree of the control groups are opened.
    """
    if not _CGROUP.fullmatch(cgroup) or ".." in Path(cgroup).parts:
        return 0
    name = cgroup.lstrip("/")
    for path in (_CGROUPS / name / "memory.events", _CGROUPS / "memory" / name / "memory.oom_control"):
        try:
            found = _OOM_KILL.search(_read(path))
        except (OSError, ValueError):
            continue
        if found:
            return int(found[1])
    return 0
