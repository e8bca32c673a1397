"""What a run can be asked for by name: `ls --sort`, its columns, the filter and the viewer share these names.

id name project group state cause host tags notes path   who and where
started ended updated duration age                    when; the last two in seconds
steps epochs attempts dropped                         the last step and epoch; how many
archived                                              true or false
total_steps progress speed                            how many steps it is to have; the share done; steps a second
left idle job_left                                    seconds to the last step, since the last row, to the job's end
cfg.optimizer.lr                                      the config, nested by dots
valid_loss  last(x) best(x) min(x) max(x)             a metric: its last, best, smallest or largest value
"val/acc"                                             quoted: a metric, whatever it is called
mmlu/acc                                              a metric of what is attached under the name mmlu
loss@steps  loss@epochs                               a metric that both tables have: that of one of them
acc@best(valid_loss)  epoch@min(wer)                  a metric, or the epoch or step, where another metric is best
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache
from itertools import chain
from typing import Any, Final, Literal

from neurockt.errors import QueryError
from neurockt.progress import job_seconds_left, seconds_idle, seconds_left, share_done, speed
from neurockt.query.metrics import extreme_of, metric_summary, value_where
from neurockt.run_info import RunInfo

Kind = Literal["text", "number", "share", "duration", "time", "any"]
"""The kind of a field's values; *any* for a config's."""

CONFIG_PREFIXES: Final = ("cfg.", "config.")
_PLAIN: Final = re.compile(r"\w[\w./@-]*")
"""A metric's name that needs no quotes, unless it is a field of every run."""


@dataclass(frozen=True)
class Field:
    """A property of a run that can be listed, sorted by and compared."""

    name: str
    kind: Kind
    value: Callable[[RunInfo], Any]
    metric: str = ""
    where: str = ""
    """The metric whose best value decides in which row ``metric`` is looked up."""

    @property
    def is_measured(self) -> bool:
        return self.kind in ("number", "share", "duration")

    @property
    def label(self) -> str:
        """The title of its column: the name without surrounding quotes."""
        return unquoted(self.name)


def _age(info: RunInfo) -> float:
    return max(0.0, (datetime.now(timezone.utc) - info.created).total_seconds())


_OWN: Final[dict[str, tuple[Kind, Callable[[RunInfo], Any]]]] = {
    "id": ("text", lambda info: info.id),
    "name": ("text", lambda info: info.label),
    "project": ("text", lambda info: info.project),
    "group": ("text", lambda info: info.group),
    "state": ("text", lambda info: info.state),
    "cause": ("text", lambda info: info.cause),
    "host": ("text", lambda info: info.attempt.host if info.attempt else None),
    "tags": ("text", lambda info: info.tags),
    "tag": ("text", lambda info: info.tags),
    "notes": ("text", lambda info: info.notes),
    "note": ("text", lambda info: info.notes),
    "path": ("text", lambda info: str(info.path)),
    "started": ("time", lambda info: info.created),
    "ended": ("time", lambda info: info.ended),
    "updated": ("time", lambda info: info.updated),
    "duration": ("duration", lambda info: info.seconds),
    "age": ("duration", _age),
    "steps": ("number", lambda info: info.steps.number),
    "epochs": ("number", lambda info: info.epochs.number),
    "attempts": ("number", lambda info: len(info.attempts)),
    "dropped": ("number", lambda info: info.dropped),
    "archived": ("any", lambda info: info.archived),
    "total_steps": ("number", lambda info: info.total_steps),
    "progress": ("share", share_done),
    "speed": ("number", speed),
    "left": ("duration", seconds_left),
    "idle": ("duration", seconds_idle),
    "job_left": ("duration", job_seconds_left),
}

FIELD_NAMES: Final = tuple(name for name in _OWN if name not in ("tag", "note"))
"""The fields of every run, beside its config and metrics."""

AGGREGATES: Final = ("best", "last", "max", "min")

_AGGREGATE: Final = re.compile(r"(?:(.+)@)?(best|last|max|min)\((.*)\)", re.DOTALL)


@lru_cache(maxsize=256)
def parse_field(text: str) -> Field:
    """The field of that name; one that is neither of the run's own nor a config's is a metric."""
    name = text.strip()
    if found := _AGGREGATE.fullmatch(name):
        wanted, which, metric = found.groups()
        return aggregate(which, unquoted(metric.strip()), name, wanted=unquoted((wanted or "").strip()))
    if len(name) > 1 and name[0] == name[-1] == '"':
        return aggregate("last", unquoted(name), name)
    if not name:
        raise QueryError("a column's name is missing", text, 0)
    return named(name)


def split_names(text: str) -> list[str]:
    """Names with commas between them; a comma within quotes or parentheses belongs to the name."""
    names, depth, quoted, escaped = [""], 0, False, False
    for character in text:
        if character == "," and not depth and not quoted:
            names.append("")
            continue
        if character == '"' and not escaped:
            quoted = not quoted
        elif not quoted:
            depth = max(0, depth + (character == "(") - (character == ")"))
        escaped = character == "\\" and not escaped
        names[-1] += character
    return [name.strip() for name in names]


def named(name: str) -> Field:
    if name in _OWN:
        return Field(name, *_OWN[name])
    prefix, dot, path = name.partition(".")
    if path and prefix + dot in CONFIG_PREFIXES:
        return Field(name, "any", lambda info: config_value(info.config, path))
    return aggregate("last", name, name)


