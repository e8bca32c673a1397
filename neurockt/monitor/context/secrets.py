"""What looks like a secret becomes ``***`` before anything that the user did not mean to record is stored."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

MASK: Final = "***"

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET_WORDS: Final = frozenset(
    "password passwd passphrase secret secrets credential credentials apikey accesskey secretkey privatekey".split()
)
"""Words that make a name a secret's, wherever they stand in it."""
_SECRET_ENDINGS: Final = frozenset("pwd token apitoken authtoken accesstoken auth oauth authorization key pat".split())
"""Words that do so at its end; ``tokens``, ``tokenizer`` and ``keys`` are others."""
_HARMLESS_ENDINGS: Final = frozenset("name file path dir directory".split())
_TOKENS_OF_TEXT: Final = frozenset(
    "pad eos bos unk sep cls mask image video audio start stop end begin special".split()
)
"""What stands before ``token`` where it is one of a language model's."""

_BEGIN: Final = r"(?<![\w.-])"
"""Only at a word's beginning, so that a long text is looked at once."""
_ASSIGNED: Final = re.compile(
    _BEGIN
    + r"""(?P<name>-{0,2}[A-Za-z_][\w.-]*)(?P<between>["'\]]{0,2}\s*[=:]\s*)"""
    + r"""(?P<value>"[^"\n]*"|'[^'\n]*'|[^\s,;&'"(){}\[\]]+)"""
)
"""``name=value``, ``name: value`` and ``"name": "value"`` in text."""
_SPOKEN: Final = re.compile(
    _BEGIN + r"(?P<name>-{0,2}[A-Za-z][\w-]*)(?P<between>\s+(?:is\s+)?)(?P<value>[\w+/=.~-]{16,})"
)
"""``token abcdef0123456789``: a name, and after it something long."""
_BEARER: Final = re.compile(r"(?i)\b(bearer|basic)\s+[\w+/=.~-]{6,}")
_USER_INFO: Final = re.compile(r"(?<![A-Za-z0-9+.-])(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<user>[^\s/@'\"]+)@")
_SHAPES: Final = re.compile(
    r"\b(?:gh[opsur]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|hf_\w{16,}|sk-[\w-]{16,}|xox[abeoprs]-[\w-]{10,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{12,}|AIza[\w-]{30,}|wandb_v\d_\w{16,}|npm_\w{20,}|pypi-[\w-]{16,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
)
"""Tokens that their issuers gave a shape of their own."""
_PRIVATE_KEY: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)


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
    """``text`` without what looks like a secret in it.

    Args:
        code: it is source code, where ``token = next(tokens)`` is none: only what is quoted, or looks random, goes.
    """
    text = _PRIVATE_KEY.sub(MASK, text)
    text = _USER_INFO.sub(_mask_user, text)
    text = _BEARER.sub(rf"\1 {MASK}", text)
    text = _ASSIGNED.sub(_mask_literal if code else _mask_value, text)
    text = _SPOKEN.sub(_mask_spoken, text)
    return _SHAPES.sub(MASK, text)


def mask_arguments(arguments: Iterable[str]) -> list[str]:
    """A command line without the secrets in it, also where the value is an argument of its own."""
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
    """A user without a password is one in ``ssh://git@host``, and may be a token in ``https://TOKEN@host``."""
    if ":" not in found["user"] and not found["scheme"].lower().startswith("http"):
        return found[0]
    return f"{found['scheme']}{MASK}@"


def _mask_value(found: re.Match[str]) -> str:
    name, between, value = found["name"], found["between"], found["value"]
    if not is_secret_name(name) or value.startswith(MASK):
        return found[0]
    quote = value[0] if value[0] in "\"'" else ""
    return f"{name}{between}{quote}{MASK}{quote}"


def _mask_literal(found: re.Match[str]) -> str:
    value = found["value"]
    return _mask_value(found) if value[0] in "\"'" or _looks_random(value) else found[0]


def _mask_spoken(found: re.Match[str]) -> str:
    if not is_secret_name(found["name"]) or not _looks_random(found["value"]):
        return found[0]
    return f"{found['name']}{found['between']}{MASK}"


def _looks_random(value: str) -> bool:
    return len(value) >= 16 and any(map(str.isdigit, value)) and any(map(str.isalpha, value))
