"""What the machine does: the processor and memory of this process and its children, the machine's own, the GPUs.

psutil and nvidia-ml-py tell; where one is not installed, or there is no GPU, its columns are absent.
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
    """Gives, each time it is called, what the machine does; None where there is nothing that could tell.

    Imports what it needs now, since an import amid the run would hold up the loop; asks nothing before the first call.
    """
    psutil, nvml = _import_psutil(), import_nvml()
    return _Reader(psutil, nvml).read if psutil or nvml else None


def check_seconds(seconds: float | None) -> float | None:
    """``seconds``, if something can be sampled that often; None for never.

    Raises:
        UsageError: it is no number, negative, or above a day.
    """
    if seconds is None:
        return None
    if not isinstance(seconds, (int, float)) or not 0 <= seconds <= LONGEST_SECONDS:
        raise UsageError(
            f"system_seconds={seconds!r:.40} is no number of seconds up to a day; 0 or None samples nothing"
        )
    return seconds or None


def _import_psutil() -> ModuleType | None:
    try:
        import psutil
    except Exception:  # of one that is broken too, absent means absent
        return None
    return psutil  # type: ignore[no-any-return]


class _Reader:
    """Remembers the last reading: processor time is a rate."""

    def __init__(self, psutil: ModuleType | None, nvml: ModuleType | None) -> None:
        self._psutil, self._nvml = psutil, nvml
        self._host: _Host | None = None
        self._gpus: Gpus | None = None

    def read(self) -> dict[str, float]:
        """The measures, by the names of their columns."""
        found = {}
        if self._psutil is not None:
            self._host = self._host or _Host(self._psutil)
            found.update(self._host.read())
        if self._nvml is not None:
            self._gpus = self._gpus or Gpus(self._nvml)
            found.update(self._gpus.measures())
        return found


class _Host:
    """Processor and memory."""

    def __init__(self, psutil: ModuleType) -> None:
        self._psutil = psutil
        self._processes = {pid: psutil.Process(pid) for pid in [os.getpid()]}
        self._last: tuple[float, float, float, float] | None = None

    def read(self) -> dict[str, float]:
        """Percentages are over the time since the last reading; the first has none."""
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
        """Processor seconds and resident bytes of this process and its children, and theirs.

        The time of a child that has ended is its parent's from when the parent has waited for it.
        """
        seconds = resident = 0.0
        try:
            self._processes = {pid: self._processes.get(pid) or self._psutil.Process(pid) for pid in self._family()}
        except self._psutil.Error:
            pass  # a child has ended meanwhile: those known before are asked
        for process in self._processes.values():
            try:
                seconds += sum(process.cpu_times()[:4])  # user and system, its own and that of the children that ended
                resident += process.memory_info().rss
            except self._psutil.Error:
                pass  # it has ended meanwhile
        return seconds, resident

    def _family(self) -> list[int]:
        """This process, its children and theirs.

        Where the kernel lists children, it is asked: to look at each process of a large machine takes a thousand
        system calls, after each of which this thread and the training loop contend for the interpreter.
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
                    continue  # it has ended meanwhile
                family += [int(child) for child in children if int(child) not in family]
        return family

    def _machine(self) -> tuple[float, float]:
        """Seconds in which the machine's processors were busy, and seconds that have passed on them."""
        times = self._psutil.cpu_times()
        guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # counted as user time already
        total = sum(times) - guests
        return total - times.idle - getattr(times, "iowait", 0.0), total
