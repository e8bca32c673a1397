"""The frameworks' own warnings are not errors here; ours are. Nothing looks for a network."""

from __future__ import annotations

import os

import pytest

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "integrations":
            item.add_marker(pytest.mark.filterwarnings("default", "error::neurockt.errors.NeurocktWarning"))