def aggregate(which: str, metric: str, name: str, *, wanted: str = "") -> Field:
    """A metric's last, best, smallest or largest value, or that of ``wanted`` where it has that."""
    if not metric:
        raise QueryError("a metric's name is missing", name, 0)
    if wanted:
        return Field(name, "number", lambda info: value_where(info, wanted, which, metric), wanted, where=metric)
    end = extreme_of(which, metric)

    def value(info: RunInfo) -> float | None:
        summary = metric_summary(info, metric)
        return None if summary is None else getattr(summary, end)

    return Field(name, "number", value, metric)


def config_value(config: Any, path: str) -> Any:
    """A config's value by its dotted path; keys that contain dots are found too, and items of a list by number."""
    if isinstance(config, Mapping):
        if path in config:
            return config[path]
        end = path.find(".")
        while end >= 0:
            if path[:end] in config:
                found = config_value(config[path[:end]], path[end + 1 :])
                if found is not None:
                    return found
            end = path.find(".", end + 1)
    elif isinstance(config, Sequence) and not isinstance(config, str):
        index, _, rest = path.partition(".")
        if index.isascii() and index.isdecimal() and len(index) < 10 and int(index) < len(config):
            return config_value(config[int(index)], rest) if rest else config[int(index)]
    return None


def flat_config(config: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """A nested config as dotted paths and their values."""
    # a list of ten thousand runs asks this of each: most configs are flat, and the abstract Mapping takes long
    return _flat(config, "") if dict in map(type, config.values()) else config.items()


def _flat(config: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def sort_runs(runs: Iterable[RunInfo], field: str, *, reverse: bool = False) -> list[RunInfo]:
    """The runs sorted by a field: numbers before text; runs without a value come last in both directions."""
    read = parse_field(field).value
    there: list[tuple[tuple[int, float, str], RunInfo]] = []
    lacking: list[RunInfo] = []
    for info in runs:
        key = sort_key(read(info))
        if key is None:
            lacking.append(info)
        else:
            there.append((key, info))
    there.sort(key=lambda pair: pair[0], reverse=reverse)
    return [*(info for _, info in there), *lacking]


def sort_key(value: Any) -> tuple[int, float, str] | None:
    """What orders the values of a field, numbers before text; None for no value, which has no place in an order."""
    if isinstance(value, datetime):
        return 0, value.timestamp(), ""
    if isinstance(value, (int, float)):
        return (0, value, "") if value == value else None  # NaN has no order
    if value is None or value in ("", (), []):
        return None
    if isinstance(value, (list, tuple)):
        return 1, 0.0, ", ".join(str(item) for item in value).casefold()
    return 1, 0.0, str(value).casefold()


def unquoted(text: str) -> str:
    """Text without the quotes around it; inside, a backslash escapes a quote or a backslash."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        return re.sub(r'\\(["\\])', r"\1", text[1:-1])
    return text


def glob(pattern: str) -> re.Pattern[str]:
    """What a pattern matches as a whole: ``*`` is any text and ``?`` any character; brackets mean themselves."""
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]")))


def matching(name: str, there: Collection[str]) -> list[str]:
    """The names that are meant: the one that is written, with or without quotes, or all that a pattern matches."""
    if (plain := unquoted(name)) in there:
        return [plain]
    return list(filter(glob(name).match, there)) if is_pattern(name) else []


def is_pattern(name: str) -> bool:
    """Whether a name stands for all that match it; in quotes, it is a name."""
    return unquoted(name) == name and ("*" in name or "?" in name)


def quoted(metric: str) -> str:
    """The field that is a metric's last value, whatever its name; without quotes where none are needed."""
    if _PLAIN.fullmatch(metric) and parse_field(metric).metric == metric:
        return metric
    escaped = metric.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def titles(fields: Iterable[Field], of_epochs: Container[str]) -> list[str]:
    """The titles of their columns: that of a metric which is ``shown_of_epochs`` names that table."""
    return [_with_table(field) if field.metric in of_epochs and not field.where else field.label for field in fields]


def _with_table(field: Field) -> str:
    before, metric, after = field.label.rpartition(field.metric)
    return f"{before}{metric}@epochs{after}" if metric else field.label


def usual_metrics(runs: Sequence[RunInfo], count: int) -> list[str]:
    """The fields of the metrics that most runs have: of `epochs` and what is attached, else of `steps` and `late`."""
    epochs = Counter(chain.from_iterable(info.epochs.columns for info in runs))
    attached = Counter(name for info in runs if info.attached for name in info.attached_metrics)
    late = (name for info in runs if info.late.columns for name in info.late.columns if name not in info.steps.columns)
    steps = Counter(chain(chain.from_iterable(info.steps.columns for info in runs), late))
    common = epochs + attached if epochs else attached or steps
    names = [name for name, _ in common.most_common(count)]
    if not epochs and attached:
        names += [name for name, _ in steps.most_common(count)]
    return [quoted(name) for name in names[:count]]


def differing(runs: Sequence[RunInfo], names: Iterable[str]) -> list[str]:
    return [name for name in names if _differ(map(parse_field(name).value, runs))]


def _differ(values: Iterator[Any]) -> bool:
    first = next(values, None)
    return any(value != first for value in values)


def differing_keys(runs: Iterable[RunInfo]) -> list[str]:
    """The config keys whose values differ between runs, as fields, in the order of the config; seeds last."""
    first: dict[str, Any] = {}
    differing: set[str] = set()
    for info in runs:
        for key, value in flat_config(info.config):
            if key not in differing and not _is_same(first.setdefault(key, value), value):
                differing.add(key)
    found = [f"cfg.{key}" for key in first if key in differing]
    return sorted(found, key=lambda key: "seed" in key.lower())


def _is_same(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and bool(one == other))
