"""Tests for how often the viewer looks at what is live."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurockt_viewer.background import FOLLOWING_SHARE, LONGEST_REST, rest_after


@given(st.floats(0, 10), st.floats(0.1, LONGEST_REST))
def test_following_takes_no_more_than_its_share(cost: float, least: float) -> None:
    rest = rest_after(cost, least)
    assert least <= rest <= LONGEST_REST
    assert rest == LONGEST_REST or cost <= FOLLOWING_SHARE * rest * (1 + 1e-9)


def test_what_is_cheap_is_looked_at_as_often_as_wanted() -> None:
    assert rest_after(0.001, 0.7) == 0.7
    assert rest_after(0.03, 0.7) == pytest.approx(1.0)
    assert rest_after(0.03, 0.7, share=0.1) == 0.7
