"""The loop helper of the examples: batches go through a model, predictions and targets come out."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

from neurockt.errors import MissingExtra, UsageError
from neurockt.progress import progress

try:
    import torch
    from torch import Tensor, nn
except ModuleNotFoundError as error:
    raise MissingExtra("neurockt.torch needs PyTorch: pip install 'neurockt[torch]'") from error

__all__ = ["forward"]


def forward(dl: Iterable[Any], model: nn.Module) -> Iterator[tuple[Any, list[Tensor]]]:
    """Run a model over a data loader's batches.

    As many leading tensors of a batch go into the model as its ``forward`` must be given: its parameters without a
    default. All of the batch is moved to the model's device. Gradients, and training or evaluation mode, stay as they
    are. On a terminal a progress bar is shown on stderr.

    Args:
        dl: gives batches: lists or tuples of tensors, or single tensors.
        model: on whichever device; a compiled one, and one wrapped for data parallelism, is looked through.

    Yields:
        what the model returned, and the list of the batch's remaining tensors.

    Raises:
        UsageError: a batch is no sequence of tensors, or has fewer than the model takes.
    """
    inputs = _input_count(model)
    device = _device(model)
    for batch in progress(dl):
        tensors = [tensor.to(device, non_blocking=True) for tensor in _tensors(batch)]
        count = max(1, len(tensors) - 1) if inputs is None else inputs
        if len(tensors) < count:
            raise UsageError(f"the model takes {count} tensors, but the batch has only {len(tensors)}")
        yield model(*tensors[:count]), tensors[count:]


def _tensors(batch: Any) -> list[Tensor]:
    items = [batch] if isinstance(batch, Tensor) else batch
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, Tensor) for item in items):
        raise UsageError(
            f"a batch is a tensor, or a list or tuple of tensors, not {_describe(batch)}; write the loop out"
        )
    return list(items)


def _describe(batch: Any) -> str:
    if isinstance(batch, (list, tuple)):
        return f"a {type(batch).__name__} of {', '.join(type(item).__name__ for item in batch)}"
    return f"a {type(batch).__name__}"


def _input_count(model: nn.Module) -> int | None:
    """How many tensors the model's forward must be given; None when its signature leaves that open."""
    wrapped = model
    while True:
        inner = getattr(wrapped, "_orig_mod", None)  # torch.compile
        if isinstance(wrapped, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            inner = wrapped.module
        if not isinstance(inner, nn.Module):
            break
        wrapped = inner
    parameters = inspect.signature(wrapped.forward).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = sum(parameter.kind in positional and parameter.default is parameter.empty for parameter in parameters)
    open_ended = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
    return None if open_ended and not required else required


def _device(model: nn.Module) -> torch.device:
    """Where the model's first parameter or buffer is; the CPU when it has none."""
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")
