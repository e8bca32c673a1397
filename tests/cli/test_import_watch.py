"""``neurockt import --watch`` beside a job that is killed and begins again."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import preloaded
import pytest
from importing import event_files as made
from wandb_server import wait_until

from neurockt import open_run
from neurockt.errors import NeurocktError

pytestmark = pytest.mark.slow


class Watching:
    """The command, in a process of its own."""

    def __init__(self, logs: Path, root: Path) -> None:
        self.root = root
        self._out, self._err = root.with_name("out"), root.with_name("err")
        command = [sys.executable, "-m", "neurockt", "import", logs, "--into", root, "--watch", "0.05"]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = preloaded.Popen(command, stdout=out, stderr=err)

    @property
    def lines(self) -> list[str]:
        return self._out.read_text().splitlines()

    @property
    def notes(self) -> list[str]:
        return self._err.read_text().splitlines()

    def losses(self) -> dict[int, float]:
        try:
            rows = open_run(self.root / "logs-run").steps(["step", "loss"]).to_pydict()
        except NeurocktError:
            return {}
        return dict(zip(rows["step"], rows["loss"], strict=True))


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A run, and a directory whose event file has no metrics."""
    made.write(tmp_path / "logs" / "run", made.scalars("loss", {step: float(step) for step in range(5)}))
    made.write(tmp_path / "logs" / "none", [made.event(1.0, 1, made.image("i", 9))])
    return tmp_path / "logs"


@pytest.fixture
def watching(logs: Path, tmp_path: Path) -> Iterator[Watching]:
    made = Watching(logs, tmp_path / "runs")
    yield made
    made.process.kill()
    made.process.wait()


def test_a_job_that_is_killed_and_begins_again_is_followed(watching: Watching, logs: Path) -> None:
    """It was cut off in the middle of a record, and supersedes what it had recorded after its checkpoint."""
    wait_until(lambda: watching.losses() == {step: float(step) for step in range(4)})  # the last one may be written yet
    with next((logs / "run").iterdir()).open("ab") as file:
        file.write(made.scalars("loss", {5: 5.0})[0] + made.scalars("loss", {6: 6.0})[0][:-5])
    wait_until(lambda: watching.losses() == {step: float(step) for step in range(5)})
    made.write(logs / "run", made.scalars("loss", {3: -3.0, 4: -4.0, 5: -5.0}), pid=8, at=2)
    wait_until(lambda: watching.losses() == {0: 0.0, 1: 1.0, 2: 2.0, 3: -3.0, 4: -4.0})
    run = open_run(watching.root / "logs-run")
    assert run.state == "running"
    assert run.superseded()[1]["loss"].to_pylist() == [3.0, 4.0, 5.0]


def test_a_directory_that_is_gone_for_a_while_ends_nothing(watching: Watching, logs: Path) -> None:
    wait_until(lambda: watching.losses())
    logs.rename(logs.with_name("moved"))
    wait_until(lambda: any("does not exist" in line for line in watching.notes))
    made.write(logs / "run", made.scalars("loss", dict.fromkeys(range(9), 1.0)), pid=8, at=2)
    wait_until(lambda: len(watching.losses()) == 8)
    watching.process.send_signal(signal.SIGINT)
    assert watching.process.wait() == 130


def test_a_pass_that_changes_nothing_prints_nothing(watching: Watching, logs: Path) -> None:
    wait_until(lambda: watching.losses())
    for number in range(3):  # each is of a later pass
        made.write(logs / f"more{number}", made.scalars("loss", {0: 1.0, 1: 2.0}))
        wait_until(lambda number=number: any(f"logs-more{number}" in line for line in watching.lines))  # type: ignore[misc]
    assert sum("logs-none" in line for line in watching.lines) == 1
    assert sum("no metrics, left out" in note for note in watching.notes) == 1
    assert sum("logs-run" in line for line in watching.lines) <= 2, "imported, and then grown by nothing"
