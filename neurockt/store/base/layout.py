"""Where runs are, and the names of the files in a run, written only here. FORMAT.md section 2 draws the tree."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Final, Literal

from neurockt.errors import UsageError

FORMAT_VERSION: Final = 1

RUN_FILE: Final = "run.json"
EDITS_FILE: Final = "edits.json"
"""What people have changed of the run after the fact."""
LEDGER_FILE: Final = "wandb.json"
"""What W&B is known to have of the run, and where the user wants it; only runs that are synced have one."""

TableName = Literal["steps", "epochs", "system", "late"]
TABLES: Final[tuple[TableName, ...]] = ("steps", "epochs", "system", "late")

KEY: Final[dict[TableName, str]] = {"steps": "step", "epochs": "epoch", "system": "sample", "late": "arrival"}
"""The column that numbers the rows of a table: it rises from row to row, in `steps` by any amount, and from 0."""

AXES: Final = ("step", "epoch", "time")
"""The recorder's own columns, in every table. No metric may take these names."""

RANK: Final = "rank"
"""The column with the number of the rank, in the tables of a run whose ranks keep their own rows."""

ATTACHED: Final = "attached"
"""Directory of what other processes record beside the run, such as evaluations of its checkpoints."""

_RANK: Final = re.compile(r"rank-(?:\d{3}|[1-9]\d{3,6})")

DAMAGED: Final = ".damaged"
"""Ending of a journal that was kept because part of it cannot be read."""

TEMPORARY: Final = ".tmp"
"""Ending of a file that is not complete; readers ignore it, the next writer removes it."""

ROOT_VARIABLE: Final = "NEUROCKT_DIR"
DEFAULT_ROOT: Final = "runs"


def default_root() -> Path:
    """The directory of runs unless another is named: ``$NEUROCKT_DIR``, else ``./runs``."""
    return expanded(os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT)


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path that a user has given, with ``~`` replaced; raises UsageError where there is no such home directory."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UsageError(f"cannot find the home directory in {os.fspath(path)!r}; write the path out") from None


def absolute(path: Path) -> Path:
    """Raises UsageError for a relative path where the current directory has been removed."""
    try:
        return path.absolute()
    except FileNotFoundError:
        raise UsageError(f"the current directory has been removed: {str(path)!r} has to be an absolute path") from None


SUPERSEDED: Final = "superseded"
"""Directory of superseded rows: those past the checkpoint from which the run was resumed."""
REWIND_FILE: Final = "rewind.json"
"""Beside superseded rows: where each table was cut."""

SENDING: Final = "wandb-sending-"
"""How the marks begin of the syncs that send rows of the run."""

_SUPERSEDED: Final = re.compile(r"attempt-([0-9]{3,9})")
_MOVING: Final = re.compile(r"\.(attempt-[0-9]{3,9})\.moving")
_CLAIM: Final = re.compile(r"claim-([0-9]{3,9})")
_ORDER: Final = re.compile(r"wandb-order-([0-9]{3,9})\.json")


def axes(key: str) -> tuple[str, ...]:
    """The first columns of the table numbered by ``key``: ``AXES``, after ``key`` where it is not one of them."""
    return AXES if key in AXES else (key, *AXES)


_OWN: Final = re.compile(
    rf"{RUN_FILE}|{EDITS_FILE}|{LEDGER_FILE}|superseded|origin|attached|rank-\d+|claim-\d+|({'|'.join(TABLES)})(\..*)?|\..*\.tmp",
    re.DOTALL,
)


def is_of_others(path: Path) -> bool:
    """Whether a directory has nothing that a run may have: it is empty, or has a framework's checkpoints."""
    return not any(_OWN.fullmatch(name) for name in os.listdir(path))


def rank_path(run_dir: Path, rank: int) -> Path:
    return run_dir / f"rank-{rank:03d}"


def rank_paths(run_dir: Path) -> dict[int, Path]:
    try:
        names = [entry.name for entry in run_dir.iterdir() if _RANK.fullmatch(entry.name)]
    except OSError:
        return {}
    ranks = sorted(int(name.removeprefix("rank-")) for name in names)
    return {rank: rank_path(run_dir, rank) for rank in ranks if _exists(rank_path(run_dir, rank) / RUN_FILE)}


