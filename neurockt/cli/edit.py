"""``neurockt edit``: changes a run's name, project, group, tags and notes after the fact; archives it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final

from neurockt.cli import FAILED, WrongUsage, completers, output, parsing, selecting
from neurockt.errors import NeurocktError, UsageError
from neurockt.formatting import clip
from neurockt.run_info import RunInfo
from neurockt.store import Edit, edit_run, layout

_DESCRIPTION: Final = """\
Change a run's name, project, group, tags and notes, or archive it. Finished runs and those that still train alike.

The change is stored beside what was recorded, and the next sync passes it on to W&B. Lists leave archived runs out
unless they are asked for them.
"""
_EXAMPLE: Final = """\
  neurockt edit brave-otter --name baseline --tag paper --note 'table 2'
  neurockt edit --filter 'valid_loss=nan' --archive
  neurockt edit proud-crow --unarchive --untag bad --group ''
"""
SHOWN: Final = 60
"""Characters of a text that is shown."""

_TEXTS: Final = {"name": "name", "project": "project", "group": "group", "note": "notes"}


def add_parser(subparsers: parsing.Subparsers[argparse.ArgumentParser]) -> None:
    summary = "rename, tag, annotate and archive runs"
    parser = parsing.add_command(subparsers, "edit", summary, _EXAMPLE, _DESCRIPTION)
    selecting.add_arguments(parser)
    for name in _TEXTS:
        text = parser.add_argument(f"--{name}", metavar="TEXT", help=f"its {name} from now on; '' for none")
        completers.add(text, completers.values_of(name))
    for name, does in (("tag", "add"), ("untag", "remove")):
        tag = parser.add_argument(
            f"--{name}", metavar="TAG", action="append", default=[], help=f"{does} a tag; may be repeated"
        )
        completers.add(tag, completers.values_of("tags"))
    archiving = parser.add_mutually_exclusive_group()
    archiving.add_argument("--archive", action="store_true", help="leave it out of lists")
    archiving.add_argument("--unarchive", action="store_true", help="show it in lists again")
    parser.add_argument("--json", action="store_true", help="print the edited runs as JSON")


def run(arguments: argparse.Namespace) -> int:
    edit = _edit(arguments)
    runs = selecting.selected(arguments, archived=arguments.unarchive)
    if len(runs) > 1 and edit.texts.get("name"):
        raise WrongUsage(f"--name names one run, and there are {len(runs):,}; --group or --tag can be the same")
    status, edited = 0, []
    for info in runs:
        try:
            if edit.archived is not None and layout.is_attached(info.path):
                raise UsageError("it is attached to a run; only whole runs are archived")
            before, after = edit_run(info.path, edit)
        except (NeurocktError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            output.note(f"cannot edit {info.path}: {reason}")
            status = FAILED
            continue
        edited.append(after)
        if not arguments.json:
            print(f"{output.show(before.label)}: {', '.join(_changes(before, after)) or 'already so'}")
    if arguments.json:
        output.print_json([output.run_to_json(info) for info in edited])
    if edit.archived and edited:
        output.note("lists leave archived runs out; 'neurockt ls --archived' shows them")
    return status


def _edit(arguments: argparse.Namespace) -> Edit:
    given = vars(arguments)
    texts = {field: given[name] for name, field in _TEXTS.items() if given[name] is not None}
    added, removed = ({tag.strip() for tag in some} for some in (arguments.tag, arguments.untag))
    if both := added & removed:
        raise WrongUsage(f"--tag and --untag both name {', '.join(map(repr, sorted(both)))}")
    tags = dict.fromkeys(arguments.tag, True) | dict.fromkeys(arguments.untag, False)
    if "" in added | removed:
        raise WrongUsage("a tag needs at least one character")
    archived = arguments.archive or (False if arguments.unarchive else None)
    if not (texts or tags or archived is not None):
        raise WrongUsage("nothing to change; add --name, --project, --group, --tag, --untag, --note or --archive")
    return Edit(texts, tags, archived)


def _changes(before: RunInfo, after: RunInfo) -> Iterator[str]:
    for field in _TEXTS.values():
        old, new = getattr(before, field), getattr(after, field)
        if old != new:
            yield f"{field} {_short(old)} → {_short(new)}"
    changed = [f"+{tag}" for tag in after.tags if tag not in before.tags]
    changed += [f"-{tag}" for tag in before.tags if tag not in after.tags]
    if changed:
        yield f"tags {_short(' '.join(changed))}"
    if before.archived != after.archived:
        yield "archived" if after.archived else "no longer archived"


def _short(text: str | None) -> str:
    return clip(output.show(text), SHOWN)
