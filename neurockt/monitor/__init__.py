"""Recording: decorate what computes a number, open a block around a step or a validation, and the row is stored.

Loads neither torch nor pyarrow; pyarrow is loaded when the first row is recorded.
"""

from __future__ import annotations

from neurockt.monitor.capture.mean import torch_mean
from neurockt.monitor.helper import RecorderHelper
from neurockt.monitor.recorder import Recorder

__all__ = ["Recorder", "RecorderHelper", "torch_mean"]
