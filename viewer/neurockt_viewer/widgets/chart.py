"""One chart: draws lines, and is looked at closely by key and by mouse.

    chart = Chart("train_loss")
    chart.show([Line.of("train_loss", steps, losses)])

It holds no run and no file: its owner listens to ``Chart.Changed`` and shows it other lines where the settings ask
for them (another axis, or more detail of a window).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import numpy as np
from rich.segment import Segment
from textual import events
from textual.actions import SkipAction
from textual.binding import BindingType
from textual.geometry import Size
from textual.message import Message

from neurockt_viewer.charts import palette, window
from neurockt_viewer.charts.bounds import smoothing_scale, x_bounds
from neurockt_viewer.charts.picture import Drawer, Picture
from neurockt_viewer.charts.pieces import Smoothed, smoothed
from neurockt_viewer.charts.pointing import nearest_place, neighbour
from neurockt_viewer.charts.scale import Scale
from neurockt_viewer.charts.series import AXES, Y_RANGES, ChartSettings, Line
from neurockt_viewer.terminal import takes_unicode
from neurockt_viewer.widgets.chart_keys import CHART_KEYS
from neurockt_viewer.widgets.lines import Lines
from neurockt_viewer.widgets.piece_styles import PieceStyles, piece_styles

SMOOTHINGS: Final = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
"""What the keys step through: the parts of x over which lines are smoothed."""
ZOOM: Final = 0.5
"""What a key leaves of the window; a turn of the wheel leaves the square root of it."""
PAN: Final = 0.2
"""Part of the window that a key moves it by."""

LineKey = tuple[str, int]
"""The label and the colour of a line."""


class Chart(Lines, can_focus=True):
    DEFAULT_CSS = """
    Chart { width: 1fr; height: 1fr; min-height: 1; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [*CHART_KEYS]

    @dataclass
    class Changed(Message):
        """The settings of the chart have changed."""

        chart: Chart
        settings: ChartSettings
        before: ChartSettings

    @dataclass
    class CrossMoved(Message):
        """The crosshair is at another place, or gone, or another line is named."""

        chart: Chart
        place: float | None
        named: LineKey | None

    @dataclass
    class Unmoved(Message):
        """There was nothing to move in that direction, -1 or 1; the owner may go to another chart."""

        chart: Chart
        direction: int

    def __init__(
        self,
        heading: str = "",
        lines: Sequence[Line] = (),
        settings: ChartSettings | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.heading = heading
        """Any text; shown before the legend."""
        self._settings = settings or ChartSettings()
        self._lines: list[Smoothed] = []
        self._cross: float | None = None
        self._named: LineKey | None = None
        self._drawer = Drawer()
        self._picture: Picture | None = None
        self._drawn_size = Size(0, 0)
        self._inks: PieceStyles | None = None
        self._dragged_from: tuple[int, tuple[float, float]] | None = None
        self._set_lines(lines)

    # What is shown

    @property
    def lines(self) -> list[Line]:
        return [line.line for line in self._lines]

    @property
    def settings(self) -> ChartSettings:
        return self._settings

    @property
    def cross(self) -> float | None:
        """Where the crosshair is on x; None where there is none."""
        return self._cross

    @property
    def picture(self) -> Picture:
        if self._picture is None or self._drawn_size != self.outer_size:
            self._drawn_size = self.outer_size
            settings = self._seen_settings(self.lines, self._settings)
            self._picture = self._drawer.draw(
                self._lines,
                settings,
                *self.outer_size,
                title=self.heading,
                cross=self._cross,
                named=self._named_index,
            )
        return self._picture

    def _seen_settings(self, lines: Sequence[Line], settings: ChartSettings) -> ChartSettings:
        """With what the terminal needs to show these lines apart."""
        colours, count = {line.colour % palette.COLOURS for line in lines}, len(lines)
        crowded = 1 < count <= len(palette.LETTERS) and (self.app.no_color or len(colours) < count)
        return replace(settings, letters=settings.letters or crowded, plain=settings.plain or not takes_unicode())

    @property
    def named(self) -> LineKey | None:
        """The line that is named and drawn bright over all others, by its label and colour."""
        return self._named

    @property
    def _named_index(self) -> int | None:
        keys = [_key_of(line) for line in self.lines] if self._named and len(self._lines) > 1 else []
        return keys.index(self._named) if self._named in keys else None

    def show(self, lines: Sequence[Line], settings: ChartSettings | None = None, heading: str | None = None) -> None:
        """Draw these lines from now on; no message is posted."""
        before = self._settings, self.lines, self.heading
        if settings is not None:
            self._settings = settings
        if heading is not None:
            self.heading = heading
        self._set_lines(lines)
        if before != (self._settings, self.lines, self.heading):
            self._redraw()

    def expect(self, lines: Sequence[Line], settings: ChartSettings, heading: str) -> None:
        """Draw what may be shown next, so that it is then there at once; what is smoothed then is left for then."""
        if not settings.smoothing and not any(line.band for line in lines):
            settings = self._seen_settings(lines, settings)
            plain = [Smoothed(line, None) for line in lines]
            self._drawer.draw(plain, settings, *self.outer_size, title=heading, ahead=True)

    def put_cross(self, place: float | None, named: LineKey | None = None) -> None:
        """Put the crosshair there, and name that line; no message is posted."""
        if (place, named) != (self._cross, self._named):
            self._cross, self._named = place, named
            self._redraw()

    def change(self, **fields: Any) -> None:
        """Change the settings, and post ``Changed``."""
        before, after = self._settings, replace(self._settings, **fields)
        if after != before:
            self.show(self.lines, after)
            self.post_message(self.Changed(self, after, before))

    def _set_lines(self, lines: Sequence[Line]) -> None:
        by = smoothing_scale([line.series for line in lines], self._settings), self._settings.is_log_x
        known = {line.line: line for line in self._lines} if self._smoothed_by == by else {}
        self._lines = [known.get(line) or smoothed(line, by[0], log_x=by[1]) for line in lines]
        self._smoothed_by = by

    _smoothed_by = 0.0, False

    def _redraw(self) -> None:
        self._picture = None
        self.refresh()

    # Keys

    def action_zoom(self, direction: int) -> None:
        """Nearer to, or away from, the crosshair or the middle."""
        self.zoom(ZOOM if direction > 0 else 1 / ZOOM, self._cross)

    def action_move(self, direction: int) -> None:
        """Move the crosshair to the next value in that direction; without one, the window."""
        if self._cross is None and self._settings.window is None:
            self.post_message(self.Unmoved(self, direction))
        elif self._cross is None:
            self.pan(direction * PAN)
        else:
            self._step_cross(direction)

    def action_whole(self) -> None:
        self.change(window=None, y_window=None)

    def action_axis(self) -> None:
        following = AXES[(AXES.index(self._settings.axis) + 1) % len(AXES)]
        self._move_cross(None)
        self.change(axis=following, window=None, log_x=False)

    def action_log(self, which: str) -> None:
        if which == "log_x" and self._settings.axis == "wall":
            self.notify("the time of day has no logarithmic form", markup=False, timeout=3)
            return
        self.change(**{which: not getattr(self._settings, which)})

    def action_smooth(self, direction: int) -> None:
        at = int(np.searchsorted(SMOOTHINGS, self._settings.smoothing)) + direction
        self.change(smoothing=SMOOTHINGS[min(max(0, at), len(SMOOTHINGS) - 1)])

    def action_y_range(self) -> None:
        """See all of y but what would flatten the rest; all; or all but the outermost values."""
        self.change(y_range=Y_RANGES[(Y_RANGES.index(self._settings.y_range) + 1) % len(Y_RANGES)])

    def action_letters(self) -> None:
        self.change(letters=not self._settings.letters)

    def action_cross(self) -> None:
        """The crosshair on the last value seen, or no crosshair."""
        if self._cross is not None:
            self._move_cross(None)
        elif (scale := self.picture.x) is not None:
            self._move_cross(nearest_place(self._lines, scale.high))
            self._name_neighbour(0)

    def action_name(self, direction: int) -> None:
        """Name the next line above or below, where the crosshair is."""
        if self._cross is None or len(self._lines) < 2:
            raise SkipAction
        self._name_neighbour(direction)

    def _name_neighbour(self, direction: int) -> None:
        plot, place = self.picture.plot, self._cross
        if plot is not None and place is not None and len(self._lines) > 1:
            at = neighbour(self._lines, place, plot.x, plot.y, self._named_index, direction)
            self._point(place, _key_of(self._lines[at].line))

    def _point(self, place: float | None, named: LineKey | None) -> None:
        if (place, named) != (self._cross, self._named):
            self.put_cross(place, named)
            self.post_message(self.CrossMoved(self, place, named))

    # Window

    def zoom(self, factor: float, centre: float | None = None) -> None:
        """See ``factor`` of the window, about a place that stays where it is."""
        seen, whole = self._seen(), self._whole()
        if seen is not None and whole is not None:
            self.change(window=window.zoomed(seen, whole, factor, centre))

    def pan(self, part: float) -> None:
        """Move the window by a part of itself, as far as there is something."""
        seen, whole = self._seen(), self._whole()
        if seen is not None and whole is not None and self._settings.window is not None:
            self.change(window=window.moved(seen, whole, part * (seen.dots - 1)))

    def _seen(self) -> Scale | None:
        """The part of x that is seen, also where no value is within it."""
        if self.picture.x is None and self._settings.window is not None:
            return Scale(*self._settings.window, self.size.width, self._settings.is_log_x)
        return self.picture.x

    def _whole(self) -> tuple[float, float] | None:
        return x_bounds([line.line.series for line in self._lines], replace(self._settings, window=None))

    # Crosshair

    def _step_cross(self, direction: int) -> None:
        """To the next value that another dot column has."""
        scale = self.picture.x
        if scale is None or self._cross is None:
            return
        dot = np.rint(scale.place(self._cross))
        border = float(scale.value(dot + direction / 2))
        places = []
        for line in self.lines:
            at = int(np.searchsorted(line.series.x, border)) - (direction < 0)
            if 0 <= at < len(line.series):
                places.append(float(line.series.x[at]))
        if places:
            self._move_cross(min(places, key=lambda place: abs(place - border)))

    def _move_cross(self, place: float | None) -> None:
        if place == self._cross:
            return
        self._point(place, self._named if place is not None else None)
        seen = self._settings.window
        if place is not None and seen is not None and not seen[0] <= place <= seen[1]:
            width = seen[1] - seen[0]
            begin = place if place < seen[0] else place - width
            self.change(window=(begin, begin + width))

    # Mouse

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.zoom(ZOOM**0.5, self._place_under(event))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.zoom(ZOOM**-0.5, self._place_under(event))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        if (scale := self.picture.x) is not None:
            self._dragged_from = event.screen_x, (scale.low, scale.high)
            self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._dragged_from is None:
            self._name_under(event)
        if self._dragged_from is None or self._settings.window is None:
            return
        begun, (low, high) = self._dragged_from
        held, whole = Scale(low, high, self.picture.width, self._settings.is_log_x), self._whole()
        if whole is not None:
            self.change(window=window.moved(held, whole, begun - event.screen_x))

    def on_leave(self) -> None:
        if self._cross is None:
            self._point(None, None)

    def _name_under(self, event: events.MouseMove) -> None:
        """Name the line nearest to the pointer."""
        offset, picture = event.get_content_offset(self), self.picture
        if offset is not None and picture.plot is not None and len(self._lines) > 1:
            at = picture.plot.nearest(offset.x - picture.left, offset.y - picture.top)
            if at is not None:
                self._point(self._cross, _key_of(self._lines[at].line))

    def on_mouse_up(self, event: events.MouseUp) -> None:
        held, self._dragged_from = self._dragged_from, None
        self.release_mouse()
        if held is not None and held[0] == event.screen_x:
            place = self._place_under(event)
            if place is not None:
                self._move_cross(nearest_place(self._lines, place))

    def _place_under(self, event: events.MouseEvent) -> float | None:
        offset = event.get_content_offset(self)
        picture = self.picture
        if offset is None or picture.x is None:
            return None
        return float(picture.x.value((offset.x - picture.left) * 2 + 0.5))

    # Drawing

    def segments(self, y: int) -> Iterable[Segment]:
        rows = self.picture.rows
        if self._inks is None:
            self._inks = piece_styles(*self.ground[:2], self.app.current_theme.dark)
        inks = self._inks
        return [Segment(piece.text, inks[piece]) for piece in rows[y] if piece.text] if y < len(rows) else ()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._inks = None


def _key_of(line: Line) -> LineKey:
    return line.label, line.colour
