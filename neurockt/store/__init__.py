"""The run directory: write it, read it, and seal or continue it when its process is dead. ``FORMAT.md`` describes it.

Other packages import what is named here; each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurockt.store.base import files, layout
    from neurockt.store.base.edits import Edit, edit_run, edits_of
    from neurockt.store.base.json_values import mapping_of, number, plain
    from neurockt.store.base.layout import AXES, KEY, RANK, RUN_FILE, TABLES, TableName, default_root, expanded
    from neurockt.store.base.origin import Origin, facts, read_origin, short_form
    from neurockt.store.base.run_file import read_info, to_json
    from neurockt.store.owner.liveness import Liveness, ask_scheduler
    from neurockt.store.owner.slurm import scheduler
    from neurockt.store.reading.follow import TableFollower
    from neurockt.store.reading.listed import read_listed
    from neurockt.store.reading.newest import NewestRows
    from neurockt.store.reading.random_access import ColumnValues, Groups, RowReader
    from neurockt.store.reading.run import NewRows, Run, open_run
    from neurockt.store.reading.table_reader import Damage
    from neurockt.store.recovery.sealing import seal_run
    from neurockt.store.recovery.trash import Trash, empty_trash, size_of, trash_of
    from neurockt.store.tables import arrays
    from neurockt.store.tables.outline import Outline
    from neurockt.store.tables.parts import open_writer

_NAMES = {
    "base": "files layout",
    "base.edits": "Edit edit_run edits_of",
    "base.json_values": "mapping_of number plain",
    "base.layout": "AXES KEY RANK RUN_FILE TABLES TableName default_root expanded",
    "base.origin": "Origin facts read_origin short_form",
    "base.run_file": "read_info to_json",
    "owner.liveness": "Liveness ask_scheduler",
    "owner.slurm": "scheduler",
    "reading.follow": "TableFollower",
    "reading.listed": "read_listed",
    "reading.newest": "NewestRows",
    "reading.random_access": "ColumnValues Groups RowReader",
    "reading.run": "NewRows Run open_run",
    "reading.table_reader": "Damage",
    "recovery.sealing": "seal_run",
    "recovery.trash": "Trash empty_trash size_of trash_of",
    "tables": "arrays",
    "tables.outline": "Outline",
    "tables.parts": "open_writer",
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(f"{__name__}.{_HOMES[name]}")
    value = getattr(home, name, None) or import_module(f"{home.__name__}.{name}")
    globals()[name] = value
    return value