def is_rank(path: Path) -> bool:
    """Whether a directory has a rank's own rows of the run around it."""
    return bool(_RANK.fullmatch(path.name)) and (path.parent / RUN_FILE).exists()


def is_attached(path: Path) -> bool:
    """Whether another process records, in this directory, beside the run around it."""
    return path.parent.name == ATTACHED and (path.parent.parent / RUN_FILE).exists()


def attached_path(run_dir: Path, name: str) -> Path:
    return run_dir / ATTACHED / name


def attached_paths(run_dir: str | Path) -> dict[str, Path]:
    """The directories that other processes write beside the run, by name. A link may lead out of it: it is left out."""
    directory = f"{run_dir}/{ATTACHED}"
    try:
        if not os.access(directory, os.F_OK):  # most runs have none, which this finds out in half the time
            return {}
        with os.scandir(directory) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except (OSError, ValueError):
        return {}
    if os.path.islink(directory):  # noqa: PTH114  (a list of runs asks this for each of them)
        return {}
    paths = {name: attached_path(Path(run_dir), name) for name in names if not name.startswith(".")}
    return {name: path for name, path in paths.items() if _exists(path / RUN_FILE)}


def _exists(path: Path) -> bool:
    """Whether there is such a file, or may be: the file system may refuse to say."""
    try:
        path.stat()
    except OSError as error:
        return error.errno not in (errno.ENOENT, errno.ENOTDIR)
    return True


def journal_path(run_dir: Path, table: TableName) -> Path:
    return run_dir / f"{table}.journal"


def next_journal_path(run_dir: Path, table: TableName) -> Path:
    return run_dir / f"{table}.journal.next"


def open_row_path(run_dir: Path, table: TableName) -> Path:
    return run_dir / f"{table}.open"


def part_path(run_dir: Path, table: TableName, number: int) -> Path:
    return run_dir / table / f"part-{number:05d}.parquet"


def part_paths(run_dir: Path, table: TableName) -> list[Path]:
    directory = run_dir / table
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    return [directory / name for name in sorted(names) if name.startswith("part-") and name.endswith(".parquet")]


def moving_path(run_dir: Path, attempt: int) -> Path:
    """Where the rows are moved that attempt ``attempt`` recorded last, until all of them have been."""
    return run_dir / SUPERSEDED / f".attempt-{attempt:03d}.moving"


def superseded_names(run_dir: Path) -> frozenset[str]:
    """The names in the directory of superseded rows; they change at each step of a rewind."""
    try:
        return frozenset(os.listdir(run_dir / SUPERSEDED))
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()


def superseded_paths(run_dir: Path) -> dict[int, Path]:
    """The directories of superseded rows, by the last attempt that can have recorded them."""
    found = (_SUPERSEDED.fullmatch(name) for name in sorted(superseded_names(run_dir)))
    return {int(match[1]): run_dir / SUPERSEDED / match[0] for match in found if match}


def moving_paths(run_dir: Path) -> list[tuple[Path, Path]]:
    """The rewinds that were interrupted: the present name of each directory, and its final name."""
    found = (_MOVING.fullmatch(name) for name in sorted(superseded_names(run_dir)))
    return [(run_dir / SUPERSEDED / match[0], run_dir / SUPERSEDED / match[1]) for match in found if match]


def claim_path(run_dir: Path, number: int) -> Path:
    """Created by the one process that may change a dead run now, as attempt ``number`` or to seal it."""
    return run_dir / f"claim-{number:03d}"


def claim_paths(run_dir: Path) -> dict[int, Path]:
    found = (_CLAIM.fullmatch(name) for name in sorted(os.listdir(run_dir)))
    return {int(match[1]): run_dir / match[0] for match in found if match}


def order_path(directory: Path, number: int) -> Path:
    """In which order W&B gets the rows; each longer order has the next number."""
    return directory / f"wandb-order-{number:03d}.json"


def order_paths(directory: Path) -> dict[int, Path]:
    """The orders in a directory by their number, the latest first; none where it cannot be listed."""
    try:
        names = os.listdir(directory)
    except OSError:
        return {}
    found = {int(match[1]): directory / match[0] for match in map(_ORDER.fullmatch, names) if match}
    return dict(sorted(found.items(), reverse=True))
