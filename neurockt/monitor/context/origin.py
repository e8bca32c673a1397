"""Origin of a run: command, commit, machine and versions, captured in the background after its first row.

Of the environment only the variables of SLURM that are listed here are kept. Secrets are masked.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from neurockt.monitor.context.git import Git
from neurockt.monitor.context.gpus import Gpus, import_nvml
from neurockt.monitor.context.secrets import mask_arguments, mask_text
from neurockt.store.base.origin import Origin
from neurockt.store.base.run_file import now
from neurockt.store.owner.process import host

ARGUMENTS: Final = 1_000
ARGUMENT_CHARACTERS: Final = 2_000
PACKAGES: Final = 5_000
"""Limits of what is kept: arguments, their length, and packages."""

SLURM: Final = tuple(
    f"SLURM_{name}"
    for name in (
        "JOB_ID JOB_NAME JOB_PARTITION JOB_ACCOUNT JOB_QOS JOB_NODELIST JOB_NUM_NODES JOB_START_TIME JOB_END_TIME "
        "JOB_GPUS ARRAY_JOB_ID ARRAY_TASK_ID CLUSTER_NAME RESTART_COUNT STEP_ID NTASKS NTASKS_PER_NODE PROCID LOCALID "
        "NODEID CPUS_PER_TASK CPUS_ON_NODE GPUS GPUS_ON_NODE GPUS_PER_NODE GPUS_PER_TASK MEM_PER_NODE MEM_PER_CPU "
        "MEM_PER_GPU SUBMIT_DIR SUBMIT_HOST"
    ).split()
)
"""The only environment variables that are kept."""

_DISTRIBUTION: Final = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)(?:-.*)?\.(?:dist|egg)-info")


def capture_origin(*, save_diff: bool) -> tuple[Origin, str | None]:
    directory = _directory()
    repository = Git.first((*_script_directory(), directory or "/"))
    diff = repository[0].diff() if save_diff and repository is not None else None
    torch = sys.modules.get("torch")
    origin = Origin(
        captured=now(),
        command=tuple(_cut(argument) for argument in mask_arguments(sys.orig_argv[:ARGUMENTS])),
        directory=directory,
        git=repository[1] if repository else None,
        diff=None if diff is None else "cut" if diff[1] else "whole",
        host=host(),
        system=" ".join((os.uname().sysname, os.uname().release, os.uname().machine)),
        cpus=_cpus(),
        python=sys.version.split()[0],
        executable=sys.executable or "",
        torch=str(torch.__version__) if torch is not None and hasattr(torch, "__version__") else None,
        cuda=_cuda(torch),
        gpus=tuple(_gpus(torch)),
        world_size=_world_size(os.environ),
        slurm={name: _cut(mask_text(os.environ[name])) for name in SLURM if name in os.environ},
        packages=installed_packages(sys.path),
    )
    return origin, diff[0] if diff else None


def _cut(text: str) -> str:
    return text if len(text) <= ARGUMENT_CHARACTERS else f"{text[:ARGUMENT_CHARACTERS]}…"


def _directory() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # the directory was removed
        return ""


def _script_directory() -> list[str]:
    """Directory of the script; none in a notebook or for ``python -c``."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return [str(Path(script).absolute().parent)] if script else []


def _cpus() -> int | None:
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return os.cpu_count()


def _cuda(torch: Any) -> str | None:
    version = getattr(torch, "version", None)
    found = getattr(version, "cuda", None) or getattr(version, "hip", None)
    return str(found) if found else None


def _gpus(torch: Any) -> list[str]:
    """Names of the GPUs that this process sees; torch is asked only if it uses them already."""
    cuda = getattr(torch, "cuda", None)
    try:
        if cuda is not None and cuda.is_initialized():
            return [str(cuda.get_device_name(index)) for index in range(cuda.device_count())]
    except Exception:  # a broken device must not hide the rest of the origin
        pass
    nvml = import_nvml()
    return Gpus(nvml).names() if nvml is not None else []


def _world_size(environment: Mapping[str, str]) -> int | None:
    """Number of processes that train together: torch.distributed's, else the launcher's."""
    distributed = sys.modules.get("torch.distributed")
    try:
        if distributed is not None and distributed.is_available() and distributed.is_initialized():
            return int(distributed.get_world_size())
    except Exception:  # the process group is being destroyed
        pass
    value = environment.get("WORLD_SIZE") or environment.get("SLURM_NTASKS") or ""
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 10 else None


def installed_packages(path: Iterable[str]) -> dict[str, str]:
    """Names and versions of the distributions on ``path``, read from directory names: no file is opened."""
    found: dict[str, str] = {}
    for directory in dict.fromkeys(path):
        try:
            names = os.listdir(directory or ".")
        except OSError:
            continue
        for name in names:
            match = _DISTRIBUTION.fullmatch(name)
            if match:  # the first on the path is the one that is imported
                found.setdefault(re.sub(r"[-_.]+", "-", match["name"]).lower(), match["version"])
    return dict(sorted(found.items())[:PACKAGES])
