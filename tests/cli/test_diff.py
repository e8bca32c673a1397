"""``neurockt diff``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .conftest import Done, record

Command = Callable[..., Done]


def test_prints_the_config_and_the_metrics_that_differ(neurockt: Command, runs: Path) -> None:
    """A column a run; what is the same is left out. Of two runs, also the change of each metric."""
    done = neurockt("diff", "slow", "fast")
    lines = [line.split() for line in done.out.splitlines()]
    assert (done.status, done.err) == (0, "")
    assert lines[0] == ["slow", "fast", "change"]
    assert ["cfg.lr", "0.0001", "0.01"] not in lines
    assert ["lr", "0.0001", "0.01"] in lines
    assert ["model.width", "32", "64"] in lines
    words = {line[0]: line[1:] for line in lines}
    assert [float(word) for word in words["valid_loss"]] == [0.9, 0.1, -0.8]
    assert [float(word) for word in words["acc"]] == [0.5, 0.97, 0.47]
    assert "best(valid_loss)" not in words, "it is the last one"
    assert "project" not in words
    assert "state" not in words
    assert len(neurockt("diff", "slow", "fast", "diverged").out.splitlines()[0].split()) == 3


def test_what_one_of_them_lacks_differs(neurockt: Command, runs: Path) -> None:
    record(runs, {"other": [1.0]}, run_id="r9", config={"lr": None, "list": [1, 2]})
    done = neurockt("diff", "slow", "r9", "--json").json
    assert done["config"] == {"lr": [1e-4, None], "model.width": [32, None], "list": [None, [1, 2]]}
    assert done["metrics"]["other"] == [None, 1.0]
    assert [each["id"] for each in done["runs"]] == ["r0", "r9"]
    assert done["runs"][0]["path"] == str(Path("runs") / "r0")


def test_runs_of_one_name_are_told_apart_by_their_ids(neurockt: Command, runs: Path) -> None:
    for run_id in ("a", "b"):
        record(runs, {"loss": [float(ord(run_id))]}, run_id=run_id, name="same")
    assert neurockt("diff", "a", "b").out.splitlines()[0].split() == ["a", "b", "change"]


def test_a_metric_of_both_tables_is_compared_in_each(neurockt: Command, runs: Path) -> None:
    for index in (1, 2):
        record(runs, {"loss": [4.0 * index, 3.0 * index]}, {"loss": [2.0 * index]}, run_id=f"both{index}")
    done = neurockt("diff", "both1", "both2", "--json").json["metrics"]
    assert done == {
        "loss@epochs": [2.0, 4.0],
        "loss@steps": [3.0, 6.0],
        "best(loss@epochs)": [2.0, 4.0],
        "best(loss@steps)": [3.0, 6.0],
    }


def test_a_difference_in_the_last_digit_is_seen(neurockt: Command, runs: Path) -> None:
    for name, value in (("a", 0.1), ("b", 0.1 + 1e-12)):
        record(runs, {"loss": [value]}, run_id=name)
    assert f"{0.1 + 1e-12!r}" in neurockt("diff", "a", "b").out


def test_no_run_is_left_out_where_the_terminal_is_narrow(neurockt: Command, runs: Path) -> None:
    """More runs than fit beside each other are below each other."""
    done = neurockt("diff", "slow", "fast", "diverged", terminal=50)
    headers = [line.split() for line in done.out.splitlines() if line.startswith("   ") and not line[:20].strip()]
    assert headers == [["slow", "fast"], ["diverged"]]
    assert done.err == ""
    assert max(map(len, done.out.splitlines())) <= 50


def test_a_long_key_leaves_room_for_the_values(neurockt: Command, runs: Path) -> None:
    for index in range(2):
        record(runs, {"loss": [1.0]}, run_id=f"k{index}", config={"a" * 300: index})
    (line,) = [line for line in neurockt("diff", "k0", "k1", terminal=60).out.splitlines() if line.startswith("  aaa")]
    assert line.split()[1:] == ["0", "1"]


def test_nothing_differs(neurockt: Command, runs: Path) -> None:
    """NaN is the same as NaN."""
    assert neurockt("diff", "diverged", "diverged") == Done(0, "", "neurockt: nothing differs\n")


def test_one_run_is_wrong_usage_and_one_that_is_not_there_an_error(neurockt: Command, runs: Path) -> None:
    assert neurockt("diff", "slow").status == 2
    done = neurockt("diff", "slow", "fasst")
    assert done.status == 1
    assert "did you mean 'fast'?" in done.err


def test_hostile_text_is_made_harmless(neurockt: Command, hostile: Path, runs: Path) -> None:
    for words in ([], ["--json"]):
        done = neurockt("diff", hostile / "bad", runs / "r0", *words)
        assert done.status == 0
        assert not set(done.out + done.err) & set("\x1b\x07\r\u202e")
