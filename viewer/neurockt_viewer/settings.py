"""What the viewer remembers between starts: one small JSON file in the user's configuration directory.

Nothing depends on it: a file that cannot be read counts as none, and one that cannot be written is not written.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from neurockt.store import files


@dataclass
class Settings:
    """The choices that last."""

    columns: list[str] | None = None
    """Fields of the table of runs, in order; None for those that suit the runs."""
    sort: str | None = None
    """Field by which runs are sorted; None for when they began."""
    reverse: bool = True
    group: str | None = None
    preview: bool = True
    theme: str | None = None

    def save(self) -> None:
        text = json.dumps(asdict(self), indent=1) + "\n"
        with suppress(OSError, RuntimeError):  # RuntimeError: there is no home
            path = settings_path()
            path.parent.mkdir(parents=True, exist_ok=True)
            files.publish(path, lambda temporary: temporary.write_text(text))


def settings_path() -> Path:
    """Where the choices are kept: below ``$XDG_CONFIG_HOME``, else ``~/.config``."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "neurockt" / "viewer.json"


def load_settings() -> Settings:
    """The choices made earlier, as far as they are still understood."""
    settings = Settings()
    try:
        document = json.loads(settings_path().read_bytes())
    except (OSError, ValueError, RecursionError, RuntimeError):
        return settings
    if isinstance(document, dict):
        for field in fields(Settings):
            if field.name in document and _fits(field.name, document[field.name]):
                setattr(settings, field.name, document[field.name])
    return settings


def _fits(name: str, value: Any) -> bool:
    if name == "columns":
        return value is None or (isinstance(value, list) and all(isinstance(item, str) for item in value))
    if name in ("reverse", "preview"):
        return isinstance(value, bool)
    return value is None or isinstance(value, str)
