"""Finding and sorting in a table of any size: reads a column group by group, reports how far it is, and can be stopped.

These run in a thread of their own, with a reader of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from neurockt.store import RowReader
from neurockt_viewer.table_rows import Order
from neurockt_viewer.widgets.jobs import Report

MOST_ALIKE: Final = 4
"""Where more than this part of the values begins like others that differ, all are sorted by their positions."""


def sort_order(reader: RowReader, column: str, reverse: bool, report: Report) -> Order:
    """The positions of the rows by a column; NaN and what has no value last, equal values in the table's order."""
    groups = reader.groups
    keys: npt.NDArray[np.float64] = np.empty(groups.total, np.float64)
    for group in range(len(groups)):
        report(0.4 * group / len(groups))
        span = groups.span(group)
        block = reader.read(group, [column])[column]
        keys[span.start : span.stop] = block.values
        if block.missing is not None:
            keys[span.start : span.stop][block.missing] = np.nan
    if reverse:
        np.negative(keys, out=keys)
    report(0.4)
    order = stable_order(keys)
    report(1.0)
    return order


def stable_order(keys: npt.NDArray[np.float64]) -> Order:
    """What ``argsort(kind="stable")`` gives, in a third of the time: numbers are sorted, not their positions.

    Each number has the leading bits of a value and behind them its position. Values that begin alike are then sorted
    among themselves.
    """
    keys[np.isnan(keys)] = np.nan  # whose sign may differ
    keys += 0.0  # nor are there two zeros
    code = keys.view(np.int64)
    packed = code >> 63
    packed &= 2**63 - 1
    packed ^= code  # which rises with the value, also below zero
    bits = len(keys).bit_length()
    packed >>= bits
    packed <<= bits
    packed |= np.arange(len(keys))
    packed.sort()
    order: Order = packed & (2**bits - 1)
    packed >>= bits
    sorted_keys = keys[order]
    wrong = np.flatnonzero(sorted_keys[1:] < sorted_keys[:-1])
    if not len(wrong):
        return order
    first, end = (np.searchsorted(packed, np.unique(packed[wrong]), side=side) for side in ("left", "right"))
    sizes = end - first
    if sizes.sum() > len(keys) // MOST_ALIKE:
        return np.argsort(keys, kind="stable")
    at = np.repeat(first - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
    among = np.lexsort((order[at], sorted_keys[at], packed[at]))
    order[at] = order[at][among]
    return order


def next_odd(reader: RowReader, column: str, after: int, backwards: bool, report: Report) -> int | None:
    """The position of the next NaN or infinity, round the end to the beginning; None where there is none."""
    return _next(
        reader, column, after, backwards, range(len(reader.groups)), lambda values: ~np.isfinite(values), report
    )


def next_extreme(reader: RowReader, column: str, largest: bool, after: int, report: Report) -> int | None:
    """The position of the largest or smallest value; where several rows have it, of the next one."""
    bounds = [reader.bounds(group, column)[largest] for group in range(len(reader.groups))]
    if all(bound != bound for bound in bounds):
        return None
    extreme = np.nanmax(bounds) if largest else np.nanmin(bounds)
    groups = [group for group, bound in enumerate(bounds) if bound == extreme]
    return _next(reader, column, after, False, groups, lambda values: values == extreme, report)


def _next(
    reader: RowReader,
    column: str,
    after: int,
    backwards: bool,
    candidates: range | list[int],
    fits: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.bool_]],
    report: Report,
) -> int | None:
    """The position of the next value that fits, in the groups where there may be one."""
    groups = reader.groups
    among = set(candidates)
    here = groups.of(after)
    count = len(groups)
    turn = -1 if backwards else 1
    visited = [group for step in range(count + 1) if (group := (here + turn * step) % count) in among]
    for done, group in enumerate(visited):
        report(done / len(visited))
        block = reader.read(group, [column])[column]
        fitting = fits(block.values)
        if block.missing is not None:
            fitting &= ~block.missing
        positions = np.flatnonzero(fitting) + groups.starts[group]
        first_time = done == 0 and group == here
        if first_time:
            positions = positions[positions < after] if backwards else positions[positions > after]
        if len(positions):
            return int(positions[-1 if backwards else 0])
    return None


def in_order(order: Order, odd: npt.NDArray[np.bool_], after: int, backwards: bool) -> int | None:
    """The next row of a sorted table whose position is among the odd ones."""
    rows = np.flatnonzero(odd[order])
    if not len(rows):
        return None
    at = int(np.searchsorted(rows, after, side="left" if backwards else "right"))
    return int(rows[(at - 1 if backwards else at) % len(rows)])


def odd_positions(reader: RowReader, column: str, report: Report) -> npt.NDArray[np.bool_]:
    """Which rows hold NaN or an infinity."""
    groups = reader.groups
    found = np.zeros(groups.total, np.bool_)
    for group in range(len(groups)):
        report(group / len(groups))
        block = reader.read(group, [column])[column]
        span = groups.span(group)
        found[span.start : span.stop] = ~np.isfinite(block.values)
        if block.missing is not None:
            found[span.start : span.stop] &= ~block.missing
    return found
