"""As much of GraphQL as W&B's clients speak: the fields that a document selects, taken out of a tree of values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_TOKEN = re.compile(r'#[^\n]*|"(?:\\.|[^"\\])*"|\.\.\.|\$?[A-Za-z_]\w*|-?\d+(?:\.\d+)?|[{}()\[\]:!=@|&]')
_LITERALS = {"true": True, "false": False, "null": None}


@dataclass
class Selected:
    """A field that was asked for, or the spread of a fragment (``name`` begins with dots)."""

    name: str
    alias: str
    arguments: dict[str, Any] = field(default_factory=dict)
    fields: list[Selected] = field(default_factory=list)


@dataclass
class Document:
    """The operation of a request, and its fragments."""

    kind: str = "query"
    fields: list[Selected] = field(default_factory=list)
    fragments: dict[str, list[Selected]] = field(default_factory=dict)


class _Parser:
    def __init__(self, text: str, variables: dict[str, Any]) -> None:
        self.tokens = [token for token in _TOKEN.findall(text) if not token.startswith("#")]
        self.variables = variables

    def take(self) -> str:
        return self.tokens.pop(0)

    def next_is(self, token: str) -> bool:
        if self.tokens and self.tokens[0] == token:
            self.tokens.pop(0)
            return True
        return False

    def document(self) -> Document:
        document = Document()
        while self.tokens:
            if self.tokens[0] == "{":
                document.fields = self.selection()
                continue
            kind, name = self.take(), ""
            while self.tokens[0] != "{":
                token = self.take()
                name = name or token
                if token == "(":
                    self.skip_declarations()
            fields = self.selection()
            if kind == "fragment":
                document.fragments[name] = fields
            else:
                document.kind, document.fields = kind, fields
        return document

    def skip_declarations(self) -> None:
        """The types of the variables do not matter here; their defaults do."""
        name = ""
        while (token := self.take()) != ")":
            if token.startswith("$"):
                name = token[1:]
            elif token == "=":
                self.variables.setdefault(name, self.value())

    def selection(self) -> list[Selected]:
        if not self.next_is("{"):
            return []
        found = []
        while not self.next_is("}"):
            found.append(self.field())
        return found

    def field(self) -> Selected:
        name = self.take()
        if name == "...":
            if self.next_is("on"):
                self.take()
                return Selected("...", "", fields=self.selection())
            return Selected("..." + self.take(), "")
        alias = name
        if self.next_is(":"):
            name = self.take()
        arguments = self.arguments()
        while self.next_is("@"):
            self.take()
            self.arguments()
        return Selected(name, alias, arguments, self.selection())

    def arguments(self) -> dict[str, Any]:
        if not self.next_is("("):
            return {}
        return dict(self.pairs(")"))

    def pairs(self, end: str) -> Iterator[tuple[str, Any]]:
        while not self.next_is(end):
            name = self.take()
            self.take()  # the colon
            yield name, self.value()

    def value(self) -> Any:
        token = self.take()
        if token.startswith("$"):
            return self.variables.get(token[1:])
        if token == "[":
            items = []
            while not self.next_is("]"):
                items.append(self.value())
            return items
        if token == "{":
            return dict(self.pairs("}"))
        if token in _LITERALS:
            return _LITERALS[token]
        return json.loads(token) if token[0] in '"-0123456789' else token


def parse(text: str, variables: dict[str, Any] | None) -> Document:
    """The document, with the variables put in their places."""
    return _Parser(text, dict(variables or {})).document()


def select(value: Any, fields: list[Selected], document: Document) -> Any:
    """What was asked for of a value: a function is called with the arguments, what there is not is null."""
    if isinstance(value, list):
        return [select(item, fields, document) for item in value]
    if not fields or not isinstance(value, dict):
        return value
    result: dict[str, Any] = {}
    for selected in fields:
        if selected.name.startswith("..."):
            result |= select(value, document.fragments.get(selected.name[3:], selected.fields), document)
            continue
        found = value.get(selected.name)
        if callable(found):
            found = found(**selected.arguments)
        result[selected.alias] = select(found, selected.fields, document)
    return result
