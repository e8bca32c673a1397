"""Completion of a filter that is being typed: what can stand where the cursor is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, get_args

from neurockt.errors import QueryError
from neurockt.formatting import clean
from neurockt.query.comparing import as_texts, parse_number
from neurockt.query.fields import AGGREGATES, parse_field, quoted, unquoted
from neurockt.query.filter import QUALIFIERS
from neurockt.run_info import RunInfo, State

VALUES_OFFERED: Final = 50
"""Values of a field that are offered, the commonest ones."""

_CALL: Final = rf'(?:[^\s()"<>=:!]+@)?(?:{"|".join(AGGREGATES)})\('
_STRING: Final = r'"(?:[^"\\]|\\.)*'
_SIGN: Final = r"<=|>=|!=|==|=|<|>"
_TOKEN: Final = re.compile(rf'(?:{_STRING}"?|{_CALL}[^()]*\)?|\s*(?:{_SIGN})\s*|[^\s()"<>=])+|.', re.DOTALL)
_PARTS: Final = re.compile(
    rf'-?(?:(?P<field>{_STRING}"|{_CALL}[^()]*\)|[^\s()"<>=:!]+)(?P<sign>:|\s*(?:{_SIGN})\s*))?(?P<call>{_CALL})?(?P<word>.*)',
    re.DOTALL,
)
_HALF_NUMBER: Final = re.compile(r"[-+]?\d*\.?\d*(?:e[-+]?)?")
_LAST_OPERATOR: Final = re.compile(r"(?:(?:\s|^)(?:and|or|not|-))*\s*\Z", re.IGNORECASE)


@dataclass(frozen=True)
class Completion:
    """What the word before the cursor can become."""

    start: int
    """Where that word begins."""
    words: tuple[str, ...]
    """What can replace it: what begins as it does, then what contains it."""
    unfinished: bool = False
    """Whether it may be a part of something longer."""
    rest: str | None = None
    """The filter without the term that it belongs to; None where no word has been begun."""


class Vocabulary:
    """The words that a filter of these runs can consist of."""

    def __init__(self, runs: Sequence[RunInfo], names: Iterable[str]) -> None:
        """Read nothing yet; values are collected where they are asked for.

        Args:
            runs: those that are filtered.
            names: the fields that they have.
        """
        self._runs = runs
        fields = [name for name in names if name not in QUALIFIERS]
        self._names = [*(f"{name}:" for name in QUALIFIERS), *fields]
        self._metrics = list(dict.fromkeys(quoted(found) for name in fields if (found := parse_field(name).metric)))
        self._values: dict[str, list[str]] = {}

    def complete(self, text: str, cursor: int) -> Completion:
        """What can stand before the cursor; nothing where no word has been begun there."""
        before = text[:cursor]
        token = next((found for found in _TOKEN.finditer(before) if found.end() == cursor), None)
        parts = _PARTS.fullmatch(token[0]) if token and not token[0].isspace() and token[0] not in "()" else None
        if token is None or parts is None:
            return Completion(cursor, ())
        word, start = parts["word"], token.start() + parts.start("word")
        rest = _LAST_OPERATOR.sub("", before[: token.start()])
        if parts["call"]:
            return _completion(word, start, rest, [f"{metric})" for metric in self._metrics])
        if parts["sign"] is None:
            known = [*self._names, "and", "or", "not"] if rest.strip() else self._names
            return _completion(word, start, rest, known) if word else Completion(cursor, ())
        if parts["sign"] == ":" and parts["field"] == "has":
            return _completion(word, start, rest, self._names)
        found = _completion(word, start, rest, self._values_of(parts["field"]), values=True)
        half = bool(word) and _HALF_NUMBER.fullmatch(word.lower()) is not None and parse_number(word) is None
        return replace(found, unfinished=found.unfinished or half)

    def _values_of(self, name: str) -> list[str]:
        if name not in self._values:
            try:
                field = parse_field(name)
            except QueryError:
                return []
            if field.name == "state":
                texts: list[str] = list(get_args(State))
            elif field.kind in ("text", "any"):
                counts = Counter(text for info in self._runs for text in as_texts(field.value(info)))
                texts = [text for text, _ in counts.most_common(VALUES_OFFERED)]
            else:
                texts = []
            self._values[name] = texts
        return self._values[name]


def _completion(word: str, start: int, rest: str, known: Sequence[str], *, values: bool = False) -> Completion:
    typed = unquoted(word).lstrip('"').casefold()
    begin = [each for each in known if each.lstrip('"').casefold().startswith(typed)]
    if word.startswith('"'):
        begin.sort(key=lambda each: not each.startswith('"'))
    within = [each for each in known if typed and typed in each.casefold() and each not in begin]
    words = [_quoted_value(each) if values else each for each in [*begin, *within]]
    others = tuple(each for each in words if each != word and clean(each, len(each)) == each)
    return Completion(start, others, bool(word and others), rest)


def _quoted_value(text: str) -> str:
    """A value as it is written in a filter: in quotes where it would end earlier, or mean something else."""
    if text and not re.search(r'[\s()"*?/]', text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
