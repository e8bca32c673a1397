"""Checks names of metrics and runs, and makes up ids for runs."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from typing import Final

from neurockt.errors import InvalidName, UsageError
from neurockt.store.base.layout import AXES

NAME_LIMIT: Final = 200
"""Most characters in a metric's name."""

_RUN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

_ADJECTIVES: Final = (
    "amber bold brave bright brisk calm clear clever cosmic crisp daring deft eager early fleet fond free "
    "gentle glad golden grand happy hardy humble jolly keen kind lively loyal lucid lucky mellow merry mild "
    "neat nimble noble plain proud quick quiet rapid ready royal sharp silent silver smooth snowy solid steady "
    "sunny swift tidy vivid warm wise"
).split()
_ANIMALS: Final = (
    "badger beaver bison bobcat camel cheetah condor coyote crane crow dingo dolphin eagle elk falcon ferret "
    "finch fox gecko gibbon hare hawk heron ibex ibis jackal jay koala lark lemur lion lynx magpie marten mole "
    "moose newt ocelot orca osprey otter owl panda parrot puffin puma quail rabbit raven robin salmon seal "
    "shrew sparrow stork swan tapir tern tiger toucan walrus weasel wolf wombat wren yak zebra"
).split()


def check_metric_name(name: object) -> str:
    """Returns ``name`` if a metric may have it, else raises InvalidName."""
    if not isinstance(name, str):
        raise InvalidName(f"a metric's name is text, not {type(name).__name__} {name!r:.60}")
    if not name:
        raise InvalidName("a metric's name cannot be empty")
    if name in AXES:
        raise InvalidName(f"{name!r} is the recorder's own column; choose another name, such as 'my_{name}'")
    if len(name) > NAME_LIMIT:
        raise InvalidName(f"a metric's name has at most {NAME_LIMIT} characters, not {len(name)}: {name[:40]!r}...")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise InvalidName(f"a metric's name cannot contain control characters or lone surrogates: {name!r}")
    return name


def check_run_id(run_id: str, what: str = "run_id") -> str:
    """Returns ``run_id`` if a directory can have this name, else raises UsageError, which calls it ``what``."""
    if not isinstance(run_id, str) or not _RUN_ID.fullmatch(run_id):
        raise UsageError(
            f"{what} {run_id!r:.140} cannot name a directory: use up to 128 letters, digits, '.', '_' and '-', "
            f"starting with a letter or digit{'; name= may be any text' if what == 'run_id' else ''}"
        )
    return run_id


def new_run_id(moment: datetime) -> str:
    """An id such as ``20261123-101500-brave-otter``; sorts by time."""
    import random

    words = random.SystemRandom()  # leaves the user's own random state alone
    return f"{moment:%Y%m%d-%H%M%S}-{words.choice(_ADJECTIVES)}-{words.choice(_ANIMALS)}"
