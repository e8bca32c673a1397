"""``recorder.config``: the settings of a run. Changes reach ``run.json`` within a second."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from neurockt.formatting import alternatives
from neurockt.store.base.json_values import DEPTH_LIMIT, mapping_of


class Config(dict[str, Any]):
    """A dict whose items are attributes too: ``config.lr`` is ``config["lr"]``.

    A dict that is stored in it, at any depth, becomes a ``Config`` as well. A copy no longer belongs to the run. A
    pickle or checkpoint holds plain data.
    """

    __slots__ = ("_listeners",)

    def __init__(self, config: Any = None, _listeners: list[Callable[[], None]] | None = None) -> None:
        """Takes everything that ``neurockt.store.base.json_values.mapping_of`` takes."""
        super().__init__()
        set_attribute = super().__setattr__
        set_attribute("_listeners", [] if _listeners is None else _listeners)
        self._fill(mapping_of(config).items(), {})

    def call_on_change(self, listener: Callable[[], None]) -> None:
        """Call this after every change, at any depth."""
        self._listeners[:] = [listener]

    def replace(self, config: Any) -> None:
        items = dict(mapping_of(config))
        super().clear()
        self.update(items)

    def _fill(self, items: Iterable[tuple[str, Any]], known: dict[int, Config], depth: int = 0) -> None:
        for key, value in items:
            super().__setitem__(key, self._adopt(value, known, depth + 1))

    def _adopt(self, value: Any, known: dict[int, Config], depth: int = 0) -> Any:
        """``value``; a dict as a Config that reports its changes here. ``known`` has those that hold ``value``."""
        kind = type(value)  # isinstance() asks the object itself, which of a proxy whose object is gone raises
        if not issubclass(kind, dict) or depth > DEPTH_LIMIT:
            return value
        if kind is Config and value._listeners is self._listeners:
            return value
        if id(value) not in known:
            known[id(value)] = nested = Config(None, self._listeners)
            nested._fill(dict.items(value), known, depth)  # a class of the user may have one that fails
        return known[id(value)]

    def _changed(self) -> None:
        for listener in self._listeners:
            listener()

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, self._adopt(value, {}))
        self._changed()

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self._changed()

    def update(self, other: Any = (), /, **values: Any) -> None:
        """Add items: from pairs, or from everything that may be a run's config."""
        pairs = isinstance(other, (list, tuple, Iterator))
        self._fill([*(other if pairs else mapping_of(other).items()), *values.items()], {})
        self._changed()

    def __ior__(self, other: Any) -> Config:  # type: ignore[override,misc]  # narrower than dict has it
        self.update(other)
        return self

    def setdefault(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, *arguments: Any) -> Any:
        value = super().pop(*arguments)
        self._changed()
        return value

    def popitem(self) -> tuple[str, Any]:
        item = super().popitem()
        self._changed()
        return item

    def clear(self) -> None:
        super().clear()
        self._changed()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the config has no {name!r}; {alternatives(name, map(str, self))}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        if name not in self:
            raise AttributeError(f"the config has no {name!r}")
        del self[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *map(str, self)]

    def copy(self) -> Config:
        """A shallow copy, which does not belong to the run."""
        return Config(self)

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> Config:
        from copy import deepcopy

        memo[id(self)] = twin = Config()
        for key, value in self.items():
            dict.__setitem__(twin, key, deepcopy(value, memo))
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        # of the mappings that torch.load accepts with weights_only, the plainest
        return OrderedDict, (), None, None, iter(self.items())
