"""Exponential smoothing without a loop over the values, exact to rounding."""

from __future__ import annotations

import math

import numpy as np

from neurockt_viewer.charts.series import Floats, Integers


def smooth(values: Floats, weight: float, count: Integers | None = None) -> Floats:
    """The debiased exponential average of TensorBoard: each value drawn towards those before it.

    Args:
        values: what is not finite stays as it is, and those after it are averaged as if it were not there.
        weight: how much of the average stays from one value to the next, from 0 up to below 1.
        count: values in each entry, which is then their mean; default one.
    """
    finite = np.isfinite(values)
    if weight <= 0 or not finite.any():
        return values
    kept = values[finite]
    counts = np.ones(len(kept)) if count is None else count[finite].astype(np.float64)
    decay = np.power(weight, counts)
    averaged = _scan(decay, (1 - decay) * kept)
    averaged /= -np.expm1(np.cumsum(counts) * math.log(weight))
    smoothed = values.copy()
    smoothed[finite] = averaged
    return smoothed


def _scan(decay: Floats, gain: Floats) -> Floats:
    """``s[i] = decay[i] * s[i - 1] + gain[i]`` with ``s[-1] = 0``.

    The values are cut into about as many stretches as each has values. All stretches are scanned side by side, each
    from zero; then what the one before ended at is carried in, faded by the decays since.
    """
    size = len(gain)
    length = max(1, math.isqrt(size))
    stretches = -(-size // length)
    padding = stretches * length - size
    decays = np.pad(decay, (0, padding), constant_values=1.0).reshape(stretches, length).T.copy()
    scanned = np.pad(gain, (0, padding)).reshape(stretches, length).T.copy()
    for row in range(1, length):
        scanned[row] += decays[row] * scanned[row - 1]
        decays[row] *= decays[row - 1]
    carried = np.zeros(stretches)
    for stretch in range(1, stretches):
        carried[stretch] = scanned[-1, stretch - 1] + decays[-1, stretch - 1] * carried[stretch - 1]
    scanned += decays * carried
    return scanned.T.reshape(-1)[:size]
