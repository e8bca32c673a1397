"""``neurockt sync`` as it is typed: what it prints, what it ends with, and what it leaves behind."""

from __future__ import annotations

import json
import os
import pty
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import preloaded
import pytest
from wandb_server import Fault, WandbServer, wait_until

from neurockt.monitor import Recorder
from neurockt.sync import client, rows
from neurockt.sync.account import find_account

from .conftest import Done, MakeRun

pytestmark = pytest.mark.slow

Neurockt = Callable[..., Done]


def test_a_sync_ends_with_a_line(server: WandbServer, make_run: MakeRun, neurockt: Neurockt, root: Path) -> None:
    """How many are complete, and how many rows went; progress is no part of the result."""
    for _ in range(3):
        make_run(steps=100)
    assert neurockt("sync", root) == Done(0, "3 of 3 complete; 330 rows sent\n", "")
    assert neurockt("sync", root) == Done(0, "3 of 3 complete\n", "")


def test_failures_are_named_with_their_reasons(
    server: WandbServer, make_run: MakeRun, neurockt: Neurockt, root: Path
) -> None:
    """Exit code 1; the others are complete."""
    for name in "abcd":
        make_run(run_id=name, name=f"run {name}")
    (root / "b" / "run.json").write_text("{")
    server.faults = [Fault("status", "tester/uncategorized/c", status=403, times=100)]
    done = neurockt("sync", root)
    first, *reasons = done.out.splitlines()
    assert (done.status, first) == (1, "2 of 4 complete, 2 failed:")
    assert reasons[0].startswith(f"  b: {root}/b/run.json is damaged")
    assert reasons[1].startswith("  run c: 127.0.0.1")
    assert "403" in reasons[1]
    assert {run.state for run in server.runs.values()} == {"finished", "running"}


@pytest.mark.parametrize(
    "words",
    [("--dry-run", "--verify"), ("--dry-run", "--watch"), ("--verify", "--files"), ("--verify", "--replace")],
)
def test_options_of_which_one_would_do_nothing_are_refused(
    neurockt: Neurockt, root: Path, words: tuple[str, str]
) -> None:
    done = neurockt("sync", root, *words)
    assert (done.status, done.out) == (2, "")
    assert f"{words[0]} and {words[1]} exclude each other" in done.err


def test_runs_that_still_train(server: WandbServer, make_run: MakeRun, neurockt: Neurockt, root: Path) -> None:
    """They are counted, and taken with --running."""
    make_run(run_id="done")
    make_run(run_id="live", finish=False)
    assert neurockt("sync", root).out == "1 of 2 complete, 1 still running; 110 rows sent\n"
    assert neurockt("sync", root, "--running").out == "1 of 2 complete, 1 running; 110 rows sent\n"


