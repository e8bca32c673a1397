"""Which directories of event files are one run, which process goes on with which, and in which table a metric is."""

from __future__ import annotations

from pathlib import Path

import pytest
from importing import event_files as made
from importing.conftest import Import

from neurockt import list_runs, open_run
from neurockt.store import Run


def runs(root: Path) -> dict[str, Run]:
    return {info.id: open_run(info.path) for info in list_runs(root)}


def column(run: Run, name: str) -> dict[int, float]:
    """The values of a metric by their step, of whichever table has it."""
    for table in (run.steps(), run.epochs()):
        if name in table.column_names:
            rows = zip(table["step"].to_pylist(), table[name].to_pylist(), strict=True)
            return {step: value for step, value in rows if value is not None}
    raise KeyError(name)


def test_a_directory_is_a_run(tmp_path: Path, root: Path, importing: Import) -> None:
    """With all its steps, times and numbers as they were, from step 0, and its validations in their own table."""
    losses = {step: 1 / (1 + step) for step in (0, 1, 500, 2**40)}
    made.write(
        tmp_path / "logs" / "a",
        [
            *made.scalars("loss", losses),
            *made.scalars("val/acc", {0: 0.5, 500: 0.75}),
            made.event(1.0, 7, made.simple("x", 1.0)),
        ],
    )
    (outcome,) = importing(tmp_path / "logs")
    assert (outcome.id, outcome.done, outcome.values, outcome.steps, outcome.epochs) == ("logs-a", "imported", 7, 5, 2)
    (run,) = runs(root).values()
    steps = run.steps()
    assert column(run, "loss") == {step: pytest.approx(value, rel=1e-7) for step, value in losses.items()}
    assert steps["step"].to_pylist() == [0, 1, 7, 500, 2**40]
    assert steps["time"].to_pylist()[1].timestamp() == 1.7e9 + 1
    assert run.epochs()["epoch"].to_pylist() == [1, 2]
    assert column(run, "val/acc") == {0: 0.5, 500: 0.75}
    assert (run.info.state, run.info.steps.columns["loss"].last, run.info.name) == (
        "finished",
        pytest.approx(losses[2**40]),
        "logs/a",
    )


def test_add_scalars_and_add_hparams_are_part_of_the_run(tmp_path: Path, root: Path, importing: Import) -> None:
    home = tmp_path / "logs" / "exp"
    made.write(home, made.scalars("loss", {1: 1.0}))
    for index, name in enumerate(("train", "dev"), 1):
        made.write(home / f"loss_both_{name}", made.scalars("loss/both", {1: index}), index=index)
    made.write(
        home / "1700000000.25",
        [made.event(1.0, 0, made.hparams({"lr": 0.5})), *made.scalars("hp/acc", {3: 0.5})],
        index=3,
    )
    made.write(home / "other", made.scalars("loss", {1: 9.0}), pid=8)
    importing(tmp_path / "logs")
    found = runs(root)
    assert sorted(found) == ["logs-exp", "logs-exp-other"]
    run = found["logs-exp"]
    assert column(run, "loss/both/train") == {1: 1.0}
    assert column(run, "loss/both/dev") == {1: 2.0}
    assert column(run, "hp/acc") == {3: 0.5}
    assert run.config == {"lr": 0.5}


def test_train_and_validation_of_keras_are_one_run_by_epoch(tmp_path: Path, root: Path, importing: Import) -> None:
    home = tmp_path / "fit"
    made.write(home / "train", made.scalars("epoch_loss", {0: 2.0, 1: 1.0}))
    made.write(
        home / "validation",
        [*made.scalars("epoch_loss", {0: 3.0, 1: 2.5}), *made.scalars("evaluation_loss_vs_iterations", {10: 3.0})],
    )
    importing(home)
    (run,) = runs(root).values()
    epochs = run.epochs()
    assert epochs["epoch"].to_pylist() == [1, 2]
    assert epochs["train/epoch_loss"].to_pylist() == [2.0, 1.0]
    assert epochs["validation/epoch_loss"].to_pylist() == [3.0, 2.5]
    assert column(run, "validation/evaluation_loss_vs_iterations") == {10: 3.0}
    assert "validation/evaluation_loss_vs_iterations" in run.steps().column_names


