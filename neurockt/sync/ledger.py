"""What has been proved to be in W&B: a small file in the run directory, or elsewhere when that cannot be written.

It saves asking, and is no evidence: whoever finds it missing, old or someone else's asks the server and goes on. So it
needs no lock; it is replaced whole, and of two that write at once either is right.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from neurockt.store import files, layout
from neurockt.sync.rows import START, Place

VERSION: Final = 1


@dataclass(frozen=True)
class Entry:
    """What is in W&B of a run, at one destination."""

    run_id: str
    """Its id there."""
    rows: int = 0
    """Number of rows that the server was seen to have."""
    place: Place = START
    """The place before the last of them: the next sync reads from there."""
    state: str = ""
    """The state that the server was seen to have; *finished* or *failed* for a run that is complete there."""
    stamp: str = ""
    """Digest of the ``run.json`` that was uploaded."""
    generation: int = 1
    """How many times the run was uploaded from the beginning."""
    files: str = ""
    """Digest of the list of files that are attached; empty for none."""
    superseded: str | None = None
    """The server's name for an earlier upload that is to be deleted once this one is complete."""


@dataclass(frozen=True)
class Wishes:
    """Where the user wants the run, told to ``WandbRecorder``."""

    entity: str | None = None
    project: str | None = None
    run_id: str | None = None
    job_type: str | None = None


class Ledger:
    """The ledger of one run."""

    def __init__(self, run_dir: Path, identity: str) -> None:
        self._paths = (run_dir / layout.LEDGER_FILE, _state_directory() / f"{digest(identity)}.json")
        self._identity = identity

    def read(self, destination: str) -> Entry | None:
        """What was proved of the run there; None where nothing was, or the file is damaged or another run's."""
        found = self._document().get("entries", {}).get(destination)
        try:
            return Entry(**{**found, "place": Place(**found["place"])}) if found else None
        except (KeyError, TypeError):
            return None

    def write(self, destination: str, entry: Entry) -> None:
        """Note what was proved. A disk that takes it nowhere costs time at the next sync, and nothing else."""
        document = self._document()
        document.setdefault("entries", {})[destination] = asdict(entry)
        self._write(document)

    def wishes(self) -> Wishes:
        """Where the user wants the run."""
        with suppress(TypeError):
            return Wishes(**self._document().get("wishes", {}))
        return Wishes()

    def write_wishes(self, wishes: Wishes) -> None:
        """Note where the user wants the run."""
        self._write({**self._document(), "wishes": asdict(wishes)})

    def _document(self) -> dict[str, Any]:
        for path in self._paths:
            with suppress(OSError, ValueError, RecursionError):
                document = json.loads(path.read_bytes())
                if document["version"] == VERSION and document["run"] == self._identity:
                    found: dict[str, Any] = document
                    return found
        return {"version": VERSION, "run": self._identity}

    def _write(self, document: dict[str, Any]) -> None:
        text = json.dumps(document, indent=2)
        for path in self._paths:
            try:
                _replace(path, text)
            except OSError:
                continue
            return


def _replace(path: Path, text: str) -> None:
    """Put a file in place at once; others may be doing the same."""
    if path.parent.name != "wandb" and not path.parent.is_dir():
        raise FileNotFoundError(path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.publish(path, lambda temporary: temporary.write_text(text, encoding="utf-8"), shared=True)


def _state_directory() -> Path:
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path("~/.local/state").expanduser()) / "neurockt" / "wandb"


def digest(text: str | bytes) -> str:
    """A short text that differs where this one does."""
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text
    return hashlib.sha256(data).hexdigest()[:32]
