"""What the viewer remembers between starts, for each directory of runs: one JSON file in the user's configuration.

Nothing depends on it: a file that cannot be read counts as none, and one that cannot be written is not written.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

MOST_DIRECTORIES: Final = 200
"""Directories of runs that are remembered; those used last."""


@dataclass
class Settings:
    """The choices that last. All but the theme are those for one directory of runs."""

    root: Path | None = None
    """The directory of runs; None for no particular one."""
    columns: list[str] | None = None
    """Fields of the table of runs, in order; None for those that suit the runs."""
    sort: str | None = None
    """Field by which runs are sorted; None for when they began."""
    reverse: bool = True
    group: str | None = None
    charts: bool = True
    details: bool = True
    """Which panels are shown beside the list."""
    list_share: float = 0.45
    """How much of the screen is the list's where charts are beside it."""
    details_share: float = 0.3
    """How much of the list's panel is the details'."""
    theme: str | None = None

    def save(self) -> None:
        """Remember them for the directory, and the panels for directories that are new."""
        document = _stored()
        directories = _mapping(document, "directories")
        name = _name(self.root)
        directories.pop(name, None)
        own = {field: getattr(self, field) for field in (*TABLE, *PANELS)}
        kept = list(directories.items())[-MOST_DIRECTORIES + 1 :]
        document = {
            "theme": self.theme,
            "panels": {field: own[field] for field in PANELS},
            "directories": {**dict(kept), name: own},
        }
        with suppress(OSError, RuntimeError):  # RuntimeError: there is no home
            path = settings_path()
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(f".{os.getpid()}")
            temporary.write_text(json.dumps(document, indent=1) + "\n")
            temporary.replace(path)


TABLE: Final = ("columns", "sort", "reverse", "group")
PANELS: Final = ("charts", "details", "list_share", "details_share")


def settings_path() -> Path:
    """Where the choices are kept: below ``$XDG_CONFIG_HOME``, else ``~/.config``."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "neurockt" / "viewer.json"


def load_settings(root: Path | None = None) -> Settings:
    """The choices made earlier for a directory of runs, as far as they are still understood."""
    settings, document = Settings(root), _stored()
    known = {
        **{name: value for name, value in _mapping(document, "panels").items() if name in PANELS},
        **_mapping(_mapping(document, "directories"), _name(root)),
        "theme": document.get("theme"),
    }
    for name in (*TABLE, *PANELS, "theme"):
        if name in known and _fits(name, known[name]):
            setattr(settings, name, known[name])
    return settings


def _stored() -> dict[str, Any]:
    try:
        document = json.loads(settings_path().read_bytes())
    except (OSError, ValueError, RecursionError, RuntimeError):
        return {}
    return document if isinstance(document, dict) else {}


def _mapping(document: dict[str, Any], name: str) -> dict[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _name(root: Path | None) -> str:
    """A directory by its real path: a link and a relative path to it are the same directory."""
    return os.path.realpath(root) if root is not None else ""


def _fits(name: str, value: Any) -> bool:
    if name == "columns":
        return value is None or (isinstance(value, list) and all(isinstance(item, str) for item in value))
    if name in ("reverse", "charts", "details"):
        return isinstance(value, bool)
    if name in ("list_share", "details_share"):
        return isinstance(value, float) and 0 < value < 1
    return value is None or isinstance(value, str)
