"""What the user asked of W&B, by arguments of ``wandb.init``, its settings or the environment, in that order."""

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
from neurockt.store.base.layout import DEFAULT_ROOT, ROOT_VARIABLE

ONLINE: Final = "online"
OFFLINE: Final = "offline"
DISABLED: Final = "disabled"
OTHER_WORDS: Final = {"run": ONLINE, "dryrun": OFFLINE, "shared": ONLINE}
"""The mode by W&B's older words for it."""
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
"""By argument: its names in ``wandb.Settings`` and in the environment."""

WITHOUT_USE: Final = ("allow_val_change", "force", "reinit", "anonymous")
"""Arguments of ``wandb.init`` that need nothing done here."""
NOT_DONE: Final = ("resume_from", "fork_from", "save_code", "tensorboard", "sync_tensorboard", "monitor_gym")
"""Those that ask for something that ``WandbRecorder`` does not do."""


@dataclass(frozen=True)
class Wanted:
    mode: str
    entity: str | None
    project: str | None
    name: str | None
    id: str | None
    tags: tuple[str, ...]
    notes: str | None
    group: str | None
    job_type: str | None
    root: str | os.PathLike[str] | None
    """Where W&B's ``dir`` asks for runs to be kept: ``runs`` in that directory; None for the default."""
    resume: bool | None
    """Whether the run must go on with an earlier one that is there, or must not; None where that was not said."""
    directory: str | None
    """The name of the run directory, where the run goes on with an earlier one; None for a new one."""
    finish_seconds: float | None
    environment: Mapping[str, str]
    """W&B's environment variables that the settings replace."""

    @classmethod
    def find(cls, settings: Any, **arguments: Any) -> Wanted:
        """Each from the arguments, the settings or the environment. Raises UsageError for an unknown word."""
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
        mode = OTHER_WORDS.get(mode, mode)
        if mode not in (ONLINE, OFFLINE, DISABLED):
            raise UsageError(f"unknown mode {mode!r}; use 'online', 'offline' or 'disabled'")
        resume, wanted_id, tags = wanted("resume"), wanted("id"), wanted("tags")
        if resume not in (None, True, False, *RESUME):
            raise UsageError(f"unknown resume={resume!r:.60}; use {', '.join(map(repr, RESUME))}, True or False")
        if wanted_id is not None and not isinstance(wanted_id, str):
            raise UsageError(f"id={wanted_id!r:.60} is not a string")
        goes_on = resume not in (None, False, "never")
        variables = {"WANDB_BASE_URL": given.get("base_url"), "WANDB_API_KEY": given.get("api_key")}
        seconds = given.get("finish_timeout")
        return cls(
            mode=mode,
            id=wanted_id,
            tags=(tags,) if isinstance(tags, str) else tuple(tags or ()),
            **{name: wanted(name) for name in ("entity", "project", "name", "notes", "group", "job_type")},
            root=_root(arguments["dir"] or given.get("root_dir")),
            resume=True if goes_on else False if resume == "never" else None,
            directory=_directory(wanted_id) if goes_on else None,
            finish_seconds=float(seconds) if seconds else None,
            environment={name: str(value) for name, value in variables.items() if value},
        )

    @staticmethod
    def take_ignored(others: dict[str, Any]) -> list[str]:
        """Remove the arguments that only W&B has; gives those that ask for something that is not done."""
        for name in WITHOUT_USE:
            others.pop(name, None)
        found = {name: others.pop(name, None) for name in NOT_DONE}
        return [f"{name}={value!r:.60}" for name, value in found.items() if value]

    @staticmethod
    def chosen(config: Any, include: Iterable[str] | None, exclude: Iterable[str] | None) -> Any:
        if isinstance(config, (str, Path)):
            config = _read_yaml(Path(config))
        if include is None and exclude is None:
            return config
        if include is not None and exclude is not None:
            raise UsageError("give config_include_keys or config_exclude_keys, not both")
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
    """The settings that the user has set; not W&B's defaults."""
    if settings is None:
        return {}
    if isinstance(settings, Mapping):
        return settings
    names = getattr(settings, "model_fields_set", None)
    if names is None:
        raise UsageError(f"settings must be a wandb.Settings or a dict, not {type(settings).__name__}")
    return {name: getattr(settings, name) for name in names}


def _root(directory: str | os.PathLike[str] | None) -> str | os.PathLike[str] | None:
    """``runs`` in the user's ``dir``; in ``$WANDB_DIR`` unless there is ``$NEUROCKT_DIR``, which names ours."""
    if directory is None and not os.environ.get(ROOT_VARIABLE):
        directory = os.environ.get("WANDB_DIR") or None
    return directory and os.path.join(directory, DEFAULT_ROOT)


def _directory(run_id: str | None) -> str | None:
    """The id, if a directory can have that name."""
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
    except Exception as error:  # YAML's own
        raise UsageError(f"the config {path} is not YAML: {error}") from None
    if not isinstance(document, dict):
        raise UsageError(f"the config {path} is not a mapping")
    return {
        str(key): value["value"] if isinstance(value, dict) and "value" in value else value
        for key, value in document.items()
        if key != "wandb_version"
    }
