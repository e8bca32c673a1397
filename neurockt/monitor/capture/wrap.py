"""The wrapper around a recorded function. It has the function's own parameters, because every call runs it.

Packing and unpacking ``*args, **kwargs`` at each call would cost more than all of the recording.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Final, TypeVar

from neurockt.store.journal.records import NULL

if TYPE_CHECKING:
    from neurockt.monitor.capture.block import Block, Gate
    from neurockt.monitor.capture.collectors import Collector

F = TypeVar("F", bound=Callable[..., Any])

_TEMPLATE: Final = """\
def recorded({parameters}):
    value = function({arguments})
    if gate.block is block:
        if type(value) is float and slots[slot] is NULL:
            slots[slot] = value
        else:
            block.keep(slot, collector, value)
    return value
"""

_NAMES: Final = frozenset("function gate block slots slot collector value NULL type float".split())
"""A function with such a parameter gets the general wrapper."""


def recorded(function: F, gate: Gate, block: Block, slot: int, collector: Collector) -> F:
    parameters, arguments, defaults = _parameters(function)
    namespace: dict[str, Any] = {
        **defaults,
        "function": function,
        "gate": gate,
        "block": block,
        "slots": block.slots,
        "slot": slot,
        "collector": collector,
        "NULL": NULL,
    }
    source = _TEMPLATE.format(parameters=parameters, arguments=arguments)
    exec(compile(source, f"<neurockt records {collector.columns}>", "exec"), namespace)  # noqa: S102  (as dataclasses do)
    wrapper: F = namespace.pop("recorded")  # a reference cycle would keep the run alive
    update_wrapper(wrapper, function)
    return wrapper


def _parameters(function: Callable[..., Any]) -> tuple[str, str, dict[str, Any]]:
    """The parameters of the wrapper, the arguments it passes on, and the defaults that the parameters name."""
    anything: tuple[str, str, dict[str, Any]] = ("*args, **kwargs", "*args, **kwargs", {})
    try:
        parameters = inspect.signature(function, follow_wrapped=False).parameters.values()
    except (TypeError, ValueError):
        return anything  # some builtins have no signature
    defaults = {}
    declared = []
    for parameter in parameters:
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD or parameter.name in _NAMES:
            return anything
        if parameter.default is not parameter.empty:
            defaults[f"default_{parameter.name}"] = parameter.default
            declared.append(f"{parameter.name}=default_{parameter.name}")
        else:
            declared.append(parameter.name)
    return ", ".join(declared), ", ".join(parameter.name for parameter in parameters), defaults


def leave_uncompiled(function: Any) -> None:
    """Have ``torch.compile`` run this function and all that it calls uncompiled.

    Compiled, it would be compiled again for each state of a block. Left out, it costs one graph break per decorated
    call, and the code before and after it stays compiled. ``torch.compiler.disable`` does the same with a wrapper, and
    loads the compiler, which takes seconds.
    """
    torch = sys.modules.get("torch")
    frames: Any = getattr(getattr(getattr(torch, "_C", None), "_dynamo", None), "eval_frame", None)
    if hasattr(frames, "set_code_exec_strategy"):
        skip = frames._FrameAction.SKIP
        frames.set_code_exec_strategy(function.__code__, frames._FrameExecStrategy(skip, skip))
    elif hasattr(frames, "skip_code"):  # before torch 2.7
        frames.skip_code(function.__code__)
    else:
        return
    function._torchdynamo_disable = True  # a mark that the compiler looks for
