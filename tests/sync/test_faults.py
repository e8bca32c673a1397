"""What goes wrong between here and the server: afterwards each row is there exactly once, or it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from wandb_server import Fault, StoredRun, WandbServer

from neurockt.sync import client, rows, sending

from .conftest import Done, MakeRun, Sync

pytestmark = pytest.mark.slow

PLACES = ["file_stream", "UpsertBucket", "query Run("]


@pytest.fixture(autouse=True)
def small_and_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines go in many small requests, and nobody waits for long."""
    monkeypatch.setattr(rows, "BATCH_ROWS", 40)
    monkeypatch.setattr(client, "FIRST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(sending, "RESEND_SECONDS", 0.3)


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "fault",
    [
        *(Fault("status", status=status) for status in (408, 500, 502, 503)),
        Fault("status", status=429, headers={"Retry-After": "0.2"}),
        *(Fault(what) for what in ("before", "during", "after", "lost", "lost_500")),
    ],
    ids=lambda fault: f"{fault.what}-{fault.status}" if fault.what == "status" else fault.what,
)
def test_what_passes_is_got_over(place: str, fault: Fault, server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """Busy servers, broken connections and lost acknowledgements: the same lines go to the same places again."""
    make_run(steps=200)
    turns = ((2, 1), (1, 4)) if place == "file_stream" else ((2, 0),)
    server.faults = [Fault(fault.what, place, times, fault.status, fault.headers, after) for times, after in turns]
    (outcome,) = sync()
    assert (outcome.status, outcome.rows, outcome.reason) == ("complete", 220, None)
    assert server.only_run.is_exact
    assert len(server.only_run.rows) == 220


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422, 501])
def test_what_is_refused_is_told_and_made_up_for(
    place: str, status: int, server: WandbServer, make_run: MakeRun, sync: Sync
) -> None:
    """Nothing is believed to be there after a refusal; the next sync sends the rest."""
    path = make_run(steps=200)
    server.faults = [Fault("status", place, 1, status, after=3 if place == "file_stream" else 0)]
    (outcome,) = sync()
    assert outcome.status == "failed"
    assert str(status) in (outcome.reason or "") or "API key" in (outcome.reason or "")
    assert not (path / "wandb.json").exists()
    (outcome,) = sync()
    assert (outcome.status, outcome.rows) == ("complete", 220)
    assert server.only_run.is_exact