@pytest.mark.parametrize(("training", "validation", "pid"), [("train", "val", 7), ("train", "val", 8), (".", ".", 8)])
def test_steps_know_which_validations_were_written_before_them(
    tmp_path: Path, root: Path, importing: Import, training: str, validation: str, pid: int
) -> None:
    """Also where these are in a directory of their own, or another process writes them."""
    made.write(tmp_path / "a" / training, made.scalars("loss", dict.fromkeys(range(1, 10), 0.5)))
    validations = made.scalars("val/acc", {4: 0.5, 8: 0.75}, begin=1.7e9 + 0.5)
    made.write(tmp_path / "a" / validation, validations, pid=pid, index=1)
    importing(tmp_path)
    (run,) = runs(root).values()
    assert run.steps()["epoch"].to_pylist() == [1, 1, 1, 1, 2, 2, 2, 2, 3]
    assert run.epochs()["step"].to_pylist() == [4, 8]


def test_learn_and_test_of_catboost_are_one_run(tmp_path: Path, root: Path, importing: Import) -> None:
    """Its files are named by nothing else."""
    for part, value in (("learn", 1.0), ("test", 2.0)):
        path = made.write(tmp_path / "catboost_info" / part, made.scalars("RMSE", {0: value, 1: value / 2}))
        path.rename(path.with_name("events.out.tfevents"))
    importing(tmp_path)
    (run,) = runs(root).values()
    assert column(run, "learn/RMSE") == {0: 1.0, 1: 0.5}
    assert column(run, "test/RMSE") == {0: 2.0, 1: 1.0}


def test_epochs_that_are_done_again_are_superseded(tmp_path: Path, root: Path, importing: Import) -> None:
    """They are counted from 0 in the source, also by the process that goes on."""
    for at, steps in ((1, range(6)), (2, range(4, 8))):
        losses = dict.fromkeys(steps, float(at))
        for name in ("train", "validation"):
            made.write(tmp_path / "fit" / name, made.scalars("epoch_loss", losses), pid=at, at=at)
    importing(tmp_path / "fit")
    (run,) = runs(root).values()
    epochs = run.epochs()
    assert epochs["epoch"].to_pylist() == list(range(1, 9))
    assert epochs["train/epoch_loss"].to_pylist() == [1.0] * 4 + [2.0] * 4


def test_a_restart_supersedes_what_it_does_again(tmp_path: Path, root: Path, importing: Import) -> None:
    """Both kinds: by another process, and by one that says that it was restarted."""
    made.write(tmp_path / "a", made.scalars("loss", dict.fromkeys(range(20), 1.0)), pid=1, at=1)
    made.write(tmp_path / "a", made.scalars("loss", dict.fromkeys(range(10, 25), 2.0)), pid=2, at=2)
    made.write(
        tmp_path / "a",
        [made.start(1.7e9, 15), *made.scalars("loss", dict.fromkeys(range(15, 18), 3.0))],
        pid=2,
        at=3,
        index=1,
    )
    importing(tmp_path / "a")
    (run,) = runs(root).values()
    assert column(run, "loss") == {
        **dict.fromkeys(range(10), 1.0),
        **dict.fromkeys(range(10, 15), 2.0),
        15: 3.0,
        16: 3.0,
        17: 3.0,
    }
    assert [attempt.first_step for attempt in run.info.attempts] == [0, 10, 15]
    assert sum(table.num_rows for table in run.superseded("steps").values()) == 20


def test_a_process_that_begins_again_from_the_start_is_another_run(
    tmp_path: Path, root: Path, importing: Import
) -> None:
    for pid in (1, 2, 3):
        made.write(tmp_path / "a", made.scalars("loss", dict.fromkeys(range(20), float(pid))), pid=pid, at=pid)
    importing(tmp_path / "a")
    assert {run_id: column(run, "loss")[7] for run_id, run in runs(root).items()} == {"a": 1.0, "a-2": 2.0, "a-3": 3.0}


def test_processes_with_other_metrics_write_beside_each_other(tmp_path: Path, root: Path, importing: Import) -> None:
    made.write(tmp_path / "a", made.scalars("loss", dict.fromkeys(range(20), 1.0)), pid=1, at=1)
    made.write(tmp_path / "a", made.scalars("eval/acc", {5: 0.5}), pid=2, at=2)
    importing(tmp_path / "a")
    (run,) = runs(root).values()
    assert len(column(run, "loss")) == 20
    assert column(run, "eval/acc") == {5: 0.5}


