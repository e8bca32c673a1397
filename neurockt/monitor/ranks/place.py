"""Which rank of a job this process is, and whether it records, by torch or by the launcher's environment.

There is no communication, unless the ranks of ``ranks="all"`` have no other way to agree on the run's id.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from operator import index
from pathlib import Path
from typing import Any, Final, Literal, get_args

from neurockt.errors import UsageError
from neurockt.monitor.names import new_run_id

Reduction = Literal["mean", "sum", "min", "max"]
"""How the values of a block are reduced over the ranks."""
REDUCTIONS: Final = get_args(Reduction)

Recording = Literal["first", "all"] | int
"""Which ranks store rows: rank 0, each, or the one of this number; -1 is the last rank."""

_LAUNCHERS: Final = (
    ("RANK", ("WORLD_SIZE",)),  # torchrun, Accelerate, DeepSpeed, Lightning
    ("SLURM_PROCID", ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS")),  # srun
    ("OMPI_COMM_WORLD_RANK", ("OMPI_COMM_WORLD_SIZE",)),  # mpirun of Open MPI
    ("PMI_RANK", ("PMI_SIZE",)),  # mpiexec of MPICH and Intel
)
"""The variables by which launchers give each process its rank, and the number of ranks."""

_ordinals: Final = count(1)
"""Distinguishes the recorders of a script that agree on an id; every rank makes them in the same order."""


@dataclass(frozen=True)
class Place:
    rank: int = 0
    size: int = 1

    def records(self, recording: Recording) -> bool:
        """Whether this rank stores rows; the only process of a job always does."""
        if recording == "all" or self.size == 1:
            return True
        return self.rank == (0 if recording == "first" else recording % self.size)

    def check(self, recording: Recording) -> None:
        """Raises UsageError where no rank has the number ``recording``."""
        if isinstance(recording, int) and self.size > 1 and not -self.size <= recording < self.size:
            raise UsageError(f"ranks={recording}, but the ranks of this job are 0 to {self.size - 1}")


def check_ranks(reduction: Reduction | None, recording: Recording) -> tuple[Reduction | None, Recording]:
    """The arguments ``reduce`` and ``ranks`` of a recorder. Raises UsageError if they are unknown or contradict."""
    if reduction not in (None, *REDUCTIONS):
        raise UsageError(f"reduce={reduction!r:.60} is not one of {', '.join(REDUCTIONS)}")
    if recording not in ("first", "all"):
        if isinstance(recording, bool) or not hasattr(recording, "__index__"):
            raise UsageError(f"ranks={recording!r:.60} is not 'first', 'all' or the number of a rank")
        recording = index(recording)  # type: ignore[arg-type]  # of NumPy, too
    if reduction is not None and recording == "all":
        raise UsageError('ranks="all" keeps the values of each rank; leave out reduce=, or record on one rank')
    return reduction, recording


def find_place() -> Place:
    """This process's place, by ``torch.distributed`` once it is initialised, else by the launcher's environment.

    A batch script that SLURM runs without ``srun`` is rank 0 of the tasks it asked for.
    """
    distributed = initialised()
    if distributed is not None:
        return Place(distributed.get_rank(), distributed.get_world_size())
    for rank_variable, size_variables in _LAUNCHERS:
        rank = _number(rank_variable)
        size = next((size for name in size_variables if (size := _number(name)) is not None), None)
        if rank is not None and size is not None and rank < size:
            return Place(rank, size)
    return Place()


def initialised() -> Any:
    """``torch.distributed``, if the user has initialised it; else None."""
    torch = sys.modules.get("torch")
    distributed = getattr(torch, "distributed", None)
    there = distributed is not None and distributed.is_available() and distributed.is_initialized()
    return distributed if there else None


def default_store(distributed: Any) -> Any:
    """The key-value store of the default process group; None where it has none, as with MPI."""
    try:
        return distributed.distributed_c10d._get_default_store()  # torch has no public name for it
    except (AttributeError, RuntimeError, ValueError):
        return None


def common_run_id(place: Place) -> str:
    """An id that is the same on every rank of this job; each recorder calls this once, or gets UsageError."""
    if place.size == 1:
        return new_run_id(datetime.now())
    ordinal = next(_ordinals)
    launch = launch_id()
    if launch is not None:
        return launch if ordinal == 1 else f"{launch}-{ordinal}"
    distributed = initialised()
    store = default_store(distributed) if distributed is not None else None
    if store is None:
        raise UsageError(
            f'ranks="all": nothing in the environment of the {place.size} ranks identifies this job; pass run_id=, the '
            "same on every rank, or call torch.distributed.init_process_group() before the first block"
        )
    key = f"neurockt/run-id/{ordinal}"
    if place.rank == 0:
        store.set(key, new_run_id(datetime.now()))
    return str(store.get(key).decode())


def launch_id() -> str | None:
    """What identifies this job on all its ranks, by the launcher's environment; None if nothing does."""
    environment = os.environ
    job = environment.get("SLURM_JOB_ID")
    elastic = environment.get("TORCHELASTIC_RUN_ID")
    if elastic is not None:
        if elastic == "none":  # torchrun has no id: use its directory of logs, which is unique on this node
            alone = environment.get("LOCAL_WORLD_SIZE") == environment.get("WORLD_SIZE")
            directories = Path(environment.get("TORCHELASTIC_ERROR_FILE", "")).parts[-5:-3] if alone else ()
            elastic = "-".join(directories) if len(directories) == 2 else None
        return _name("torchrun", job, elastic) if elastic else None
    step = environment.get("SLURM_STEP_ID")
    return _name("slurm", job, step) if job and step else None


def is_restart() -> bool:
    """Whether the launcher has started this job before, so that a run of its id is this job's own."""
    return any(_number(name) for name in ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT"))


def _name(*pieces: str | None) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(piece for piece in pieces if piece))[:120].rstrip("-")


def _number(variable: str) -> int | None:
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() else None