@pytest.mark.parametrize("what", ["half", "alternate"])
def test_a_server_that_lies_is_found_out(what: str, server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """It answers 200 and keeps half; what it does not show is sent again."""
    make_run(steps=200)
    server.faults = [Fault(what, times=2, after=1)]
    (outcome,) = sync()
    assert (outcome.status, outcome.rows) == ("complete", 220)
    assert server.only_run.is_exact


@pytest.mark.parametrize("what", ["half", "alternate"])
def test_a_server_that_goes_on_lying_is_told(what: str, server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """The run does not count as complete until the server shows it."""
    path = make_run(steps=200)
    server.faults = [Fault(what, times=10_000)]
    (outcome,) = sync(settle=1.5)
    assert outcome.status == "failed"
    assert "does not show it" in (outcome.reason or "")
    assert not (path / "wandb.json").exists()
    server.faults = []
    assert sync()[0].status == "complete"
    assert server.only_run.is_exact


def test_a_request_that_is_too_large_is_halved(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """413 is an answer that can be heeded."""
    make_run(steps=200)
    server.faults = [Fault("status", times=3, status=413)]
    assert sync()[0].status == "complete"
    assert server.only_run.is_exact


def test_a_server_that_answers_late_is_waited_for(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """Counts as of some time ago neither lose nor repeat a row, and do not count as proof."""
    make_run(steps=200)
    server.late = 0.6
    assert sync()[0].status == "complete"
    run = server.only_run
    assert run.is_exact
    assert run.count(late=0.6) == 220


def test_an_interrupted_upload_goes_on_with_stale_counts(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """Where the server says less than it has, the same lines go to the same places."""
    make_run(steps=400)
    server.faults = [Fault("status", times=1, status=403, after=6)]
    assert sync()[0].status == "failed"
    server.late = 0.2
    (outcome,) = sync()
    assert (outcome.status, outcome.rows) == ("complete", 440)
    assert server.only_run.is_exact


def test_a_server_that_dies_and_returns_is_waited_for(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """It has kept what it acknowledged, and some of what it did not."""
    make_run(steps=400)
    died = threading.Event()

    def die(run: StoredRun) -> None:
        if len(run.history) >= 120 and not died.is_set():
            died.set()
            server.lock.release()  # a handler holds it, and dies with it
            server.stop()
            threading.Timer(0.5, server.start).start()
            server.lock.acquire()

    server.on_history = die
    (outcome,) = sync(patience=20.0)
    assert died.is_set()
    assert (outcome.status, outcome.rows) == ("complete", 440)
    assert server.only_run.is_exact


def test_a_server_that_dies_for_good_is_told_once(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """The other runs are not each tried for as long; the next sync completes all of them."""
    for _ in range(4):
        make_run(steps=100)

    def die(run: StoredRun) -> None:
        if len(run.history) >= 80:
            server.lock.release()
            server.stop()
            server.lock.acquire()

    server.on_history = die
    outcomes = sync(patience=1.0)
    assert [outcome.status for outcome in outcomes] == ["failed"] * 4
    assert all("cannot reach" in (outcome.reason or "") for outcome in outcomes)
    server.on_history = lambda run: None
    server.stop()
    server.start()
    assert [outcome.status for outcome in sync()] == ["complete"] * 4
    assert all(run.is_exact for run in server.runs.values())


def test_no_network_is_a_sentence_and_marks_nothing(
    server: WandbServer, make_run: MakeRun, neurockt: Callable[..., Done], root: Path
) -> None:
    """Within the time of a greeting."""
    path = make_run()
    server.stop()
    done = neurockt("sync", root, "--patience", 1)
    assert done.status == 1
    assert "cannot reach 127.0.0.1" in done.err
    assert "is this machine online?" in done.err
    assert not (path / "wandb.json").exists()


def test_a_server_that_never_answers_is_a_sentence(
    server: WandbServer, make_run: MakeRun, neurockt: Callable[..., Done], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the connection and is silent; so does a name server that cannot be given a time limit."""
    monkeypatch.setattr(client, "GREETING_SECONDS", 0.5)
    make_run()
    server.faults = [Fault("hang", "Viewer", times=100)]
    done = neurockt("sync", root)
    assert done.status == 1
    assert "cannot reach" in done.err


def test_a_server_that_falls_silent_amid_a_run_is_told(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """No wait is without end."""
    make_run(steps=200)
    server.faults = [Fault("hang", times=100, after=2)]
    (outcome,) = sync(patience=1.5)
    assert outcome.status == "failed"
    assert "no answer in time" in (outcome.reason or "")
    server.stop()
    server.start()
    server.faults = []
    assert sync()[0].status == "complete"
    assert server.only_run.is_exact


def test_a_proxy_is_gone_through(
    server: WandbServer, make_run: MakeRun, sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has a name that only the proxy knows; the proxy here is the server itself."""
    monkeypatch.setenv("WANDB_BASE_URL", "http://wandb.invalid")
    monkeypatch.setenv("http_proxy", server.url)
    make_run()
    assert sync()[0].status == "complete"
    assert server.only_run.is_exact


@pytest.mark.parametrize("key", ["", "x" * 40, "short", "with\nnewline"])
def test_no_key_or_a_wrong_one_is_a_sentence(
    key: str,
    server: WandbServer,
    make_run: MakeRun,
    neurockt: Callable[..., Done],
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It says how to get one, and does not repeat it."""
    make_run()
    monkeypatch.setenv("WANDB_API_KEY", key)
    done = neurockt("sync", root)
    assert done.status == 1
    assert "wandb login" in done.err or "copy it again" in done.err
    assert len(key) < 5 or key not in done.out + done.err
    assert server.runs == {}


def test_no_such_entity_is_a_sentence(
    server: WandbServer, make_run: MakeRun, neurockt: Callable[..., Done], root: Path
) -> None:
    """It says which, and what to say instead; runs that fail alike are told together."""
    make_run(name="a")
    make_run(name="b")
    done = neurockt("sync", root, "--entity", "nobody")
    assert done.status == 1
    first, reason = done.out.splitlines()
    assert first == "0 of 2 complete, 2 failed:"
    assert reason.startswith("  a, b: ") or reason.startswith("  b, a: ")
    assert "no entity 'nobody'" in reason
    assert "--entity" in reason


def test_a_deleted_run_is_told_and_can_be_uploaded_anew(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """W&B never gives a deleted run's id out again."""
    path = make_run(run_id="gone")
    sync()
    server.runs.clear()
    server.deleted.add(("uncategorized", "gone"))
    (path / "wandb.json").unlink()
    (outcome,) = sync()
    assert "deleted in W&B: --replace" in (outcome.reason or "")
    assert sync(replace=True)[0].status == "complete"
    assert server.only_run.name == "gone-2"
    assert server.only_run.is_exact
