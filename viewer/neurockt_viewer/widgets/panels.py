"""The list of runs, the details of one of them, and charts, and how the screen is divided between them.

A wide screen has the charts to the right of the list, a narrow one below it; a small one has the list alone.
"""

from __future__ import annotations

from typing import Final

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Vertical

from neurockt_viewer.settings import Settings
from neurockt_viewer.widgets.details import Details
from neurockt_viewer.widgets.divider import Divider
from neurockt_viewer.widgets.lines import Clear
from neurockt_viewer.widgets.row_grid import RowGrid
from neurockt_viewer.widgets.run_charts import RunCharts

WIDE: Final = 100
"""Cells from which the charts are to the right of the list."""
LEAST_HEIGHT: Final = {True: 8, False: 18}
"""Lines needed for charts beside the list, on a wide screen or not."""
DETAILS_HEIGHT: Final = 18
"""Lines needed for the details below the list."""
LEAST_SHARE: Final = 0.15
"""A panel keeps at least this much of what it shares with another."""


class _Left(Clear, Vertical):
    """The list and the details."""


class Panels(Clear, Container):
    DEFAULT_CSS = """
    Panels { layout: horizontal; height: 1fr; }
    Panels.-stacked { layout: vertical; }
    Panels > _Left { height: 1fr; }
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self.full = False
        """Whether the charts have all of the screen."""

    def compose(self) -> ComposeResult:
        with _Left():
            yield RowGrid(id="runs")
            yield Divider(id="above-details", classes="-lying")
            yield Details()
        yield Divider(id="before-charts")
        yield RunCharts()

    @property
    def list(self) -> RowGrid:
        return self.query_one("#runs", RowGrid)

    @property
    def details(self) -> Details:
        return self.query_one(Details)

    @property
    def charts(self) -> RunCharts:
        return self.query_one(RunCharts)

    def divide(self) -> None:
        """Divide the screen as the settings ask for, as far as there is room."""
        settings, (width, height) = self._settings, self.size
        wide = width >= WIDE
        self.set_class(not wide, "-stacked")
        beside = self.query_one("#before-charts", Divider)
        beside.set_class(not wide, "-lying")
        charts = settings.charts and height >= LEAST_HEIGHT[wide]
        details = settings.details and height >= DETAILS_HEIGHT and (wide or not charts)
        left = self.query_one(_Left)
        left.display = not self.full
        self.charts.display = charts or self.full
        beside.display = charts and not self.full
        left.styles.width = f"{settings.list_share:.2%}" if charts and wide else "1fr"
        left.styles.height = f"{settings.list_share:.2%}" if charts and not wide else "1fr"
        self.list.expect_width(int(width * settings.list_share) if charts and wide else width)
        self.query_one("#above-details").display = self.details.display = details
        self.details.styles.height = f"{settings.details_share:.2%}"

    def toggle(self, name: str) -> None:
        """Show the charts or the details, or hide them; a notice where there is no room for them."""
        panel = self.charts if name == "charts" else self.details
        shown = not panel.display
        setattr(self._settings, name, shown)
        self.divide()
        if shown and not panel.display:
            hides = "; p hides the charts" if self.charts.display else ""
            way = "; f shows them in full size" if name == "charts" else hides
            self.notify(f"no room for the {name}{way}", markup=False, timeout=4)

    def on_resize(self) -> None:
        self.divide()

    def resize(self, panel: str, by: float) -> None:
        """Give the list, or the details, more or less of the screen."""
        settings = self._settings
        if panel == "list":
            settings.list_share = _within(settings.list_share + by)
        else:
            settings.details_share = _within(settings.details_share + by)
        self.divide()

    @on(Divider.Dragged)
    def _drag(self, message: Divider.Dragged) -> None:
        if message.divider.id == "before-charts":
            self._settings.list_share = _within(message.share)
        else:
            self._settings.details_share = _within(1 - message.share)
        self.divide()

    @on(Divider.Dropped)
    def _drop(self) -> None:
        self._settings.save()


def _within(share: float) -> float:
    return round(min(max(LEAST_SHARE, share), 1 - LEAST_SHARE), 4)
