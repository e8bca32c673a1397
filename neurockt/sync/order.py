"""The order in which W&B gets a run's rows, where it does not follow from the rows alone.

Late rows, and those of what is attached, come at any time, also after the run is complete. So the order is written down
before anything is sent by it: in `wandb-order-NNN.json`, as a whole. A longer one has the next number, which only one
process can create; the others read it, and go on from there. So all send the same lines to the same positions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from neurockt.store import files, layout
from neurockt.sync.marks import Rewound

VERSION: Final = 1

READS: Final = 20
"""How often to look again for an order that is gone: a longer one has taken its place."""
BASE: Final = ""
"""The source of the rows of the run's own `steps` and `epochs`, whose order among themselves follows from them."""

Names = Mapping[str, Mapping[str, str]]
"""By source, the name in W&B of each metric."""


@dataclass(frozen=True)
class Span:
    """Rows of one source that follow each other."""

    source: str
    rows: int
    last: int = 0
    """The number of the last of them; not for those of the base."""


class Order:
    """The order of one upload of a run: those after it, and those elsewhere, have their own."""

    def __init__(self, directories: Sequence[Path], identity: str, upload: str, rewinds: Iterable[str] = ()) -> None:
        """Read it.

        Args:
            directories: where it may lie, the best first.
            identity: that of the run.
            upload: names the upload.
            rewinds: other ones each time the run is rewound.
        """
        self.spans: tuple[Span, ...] = ()
        self.names: dict[str, dict[str, str]] = {}
        """The names that rows which have their place in the order have."""
        self._directories = directories
        self._identity = identity
        self._upload = upload
        self._rewinds = sorted(rewinds)
        self._noted: list[str] = []
        self._number = 0
        self._others: dict[str, Any] = {}
        self.read()

    @property
    def is_stale(self) -> bool:
        """Whether the run was rewound since: rows that have their places may be superseded."""
        return bool(self.spans) and self._noted != self._rewinds

    @property
    def rows(self) -> int:
        return sum(span.rows for span in self.spans)

    def after(self, position: int) -> Iterator[tuple[int, Span]]:
        """The spans that end after a position, each with that of its first row."""
        begin = 0
        for span in self.spans:
            if begin + span.rows > position:
                yield begin, span
            begin += span.rows

    def base_rows(self, position: int) -> int:
        """How many of the rows before a position are of the base."""
        if not self.spans:
            return position
        begins = ((begin, span) for begin, span in self.after(-1) if span.source == BASE and begin < position)
        return sum(min(span.rows, position - begin) for begin, span in begins)

    def last(self, source: str) -> int:
        """The number of the last row of a source that has its place; -1 for none."""
        return next((span.last for span in reversed(self.spans) if span.source == source), -1)

    def extend(self, spans: Sequence[Span], names: Names) -> bool:
        """Give more rows their places; False where another process has done so, and its order has been read.

        Raises ``Rewound`` if the run was rewound between what that process and this one have read of it.
        """
        if self._write(joined([*self.spans, *spans]), self.names | {key: dict(each) for key, each in names.items()}):
            return True
        if self.is_stale:
            raise Rewound
        return False

    def replace(self, spans: Sequence[Span], names: Names) -> None:
        """Write down an order that the server was seen to have."""
        while not self._write(joined(spans), {key: dict(each) for key, each in names.items()}):
            pass

    def read(self) -> None:
        for _ in range(READS):
            with suppress(FileNotFoundError):
                self._read(FileNotFoundError)
                return
        self._read()

    def _read(self, *raises: type[Exception]) -> None:
        self.spans, self.names, self._number, self._others = (), {}, 0, {}
        there = [each for directory in self._directories for each in layout.order_paths(directory).items()]
        for number, path in sorted(there, reverse=True):
            self._number = self._number or number
            try:
                self._take(files.read_json(path))
                return
            except raises:
                raise
            except (OSError, ValueError, KeyError, TypeError):
                continue  # damaged: the server shows the order

    def _take(self, document: Any) -> None:
        if (document["version"], document["run"]) != (VERSION, self._identity):
            raise ValueError
        uploads = dict(document["uploads"])
        mine = uploads.pop(self._upload, {"spans": [], "names": {}, "rewinds": []})
        spans = tuple(Span(str(source), int(rows), int(last)) for source, rows, last in mine["spans"])
        names = {source: dict(each) for source, each in mine["names"].items()}
        if any(span.rows < 1 for span in spans):
            raise ValueError
        self.spans, self.names, self._noted, self._others = spans, names, list(mine["rewinds"]), uploads

    def _write(self, spans: tuple[Span, ...], names: dict[str, dict[str, str]]) -> bool:
        written = [[span.source, span.rows, span.last] for span in spans]
        mine = {"spans": written, "names": names, "rewinds": self._rewinds}
        document = {"version": VERSION, "run": self._identity, "uploads": {**self._others, self._upload: mine}}
        text = json.dumps(document)
        number = self._number + 1
        for directory in self._directories:
            if directory != self._directories[0]:  # a run that has been removed stays so
                with suppress(OSError):
                    directory.mkdir(parents=True, exist_ok=True)
            try:
                files.publish_first(layout.order_path(directory, number), lambda path: path.write_text(text, "utf-8"))
            except FileExistsError:
                self.read()
                return False
            except OSError:
                continue  # no disk takes it: then the server is asked, should it be needed
            return self._settle(directory, number, spans, names)
        self._keep(spans, names, number)
        return True

    def _keep(self, spans: tuple[Span, ...], names: dict[str, dict[str, str]], number: int) -> None:
        self.spans, self.names, self._number, self._noted = spans, names, number, self._rewinds

    def _settle(self, directory: Path, number: int, spans: tuple[Span, ...], names: dict[str, dict[str, str]]) -> bool:
        """Whether what was written counts: the number may have been free because others are far beyond it."""
        there = layout.order_paths(directory)
        for earlier, path in there.items():
            if earlier < number:
                path.unlink(missing_ok=True)
        if next(iter(there), number) == number:
            self._keep(spans, names, number)
            return True
        layout.order_path(directory, number).unlink(missing_ok=True)
        self.read()
        return _begins_with(self.spans, spans)


def _begins_with(spans: Sequence[Span], others: Sequence[Span]) -> bool:
    """Whether an order has rows of the same sources at all the places of another."""
    if not others:
        return True
    *before, last = others
    after = spans[len(before) :]
    same = [*spans[: len(before)]] == before
    return same and bool(after) and after[0].source == last.source and after[0].rows >= last.rows


def joined(spans: Sequence[Span]) -> tuple[Span, ...]:
    """The spans, with those that follow each other in one source as one."""
    found: list[Span] = []
    for span in spans:
        if found and found[-1].source == span.source:
            span = Span(span.source, found.pop().rows + span.rows, span.last)
        found.append(span)
    return tuple(found)
