"""Masks secrets in command lines, URLs and diffs: values whose name is a secret's, passwords, tokens of known shape."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

MASK: Final = "***"

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET_WORDS: Final = frozenset(
    "password passwd passphrase secret secrets credential credentials apikey accesskey secretkey privatekey".split()
)
"""A name that contains one of these words is a secret's."""
_SECRET_ENDINGS: Final = frozenset("pwd token apitoken authtoken accesstoken auth oauth authorization key pat".split())
"""A name that ends with one of these words is a secret's; ``tokens``, ``tokenizer`` and ``keys`` are not."""
_HARMLESS_ENDINGS: Final = frozenset("name file path dir directory".split())
_TOKENS_OF_TEXT: Final = frozenset(
    "pad eos bos unk sep cls mask image video audio start stop end begin special".split()
)
"""``token`` after one of these words belongs to a language model: ``pad_token``."""

_BEGIN: Final = r"(?<![\w.-])"
"""Matches only at the beginning of a word, so that a long text takes linear time."""
_ASSIGNED: Final = re.compile(
    _BEGIN
    + r"""(?P<name>-{0,2}[A-Za-z_][\w.-]*)(?P<between>["'\]]{0,2}\s*[=:]\s*)"""
    + r"""(?P<value>"[^"\n]*"|'[^'\n]*'|[^\s,;&'"(){}\[\]]+)"""
)
"""``name=value``, ``name: value`` and ``"name": "value"`` in text."""
_USER_INFO: Final = re.compile(r"(?<![A-Za-z0-9+.-])(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<user>[^\s/@'\"]+)@")
_SHAPES: Final = re.compile(
    r"\b(?:gh[opsur]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|hf_\w{16,}|sk-[\w-]{16,}|xox[abeoprs]-[\w-]{10,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{12,}|AIza[\w-]{30,}|wandb_v\d_\w{16,}|npm_\w{20,}|pypi-[\w-]{16,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|(?<=earer )[\w+/=.~-]{6,}|(?<=asic )[\w+/=.~-]{6,})"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)
"""Tokens that their issuers gave a shape of their own, what follows ``Bearer`` and ``Basic``, and private keys."""


def is_secret_name(name: str) -> bool:
    """Whether what has this name is probably a secret: ``hf-token``, ``API_KEY``, ``dbPassword``; not ``pad_token``."""
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or words[-1] in _HARMLESS_ENDINGS:
        return False
    if not _SECRET_WORDS.isdisjoint(words):
        return True
    if words[-1] == "token" and not _TOKENS_OF_TEXT.isdisjoint(words[-2:]):
        return False
    return words[-1] in _SECRET_ENDINGS


def mask_text(text: str, *, code: bool = False) -> str:
    """``text`` with its secrets masked.

    Args:
        code: ``text`` is source code, where ``token = next(tokens)`` is not a secret: only quoted values are masked.
    """
    text = _SHAPES.sub(MASK, _USER_INFO.sub(_mask_user, text))
    return _ASSIGNED.sub(lambda found: _mask_value(found, code), text)


def mask_arguments(arguments: Iterable[str]) -> list[str]:
    """A command line with its secrets masked, also where a value is an argument of its own (``--token X``)."""
    masked = []
    after_secret = False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        if after_secret and not argument.startswith("--"):
            masked.append(MASK)
            after_secret = False
        elif equals and _is_name(name) and is_secret_name(name):
            masked.append(f"{name}={MASK}")
            after_secret = False
        else:
            masked.append(mask_text(argument))
            after_secret = argument.startswith("-") and _is_name(argument) and is_secret_name(argument)
    return masked


def _is_name(text: str) -> bool:
    return re.fullmatch(r"[-+]*[A-Za-z_][\w./@-]*", text) is not None


def _mask_user(found: re.Match[str]) -> str:
    """``git`` in ``ssh://git@host`` is a user, but ``TOKEN`` in ``https://TOKEN@host`` may be a secret."""
    if ":" not in found["user"] and not found["scheme"].lower().startswith("http"):
        return found[0]
    return f"{found['scheme']}{MASK}@"


def _mask_value(found: re.Match[str], quoted_only: bool) -> str:
    name, between, value = found["name"], found["between"], found["value"]
    quote = value[0] if value[0] in "\"'" else ""
    if not is_secret_name(name) or value.startswith(MASK) or (quoted_only and not quote):
        return found[0]
    return f"{name}{between}{quote}{MASK}{quote}"
