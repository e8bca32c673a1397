"""Load of the machine: processor and memory of this process and its children, of the machine, and GPUs.

Measured by psutil and nvidia-ml-py. If one is not installed, or there is no GPU, its columns are absent.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Final

from neurockt.errors import UsageError
from neurockt.monitor.context.gpus import GIB, Gpus, import_nvml

LONGEST_SECONDS: Final = 86_400.0


def system_reader() -> Callable[[], dict[str, float]] | None:
    """A function that measures the machine each time it is called; None if nothing can be measured.

    Imports what it needs now, since a later import would delay the training loop.
    """
    psutil, nvml = _import_psutil(), import_nvml()
    host: _Host | None = None
    gpus: Gpus | None = None

    def read() -> dict[str, float]:
        nonlocal host, gpus
        found = {}
        if psutil is not None:
            host = host or _Host(psutil)  # keeps its last reading: processor load is a difference of two
            found.update(host.read())
        if nvml is not None:
            gpus = gpus or Gpus(nvml)
            found.update(gpus.measures())
        return found

    return read if psutil or nvml else None


def check_seconds(seconds: float | None) -> float | None:
    """Returns an interval of sampling, None for never. Raises UsageError unless it is 0 to a day."""
    if seconds is None:
        return None
    if not isinstance(seconds, (int, float)) or not 0 <= seconds <= LONGEST_SECONDS:
        raise UsageError(
            f"system_seconds={seconds!r:.40} is not a number of seconds up to a day; 0 or None samples nothing"
        )
    return seconds or None


def _import_psutil() -> ModuleType | None:
    try:
        import psutil
    except Exception:  # a broken one counts as absent
        return None
    return psutil  # type: ignore[no-any-return]  # psutil declares no types


class _Host:
    def __init__(self, psutil: ModuleType) -> None:
        self._psutil = psutil
        self._processes = {pid: psutil.Process(pid) for pid in [os.getpid()]}
        self._last: tuple[float, float, float, float] | None = None

    def read(self) -> dict[str, float]:
        """Percentages cover the time since the last reading; the first reading has none."""
        seconds, resident = self._tree()
        busy, total = self._machine()
        now = time.monotonic()
        found = {}
        if self._last is not None:
            then, seconds_then, busy_then, total_then = self._last
            found["cpu_percent"] = 100 * max(0.0, seconds - seconds_then) / max(now - then, 1e-9)
            found["machine_cpu_percent"] = 100 * max(0.0, busy - busy_then) / max(total - total_then, 1e-9)
        self._last = now, seconds, busy, total
        found["memory_gib"] = resident / GIB
        found["machine_memory_percent"] = float(self._psutil.virtual_memory().percent)
        return found

    def _tree(self) -> tuple[float, float]:
        """Processor seconds and resident bytes of this process and all its descendants.

        When a child has ended and its parent has waited for it, its time counts as the parent's.
        """
        seconds = resident = 0.0
        try:
            self._processes = {pid: self._processes.get(pid) or self._psutil.Process(pid) for pid in self._family()}
        except self._psutil.Error:
            pass  # a child has just ended: ask those that were known before
        for process in self._processes.values():
            try:
                seconds += sum(process.cpu_times()[:4])  # user and system; its own, and of children that ended
                resident += process.memory_info().rss
            except self._psutil.Error:
                pass  # it has just ended
        return seconds, resident

    def _family(self) -> list[int]:
        """Ids of this process and all its descendants.

        The kernel's own list of children is used if there is one: inspecting each process of a large machine takes a
        thousand system calls, and after each of them this thread competes with the training loop for the interpreter.
        """
        own = os.getpid()
        if not Path(f"/proc/{own}/task/{own}/children").exists():
            return [own, *(child.pid for child in self._psutil.Process(own).children(recursive=True))]
        family = [own]
        for pid in family:
            threads = os.listdir(f"/proc/{own}/task") if pid == own else [str(pid)]
            for thread in threads:
                try:
                    children = Path(f"/proc/{pid}/task/{thread}/children").read_bytes().split()
                except OSError:
                    continue  # it has just ended
                family += [int(child) for child in children if int(child) not in family]
        return family

    def _machine(self) -> tuple[float, float]:
        times = self._psutil.cpu_times()
        guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # counted as user time already
        total = sum(times) - guests
        return total - times.idle - getattr(times, "iowait", 0.0), total
