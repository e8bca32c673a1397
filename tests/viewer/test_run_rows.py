"""The rows of the list of runs: groups with their means, names that are told apart, titles."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from neurockt.query.filter import parse
from neurockt.query.grouping import Group
from neurockt.run_info import ColumnSummary, RunInfo, TableSummary
from neurockt_viewer.columns import possible_columns
from neurockt_viewer.marks import Marks
from neurockt_viewer.run_rows import RunRows, setting_fields
from neurockt_viewer.settings import Settings

CREATED = datetime(2026, 11, 23, tzinfo=timezone.utc)


def run(at: int, config: dict[str, Any], acc: float, name: str | None = None) -> RunInfo:
    epochs = TableSummary(3, {"acc": ColumnSummary(3, acc, 3, acc, 3, acc, 3)}, 3)
    created = CREATED + timedelta(hours=at)
    return RunInfo(Path(f"r{at}"), f"r{at}", created, name, config=config, epochs=epochs, state="finished")


RUNS = [
    run(0, {"lr": 0.1, "opt": "adam", "seed": 0}, 0.5),
    run(1, {"lr": 0.1, "opt": "adam", "seed": 1}, 0.75),
    run(2, {"lr": 0.001, "opt": "sgd", "seed": 0}, 0.9),
    run(3, {"opt": "sgd", "seed": 0}, 0.1),
]


def arranged(runs: list[RunInfo] = RUNS, **settings: Any) -> RunRows:
    chosen = Settings(**{"columns": ["state", "name", "acc", "cfg.opt"], "group": "cfg.lr", **settings})
    return RunRows(runs, parse(""), chosen, Marks())


def texts(rows: RunRows) -> list[list[str]]:
    return [[cell.text for cell in rows.cells(at, range(len(rows.columns)))] for at in range(len(rows))]


def heads(rows: RunRows) -> list[list[str]]:
    return [cells for at, cells in enumerate(texts(rows)) if isinstance(rows.row(at), Group)]


def test_a_head_has_the_mean_and_the_deviation_of_each_metric_and_what_its_runs_share() -> None:
    """The newest group first; a group of runs that lack the key says so."""
    assert heads(arranged()) == [
        ["▾", "1 run", "no cfg.lr", "0.1", "sgd"],
        ["▾", "1 run", "cfg.lr = 0.001", "0.9", "sgd"],
        ["▾", "2 runs", "cfg.lr = 0.1", "0.625 ± 0.18", "adam"],
    ]


def test_groups_are_sorted_by_their_means() -> None:
    """As their runs are, within them."""
    rows = arranged(sort="acc", reverse=True)
    assert [head[2] for head in heads(rows)] == ["cfg.lr = 0.001", "cfg.lr = 0.1", "no cfg.lr"]
    assert [cells[2] for cells in texts(rows)] == [
        "cfg.lr = 0.001",
        "r2",
        "cfg.lr = 0.1",
        "r1",
        "r0",
        "no cfg.lr",
        "r3",
    ]


def test_runs_are_grouped_by_several_fields() -> None:
    """Such as all settings that differ but the seed, which are offered together."""
    assert setting_fields(RUNS) == "cfg.lr,cfg.opt"
    labels = [head[2] for head in heads(arranged(group=setting_fields(RUNS)))]
    assert labels == ["no lr opt=sgd", "lr=0.001 opt=sgd", "lr=0.1 opt=adam"]
    assert setting_fields(RUNS[:2]) is None


def test_long_labels_of_groups_are_shortened() -> None:
    """So that they can be told apart, with the number of runs where that is in the same column."""
    runs = [run(at, {"lr": f"{'cosine-with-restarts-' * 3}{at}"}, 0.5) for at in range(2)]
    assert [head[2] for head in heads(arranged(runs))] == ["…1", "…0"]
    (_, head) = heads(arranged(runs, columns=["acc"]))
    assert head[1] == "…0 · 1 run"


@pytest.mark.parametrize(
    ("columns", "head"),
    [
        (["acc", "name"], ["▾", "0.625 ± 0.18", "cfg.lr = 0.1 · 2 runs"]),
        (["acc", "cfg.lr"], ["▾", "cfg.lr = 0.1 · 2 runs", "0.1"]),
        (["name", "state"], ["▾", "cfg.lr = 0.1", "2 runs"]),
    ],
)
def test_a_head_says_what_it_is_whatever_columns_are_shown(columns: list[str], head: list[str]) -> None:
    """In the column of names, else in the first one."""
    assert heads(arranged(columns=columns))[-1] == head


def test_folded_groups_stay_folded_when_the_runs_are_read_again() -> None:
    """The cursor finds the same group."""
    rows = arranged()
    group = rows.row(0)
    assert isinstance(group, Group)
    again = arranged([*RUNS, run(4, {"lr": 0.001}, 0.3)])
    again.fold({group.key})
    assert len(again) == 3 + 4
    at = again.number_of(group)
    assert at is not None
    assert again.cells(at, range(3))[0].text == "▸"


def test_the_means_are_aligned_with_the_values_of_the_runs() -> None:
    """The column is as wide as both need."""
    column = arranged().columns[3]
    assert (column.width, column.after) == (len("0.625 ± 0.18"), len(".625 ± 0.18"))


def test_long_names_are_shortened_so_that_they_can_be_told_apart() -> None:
    """What they share is elided; short ones stay."""
    names = [f"imagenet-resnet50-pretrained-warmup-lr{lr}" for lr in (0.1, 0.01)]
    runs = [run(at, {}, 0.5, name) for at, name in enumerate([*names, "baseline"])]
    rows = arranged(runs, group=None, reverse=False)
    assert [cells[2] for cells in texts(rows)] == ["…lr0.1", "…lr0.01", "baseline"]
    assert rows.columns[2].width == len("baseline"), "what they leave is for other columns"


def test_the_end_of_a_very_long_name_is_shown() -> None:
    """Its middle is elided, once."""
    runs = [run(0, {}, 0.5, "x" * 180 + "-end"), run(1, {}, 0.5, "baseline")]
    (name, _) = [cells[2] for cells in texts(arranged(runs, group=None, reverse=False))]
    assert (name.count("…"), name[-4:], len(name)) == (1, "-end", 36)


def test_a_title_says_which_table_a_metric_of_both_is_from() -> None:
    """And long titles are shortened."""
    steps = TableSummary(9, {"acc": ColumnSummary(9, 0.5, 9)}, 9)
    info = RunInfo(Path("r"), "r", CREATED, steps=steps, epochs=RUNS[0].epochs)
    names = ["name", "acc", '"evaluation/mmlu/stem/accuracy"', '"evaluation/mmlu/other/accuracy"']
    titles = [column.title for column in arranged([info], columns=names, group=None).columns[2:]]
    assert titles == ["acc@epochs", "…stem/accuracy", "…other/accuracy"]
    assert possible_columns([info])[-4:] == ["acc", "best(acc)", "acc@steps", "best(acc@steps)"]


def test_foreign_text_in_a_head_is_harmless() -> None:
    """A group's value comes from the config."""
    (head,) = heads(arranged([run(0, {"lr": "\x1b[2J[b]x"}, 0.5)]))
    assert all(text.isprintable() for text in head)
