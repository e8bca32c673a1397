"""Exponential smoothing along x, without a loop over the values, exact to rounding."""

from __future__ import annotations

import math

import numpy as np

from neurockt_viewer.charts.series import Floats


def smooth(places: Floats, values: Floats, scale: float) -> Floats:
    """The average of all before each place, that of ``scale`` before it counting for 1/e.

    It is that of the straight lines between the values, so that it does not depend on how many there are: a curve
    of 20 points and the same one of 20,000 are smoothed alike.

    Args:
        places: where the values lie on x; they never fall.
        values: what is not finite stays as it is, and is passed over.
        scale: a distance on x; 0 for no smoothing.
    """
    finite = np.isfinite(values) & np.isfinite(places)
    if not scale > 0 or np.count_nonzero(finite) < 2:
        return values
    place, value = places[finite], values[finite]
    distance = np.minimum(np.diff(place) / scale, 1e6)
    decay, later = np.exp(-distance), _share_of_later(distance)
    gain = (-np.expm1(-distance) - later) * value[:-1] + later * value[1:]
    weight = -np.expm1((place[0] - place[1:]) / scale)
    averaged = value.copy()
    begun = weight > 0
    averaged[1:][begun] = _scan(decay, gain)[begun] / weight[begun]
    smoothed = values.copy()
    smoothed[finite] = averaged
    return smoothed


def _share_of_later(distance: Floats) -> Floats:
    """What the later end of a straight line of a length adds to the average there; with its earlier end it is 1 - 1/e
    of a line as long as the scale.
    """
    near = distance < 0.01
    d = np.where(near, distance, 0.0)
    series = d / 2 * (1 - d / 3 * (1 - d / 4 * (1 - d / 5 * (1 - d / 6))))
    far = np.where(near, 1.0, distance)
    share: Floats = np.where(near, series, (far + np.expm1(-far)) / far)
    return share


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
