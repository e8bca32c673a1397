"""What the word that is being typed in a filter can become."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest
from msgspec.structs import replace

from neurockt.query.completing import Vocabulary
from neurockt.query.filter import parse
from neurockt.run_info import ColumnSummary, RunInfo, TableSummary

RUN = RunInfo(
    path=Path("runs/a"),
    id="a",
    created=datetime(2026, 11, 26, tzinfo=timezone.utc),
    project="digits",
    tags=("base line", "x"),
    config={"optimizer": {"lr": 0.001, "name": "adamw"}, "odd name": 1},
    epochs=TableSummary(1, {"valid_loss": ColumnSummary(1, 0.5), "val (a)": ColumnSummary(1, 0.5)}),
)
RUNS = [RUN, replace(RUN, id="b", path=Path("runs/b"), config={"optimizer": {"lr": 0.003, "name": "adam"}})]
NAMES = ["state", "name", "project", "tags", "duration", "cfg.optimizer.lr", "cfg.optimizer.name"]
NAMES += ["valid_loss", "best(valid_loss)", '"val (a)"', 'best("val (a)")']


@pytest.mark.parametrize(
    ("typed", "first", "unfinished"),
    [
        ("val", "valid_loss", True),
        ("valid_loss", "best(valid_loss)", True),
        ("lr", "cfg.optimizer.lr", True),
        ("sta", "state:", True),
        ("state:ru", "state:running", True),
        ("state:running", None, False),
        ("-sta", "-state:", True),
        ("name:x AND dur", "name:x AND duration", True),
        ("name:x an", "name:x and", True),
        ("an", None, False),
        ("(valid_loss<0.1 or best(val", "(valid_loss<0.1 or best(valid_loss)", True),
        ("cfg.optimizer.name=adam", "cfg.optimizer.name=adamw", True),
        ("cfg.optimizer.name = ada", "cfg.optimizer.name = adamw", True),
        ("cfg.optimizer.lr>1e", None, True),
        ("cfg.optimizer.lr>1e-3", None, False),
        ("tag:b", 'tag:"base line"', True),
        ('tag:"base', 'tag:"base line"', True),
        ('"val', '"val (a)"', True),
        ("has:cfg", "has:cfg.optimizer.lr", True),
        ("valid_loss<", None, False),
        ("zzz", None, False),
        ("", None, False),
        ("name:x ", None, False),
        ("state:running)", None, False),
        ("nosuch:x", None, False),
    ],
)
def test_the_word_before_the_cursor(typed: str, first: str | None, unfinished: bool) -> None:
    """Names, then values; what begins as the word does comes first; a completed filter can be parsed on."""
    found = Vocabulary(RUNS, NAMES).complete(typed, len(typed))
    assert (typed[: found.start] + found.words[0] if found.words else None) == first
    assert found.unfinished is unfinished
    for word in found.words:
        completed = typed[: found.start] + word
        if completed.endswith('"') and ":" in completed:
            assert any(map(parse(completed).matches, RUNS))


def test_only_what_is_before_the_cursor_is_completed() -> None:
    """The rest of the line stays; a word that goes on behind the cursor is completed in its middle."""
    found = Vocabulary(RUNS, NAMES).complete("vali<0.1 x", 4)
    assert (found.start, found.words[0]) == (0, "valid_loss")


@pytest.mark.parametrize("typed", ['"', '"\\', "best(", "((((", 'a"b', ":", "cfg.", '"a" "b', "x" * 5000, "best(" * 50])
def test_anything_can_be_typed(typed: str) -> None:
    """No beginning of a filter is an error of the completion, or slow."""
    vocabulary = Vocabulary(RUNS, NAMES)
    for cursor in {0, len(typed) // 2, len(typed)}:
        assert vocabulary.complete(typed, cursor).start <= cursor


@pytest.mark.parametrize(
    ("typed", "rest"),
    [
        ("sgd val", "sgd"),
        ("sgd and not val", "sgd"),
        ("sgd or -state:", "sgd"),
        ("val", ""),
        ("a b ", None),
        ("", None),
    ],
)
def test_the_rest_is_the_filter_without_the_term_that_is_typed(typed: str, rest: str | None) -> None:
    assert Vocabulary(RUNS, NAMES).complete(typed, len(typed)).rest == rest


def test_what_harms_a_terminal_is_not_offered() -> None:
    """A tag with an escape sequence, or with marks that reorder the line, is never put into it."""
    runs = [replace(RUN, tags=("good", "g\x1b]0;owned\x07", "g\u202ebidi", "g\nline"))]
    assert Vocabulary(runs, NAMES).complete("tag:", 4).words == ("good",)
