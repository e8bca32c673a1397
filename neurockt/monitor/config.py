"""``recorder.config``: the settings of a run, which may be added to while it goes on."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable
from typing import Any

from neurockt.store.base.json_values import mapping_of


class Config(UserDict[str, Any]):
    """A dict whose changes reach ``run.json`` within a second."""

    def __init__(self, config: Any = None) -> None:
        """Takes what ``neurockt.store.base.json_values.mapping_of`` takes."""
        self.on_change: Callable[[], None] = lambda: None
        super().__init__(mapping_of(config))

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self.on_change()

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self.on_change()
