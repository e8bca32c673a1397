"""RecorderHelper: records functions, modules and torchmetrics that are not decorated."""

from __future__ import annotations

from typing import Any

from neurockt.errors import UsageError
from neurockt.monitor.capture.hooks import is_module, record_module
from neurockt.monitor.capture.mean import Aggregator
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
            UsageError: nothing was given, something cannot be recorded, or a function and a module share a name.
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
        decorator = self._recorder.track_scalar if train else self._recorder.metric
        for name, function in callables.items():
            if is_module(function):
                record_module(self._recorder, self._recorder(train), name, aggregator, function)
            else:
                callables[name] = decorator(name, aggregator)(function)
        return callables
