"""What a sync would send, from the ledgers of earlier ones: without the server, so it needs neither key nor network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from neurockt.errors import NeurocktError
from neurockt.store import Run, open_run, read_info
from neurockt.sync.account import Account
from neurockt.sync.batch import failed, find_runs
from neurockt.sync.describe import identity, safe_project
from neurockt.sync.history import History
from neurockt.sync.ledger import Entry, Ledger, documents_of, is_proved, stamp_of
from neurockt.sync.upload import STILL_RUNNING, Options, Outcome

DRY_RUN = "dry run"


def planned(paths: Sequence[Path], account: Account, options: Options) -> Iterator[Outcome]:
    """The outcome of each run below some paths; ``sent`` is the number of rows that a sync would send."""
    found, unusable = find_runs(paths)
    for path in found:
        try:
            yield _planned(open_run(path), account, options)
        except Exception as error:  # whatever a damaged run causes, the others are listed
            yield failed(path, error)
    yield from unusable


def _planned(run: Run, account: Account, options: Options) -> Outcome:
    info = run.info
    if info.state == "running" and not options.running:
        return Outcome(run.path, info.id, info.label, "pending", reason=STILL_RUNNING)
    ledger = Ledger(run.path, identity(info))
    recorded = (
        read_info(run.path) if info.state == "running" else info
    )  # while it trains, it stays in its first project
    destination, entry = _known(ledger, recorded.project, account, options)
    if is_proved(entry, info, stamp_of(documents_of(run.path), info), files=options.files):
        return Outcome(run.path, info.id, info.label, "complete", entry.rows)
    order = ledger.order(destination, entry.generation, run.rewind_token)
    rows = History(run, order, run.current_info(), entry.place)
    if run.damaged:
        raise NeurocktError(str(run.damaged[0]))
    return Outcome(
        run.path, info.id, info.label, "pending", entry.rows, max(0, rows.total - entry.rows), reason=DRY_RUN
    )


def _known(ledger: Ledger, own_project: str | None, account: Account, options: Options) -> tuple[str, Entry]:
    """The destination that has most of the run, of those that may be meant: the user's own entity is not known here."""
    wishes = ledger.wishes()
    entity = options.entity or wishes.entity or account.entity
    project = safe_project(options.project or wishes.project or own_project or account.project)
    begin, end = f"{account.url}/{entity or ''}", f"/{project}"
    found = {
        destination: entry
        for destination, entry in ledger.entries.items()
        if destination.startswith(f"{begin}/" if entity else begin) and destination.endswith(end)
    }
    return max(found.items(), key=lambda item: item[1].rows, default=(begin + end, Entry("")))
