"""What the tests of importing share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from neurockt.importing.importer import Importer, Options, Outcome

Import = Callable[..., list[Outcome]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The directory that is imported to."""
    return tmp_path / "runs"


@pytest.fixture
def importing(root: Path) -> Import:
    """Imports the paths that it is given, with options, to ``root``."""

    def run(*paths: Path, **options: object) -> list[Outcome]:
        importer = Importer(paths, root, Options(**options))  # type: ignore[arg-type]
        importer.find()
        return list(importer.run())

    return run
