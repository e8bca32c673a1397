"""What other recorders block the loop for, as a ratio to the floor: those that happen to be installed, as they come.

Each logs the same scalars once a step, with its own defaults, to a local directory. Nothing is taken off: the values
are numbers, and no function is called for them.
"""

from __future__ import annotations

import csv
import os
import statistics
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.benchmarks.harness import Effort, Figure, Measure, alternate, fresh, ratios
from tests.benchmarks.ways import Way, floor, make_loop

STEPS, QUICK_STEPS = 20_000, 2_000
SCALARS = (1, 10)


def csv_module(directory: Path, scalars: int) -> Way:
    """A row of the standard library's ``csv``, flushed, so that it outlives the process as ours do."""
    file = (directory / "rows.csv").open("w", newline="")
    names = {"writerow": csv.writer(file).writerow, "flush": file.flush}
    return Way(f"writerow((step, {_values(scalars)}))\nflush()", names, finish=file.close)


def tensorboard(directory: Path, scalars: int) -> Way:
    """torch's ``SummaryWriter``: a call a scalar."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(directory))
    body = "\n".join(f'add("scalar_{scalar}", v{scalar}, step)' for scalar in range(scalars))
    return Way(body, {"add": writer.add_scalar}, finish=writer.close)


def wandb(directory: Path, scalars: int) -> Way:
    """W&B without a network."""
    from wandb import Settings, init

    run = init(mode="offline", project="bench", dir=str(directory), settings=Settings(silent=True))
    return Way(f"log({_dict(scalars)})", {"log": run.log}, finish=run.finish)


def trackio(directory: Path, scalars: int) -> Way:
    """trackio, without its dashboard."""
    os.environ["TRACKIO_DIR"] = str(directory)
    from trackio import finish, init, log

    init(project="bench")
    return Way(f"log({_dict(scalars)})", {"log": log}, finish=finish)


def aim(directory: Path, scalars: int) -> Way:
    """Aim: a call a scalar."""
    from aim import Run

    run = Run(repo=str(directory), system_tracking_interval=None, capture_terminal_logs=False)
    body = "\n".join(f'track(v{scalar}, name="scalar_{scalar}", step=step)' for scalar in range(scalars))
    return Way(body, {"track": run.track}, finish=run.close)


def csv_logger(directory: Path, scalars: int) -> Way:
    """Lightning's ``CSVLogger``; it keeps up to a hundred steps in memory."""
    try:
        from lightning.pytorch.loggers import CSVLogger
    except ImportError:
        from pytorch_lightning.loggers import CSVLogger

    logger = CSVLogger(str(directory))
    return Way(f"log({_dict(scalars)}, step)", {"log": logger.log_metrics}, finish=logger.save)


PEERS: dict[str, Callable[[Path, int], Way]] = {
    "csv module": csv_module,
    "Lightning CSVLogger": csv_logger,
    "trackio": trackio,
    "TensorBoard": tensorboard,
    "Aim": aim,
    "wandb offline": wandb,
}


def _values(scalars: int) -> str:
    return ", ".join(f"v{scalar}" for scalar in range(scalars))


def _dict(scalars: int) -> str:
    return "{" + ", ".join(f'"scalar_{scalar}": v{scalar}' for scalar in range(scalars)) + "}"


def median_step(peer: str, scalars: int, steps: int, directory: str) -> float | None:
    """Nanoseconds of the median step; None where the peer is not installed."""
    os.chdir(directory)
    try:
        made = {**PEERS, "floor": floor}[peer](Path(directory), scalars)
    except ImportError:
        return None
    taken = array("q", bytes(8 * steps))
    make_loop(made.body, made.names, scalars)(0, steps, taken)
    made.finish()
    return statistics.median(taken)


def peers(effort: Effort) -> Iterator[Figure]:
    """The figures."""
    steps = effort.of(STEPS, QUICK_STEPS)
    for peer in PEERS:
        for scalars in SCALARS:
            measured = partial(fresh, median_step, scalars=scalars, steps=steps)
            if measured(peer=peer) is None:
                yield Figure(peer, "left out", beside="not installed")
                break
            theirs, floors = alternate(
                effort, f"{peer}, {scalars}", partial(measured, peer=peer), partial(measured, peer="floor")
            )
            times = [statistics.median(side) / 1000 for side in (theirs, floors)]
            yield Figure(
                f"{peer}, blocked per step, {scalars} scalar{'s' * (scalars > 1)}, of the floor",
                ratios(theirs, floors).text(),
                beside=f"{times[0]:.1f} of {times[1]:.1f} µs",
            )


MEASURES = [Measure("peers", "time other recorders block the loop per step, where they are installed", peers)]
