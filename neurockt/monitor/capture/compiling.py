"""Keeps ``torch.compile`` away from the recording of values.

Compiled, it would be compiled again for each state of a block. Left out, it costs one graph break per decorated call,
and the code before and after it stays compiled.
"""

from __future__ import annotations

import sys
from typing import Any


def leave_uncompiled(function: Any) -> None:
    """Have ``torch.compile`` run this function and all that it calls uncompiled. Nothing to do without torch.

    Like ``torch.compiler.disable``, but without a wrapper and without loading the compiler, which takes seconds.
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
