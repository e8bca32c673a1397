"""What a value of TensorBoard's summaries holds: a number as a tensor, hyperparameters, a text."""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

import numpy as np

from neurockt.importing import protobuf

_TENSOR_FLOATS: Final = {1: (5, 4), 2: (6, 8)}
"""By DataType: the field of TensorProto with the values, and the bytes of one."""


class Scalar(NamedTuple):
    tag: str
    value: float
    at: int
    """Where its bytes are in the record; -1 where it is not a plain float."""
    width: int


def plugin_in(record: bytes, span: protobuf.Span) -> tuple[str, bytes]:
    """The name of the plugin in a SummaryMetadata, and its content."""
    name, content = "", b""
    for number, value in protobuf.blocks(record, span):
        if number == 1:
            for inner, found in protobuf.blocks(record, value):
                if inner == 1:
                    name = protobuf.text(record, found)
                elif inner == 2:
                    content = record[slice(*found)]
    return name, content


_INTEGERS: Final = {3: 7, 9: 10, 4: 7, 5: 7, 6: 7, 10: 11, 17: 7, 22: 16, 23: 17}
"""By DataType: the field of TensorProto with the values of the integers and booleans."""
_CONTENT: Final = {1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 9: "<i8", 10: "?", 19: "<f2"}
_HALF: Final = 13
"""The field of TensorProto with the bits of float16 (DataType 19) and bfloat16 (14)."""


def tensor_scalar(record: bytes, span: protobuf.Span, tag: str) -> Scalar | None:
    """The number in a TensorProto of one element; None for all else."""
    kind, content = 0, None
    values: list[tuple[int, Any]] = []
    for number, wire, value in protobuf.fields(record, *span):
        if number == 1 and wire == protobuf.VARINT:
            kind = value
        elif number == 2 and wire == protobuf.BYTES:
            if any(size != 1 for size in _dimensions(record, value)):
                return None
        elif number == 4 and wire == protobuf.BYTES:
            content = value
        elif (wire == protobuf.BYTES and number not in (2, 4, 8, 9, 14, 15)) or (wire != protobuf.BYTES and number > 3):
            values.append((number, value))
    if content is not None and content[0] < content[1]:
        form = np.dtype(_CONTENT.get(kind, "V1"))
        if form.kind == "V" or content[1] - content[0] != form.itemsize:
            return None
        number_found = float(np.frombuffer(record, form, 1, content[0])[0])
        is_float = kind in _TENSOR_FLOATS
        return Scalar(tag, number_found, content[0] if is_float else -1, form.itemsize)
    if not values and kind in (*_TENSOR_FLOATS, *_INTEGERS):
        return Scalar(tag, 0.0, -1, 0)  # zero is left out
    if len(values) != 1:
        return None
    number, value = values[0]
    if kind in _TENSOR_FLOATS and number == _TENSOR_FLOATS[kind][0]:
        width = _TENSOR_FLOATS[kind][1]
        at = value[0] if isinstance(value, tuple) else -1
        if at < 0 or value[1] - at != width:
            return None
        return Scalar(tag, (protobuf.float32 if width == 4 else protobuf.double)(record, at), at, width)
    if isinstance(value, tuple):
        try:
            value = protobuf.varint(record, *value)[0]
        except protobuf.Malformed:
            return None
    if kind in _INTEGERS and number == _INTEGERS[kind]:
        return Scalar(tag, float(protobuf.signed(value)), -1, 0)
    if number == _HALF and kind in (14, 19):
        bits = np.array([value << 16 if kind == 14 else value], np.uint32 if kind == 14 else np.uint16)
        return Scalar(tag, float(bits.view(np.float32 if kind == 14 else np.float16)[0]), -1, 0)
    return None


def _dimensions(record: bytes, span: protobuf.Span) -> list[int]:
    return [protobuf.numbers(record, value).get(1, 0) for number, value in protobuf.blocks(record, span) if number == 2]


def strings_in(record: bytes, span: protobuf.Span) -> list[str]:
    return [protobuf.text(record, value) for number, value in protobuf.blocks(record, span) if number == 8]


def hparams_in(content: bytes) -> dict[str, Any]:
    """The hyperparameters in an HParamsPluginData. Integers are doubles there: whole ones become integers again."""
    found: dict[str, Any] = {}
    for number, value in protobuf.blocks(content, (0, len(content))):
        for inner, entry in protobuf.blocks(content, value) if number == 3 else ():
            pair = dict(protobuf.blocks(content, entry)) if inner == 1 else {}
            if pair.keys() >= {1, 2}:
                found[protobuf.text(content, pair[1])] = _json_value(content, pair[2])
    return found


def _json_value(content: bytes, span: protobuf.Span) -> Any:
    """A google.protobuf.Value that is not a structure."""
    for number, _, value in protobuf.fields(content, *span):
        if number == 2:
            real = protobuf.double(content, value[0])
            return int(real) if real.is_integer() and abs(real) < 2**53 else real
        if number == 3:
            return protobuf.text(content, value)
        if number == 4:
            return bool(value)
    return None


def config_in(texts: dict[str, str]) -> dict[str, Any]:
    """The configs that the HF Trainer writes as texts of JSON, `args/...` and `model_config/...`."""
    found: dict[str, Any] = {}
    for tag, text in texts.items():
        prefix = tag.partition("/")[0]
        if prefix in ("args", "model_config"):
            try:
                document = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if isinstance(document, dict):
                found[prefix] = document
    return found
