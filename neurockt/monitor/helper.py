"""RecorderHelper: records functions, modules and torchmetrics that are not decorated."""

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
from neurockt.monitor.recorder import Recorder


class RecorderHelper:
    """Makes functions, modules and torchmetrics record what they return."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def metric(self, aggregator: Aggregator | None = None, /, **callables: Any) -> dict[str, Any]:
        """Record what these return inside ``recorder(train=False)``, each as a column of `epochs`.

        Args:
            aggregator: takes the list of the values that were returned in a block, returns one number. Default: the
                mean; for a torchmetric, its own ``compute()`` over the block.
            callables: by column name. A ``MetricCollection`` gets a column ``name/key`` for each of its metrics, and a
                result that is a dict or a vector one for each key or index.

        A torchmetric belongs to its block: what it accumulated before is ``reset()`` when the block opens. Without an
        aggregator it is also reset when the block ends; with one, its ``compute()`` can still be called until the next
        block opens, and gives the value of the row if it was only fed by ``update()``. A ``MetricTracker`` is never
        reset: call its ``increment()``.

        A name that is declared again, as in a notebook cell that is run again, replaces the earlier object.

        Returns:
            The callables by name, to be called in place of the originals. A module (a torchmetric, a loss) is the
            instance that was given; a function is wrapped.

        Raises:
            InvalidName: a name cannot be a column.
            UsageError: nothing was given, something is not callable, or a function and a module share a name.
        """
        return self._record(False, aggregator, callables)

    def track_scalar(self, aggregator: Aggregator | None = None, /, **callables: Any) -> dict[str, Any]:
        """Record what these return inside ``recorder(train=True)``, each as a column of `steps`; see ``metric``."""
        return self._record(True, aggregator, callables)

    def _record(self, train: bool, aggregator: Aggregator | None, callables: dict[str, Any]) -> dict[str, Any]:
        if not callables:
            raise UsageError(
                "nothing to record; give it by name, such as metric(torch_mean, acc=MulticlassAccuracy(10))"
            )
        for name, function in callables.items():
            if not callable(function):
                raise UsageError(f"{name}={function!r:.60} cannot be called; give a function, a module or a metric")
        return {name: self._recorded(train, name, aggregator, function) for name, function in callables.items()}

    def _recorded(self, train: bool, name: str, aggregator: Aggregator | None, function: Any) -> Any:
        torch = sys.modules.get("torch")
        if torch is None or not isinstance(function, torch.nn.Module):
            decorate: Callable[[str, Aggregator | None], Callable[[Any], Any]] = (
                self._recorder.track_scalar if train else self._recorder.metric
            )
            return decorate(name, aggregator)(function)
        block = self._recorder(train)
        known = block.collectors.get(name)
        if known is not None and not known.handles:
            raise UsageError(f"{name!r} is recorded already, by a function; choose another name")
        collector: Collector
        if is_torchmetric(function):
            collector = MetricCollector(name, function, aggregator, block.owners)
            modules = collector.members()
        else:
            collector, modules = ValueCollector(name, aggregator), {name: function}
        slot = block.declare(name, collector)
        if not is_torchmetric(function):  # which knows by itself that it was fed
            block.rows.hooked.add(name)
        for handle in known.handles if known else ():  # a notebook cell that is run again
            handle.remove()
        for column, module in modules.items():
            hook = _Hook(self._recorder, block, slot, collector, name, column, module)
            # not the module's own method: that of a scripted module only raises
            collector.handles.append(torch.nn.Module.register_forward_hook(module, hook))
        return function


class _Hook:
    """Forward hook: collects what a module returned while its block is open.

    It refers to recorder and block weakly: torchmetrics are reference cycles, which would keep the run alive.
    """

    def __init__(
        self,
        recorder: Recorder | None,
        block: Block | None,
        slot: int,
        collector: Collector | None,
        name: str,
        column: str,
        module: Any,
    ) -> None:
        self._recorder: Callable[[], Recorder | None] = weakref.ref(recorder) if recorder else lambda: None
        self._block: Callable[[], Block | None] = weakref.ref(block) if block else lambda: None
        self._is_training = block is not None and block.rows.table == "steps"
        self._slot = slot
        self._collector = collector
        self._name = name
        self._column = column
        self._module = module

    def __deepcopy__(self, memo: dict[int, Any]) -> _Hook:
        return self

    def __reduce__(self) -> tuple[Callable[..., _Hook], tuple[Any, ...]]:
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


def _unpickled(recorder: Recorder | None, train: bool, name: str, column: str) -> _Hook:
    if recorder is None:
        return _Hook(None, None, 0, None, name, column, None)
    block = recorder(train)
    collector = block.collectors.get(name)
    slot = list(block.collectors).index(name) if collector else 0
    return _Hook(recorder, block, slot, collector, name, column, None)
