"""What has been proved to be in W&B: a small file in the run directory, or elsewhere when that cannot be written.

It saves requests, and nothing is believed because of it: where it is missing, old or wrong, the server is asked. So it
needs no lock. It is replaced as a whole, and if two processes write at once, either result is right.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from neurockt.run_info import RunInfo
from neurockt.store import files, layout
from neurockt.sync.describe import About, about, identity
from neurockt.sync.marks import Marks
from neurockt.sync.order import Order
from neurockt.sync.rows import START, Place

VERSION: Final = 1
Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Entry:
    """What is in W&B of a run, at one destination."""

    run_id: str
    rows: int = 0
    place: Place = START
    """The place before the last of them: the next sync reads from there."""
    state: str = ""
    """The state that the server was seen to have; *finished* or *failed* for a run that is complete there."""
    stamp: str = ""
    """What ``stamp_of`` gave for the run that was uploaded."""
    generation: int = 1
    """How many times the run was uploaded from the beginning."""
    files: str = ""
    """Digest of the list of files that are attached; empty for none."""
    about: About | None = None
    """What was sent of what people may change; None where that is not known."""
    revision: int = 1
    """Which revision of an imported run they are of: it rises when the source changes rows that it had."""
    superseded: str | None = None
    """The server's name for an earlier upload that is to be deleted once this one is complete."""


@dataclass(frozen=True)
class Wishes:
    """Where the user wants the run, as given to ``WandbRecorder``."""

    entity: str | None = None
    project: str | None = None
    run_id: str | None = None
    job_type: str | None = None


class Ledger:
    """The ledger of one run. A file of that name that somebody else has put there is left alone."""

    def __init__(self, run_dir: Path, identity: str) -> None:
        self.foreign: Path | None = None
        elsewhere = _state_directory()
        self._paths = [run_dir / layout.LEDGER_FILE, *([elsewhere / f"{digest(identity)}.json"] if elsewhere else [])]
        self._directories = [run_dir, *([elsewhere / digest(identity)] if elsewhere else [])]
        self._identity = identity
        self._document = self._read()

    @property
    def entries(self) -> dict[str, Entry]:
        """What was proved of the run, by destination; without damaged parts of the file."""
        found = {destination: _convert(Entry, entry) for destination, entry in self._part("entries").items()}
        return {destination: entry for destination, entry in found.items() if entry is not None}

    def write(self, destination: str, entry: Entry) -> None:
        """Note what was proved. If no disk takes it, the next sync takes longer, and nothing else."""
        self._write("entries", {**self._part("entries"), destination: asdict(entry)})

    def forget(self, destination: str) -> None:
        self._write("entries", {name: entry for name, entry in self._part("entries").items() if name != destination})

    def order(self, destination: str, generation: int, rewinds: Iterable[str]) -> Order:
        """The order of the rows that were uploaded there; ``rewinds`` as for ``Order``."""
        return Order(self._directories, self._identity, f"{destination} {generation}", rewinds)

    def marks(self, destination: str, state: Callable[[], str]) -> Marks:
        """The marks of the syncs that send the run there; ``state`` gives other texts after a rewind."""
        return Marks(self._directories, digest(destination)[:8], lambda: digest(state())[:8])

    def wishes(self) -> Wishes:
        return _convert(Wishes, self._part("wishes")) or Wishes()

    def write_wishes(self, wishes: Wishes) -> None:
        self._write("wishes", asdict(wishes))

    def _part(self, name: str) -> dict[str, Any]:
        found = self._document.get(name)
        return found if isinstance(found, dict) else {}

    def _read(self) -> dict[str, Any]:
        for path in self._paths:
            try:
                document = files.read_json(path)
            except (OSError, ValueError):
                continue  # missing or damaged: it is written again
            if not isinstance(document, dict) or "version" not in document or "run" not in document:
                if path.name == layout.LEDGER_FILE:
                    self.foreign = path
            elif (document["version"], document["run"]) == (VERSION, self._identity):
                return document
        return {"version": VERSION, "run": self._identity}

    def _write(self, name: str, part: dict[str, Any]) -> None:
        self._document = {**self._read(), name: part}
        text = json.dumps(self._document, indent=2)
        for path in self._paths:
            if path != self.foreign:
                with suppress(OSError):
                    _replace(path, text)
                    return


def _convert(kind: type[Kind], document: object) -> Kind | None:
    try:
        return files.from_json(kind, document) if isinstance(document, dict) and document else None
    except ValueError:
        return None


def _replace(path: Path, text: str) -> None:
    """Replace the file at once; other processes may be doing the same."""
    if path.parent.name != "wandb" and not path.parent.is_dir():
        raise FileNotFoundError(path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.publish(path, lambda temporary: temporary.write_text(text, encoding="utf-8"), shared=True)


def _state_directory() -> Path | None:
    """Where a user's programs keep their state; None where there is no home directory."""
    directory = Path(os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"))
    return directory / "neurockt" / "wandb" if directory.is_absolute() else None


def documents_of(run_dir: Path) -> list[bytes]:
    """The ``run.json`` of a run and of what is attached to it; one of them changes with anything that is recorded."""
    paths = [run_dir, *layout.attached_paths(run_dir).values()]
    return [found for path in paths if (found := files.read_if_there(path / layout.RUN_FILE))]


def stamp_of(documents: Sequence[bytes], info: RunInfo) -> str:
    """Differs where these files do, what people have changed of the run, or a state; not where it was archived."""
    states = [info.state, *(each.state for each in info.attached.values())]
    return digest(b" ".join([*documents, *(text.encode("utf-8", "replace") for text in (*states, repr(about(info))))]))


def is_growing(info: RunInfo) -> bool:
    """Whether rows may come: also those of what is attached to a run that has ended."""
    return "running" in (info.state, *(each.state for each in info.attached.values()))


def is_proved(entry: Entry, info: RunInfo, now: str, *, files: bool) -> bool:
    """Whether an entry says that all of a run is in W&B, whose stamp is ``now``; with ``files``, its files too."""
    return (
        not is_growing(info)
        and entry.stamp == now
        and entry.state in ("finished", "failed")
        and not entry.superseded
        and bool(entry.files or not files)
    )


def is_synced(info: RunInfo) -> bool:
    """Whether all of a run, as it is now, was seen to be in W&B; nobody is asked."""
    now = stamp_of(documents_of(info.path), info)
    return any(is_proved(entry, info, now, files=False) for entry in Ledger(info.path, identity(info)).entries.values())


def digest(text: str | bytes) -> str:
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text
    return hashlib.sha256(data).hexdigest()[:32]