def test_order_and_repetition(tmp_path: Path, root: Path, importing: Import) -> None:
    """Steps are put in order, of two values of one step the later counts, and values without a step are numbered."""
    made.write(
        tmp_path / "a",
        [made.event(1.0, step, made.simple("x", value)) for step, value in [(3, 1.0), (1, 2.0), (3, 4.0), (-1, 9.0)]]
        + [made.event(1.0, 0, made.simple("none", value)) for value in (5.0, 6.0)],
    )
    (outcome,) = importing(tmp_path / "a")
    (run,) = runs(root).values()
    assert column(run, "x") == {1: 2.0, 3: 4.0}
    assert column(run, "none") == {1: 5.0, 2: 6.0}
    assert outcome.left_out == {
        "values at steps below 0 or above 2^62": 1,
        "values that a later one of the same step replaces": 1,
    }
    assert "none" in " ".join(outcome.remarks)


def test_names_that_no_column_can_have(tmp_path: Path, root: Path, importing: Import) -> None:
    tags = ["epoch", "step", "", "a\nb", "a b", "x" * 500, "rank"]
    made.write(tmp_path / "a", [made.event(1.0, 5, *(made.simple(tag, 0.25) for tag in tags))])
    importing(tmp_path / "a")
    (run,) = runs(root).values()
    names = [name for name in run.steps().column_names if name not in ("step", "epoch", "time")]
    assert names[:5] == ["epoch_", "step_", "unnamed", "a b", "a b'"]
    assert len(names[5]) == 200
    assert names[6] == "rank_"


def test_files_without_metrics_hide_no_other(tmp_path: Path, root: Path, importing: Import) -> None:
    made.write(tmp_path / "logs" / "good", made.scalars("loss", {1: 1.0}))
    made.write(tmp_path / "logs" / "empty", [])
    made.write(tmp_path / "logs" / "none", []).write_bytes(b"")
    outcomes = {outcome.id: outcome.done for outcome in importing(tmp_path / "logs")}
    assert outcomes == {"logs-good": "imported", "logs-empty": "left out", "logs-none": "left out"}
    assert list(runs(root)) == ["logs-good"]


def test_a_torn_file_may_be_followed_by_another(tmp_path: Path, root: Path, importing: Import) -> None:
    first = made.write(tmp_path / "a", made.scalars("loss", {1: 1.0, 2: 2.0}), at=1)
    first.write_bytes(first.read_bytes()[:-3])
    made.write(tmp_path / "a", made.scalars("loss", {2: 2.5, 3: 3.0}), at=2, index=1)
    importing(tmp_path / "a")
    (run,) = runs(root).values()
    assert column(run, "loss") == {1: 1.0, 2: 2.5, 3: 3.0}
    assert run.info.state == "finished"


def test_the_config_of_lightning_runs_nothing(tmp_path: Path, root: Path, importing: Import) -> None:
    pytest.importorskip("yaml")
    made.write(tmp_path / "a", [*made.scalars("loss", {1: 1.0}), *made.scalars("hp_metric", {0: -1.0}) * 2])
    (tmp_path / "a" / "hparams.yaml").write_text(
        f"lr: 0.1\nlayers: !!python/tuple [1, 2]\nact: !!python/name:torch.relu\n"
        f"bad: !!python/object/apply:os.system ['touch {tmp_path}/ran']\nloop: &x [*x]\n"
    )
    importing(tmp_path / "a")
    (run,) = runs(root).values()
    config = run.config
    assert (config["lr"], config["layers"], config["act"]) == (0.1, [1, 2], "torch.relu")
    assert not (tmp_path / "ran").exists()
    assert list(run.info.steps.columns) == ["loss"]


def test_metrics_at_steps_of_their_own_share_rows(tmp_path: Path, root: Path, importing: Import) -> None:
    """The rows are at all of their steps, once each."""
    values = {"a": range(0, 9), "b": range(0, 9), "c": range(1, 20, 3), "d": range(4, 30, 2)}
    records = [record for tag, steps in values.items() for record in made.scalars(tag, {step: step for step in steps})]
    made.write(tmp_path / "logs", records)
    importing(tmp_path / "logs")
    (run,) = runs(root).values()
    assert run.steps()["step"].to_pylist() == sorted({step for steps in values.values() for step in steps})
    assert {tag: list(column(run, tag)) for tag in values} == {tag: list(steps) for tag, steps in values.items()}
