"""What has been read of one table of a run, for its charts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from neurockt_viewer.charts.pyramid import Entries, Pyramid

if TYPE_CHECKING:
    import pyarrow as pa

    from neurockt.store import Outline, TableFollower


@dataclass(frozen=True, eq=False)
class Detail:
    """Single values of a metric, of all its rows after one number and up to another."""

    after: int
    until: int
    entries: Entries


class TableEntries:
    def __init__(self) -> None:
        self.outline: Outline | None = None
        self.rows = 0
        self.last = 0
        """The number of the last row, as far as ``run.json`` or the outline has it."""
        self.pyramids: dict[str, Pyramid] = {}
        self.rows_read: dict[str, int] = {}
        """How many rows were read for a metric, whether they have a value or not."""
        self.read_until: dict[str, int] = {}
        """The number of the last row whose value of a metric is known."""
        self.complete: set[str] = set()
        self.details: dict[str, Detail] = {}
        self.follower: TableFollower | None = None
        self.open_rows: pa.Table | None = None
        """The row that may still change."""
        self.open_content: object = ()
