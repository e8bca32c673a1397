"""The filter language: what fits, what does not, and errors that point at the place."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurockt.direction import smaller_is_better
from neurockt.errors import NeurocktError, QueryError
from neurockt.query.fields import parse_field, sort_runs
from neurockt.query.filter import parse
from neurockt.run_info import Attempt, ColumnSummary, RunInfo, TableSummary

CREATED = datetime(2026, 11, 23, 10, 15, tzinfo=timezone.utc)


def metric(last: float, smallest: float, largest: float) -> ColumnSummary:
    return ColumnSummary(3, last, 3, smallest, 1, largest, 2)


RUN = RunInfo(
    path=Path("runs/20261123-101500-brave-otter"),
    id="20261123-101500-brave-otter",
    created=CREATED,
    name="ResNet baseline",
    project="Digits",
    group="seeds",
    tags=("v1", "paper"),
    notes="Learning rate too high?",
    config={
        "lr": 1e-3,
        "opt": "Adam",
        "amp": True,
        "sched": None,
        "from_yaml": "1e-3",
        "model": {"width": 64, "name": "resnet18"},
        "flat.key": 7,
        "layers": [16, {"size": 32}],
    },
    state="failed",
    ended=CREATED + timedelta(hours=3),
    attempts=(Attempt(1, "gpu-node-7", 1, "", CREATED),),
    steps=TableSummary(2000, {"train_loss": metric(float("nan"), 0.2, 2.0), "grad norm": metric(1.0, 0.5, 9.0)}),
    epochs=TableSummary(3, {"valid_loss": metric(0.09, 0.08, 0.9), "val/acc": metric(0.91, 0.5, 0.96)}),
)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "   ",
        "resnet",
        "RESNET digits",
        "brave-otter",
        '"resnet base"',
        "resnet*",
        "*-??????-brave-*",
        r"/base(line)?$/",
        "name:resnet",
        "name:/^res/",
        "id:otter",
        "project:digits",
        "group:seeds",
        "tag:paper",
        "tag:pap*",
        "tag=paper",
        "note:rate",
        'note:"too high"',
        "state:failed",
        "state=failed",
        "state!=running",
        "host:gpu-node-*",
        "config:opt=adam",
        "config:model.width",
        "cfg.opt:ada",
        "has:valid_loss",
        "nothing or not running and digits",
        "not (nothing or nobody)",
        '"and" or resnet',
        "state!=run* state:/^fail/ state!=RUNNING",
        'has:"val/acc"',
        "has:cfg.model.width",
        "has:tag",
        "has:best(train_loss)",
        "-has:nothing",
        "cfg.lr>=1e-3",
        "cfg.lr = 0.001",
        "config.lr<0.01",
        "cfg.opt=adam",
        "cfg.opt=a*m",
        "cfg.opt!=sgd",
        "cfg.amp=true",
        "cfg.sched=null",
        "cfg.absent=none",
        "cfg.from_yaml=0.001",
        "cfg.from_yaml<1",
        "cfg.model.width>=64",
        "cfg.flat.key=7",
        "cfg.layers.0=16",
        "cfg.layers.1.size=32",
        "cfg.layers=16",
        "valid_loss<0.1",
        '"val/acc">0.9',
        "val/acc>0.9",
        "best(valid_loss)<0.085",
        'best("val/acc")>0.95',
        "best(val/acc)>0.95",
        "min(val/acc)=0.5",
        "max( valid_loss )=0.9",
        "last(valid_loss)=0.09",
        '"grad norm">=1',
        "max(grad norm)>8",
        "train_loss=nan",
        "steps>1000",
        "epochs>=3",
        "duration>2h",
        "duration<=3h0m",
        "duration=10800",
        "age>1s",
        "started>=2026-11-23T10:15:00Z",
        "started>2026-11-01",
        "ended<2027-01-01",
        "resnet AND digits",
        "nothing OR digits",
        "NOT nothing",
        "-nothing -nobody",
        "NOT NOT resnet",
        "(nothing OR digits) (resnet)",
        "nothing AND nobody OR digits",
        "NOT (nothing OR nobody)",
        "NOT cfg.absent=3",
    ],
)
def test_fits(query: str) -> None:
    """Each of these describes the run."""
    assert parse(query).matches(RUN)


@pytest.mark.parametrize(
    "query",
    [
        "nothing",
        '"baseline resnet"',
        "esnet*",
        "name:otter",
        "tag:v2",
        "tag=pap",
        "tag!=paper",
        "state:running",
        "has:absent",
        "cfg.lr>0.001",
        "cfg.opt=ada",
        "cfg.absent=3",
        "cfg.absent!=3",
        "cfg.sched!=null",
        "cfg.opt>5",
        "cfg.amp>0",
        "absent<1",
        "absent!=1",
        "train_loss<1",
        "train_loss>1",
        "valid_loss=nan",
        "duration<2h",
        "age<1s",
        "started<2026-11-01",
        "resnet nothing",
        "-resnet",
        "NOT resnet OR nothing",
        "digits (nothing OR nobody)",
    ],
)
def test_does_not_fit(query: str) -> None:
    """None of these does."""
    assert not parse(query).matches(RUN)


def test_a_date_alone_means_the_whole_day() -> None:
    """``started=`` with a date fits every moment of that day, by the reader's calendar."""
    day = CREATED.astimezone().date()
    assert parse(f"started={day}").matches(RUN)
    assert not parse(f"started!={day}").matches(RUN)
    assert not parse(f"started={day - timedelta(days=1)}").matches(RUN)


