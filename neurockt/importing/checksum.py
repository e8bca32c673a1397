"""CRC-32C, masked as TensorBoard's records have it, of many byte strings at once."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
_POLYNOMIAL: Final = 0x82F63B78


def _table() -> npt.NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ np.uint32(_POLYNOMIAL), table >> 1).astype(np.uint32)
    return table


_TABLE: Final = _table()


def masked_crcs(rows: Bytes) -> npt.NDArray[np.uint32]:
    """The masked CRC-32C of each row of a matrix."""
    crc = np.full(len(rows), 0xFFFFFFFF, np.uint32)
    for column in np.ascontiguousarray(rows.T):
        crc = _TABLE[(crc ^ column) & 0xFF] ^ crc >> 8
    crc = ~crc
    return ((crc >> 15 | crc << 17) + np.uint32(0xA282EAD8)).astype(np.uint32)


def as_uint(rows: Bytes) -> npt.NDArray[Any]:
    """Each row of 4 or 8 bytes as a little-endian number."""
    return np.ascontiguousarray(rows).view(f"<u{rows.shape[1]}")[:, 0]