def test_a_dry_run_needs_neither_key_nor_network(
    server: WandbServer, make_run: MakeRun, neurockt: Neurockt, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It prints what a sync would send, as far as the syncs before it have noted what is there; and writes nothing."""
    path = make_run(run_id="new")
    known = make_run(run_id="known")
    make_run(run_id="live", finish=False)
    make_run(run_id="grown", steps=5)
    assert neurockt("sync", root / "known", root / "grown").status == 0
    make_run(run_id="grown", steps=20, resume=5)
    before = server.requested("file_stream"), server.requested("UpsertBucket"), server.requested("Viewer")
    server.stop()
    monkeypatch.delenv("WANDB_API_KEY")
    sent = "live: still running; --running uploads what there is\nnew: would send 110 rows\n"
    done = neurockt("sync", root, "--dry-run")
    assert done.out == f"grown: would send 22 rows\n{sent}1 of 4 complete, 2 to be sent, 1 still running\n"
    assert (done.status, done.err) == (0, "")
    assert "live: would send 110 rows" in neurockt("sync", root, "--dry-run", "--running").out
    assert "known: would send 110 rows" in neurockt("sync", known, "--dry-run", "--project", "other").out
    monkeypatch.setenv("NEUROCKT_DIR", str(root))
    assert neurockt("sync", "kno", "--dry-run").out == "1 of 1 complete\n", "a run is named by a part of its name"
    assert "known: would send 110 rows" in neurockt("sync", known, "--dry-run", "--entity", "team").out
    plans = json.loads(neurockt("sync", root, "--dry-run", "--json").out)["runs"]
    assert {plan["id"]: (plan["rows"], plan["sent"]) for plan in plans}["grown"] == (5, 22)
    assert neurockt("edit", known, "--tag", "paper").status == 0
    assert "would send its changed description" in neurockt("sync", known, "--dry-run").out
    assert not (path / "wandb.json").exists()
    (known / "run.json").write_text("{")
    assert neurockt("sync", root, "--dry-run").status == 1
    assert (server.requested("file_stream"), server.requested("UpsertBucket"), server.requested("Viewer")) == before


def test_json(server: WandbServer, make_run: MakeRun, neurockt: Neurockt, root: Path) -> None:
    """The numbers, and each run with where it is."""
    make_run(run_id="a")
    (make_run(run_id="b") / "run.json").write_text("{")
    done = neurockt("sync", root, "--json")
    document = json.loads(done.out)
    assert done.status == 1
    assert {key: value for key, value in document.items() if key != "runs"} == {
        "complete": 1,
        "running": 0,
        "pending": 0,
        "failed": 1,
    }
    first, second = document["runs"]
    assert (first["id"], first["status"], first["rows"], first["sent"]) == ("a", "complete", 110, 110)
    assert first["url"] == f"{server.url}/tester/uncategorized/runs/a"
    assert first["path"] == str(root / "a")
    assert "damaged" in second["reason"]


def test_where_runs_go(
    server: WandbServer, make_run: MakeRun, neurockt: Neurockt, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is said now, before what the run says, before what the environment says."""
    make_run(run_id="said", project="own")
    make_run(run_id="unsaid")
    neurockt("sync", root, "--project", "given", "--entity", "team")
    assert {(run.entity, run.project) for run in server.runs.values()} == {("team", "given")}
    server.runs.clear()
    monkeypatch.setenv("WANDB_PROJECT", "elsewhere")
    neurockt("sync", root)
    assert {run.name: run.project for run in server.runs.values()} == {"said": "own", "unsaid": "elsewhere"}


@pytest.mark.parametrize("words", [["nowhere"], ["--jobs", "0"], ["--watch", "-1"], ["--jobs", "many"]])
def test_what_cannot_be_is_refused(words: list[str], server: WandbServer, neurockt: Neurockt) -> None:
    """A sentence, and the code for it."""
    done = neurockt("sync", *words)
    assert done.status == (1 if words == ["nowhere"] else 2)
    assert "nowhere" in done.out if words == ["nowhere"] else words[0] in done.err
    assert "Traceback" not in done.err


@pytest.mark.slow
def test_several_runs_go_at_a_time(server: WandbServer, make_run: MakeRun, neurockt: Neurockt, root: Path) -> None:
    """--jobs: one that hangs does not hold up the others."""
    for name in "abc":
        make_run(run_id=name)
    server.faults = [Fault("hang", "uncategorized/a/file_stream", times=1)]
    command = [sys.executable, "-m", "neurockt", "sync", root, "--jobs", "2", "--patience", "20"]
    with preloaded.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        wait_until(lambda: {run.name for run in server.runs.values() if run.state == "finished"} == {"b", "c"})
        server.stopped.set()  # the one that hangs is let go
        out = process.communicate()[0]
    assert out == "3 of 3 complete; 330 rows sent\n"
    assert all(run.is_exact for run in server.runs.values())


@pytest.mark.slow
def test_bars_are_drawn_on_a_terminal_and_erased(server: WandbServer, make_run: MakeRun, root: Path) -> None:
    """One for the whole and one for each run under way, with its name; what is left is the result."""
    for name in "ab":
        make_run(run_id=name, name=f"run {name}", steps=30_000, every=10**9)
    main, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "neurockt", "sync", root],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=terminal,
        env={**os.environ, "COLUMNS": "100", "LINES": "30", "TQDM_MININTERVAL": "0"},
    )
    os.close(terminal)
    drawn = b""
    try:
        while chunk := os.read(main, 65_536):
            drawn += chunk
    except OSError:
        pass  # what a terminal says at its end
    assert process.communicate()[0] == b"2 of 2 complete; 60,000 rows sent\n"
    text = drawn.decode()
    assert re.search(r"runs: .* 0.00/2.00", text)
    for name in "ab":
        assert re.search(rf"run {name}: .*/30.0k ", text), text[-2000:]
    assert not re.search(r"[^\r\n\x1b]", text.rpartition("\r")[2].replace("\x1b[A", "")), "erased"


