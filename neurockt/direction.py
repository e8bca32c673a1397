"""Whether less or more of a metric is better: guessed from its name, here and nowhere else.

Less of what is called a loss, an error, a perplexity, a regret, a divergence, a distance, a latency or a time, or by an
abbreviation such as ``ppl``, ``mse``, ``nll``, ``wer`` or ``fid``; more of the rest. Where that is wrong, ask for
``min(x)`` or ``max(x)``.
"""

from __future__ import annotations

import re
from typing import Final

_SMALLER: Final = re.compile(
    r"loss|error|perplexity|regret|divergence|distance|latency"
    r"|(?<![a-z])(?:err|ppl|mse|rmse|mae|mape|nll|bce|ce|kl|wer|cer|ter|eer|fid|bpb|bpc|time|seconds)(?![a-z])"
)


def smaller_is_better(metric: str) -> bool:
    return _SMALLER.search(metric.lower()) is not None
