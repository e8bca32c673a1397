"""The order of the rows that is written down, by several processes at once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from neurockt.store import layout
from neurockt.sync.marks import Rewound
from neurockt.sync.order import Order, Span, joined


def test_rows_get_their_places_from_one_process_at_a_time(tmp_path: Path) -> None:
    """Whoever comes second is refused, has the order of the first, and gets the places after those."""
    first, second = (Order([tmp_path], "run", "there") for _ in range(2))
    assert first.extend([Span("late", 2, 7)], {"late": {"loss": "loss"}})
    assert not second.extend([Span("late", 3, 8)], {"late": {"loss": "other"}})
    assert (second.spans, second.names) == ((Span("late", 2, 7),), {"late": {"loss": "loss"}})
    assert second.extend([Span("", 3), Span("late", 1, 8)], {})
    first.read()
    assert first.spans == (Span("late", 2, 7), Span("", 3), Span("late", 1, 8))
    assert [(first.base_rows(position), first.last("late")) for position in (0, 2, 3, 6)] == [
        (n, 8) for n in (0, 0, 1, 3)
    ]
    assert list(first.after(5)) == [(5, Span("late", 1, 8))]


def test_nobody_takes_the_places_of_others(tmp_path: Path) -> None:
    """Threads in the place of processes: what each was given stays, once, where it was."""

    def work(name: str) -> None:
        order = Order([tmp_path], "run", "there")
        for number in range(20):
            while not order.extend([Span(name, 1, number)], {}):
                pass

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    order = Order([tmp_path], "run", "there")
    assert order.rows == 80
    assert [order.last(name) for name in "abcd"] == [19] * 4
    assert {name: sum(span.rows for span in order.spans if span.source == name) for name in "abcd"} == dict.fromkeys(
        "abcd", 20
    )
    assert len(layout.order_paths(tmp_path)) == 1


def test_one_that_was_slow_makes_nothing_undone(tmp_path: Path) -> None:
    """The number after the one that it has read may be free again: what others have written since counts."""
    slow, fast = (Order([tmp_path], "run", "there") for _ in range(2))
    for number in range(3):
        assert fast.extend([Span("a", 1, number)], {})
    assert not slow.extend([Span("b", 1, 0)], {})
    assert slow.spans == fast.spans
    assert list(layout.order_paths(tmp_path)) == [3]


def test_one_that_has_read_the_run_as_it_was_before_a_rewind_gives_no_places(tmp_path: Path) -> None:
    """Whichever comes first: what the other one has given places may be superseded."""
    for number, (earlier, later) in enumerate([(["a"], ["a", "b"]), (["a", "b"], ["a"])]):
        first, second = (Order([tmp_path], f"run {number}", "there", rewinds) for rewinds in (earlier, later))
        assert first.extend([Span("late", 2, 7)], {})
        with pytest.raises(Rewound):
            second.extend([Span("late", 3, 8)], {})
        assert second.is_stale


def test_each_upload_has_its_own(tmp_path: Path) -> None:
    first = Order([tmp_path], "run", "here")
    first.extend([Span("late", 2, 7)], {})
    other = Order([tmp_path], "run", "there")
    assert other.spans == ()
    assert other.extend([Span("", 3)], {})
    assert Order([tmp_path], "run", "here").spans == first.spans
    assert Order([tmp_path], "another run", "here").spans == ()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1, "run": "run", "uploads": {"there": {"spans": 3}}}'])
def test_a_damaged_one_is_none(tmp_path: Path, text: str) -> None:
    """The server shows the order; a new one is written over it."""
    layout.order_path(tmp_path, 4).write_text(text)
    order = Order([tmp_path], "run", "there")
    assert order.spans == ()
    assert order.extend([Span("", 3)], {})
    assert list(layout.order_paths(tmp_path)) == [5]


def test_a_link_that_leads_nowhere_is_none(tmp_path: Path) -> None:
    layout.order_path(tmp_path, 4).symlink_to("nowhere")
    assert Order([tmp_path], "run", "there").extend([Span("", 3)], {})


def test_where_the_first_directory_cannot_be_written_the_next_is(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    order = Order([tmp_path / "file", tmp_path / "state"], "run", "there")
    assert order.extend([Span("", 3)], {})
    assert Order([tmp_path / "file", tmp_path / "state"], "run", "there").rows == 3
    (tmp_path / "file").unlink()
    (tmp_path / "file").mkdir()
    order = Order([tmp_path / "file", tmp_path / "state"], "run", "there")
    assert order.extend([Span("late", 1, 1)], {}), "and the first again, once it can be"
    assert list(layout.order_paths(tmp_path / "file")) == [2]
    assert Order([tmp_path / "file", tmp_path / "state"], "run", "there").rows == 4
    (tmp_path / "file" / "wandb-order-002.json").unlink()
    (tmp_path / "file").rmdir()
    nowhere = Order([tmp_path / "file"], "run", "there")
    assert nowhere.extend([Span("", 3)], {}), "for as long as this process lives"
    assert nowhere.rows == 3
    assert not (tmp_path / "file").exists()


def test_rows_that_follow_each_other_are_one_span() -> None:
    spans = [Span("", 2), Span("", 3), Span("late", 1, 4), Span("late", 2, 9), Span("", 1)]
    assert joined(spans) == (Span("", 5), Span("late", 3, 9), Span("", 1))
