"""The order of the rows of a table of any size."""

from __future__ import annotations

import numpy as np
import pytest

from neurockt_viewer.table_search import stable_order

CHANCE = np.random.default_rng(0)
MANY = 100_000
ODD = [0.0, -0.0, np.nan, np.copysign(np.nan, -1.0), np.inf, -np.inf, 5e-324, -5e-324, 1.7e308, -1.7e308, 1.0, -1.0]


@pytest.mark.parametrize(
    "values",
    [
        np.array([]),
        np.array([2.0]),
        np.array(ODD * 3),
        CHANCE.normal(size=MANY),
        CHANCE.integers(-3, 3, MANY).astype(float),
        CHANCE.choice([*ODD, 1 + 2**-52, 1 - 2**-53, -1 - 2**-52], MANY),
        1 + CHANCE.integers(0, 1000, MANY) * 2**-52,
        np.where(CHANCE.random(MANY) < 0.01, 1 + CHANCE.random(MANY) * 1e-12, CHANCE.normal(size=MANY)),
    ],
    ids=["none", "one", "odd", "noise", "whole", "odd and alike", "alike", "a few alike"],
)
def test_the_order_is_that_of_a_stable_sort(values: np.ndarray) -> None:
    """NaN comes last, and equal values, both zeros among them, keep their order."""
    assert stable_order(values.copy()).tolist() == np.argsort(values, kind="stable").tolist()
