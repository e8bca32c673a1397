"""Modules: a forward hook collects what they return, so that they stay what they are."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import Any

from neurockt.errors import UsageError
from neurockt.monitor.capture.block import Block
from neurockt.monitor.capture.collectors import Collector, ValueCollector
from neurockt.monitor.capture.mean import Aggregator
from neurockt.monitor.capture.torchmetrics import MetricCollector, Output, is_torchmetric


def is_module(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def record_module(recorder: Any, block: Block, name: str, aggregator: Aggregator | None, module: Any) -> None:
    """Collect what a module returns in this block of the recorder, in place of what had this name before.

    Raises InvalidName, or UsageError if a function has the name.
    """
    known = block.collectors.get(name)
    if known is not None and known.has_functions:
        raise UsageError(f"{name!r} is recorded already, by a function; choose another name")
    collector: Collector
    if is_torchmetric(module):
        collector = MetricCollector(name, module, aggregator, block.owners)
        modules = collector.members()
    else:
        collector, modules = ValueCollector(name, aggregator), {name: module}
    slot = block.declare(name, collector)
    if not is_torchmetric(module):  # which knows by itself that it was fed
        block.rows.hooked.add(name)
    for handle in known.handles if known else ():  # a notebook cell that is run again
        handle.remove()
    for column, part in modules.items():
        hook = Hook(recorder, block, slot, collector, name, column, part)
        # not the module's own method: that of a scripted module only raises
        collector.handles.append(sys.modules["torch"].nn.Module.register_forward_hook(part, hook))


class Hook:
    """Forward hook: collects what a module returned while its block is open.

    It refers to recorder and block weakly: torchmetrics are reference cycles, which would keep the run alive.
    """

    def __init__(
        self,
        recorder: Any,
        block: Block | None,
        slot: int,
        collector: Collector | None,
        name: str,
        column: str,
        module: Any,
    ) -> None:
        self._recorder: Callable[[], Any] = weakref.ref(recorder) if recorder else lambda: None
        self._block: Callable[[], Block | None] = weakref.ref(block) if block else lambda: None
        self._is_training = block is not None and block.rows.table == "steps"
        self._slot = slot
        self._collector = collector
        self._name = name
        self._column = column
        self._module = module

    def __deepcopy__(self, memo: dict[int, Any]) -> Hook:
        return self

    def __reduce__(self) -> tuple[Callable[..., Hook], tuple[Any, ...]]:
        """A pickled module records to the same column if the same process loads it, and nothing elsewhere."""
        return _unpickled, (self._recorder(), self._is_training, self._name, self._column)

    def __call__(self, module: Any, inputs: Any, output: Any) -> None:
        block, collector = self._block(), self._collector
        if (
            block is not None
            and block.is_open
            and collector is not None
            and block.collectors.get(self._name) is collector
        ):
            if isinstance(collector, MetricCollector):
                output = Output(self._column, None if module is self._module else module, output)
            block.keep(self._slot, collector, output)


def _unpickled(recorder: Any, train: bool, name: str, column: str) -> Hook:
    if recorder is None:
        return Hook(None, None, 0, None, name, column, None)
    block = recorder(train)
    collector = block.collectors.get(name)
    slot = list(block.collectors).index(name) if collector else 0
    return Hook(recorder, block, slot, collector, name, column, None)
