"""Event files: every scalar is read as it was written, in whatever shape, and damage costs the record that it hits."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from importing import event_files as made

from neurockt.importing import tfevents
from neurockt.importing.discover import detect
from neurockt.importing.points import Points
from neurockt.importing.tfevents import Events, read_events

SHAPES = {
    "simple": made.simple,
    "tensor": lambda tag, value: made.tensor(tag, value, known=False),
    "floats": lambda tag, value: made.tensor(tag, value, known=False, content=False),
    "double": lambda tag, value: made.tensor(tag, value, known=False, double=True),
    "doubles": lambda tag, value: made.tensor(tag, value, known=False, double=True, content=False),
}


def read(path: Path) -> tuple[dict[str, Points], Events]:
    events = Events()
    read_events(path, events)
    return events.collector.points(), events


def as_lists(points: dict[str, Points]) -> dict[str, list[tuple[int, float, float]]]:
    return {
        tag: list(zip(each.steps.tolist(), each.times.tolist(), each.values.tolist(), strict=True))
        for tag, each in points.items()
    }


def float32(value: float) -> float:
    return float(np.float32(value))


steps = some.one_of(some.integers(0, 300), some.integers(0, 2**62), some.integers(-(2**63), -1))
values = some.floats(width=32, allow_nan=False)
points = some.tuples(some.sampled_from(["loss", "val/acc", "é", ""]), some.sampled_from(sorted(SHAPES)), steps, values)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(some.lists(some.lists(points, min_size=1, max_size=3), max_size=30), some.integers(1, 5))
def test_every_scalar_is_read(tmp_path_factory: pytest.TempPathFactory, records: Any, copies: int) -> None:
    """Of records with one or several, alike or not."""
    expected: dict[str, list[tuple[int, float, float]]] = {}
    data = []
    for index, record in enumerate(records * copies):
        time, step = 1.5e9 + index / 3, record[0][2]
        data.append(made.event(time, step, *(SHAPES[shape](tag, value) for tag, shape, _, value in record)))
        for tag, _, _, value in record:
            expected.setdefault(tag, []).append((step, time, value))
    found, events = read(made.write(tmp_path_factory.mktemp("events"), data))
    assert as_lists(found) == expected
    assert (events.lost, events.torn) == (0, False)


def test_records_across_the_pieces_that_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tfevents, "CHUNK", 100)
    path = made.write(tmp_path, made.scalars("loss", {step: step / 2 for step in range(200)}))
    found, _ = read(path)
    assert as_lists(found)["loss"] == [(step, 1.7e9 + step, step / 2) for step in range(200)]


def test_a_tag_names_its_plugin_once(tmp_path: Path) -> None:
    first = made.event(1.0, 0, made.tensor("loss", 1.0, known=False))
    later = [made.event(1.0, step, made.tensor("loss", 2.0)) for step in range(1, 5)]
    unknown = made.event(1.0, 9, made.tensor("embedding", 1.0))
    found, events = read(made.write(tmp_path, [first, *later, unknown]))
    assert found["loss"].values.tolist() == [1.0, 2.0, 2.0, 2.0, 2.0]
    assert list(found) == ["loss"]
    assert events.left_out == {"tensors": 1}


@pytest.mark.parametrize(
    ("kind", "field", "data", "value"),
    [
        (3, 7, made.number(7, 5), 5.0),
        (9, 10, made.number(10, -3), -3.0),
        (9, 10, made.block(10, made.varint(7)), 7.0),
        (10, 11, made.number(11, 1), 1.0),
        (19, 13, made.number(13, int(np.float16(0.5).view(np.uint16))), 0.5),
        (14, 13, made.number(13, 0x3F00), 0.5),
        (1, 5, b"", 0.0),
        (3, 4, made.block(4, struct.pack("<i", -2)), -2.0),
    ],
)
def test_numbers_of_other_types(tmp_path: Path, kind: int, field: int, data: bytes, value: float) -> None:
    tensor = made.block(1, "x") + made.plugin("scalars") + made.block(8, made.number(1, kind) + data)
    found, _ = read(made.write(tmp_path, [made.event(1.0, 1, tensor)]))
    assert found["x"].values.tolist() == [value]


def test_what_is_not_a_scalar_is_counted(tmp_path: Path) -> None:
    data = [made.event(1.0, step, made.image("i", 50), made.histogram("h"), made.simple("x", 1.0)) for step in range(3)]
    data.append(made.event(1.0, 1, made.text("note", "hello")))
    found, events = read(made.write(tmp_path, data))
    assert found["x"].steps.tolist() == [0, 1, 2]
    assert events.left_out == {"images": 3, "histograms": 3, "texts": 1}


@pytest.mark.slow
def test_large_images_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tfevents, "CHUNK", 1000)
    data = [record for step in range(4) for record in (
        made.event(1.0, step, made.image("i", 50_000)), made.event(1.0, step, made.simple("x", step)))]  # fmt: skip
    found, events = read(made.write(tmp_path, data))
    assert found["x"].values.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert events.left_out == {"large records": 4}


MIXED = [
    made.version(),
    *made.scalars("loss", {0: 1.0, 1: 2.0}),
    made.event(2.0, 2, made.simple("a", 1.0), made.simple("b", 2.0)),
    made.event(2.0, 300, made.tensor("new", 3.0, known=False)),
    *made.scalars("loss", {400: 4.0, 401: 5.0}),
]


@pytest.mark.slow
def test_a_file_cut_anywhere_is_read_up_to_there(tmp_path: Path) -> None:
    whole = b"".join(MIXED)
    path = tmp_path / "events.out.tfevents.1.h"
    ends = np.cumsum([len(record) for record in MIXED])
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        found, events = read(path)
        records = int((ends <= cut).sum())
        assert events.records == records
        assert events.torn == (cut not in (0, *ends))
        assert sum(len(each.steps) for each in found.values()) == [0, 0, 1, 2, 4, 5, 6, 7][records]


@pytest.mark.slow
def test_a_byte_that_is_wrong_costs_its_record(tmp_path: Path) -> None:
    """Every byte in turn: whatever is read was written, and at most the record with the byte is missing."""
    path = tmp_path / "events.out.tfevents.1.h"
    whole = b"".join(MIXED)
    path.write_bytes(whole)
    good = {tag: set(rows) for tag, rows in as_lists(read(path)[0]).items()}
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        found, events = read(path)
        assert events.lost >= 1 or events.torn
        for tag, rows in as_lists(found).items():
            assert set(rows) <= good[tag]
        lost = sum(len(rows) for rows in good.values()) - sum(len(each.steps) for each in found.values())
        assert lost <= 2


@pytest.mark.parametrize("length", [2**30 + 1, 2**62, 2**64 - 1])
def test_a_length_that_cannot_be_ends_the_file(tmp_path: Path, length: int) -> None:
    head = struct.pack("<Q", length)
    path = made.write(tmp_path, [*made.scalars("loss", {1: 1.0}), head + made.crc(head), bytes(100)])
    found, events = read(path)
    assert found["loss"].steps.tolist() == [1]
    assert events.torn


def test_hyperparameters(tmp_path: Path) -> None:
    given_values = {"lr": 0.1, "width": 32, "name": "a", "flag": True}
    _, events = read(made.write(tmp_path, [made.event(1.0, 0, made.hparams(given_values))]))
    assert events.hparams == given_values


def test_the_content_decides(tmp_path: Path) -> None:
    path = made.write(tmp_path, [])
    assert detect(path) == "tensorboard"
    path.write_bytes(b"not an event file at all")
    assert detect(path) is None
    path.rename(tmp_path / "events.out.tfevents.1.profile-empty")
    assert detect(tmp_path / "events.out.tfevents.1.profile-empty") is None


def test_no_more_tags_than_a_run_can_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tfevents, "MANY_TAGS", 20)
    found, events = read(
        made.write(tmp_path, [made.event(1.0, 1, made.simple(f"t{index}", 1.0)) for index in range(50)])
    )
    assert len(found) == 20
    assert events.left_out == {"values of more than 20 tags": 30}