@pytest.mark.parametrize(
    ("query", "position", "message"),
    [
        ("resnet (digits", 7, "not closed"),
        ("resnet)", 6, "no '('"),
        ("()", 1, "missing"),
        ("a OR", 4, "missing"),
        ("OR a", 0, "missing"),
        ("a AND OR b", 6, "missing"),
        ("NOT", 3, "missing"),
        ('name:"two words', 5, "not closed"),
        ("nam:resnet", 0, "did you mean name:"),
        ("12:30", 0, "goes in quotes"),
        ("name: resnet", 5, "after name:"),
        ("name:", 5, "after name:"),
        ("valid_loss<", 11, "value is missing"),
        ("valid_loss<abc", 11, "is a number"),
        ("x >0.1 <0.2", 7, "name is missing"),
        ("0.1<valid_loss", 0, "name first"),
        ("best(acc)", 0, "best(acc)>0.5"),
        ("best()>1", 0, "best(METRIC)"),
        ("best(acc>1", 0, "best(METRIC)"),
        ("duration>soon", 9, "2h"),
        ("started>yesterday", 8, "age<2d"),
        ("cfg.>1", 0, "cfg.lr"),
        ('"">1', 0, "name is missing"),
        ("a or", 4, "missing"),
        ("a and or b", 6, "missing"),
        ("state:finnished", 6, "did you mean finished?"),
        ("state=done", 6, "there are running, finished, failed, preempted, killed"),
        ("state!=/x/", 7, "no state is"),
        ("state:/^x/", 6, "no state is"),
        ("opt=adam", 4, "for a config's key, write cfg.opt"),
        ("stat=failed", 5, "did you mean state?"),
        ("/[/", 0, "regex"),
        ("/abc", 0, "no end"),
        ("(" * 100 + "a" + ")" * 100, 50, "flatter"),
    ],
)
def test_errors_point_at_the_place(query: str, position: int, message: str) -> None:
    """An error states what is wrong, where, and what to write instead."""
    with pytest.raises(QueryError) as caught:
        parse(query)
    assert caught.value.position == position
    assert message in caught.value.problem
    problem, shown, caret = str(caught.value).split("\n")
    assert problem == caught.value.problem
    assert shown.strip() == query.strip()
    assert caret.index("^") - 2 == position


def test_the_caret_stands_under_wide_characters() -> None:
    """The place is counted in cells of the terminal, not in characters."""
    with pytest.raises(QueryError) as caught:
        parse("损失 (a")
    assert str(caught.value).endswith("\n" + " " * (2 + 5) + "^")