def test_names_from_a_run_do_nothing_to_the_terminal(
    server: WandbServer, make_run: MakeRun, neurockt: Neurockt, root: Path
) -> None:
    """Nor does a reason that quotes them."""
    hostile = "a\x1b]0;owned\x07\x1b[2Jb\u202ec"
    make_run(name=hostile)
    server.faults = [Fault("status", status=403, times=10)]
    for words in (["--dry-run"], ["--json"], []):
        done = neurockt("sync", root, *words)
        assert not set(done.out + done.err) & set("\x1b\x07\u202e")


@pytest.mark.slow
def test_no_network_is_told_within_15_seconds(server: WandbServer, make_run: MakeRun, root: Path) -> None:
    """Not even a connection that nobody takes, or a name that nobody resolves, is waited for any longer."""
    path = make_run()
    with ExitStack() as stack:
        full, *crowd = [stack.enter_context(socket.socket()) for _ in range(4)]
        full.bind(("127.0.0.1", 0))
        full.listen(0)  # takes no connection beyond its backlog, as a firewall that drops packets
        for one in crowd:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        addresses = (f"http://127.0.0.1:{full.getsockname()[1]}", "http://no-such-host.invalid")
        seconds = []
        for words in (["--help"], [root]):  # the first for how long two of them take to start here
            started = time.monotonic()
            done = [
                preloaded.Popen(
                    [sys.executable, "-m", "neurockt", "sync", *words],
                    env={**os.environ, "WANDB_BASE_URL": address},
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                )
                for address in addresses
            ]
            told = [process.communicate()[1] for process in done]
            seconds.append(time.monotonic() - started)
    assert seconds[1] - seconds[0] < 15
    assert [process.returncode for process in done] == [1, 1]
    assert all(text.count("\n") == 1 and "cannot reach" in text for text in told), told
    assert not (path / "wandb.json").exists()


def test_a_busy_server_is_told_while_it_is_waited_for(server: WandbServer) -> None:
    """Who watches hears why nothing moves, and for how long."""
    told: list[str] = []
    server.faults = [Fault("status", "Viewer", status=429, headers={"Retry-After": "1.2"})]
    client.Client(find_account(), on_wait=told.append).greet()
    assert told == [f"waiting 1 s for 127.0.0.1:{server.port}: it answers 429"]


@pytest.mark.slow
def test_200_000_rows(server: WandbServer, make_run: MakeRun, neurockt: Neurockt, root: Path) -> None:
    """Each once, in order, and verified."""
    make_run(steps=200_000, every=50_000)
    assert neurockt("sync", root).out == "1 of 1 complete; 200,004 rows sent\n"
    assert server.only_run.is_exact
    assert server.only_run.received == 200_004
    assert server.requested("file_stream") > 200_000 / rows.BATCH_ROWS


def test_hostile_names_of_metrics_and_settings(server: WandbServer, root: Path, neurockt: Neurockt) -> None:
    """Whatever a metric or a setting is called, it arrives under that name, and is drawn over its axis."""
    names = ["a.b", "a/b", "*", "损失", "_wandb", "_step", "a b", "\u202e", "'\"\\", "x" * 200, "step.1"]
    recorder = Recorder(root, quiet=True, config={"neurockt": 1, "_wandb": 2, "a.b": {"": 3}, "": 4, "损失": "\ud800"})
    functions = [recorder.track_scalar(name)(float) for name in names]
    with recorder(train=True):
        for index, function in enumerate(functions):
            function(index)
    recorder.finish()
    assert neurockt("sync", root).status == 0
    assert neurockt("sync", root, "--verify").status == 0
    (row,) = server.only_run.rows
    own = {"_wandb", "_step"}
    assert {name: row[f"{name} (steps)" if name in own else name] for name in names} == dict(
        zip(names, range(len(names)), strict=True)
    )
    config = server.only_run.config
    assert (config["neurockt (config)"], config["_wandb (config)"]) == ({"value": 1}, {"value": 2})
    assert config["neurockt"]["value"]["state"] == "finished"
    metrics = config["_wandb"]["value"]["m"]
    axes = {metric["1"].replace("\\.", "."): metrics[metric["5"] - 1]["1"] for metric in metrics if "5" in metric}
    assert set(axes.values()) == {"step"}
    assert set(axes) == {f"{name} (steps)" if name in own else name for name in names}
