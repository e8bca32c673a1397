"""The filter language of `ls --filter` and of the viewer: which runs to show.

    resnet "two words" seed-?? /v[12]$/    name, id or project holds it; ``*`` and ``?`` stand for any text, or a regex
    name:x id: project: group: tag: note: state: cause: host: config:   the same, in one place
    has:valid_loss has:cfg.lr has:tag      there is a value
    cfg.lr>=1e-3 cfg.opt=adam cfg.a.b!=x   the config; = != < <= > >=
    valid_loss<0.1 best(acc)>0.95          a metric's last value, or best, min, max; "val/acc">0.9 for odd names
    acc@best(valid_loss)>0.9 epoch@min(wer)<5   a metric, or the step or epoch, where another metric is best
    steps>1000 epochs>=3 duration>2h age<1d started>=2026-11-23 progress<50% left<1h
    a b   a and b   a or b   not a   -a   (a or b) c

Upper and lower case are the same in texts. A run without a value does not match a comparison with it.
"""

from __future__ import annotations

import operator
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, get_args

from neurockt.errors import QueryError
from neurockt.formatting import clean, display_width, nearest
from neurockt.query.comparing import (
    COMPARISONS,
    PARSERS,
    Matcher,
    as_text,
    as_texts,
    numbers_compare,
    parse_number,
    values_compare,
)
from neurockt.query.fields import (
    AGGREGATES,
    CONFIG_PREFIXES,
    FIELD_NAMES,
    Field,
    aggregate,
    flat_config,
    glob,
    named,
    unquoted,
)
from neurockt.run_info import RunInfo, State

DEPTH_LIMIT: Final = 50
STATES: Final[tuple[str, ...]] = get_args(State)

Test = Callable[[RunInfo], bool]

QUALIFIERS: Final = "name id project group tag tags note notes state cause host config has".split()
_SPACE: Final = re.compile(r"\s*")
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_REGEX: Final = re.compile(r"/((?:[^/\\]|\\.)+)/(?=[\s()]|\Z)")
_AGGREGATE: Final = re.compile(rf"""(?:("(?:[^"\\]|\\.)*"|[^\s()"<>=:!]+)@)?({"|".join(AGGREGATES)})\(""", re.DOTALL)
_NAME: Final = re.compile(r'(?:[^\s()"<>=:!]|!(?!=))+')
_VALUE: Final = re.compile(r'[^\s()"]+')
_ARGUMENT: Final = re.compile(r"[^()]+")
_COMPARISON: Final = re.compile(r"\s*(<=|>=|!=|==|=|<|>)\s*")
_KEYWORD: Final = re.compile(r"(AND|OR|NOT|and|or|not)(?=[\s()]|\Z)")


@dataclass(frozen=True)
class Query:
    text: str
    fields: tuple[Field, ...]
    """The fields it uses, so that a misspelt one can be reported."""
    matches: Test