def test_query_error_is_one_of_ours() -> None:
    """The command line and the viewer catch it as any other."""
    assert issubclass(QueryError, NeurocktError)


fragments = st.sampled_from(
    'a AND OR NOT - ( ) " / : < >= != = best( cfg. cfg.lr has: name: started> duration< 1e9 nan * ? [ \\ \0 ½'.split(
        " "
    )
)


@given(st.one_of(st.text(), st.lists(st.one_of(fragments, st.text(max_size=3))).map("".join)))
def test_any_text_is_a_query_or_an_error(text: str) -> None:
    """Whatever is typed, parsing ends in a query that can be asked, or in a QueryError."""
    try:
        query = parse(text)
    except QueryError as error:
        position = error.position
    else:
        position = len(query.text)
        query.matches(RUN)
    assert 0 <= position <= len(text)


@given(st.text())
def test_quoted_text_is_taken_as_it_is(text: str) -> None:
    """Within quotes nothing but the quote and the backslash means anything."""
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    run = RunInfo(path=Path("r"), id="r", created=CREATED, name=text, config={"key": text})
    assert parse(f'"{quoted}"').matches(run)
    assert parse(f'cfg.key="{quoted}"').matches(run)


@given(st.text(min_size=1))
def test_any_metric_name_can_be_quoted(name: str) -> None:
    """A metric can be asked for whatever it is called."""
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    run = RunInfo(path=Path("r"), id="r", created=CREATED, epochs=TableSummary(3, {name: metric(0.5, 0.25, 0.75)}))
    assert parse(f'"{quoted}"=0.5 min("{quoted}")=0.25').matches(run)
    assert parse_field(f'max("{quoted}")').value(run) == 0.75


def test_fields_are_shared_with_sorting_and_columns() -> None:
    """The same names give the values themselves."""
    names = ["name", "tags", "cfg.model.width", "valid_loss", "best(val/acc)", "duration", "started", "steps", "absent"]
    assert [parse_field(name).value(RUN) for name in names] == [
        "ResNet baseline", ("v1", "paper"), 64, 0.09, 0.96, 10800.0, CREATED, 2000, None,
    ]  # fmt: skip


def test_a_querys_fields_are_known() -> None:
    """A caller can find out which names no run has."""
    assert [field.name for field in parse("best(acc)>1 has:cfg.lr name:x").fields] == ["best(acc)", "cfg.lr", "name"]


@pytest.mark.parametrize("name", ["", "best()", '""'])
def test_a_field_needs_a_name(name: str) -> None:
    """An empty name is an error, not a metric."""
    with pytest.raises(QueryError, match="missing"):
        parse_field(name)


@pytest.mark.parametrize("name", ["valid_loss", "Error", "val/rmse", "perplexity", "test_ppl", "WER", "kl"])
def test_losses_are_better_when_small(name: str) -> None:
    """``best`` of these is the smallest."""
    assert smaller_is_better(name)


@pytest.mark.parametrize("name", ["acc", "f1", "precision", "mAP", "reward", "bleu", "balance", "terse"])
def test_scores_are_better_when_large(name: str) -> None:
    """``best`` of these is the largest."""
    assert not smaller_is_better(name)


def run_with(id: str, **values: float | str) -> RunInfo:
    return RunInfo(path=Path(id), id=id, created=CREATED, config=values)


def test_sorting_puts_what_lacks_a_value_last_in_either_direction() -> None:
    """Numbers come before texts; nothing, and NaN, come last."""
    runs = [
        run_with("none"),
        run_with("b", x=2),
        run_with("nan", x=float("nan")),
        run_with("a", x=1),
        run_with("t", x="t"),
    ]
    assert [run.id for run in sort_runs(runs, "cfg.x")] == ["a", "b", "t", "none", "nan"]
    assert [run.id for run in sort_runs(runs, "cfg.x", reverse=True)] == ["t", "b", "a", "none", "nan"]
