"""``forward``: run a model over the batches of a data loader."""

from __future__ import annotations

import inspect
import itertools
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

from neurockt.errors import MissingExtra, UsageError

try:
    import torch
    from torch import Tensor, nn
except ModuleNotFoundError as error:
    raise MissingExtra("neurockt.torch needs PyTorch: pip install 'neurockt[torch]'") from error

__all__ = ["forward"]

T = TypeVar("T")


def forward(dl: Iterable[Any], model: nn.Module) -> Iterator[tuple[Any, list[Tensor]]]:
    """Run a model over a data loader's batches.

    The model gets the first tensors of each batch: as many as its ``forward`` has parameters without a default. The
    whole batch is moved to the model's device. Gradient and training modes stay as they are. If stderr is a terminal,
    it shows a progress bar while the loop runs (``TQDM_DISABLE=1``: never).

    Args:
        dl: yields batches: lists or tuples of tensors, or single tensors.
        model: on any device; may be compiled, scripted, traced, or wrapped for data parallelism.

    Yields:
        what the model returned, and the list of the batch's remaining tensors.

    Raises:
        UsageError: a batch is not a sequence of tensors, or has fewer than the model takes.
    """
    inputs = _input_count(model)
    device = _device(model)
    for batch in _with_progress_bar(dl):
        tensors = [tensor.to(device, non_blocking=True) for tensor in _tensors(batch)]
        count = max(1, len(tensors) - 1) if inputs is None else inputs
        if len(tensors) < count:
            raise UsageError(f"the model takes {count} tensors, but the batch has only {len(tensors)}")
        yield model(*tensors[:count]), tensors[count:]


def _with_progress_bar(items: Iterable[T]) -> Iterable[T]:
    width = _terminal_width()
    if width is None:
        return items
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[type-arg]  # not generic when it runs
        monitor_interval = 0  # else tqdm starts a thread that never ends
        _lock = threading.RLock()  # else tqdm makes a semaphore for other processes

    try:
        total = len(items)  # type: ignore[arg-type]  # it may have no length, or fail to compute it
    except Exception:
        total = None
    return Bar(iter(items), total=total, leave=False, ascii=True, ncols=width - 1, miniters=1, file=_Stderr())


def _terminal_width() -> int | None:
    """Columns of the terminal that stderr writes to; None if stderr is replaced, closed or not a terminal."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80 if sys.stderr.isatty() else None
    except Exception:  # whatever replaced stderr may lack any method
        return None


class _Stderr:
    """Stderr as it was when the loop began. Errors are ignored: a terminal that goes away must not end training."""

    def __init__(self) -> None:
        self._stream = sys.stderr

    def write(self, text: str) -> None:
        with suppress(Exception):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(Exception):
            self._stream.flush()


def _tensors(batch: Any) -> list[Tensor]:
    items = [batch] if isinstance(batch, Tensor) else batch
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, Tensor) for item in items):
        kind = type(batch).__name__
        if isinstance(batch, (list, tuple)):
            kind += f" of {', '.join(type(item).__name__ for item in batch)}"
        raise UsageError(
            f"forward() takes batches that are a tensor, or a list or tuple of tensors, not a {kind}; "
            "for other batches write the loop yourself"
        )
    return list(items)


def _input_count(model: nn.Module) -> int | None:
    """How many tensors the model's forward must be given; None when its signature leaves that open."""
    wrapped: Any = model
    while True:
        inner = getattr(wrapped, "_orig_mod", None)  # torch.compile
        if isinstance(wrapped, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            inner = wrapped.module
        if not isinstance(inner, nn.Module):
            break
        wrapped = inner
    try:
        parameters = inspect.signature(wrapped.forward).parameters.values()
    except ValueError:  # a traced module has no signature; its graph also counts the module itself
        return len(list(wrapped.graph.inputs())) - 1
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = sum(parameter.kind in positional and parameter.default is parameter.empty for parameter in parameters)
    open_ended = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
    return None if open_ended and not required else required


def _device(model: nn.Module) -> torch.device:
    """Where the model's first parameter or buffer is; the CPU when it has none."""
    for tensor in itertools.chain(model.parameters(), model.buffers()):
        return tensor.device
    return torch.device("cpu")