def parse(text: str) -> Query:
    """The filter that a text describes; the message of a ``QueryError`` points at the position."""
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._fields: list[Field] = []

    def parse(self) -> Query:
        self._skip()
        test = self._any_of() if self._at < len(self._text) else lambda info: True
        if self._at < len(self._text):
            raise self._error("this ')' has no '(' before it; remove it", self._at)
        return Query(self._text, tuple(self._fields), test)

    # Alternatives, conjunctions, negations

    def _any_of(self) -> Test:
        tests = [self._all_of()]
        while self._keyword("OR"):
            tests.append(self._all_of())
        return tests[0] if len(tests) == 1 else lambda info: any(test(info) for test in tests)

    def _all_of(self) -> Test:
        tests = [self._one()]
        while self._keyword("AND") or not self._at_end_of_conjunction():
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else lambda info: all(test(info) for test in tests)

    def _at_end_of_conjunction(self) -> bool:
        found = _KEYWORD.match(self._text, self._at)
        return (
            self._at == len(self._text)
            or self._text[self._at] == ")"
            or (found is not None and found[1].upper() == "OR")
        )

    def _one(self) -> Test:
        negated = False
        while self._keyword("NOT") or self._minus():
            negated = not negated
        test = self._group() if self._text.startswith("(", self._at) else self._term()
        self._skip()
        return (lambda info: not test(info)) if negated else test

    def _group(self) -> Test:
        opened = self._at
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise self._error(f"more than {DEPTH_LIMIT} parentheses within each other; write it flatter", opened)
        self._at += 1
        self._skip()
        test = self._any_of()
        if self._at == len(self._text):
            raise self._error("this '(' is not closed; add a ')'", opened)
        self._at += 1
        self._depth -= 1
        return test

    # Terms

    def _term(self) -> Test:
        start = self._at
        if start == len(self._text) or self._text[start] == ")" or _KEYWORD.match(self._text, start):
            raise self._error("a name or a comparison is missing here, such as a name or valid_loss<0.1", start)
        if _COMPARISON.match(self._text, start) or self._text[start] == ":":
            raise self._error("a name is missing before this, such as valid_loss<0.1 or name:resnet", start)
        if found := self._match(_REGEX):
            return _label_test(self._pattern(found[1], start))
        field, word = self._operand()
        if found := self._match(_COMPARISON):
            if field is None:
                field = self._field(word, start)
            self._fields.append(field)
            return self._comparison(field, found[1])
        if self._text.startswith(":", self._at) and not word.startswith('"'):
            return self._qualified(word, start)
        if field is not None and not word.startswith('"'):
            raise self._error(f"compare {word} with something, such as {word}>0.5", start)
        return _label_test(self._matcher(word))

    def _operand(self) -> tuple[Field | None, str]:
        """The field before an operator, and its text; for a bare word the field is not known yet."""
        start = self._at
        if found := self._match(_AGGREGATE):
            wanted, which = found.groups()
            self._skip()
            if self._text.startswith('"', self._at):
                argument = self._quoted()
            else:
                bare = self._match(_ARGUMENT)
                argument = bare[0].strip() if bare else ""
            self._skip()
            if not argument or not self._text.startswith(")", self._at):
                raise self._error(f'write {which}(METRIC), with odd names in quotes: {which}("val (a)")', start)
            self._at += 1
            word = self._text[start : self._at]
            return aggregate(which, unquoted(argument), word, wanted=unquoted(wanted or "")), word
        if self._text[start] == '"':
            word = self._quoted()
            return (aggregate("last", unquoted(word), word) if word != '""' else None), word
        if self._text[start] == "/":
            raise self._error("this /regex/ has no end; close it with '/', or put the text in quotes", start)
        found = self._match(_NAME)
        assert found is not None, "every other beginning of a term is dealt with"
        return None, found[0]

    def _quoted(self) -> str:
        found = self._match(_QUOTED)
        if not found:
            raise self._error("this quote is not closed; add a '\"' (within quotes, write \\\" for one)", self._at)
        return found[0]

    def _field(self, word: str, start: int) -> Field:
        if parse_number(word) is not None:
            raise self._error("put the name first, such as valid_loss<0.1; a metric called so goes in quotes", start)
        if word == '""' or word in CONFIG_PREFIXES:
            raise self._error('a name is missing here, such as cfg.lr or "val/acc"', start)
        return named(word)

    def _qualified(self, word: str, start: int) -> Test:
        if word not in QUALIFIERS and not word.startswith(CONFIG_PREFIXES):
            close = nearest(word, QUALIFIERS)
            hint = f"did you mean {close}:" if close else f"there are {': '.join(QUALIFIERS)}: and cfg.KEY:"
            raise self._error(f"no qualifier {word}: ({hint}; a text with a colon goes in quotes)", start)
        self._at += 1
        at = self._at
        if at == len(self._text) or self._text[at].isspace() or self._text[at] in "()":
            raise self._error(f"something is missing after {word}: (no space in between)", at)
        if word == "has":
            if _COMPARISON.match(self._text, at) or self._text[at] == ":":
                raise self._error("name a metric or a config key after has:, such as has:valid_loss", at)
            known, name = self._operand()
            wanted = known or self._field(name, at)
            self._fields.append(wanted)
            return lambda info: wanted.value(info) not in (None, "", ())
        found = self._match(_REGEX)
        matches = self._pattern(found[1], at) if found else self._matcher(self._value())
        if word == "config":
            return lambda info: any(matches(f"{key}={as_text(value)}") for key, value in flat_config(info.config))
        field = self._field(word, start)
        self._fields.append(field)
        if field.name == "state":
            self._check_state(matches, at)
        return lambda info: any(matches(text) for text in as_texts(field.value(info)))

    def _value(self) -> str:
        if self._text.startswith('"', self._at):
            return self._quoted()
        found = self._match(_VALUE)
        if not found:
            raise self._error("a value is missing here", self._at)
        return found[0]

    # Values

    def _comparison(self, field: Field, sign: str) -> Test:
        start = self._at
        written = self._value()
        compare = COMPARISONS[sign]
        if field.kind == "time":
            return self._time_test(field, sign, unquoted(written), start)
        if field.kind in PARSERS:
            wanted = PARSERS[field.kind](written)
            if wanted is None:
                example = {"duration": "90s, 30m, 2h or 1d", "share": "0.5 or 50%"}.get(field.kind, "0.1 or 1e-3")
                problem = f"{field.name} is a number; compare it with one, such as {example}"
                raise self._error(problem + _other_meaning(field), start)
            return lambda info: numbers_compare(compare, field.value(info), wanted)
        number = None if written.startswith('"') else parse_number(written)
        matches = self._matcher(written, whole=True)
        text = unquoted(written)
        if field.name == "state" and compare in (operator.eq, operator.ne):
            self._check_state(matches, start)
        return lambda info: values_compare(compare, field.value(info), text, number, matches)

    def _check_state(self, matches: Matcher, start: int) -> None:
        if not any(map(matches, STATES)):
            written = self._text[start : self._at]
            close = nearest(unquoted(written).casefold(), STATES)
            hint = f"did you mean {close}? " if close else ""
            raise self._error(f"no state is {clean(written)}; {hint}there are {', '.join(STATES)}", start)

    def _time_test(self, field: Field, sign: str, written: str, start: int) -> Test:
        compare = COMPARISONS[sign]
        try:
            moment = datetime.fromisoformat(written.removesuffix("Z") + "+00:00" * written.endswith("Z")).astimezone()
        except (ValueError, OverflowError, OSError):
            problem = f"{field.name} is a moment; write it as 2026-11-23 or 2026-11-23T10:15, or ask age<2d"
            raise self._error(problem, start) from None
        if compare in (operator.eq, operator.ne) and len(written) == len("2026-11-23"):
            return lambda info: bool(value := field.value(info)) and compare(value.astimezone().date(), moment.date())
        return lambda info: bool(value := field.value(info)) and compare(value, moment)

    def _matcher(self, written: str, *, whole: bool = False) -> Matcher:
        """A test whether a text contains what was written; with ``*``, ``?`` or ``whole``, whether it equals it."""
        text = unquoted(written).casefold()
        if not written.startswith('"') and ("*" in text or "?" in text):
            pattern = glob(text)
            return lambda candidate: pattern.match(candidate.casefold()) is not None
        if whole:
            return lambda candidate: candidate.casefold() == text
        return lambda candidate: text in candidate.casefold()

    def _pattern(self, regex: str, start: int) -> Matcher:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                pattern = re.compile(regex, re.IGNORECASE)
        except (re.error, OverflowError, RecursionError) as error:
            raise self._error(f"this regex does not work ({error}); or put the text in quotes", start) from None
        return lambda candidate: pattern.search(candidate) is not None

    # Moving on

    def _skip(self) -> None:
        self._match(_SPACE)

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found:
            self._at = found.end()
        return found

    def _keyword(self, word: str) -> bool:
        found = _KEYWORD.match(self._text, self._at)
        if not found or found[1].upper() != word:
            return False
        self._at = found.end()
        self._skip()
        return True

    def _minus(self) -> bool:
        if not self._text.startswith("-", self._at) or self._text[self._at + 1 : self._at + 2].strip() == "":
            return False
        self._at += 1
        return True

    def _error(self, problem: str, position: int) -> QueryError:
        shown = clean(self._text, 10_000)
        return QueryError(problem, shown, position, display_width(clean(self._text[:position], 10_000)))


def _other_meaning(field: Field) -> str:
    """What a metric that is compared with a text was probably meant to be."""
    if not field.metric or field.name != field.metric:
        return ""
    close = nearest(field.name, FIELD_NAMES)
    return f"; did you mean {close}?" if close else f"; for a config's key, write cfg.{field.name}"


def _label_test(matches: Matcher) -> Test:
    return lambda info: matches(info.name or "") or matches(info.id) or matches(info.project or "")
