"""Where ``torch.compile`` has no business: what is done with a value once it has been computed.

Traced, it would be compiled again for each state that a block can be in. Left out, it is one graph break for each
decorated call, and what is before and after it stays compiled.
"""

from __future__ import annotations

import sys
from typing import Any


def leave_uncompiled(function: Any) -> None:
    """Have ``torch.compile`` run this, and all that it calls, as it stands. Nothing is done before torch is imported.

    Does what ``torch.compiler.disable`` does, without loading the compiler, which takes seconds, and without a wrapper.
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
