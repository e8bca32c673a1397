"""How often the kernel has killed processes of a control group that was out of memory; under SLURM, of the job."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")
_OOM_KILL: Final = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)
_NAME: Final = re.compile(r"[^\0\n]{1,4000}")


def own_cgroup() -> str:
    """The control group that accounts for this process's memory; empty where it is not known."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
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
    if not _NAME.fullmatch(cgroup) or ".." in Path(cgroup).parts:
        return 0
    name = cgroup.lstrip("/")
    for path in (_ROOT / name / "memory.events", _ROOT / "memory" / name / "memory.oom_control"):
        try:
            found = _OOM_KILL.search(path.read_text())
        except (OSError, ValueError):
            continue
        if found:
            return int(found[1])
    return 0
