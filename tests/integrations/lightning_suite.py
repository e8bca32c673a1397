"""A pytest plugin with which Lightning's own tests use NeurocktLogger where they use CSVLogger or TensorBoardLogger.

It needs a checkout of github.com/Lightning-AI/pytorch-lightning, at tag 2.6.5 for lightning 2.6.6. In its ``tests``:

    PYTHONPATH=NEUROCKT/tests:. pytest -p integrations.lightning_suite -o addopts= -W ignore -k NeurocktLogger \
        tests_pytorch/loggers/test_all.py tests_pytorch/trainer/properties/test_log_dir.py

Without ``-k`` also the tests that need any logger: in ``trainer/logging_``, ``callbacks/test_lr_monitor.py``,
``models/test_hparams.py``, ``checkpointing/test_model_checkpoint.py`` and others. There those fail that read CSV or
event files, and those that expect ``version_0`` or ``hp_metric``.
"""

from __future__ import annotations

import gc

import pytest
from lightning.pytorch import loggers
from lightning.pytorch.loggers import csv_logs, tensorboard
from lightning.pytorch.trainer.connectors.logger_connector import logger_connector

from neurockt.integrations.lightning import NeurocktLogger
from neurockt.monitor import recorder

for module in (loggers, csv_logs, tensorboard, logger_connector):
    module.CSVLogger = module.TensorBoardLogger = NeurocktLogger


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Where all loggers take turns, it is ours alone."""
    for mark in metafunc.definition.iter_markers("parametrize"):
        if mark.args[0] in ("logger_class", "logger_cls"):
            object.__setattr__(mark, "args", (mark.args[0], [NeurocktLogger]))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown() -> None:
    """No thread may be left after a test: its runs end."""
    gc.collect()
    for each in list(recorder._recorders.values()):
        each.finish()
