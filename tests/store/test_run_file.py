"""``run.json`` as it is read: whatever it holds, the fields that can be read are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import asdict

from neurockt.errors import FormatTooNew
from neurockt.store.base.run_file import from_json

SAMPLE = Path(__file__).parents[2] / "sample_runs" / "adam-0.003-s0" / "run.json"
HERE = Path("somewhere")

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


@given(name=st.sampled_from(sorted(json.loads(SAMPLE.read_bytes()).keys() - {"format", "id", "created"})), value=values)
@example(name="path", value="/etc")
@example(name="attached", value={"x": {}})
@example(name="archived", value=True)
@example(name="steps", value={"rows": 3, "columns": {"loss": {"last": "NaN"}}})
@example(name="attempts", value=[{"number": 1}])
@example(name="config", value={"deep": json.loads("[" * 100 + "]" * 100)})
def test_a_field_of_any_value_leaves_the_others_as_they_are(name: str, value: Any) -> None:
    """One of another type has its default; what is not for the file to say is not read from it."""
    document = json.loads(SAMPLE.read_bytes())
    whole = asdict(from_json(HERE, SAMPLE.read_bytes()))
    changed = asdict(from_json(HERE, json.dumps({**document, name: value}).encode()))
    assert {**changed, name: None} == {**whole, name: None}
    assert (changed["path"], changed["attached"], changed["archived"]) == (HERE, {}, False)


@pytest.mark.parametrize("more", [{}, {"steps": "?"}, {"created": 3.5, "attempts": {}}])
def test_a_newer_format_is_reported_as_such(more: dict[str, Any]) -> None:
    """Also where its fields have other types than this one's."""
    with pytest.raises(FormatTooNew, match="format 99"):
        from_json(HERE, json.dumps({**json.loads(SAMPLE.read_bytes()), **more, "format": 99}).encode())


@pytest.mark.parametrize(
    "content", [b"[]", b"{}", b'{"format": null}', b'{"format": 1, "id": "a"}', b"[" * 9999, b"\xff"]
)
def test_what_describes_no_run_is_refused(content: bytes) -> None:
    """As a ValueError, which the caller turns into what is wrong with the run."""
    with pytest.raises(ValueError, match=r"\S"):
        from_json(HERE, content)
