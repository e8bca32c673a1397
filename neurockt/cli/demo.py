"""``neurockt demo``: trains a small model with the documented loop, and prints the commands that show the run."""

from __future__ import annotations

import argparse

from neurockt.cli import output, parsing
from neurockt.errors import MissingExtra
from neurockt.formatting import format_count
from neurockt.store import default_root, expanded

EPOCHS = 5

_DESCRIPTION = "Train a small network on handwritten digits for a few seconds, and record it."
_EXAMPLE = """\
  neurockt demo
  neurockt demo --epochs 20 --root runs
"""


def add_parser(subparsers: parsing.Subparsers[argparse.ArgumentParser]) -> None:
    parser = parsing.add_command(subparsers, "demo", "train a small model and record it", _EXAMPLE, _DESCRIPTION)
    parser.add_argument("--epochs", metavar="N", type=parsing.count, default=EPOCHS, help=f"default: {EPOCHS}")
    parser.add_argument("--root", metavar="ROOT", help="where to record (default: $NEUROCKT_DIR, else runs)")


def run(arguments: argparse.Namespace) -> int:
    try:
        from neurockt.cli._digits import train
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("torch", "torchmetrics", "sklearn"):
            raise
        raise MissingExtra(
            "the demo needs PyTorch, torchmetrics and scikit-learn: pip install 'neurockt[demo]'"
        ) from error
    from neurockt.monitor import Recorder

    root = expanded(arguments.root) if arguments.root else default_root()
    config = {"optimizer": "adam", "lr": 3e-3, "weight_decay": 0.0, "batch_size": 32, "width": 32, "seed": 0}
    recorder = Recorder(root, project="digits", config=config, tags=("demo",))
    for _ in train(recorder, arguments.epochs):
        pass
    recorder.finish()
    run_dir = root / recorder.run_dir.name
    output.note(f"recorded {format_count(recorder.step, 'step')} in {run_dir}; next:")
    output.note(f"  neurockt show {run_dir}")
    output.note(f"  neurockt view {root}")
    return 0
