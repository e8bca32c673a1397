"""What ``wandb.init`` takes, from its arguments, its settings and its environment variables, in that order."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from neurockt.errors import UsageError
from neurockt.monitor.names import check_run_id
from neurockt.run_info import RunInfo
from neurockt.store.base.json_values import mapping_of

ONLINE: Final = "online"
OFFLINE: Final = "offline"
DISABLED: Final = "disabled"
MODES: Final = {
    ONLINE: ONLINE,
    OFFLINE: OFFLINE,
    DISABLED: DISABLED,
    "run": ONLINE,
    "dryrun": OFFLINE,
    "shared": ONLINE,
}
"""By what the user says, which may be one of W&B's older words."""
RESUME: Final = ("allow", "must", "auto", "never")

SETTINGS: Final = {
    "mode": ("mode", "WANDB_MODE"),
    "entity": ("entity", "WANDB_ENTITY"),
    "project": ("project", "WANDB_PROJECT"),
    "name": ("run_name", "WANDB_NAME"),
    "id": ("run_id", "WANDB_RUN_ID"),
    "tags": ("run_tags", "WANDB_TAGS"),
    "notes": ("run_notes", "WANDB_NOTES"),
    "group": ("run_group", "WANDB_RUN_GROUP"),
    "job_type": ("run_job_type", "WANDB_JOB_TYPE"),
    "resume": ("resume", "WANDB_RESUME"),
}
"""By argument: what ``wandb.Settings`` and the environment call it."""

WITHOUT_USE: Final = ("dir", "allow_val_change", "force", "reinit", "anonymous")
"""Arguments of ``wandb.init`` that ask for nothing that is missed here."""
NOT_DONE: Final = ("resume_from", "fork_from", "save_code", "tensorboard", "sync_tensorboard", "monitor_gym")
"""Those that ask for something that is not done."""


@dataclass(frozen=True)
class Wanted:
    """What the user wants of W&B."""

    mode: str
    entity: str | None
    project: str | None
    name: str | None
    id: str | None
    tags: tuple[str, ...]
    notes: str | None
    group: str | None
    job_type: str | None
    directory: str | None
    """The name that the run directory is to have, since the run goes on with an earlier one; None for a new one."""
    finish_seconds: float | None
    environment: Mapping[str, str]
    """W&B's variables that settings stand for."""

    @classmethod
    def find(cls, settings: Any, **arguments: Any) -> Wanted:
        """Look everywhere.

        Raises:
            UsageError: a mode or a way to resume that there is not.
        """
        given = _given(settings)

        def wanted(argument: str) -> Any:
            setting, variable = SETTINGS[argument]
            for value in (arguments[argument], given.get(setting)):
                if value is not None:
                    return value
            text = os.environ.get(variable) or None
            return text.split(",") if text and argument == "tags" else text

        is_off = os.environ.get("WANDB_DISABLED", "").lower() in ("true", "1", "yes")
        mode = wanted("mode") or (DISABLED if is_off else ONLINE)
        if mode not in MODES:
            raise UsageError(f"no mode {mode!r}; 'online', 'offline' or 'disabled'")
        resume, wanted_id = wanted("resume"), wanted("id")
        if resume not in (None, True, False, *RESUME):
            raise UsageError(f"no way to resume called {resume!r}; {', '.join(map(repr, RESUME))}, True or False")
        if wanted_id is not None and not isinstance(wanted_id, str):
            raise UsageError(f"id={wanted_id!r:.60} is no text")
        goes_on = resume not in (None, False, "never")
        variables = {"WANDB_BASE_URL": given.get("base_url"), "WANDB_API_KEY": given.get("api_key")}
        seconds = given.get("finish_timeout")
        return cls(
            mode=MODES[mode],
            entity=wanted("entity"),
            project=wanted("project"),
            name=wanted("name"),
            id=wanted_id,
            tags=_tags(wanted("tags")),
            notes=wanted("notes"),
            group=wanted("group"),
            job_type=wanted("job_type"),
            directory=_directory(wanted_id) if goes_on else None,
            finish_seconds=float(seconds) if seconds else None,
            environment={name: str(value) for name, value in variables.items() if value},
        )

    @staticmethod
    def take_ignored(others: dict[str, Any]) -> list[str]:
        """Take out what is W&B's alone; gives what of it asks for something that is not done."""
        for name in WITHOUT_USE:
            others.pop(name, None)
        found = {name: others.pop(name, None) for name in NOT_DONE}
        return [f"{name}={value!r:.60}" for name, value in found.items() if value]

    @staticmethod
    def chosen(config: Any, include: Iterable[str] | None, exclude: Iterable[str] | None) -> Any:
        """The config, as far as it is to be kept."""
        if isinstance(config, (str, Path)):
            config = _read_yaml(Path(config))
        if include is None and exclude is None:
            return config
        if include is not None and exclude is not None:
            raise UsageError("say config_include_keys or config_exclude_keys, not both")
        values = mapping_of(config)
        kept = set(values).intersection(include) if include is not None else set(values).difference(exclude or ())
        return {key: value for key, value in values.items() if key in kept}

    def write_wishes(self, run_dir: Path, info: RunInfo) -> None:
        """Note where the user wants the run, for every sync."""
        from neurockt.sync.describe import identity
        from neurockt.sync.ledger import Ledger, Wishes

        wishes = Wishes(entity=self.entity, run_id=self.id, job_type=self.job_type)
        if wishes != Wishes():
            Ledger(run_dir, identity(info)).write_wishes(wishes)


def _given(settings: Any) -> Mapping[str, Any]:
    """The settings that the user made, not W&B's defaults."""
    if settings is None:
        return {}
    if isinstance(settings, Mapping):
        return settings
    names = getattr(settings, "model_fields_set", None)
    if names is None:
        raise UsageError(f"settings is a wandb.Settings or a dict, not {type(settings).__name__}")
    return {name: getattr(settings, name) for name in names}


def _tags(tags: Any) -> tuple[str, ...]:
    return (tags,) if isinstance(tags, str) else tuple(tags or ())


def _directory(run_id: str | None) -> str | None:
    """The id, where a directory can be called so; W&B takes some that none can."""
    try:
        return run_id and check_run_id(run_id)
    except UsageError:
        return None


def _read_yaml(path: Path) -> dict[str, Any]:
    """A config from a file, which may wrap each value as W&B's own files do."""
    try:
        document = import_module("yaml").safe_load(path.read_text(encoding="utf-8"))
    except ImportError:
        raise UsageError("a config in a file needs PyYAML: pip install pyyaml; or give a dict") from None
    except OSError as error:
        raise UsageError(f"cannot read the config {path}: {error.strerror}") from None
    except Exception as error:  # yaml's own, which there is no need to name
        raise UsageError(f"the config {path} is no YAML: {error}") from None
    if not isinstance(document, dict):
        raise UsageError(f"the config {path} holds no mapping")
    return {
        str(key): value["value"] if isinstance(value, dict) and "value" in value else value
        for key, value in document.items()
        if key != "wandb_version"
    }
