"""Asks git for the commit of the code: in bounded time, without locking the repository or running its hooks."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterable
from typing import Final

from neurockt.monitor.context.secrets import mask_text
from neurockt.store.base.origin import GitState

GIT_SECONDS: Final = 5.0
"""Time for all questions together; what git has not answered by then is left out."""
ANSWER_BYTES: Final = 64 * 1024
DIFF_BYTES: Final = 2**20
"""A longer diff is cut."""


class Git:
    def __init__(self, directory: str, deadline: float) -> None:
        """Asks nothing yet, and nothing after the deadline, a time of the monotonic clock."""
        self._directory = directory
        self._deadline = deadline

    @classmethod
    def first(cls, directories: Iterable[str]) -> tuple[Git, GitState] | None:
        """The first of the directories that is in a repository; None if none is, or git is not installed."""
        deadline = time.monotonic() + GIT_SECONDS
        for directory in dict.fromkeys(directories):
            git = cls(directory, deadline)
            if state := git._state():
                return git, state
        return None

    def _state(self) -> GitState | None:
        """The commit, and whether tracked files differ from it."""
        place = self._ask("rev-parse", "--show-toplevel", "HEAD", "--abbrev-ref", "HEAD")
        if place is None:  # before the first commit there is no HEAD
            place = (self._ask("rev-parse", "--show-toplevel") or "") + "\n\n"
        root, commit, branch = place.split("\n")[:3]
        if not root:
            return None
        changes = self._ask("status", "--porcelain", "--untracked-files=no", "--no-renames")
        return GitState(
            root=root,
            commit=commit or None,
            branch=branch if branch not in ("", "HEAD") else None,
            dirty=None if changes is None else bool(changes),
            remote=self._remote(),
        )

    def _remote(self) -> str | None:
        answer = self._ask("config", "--get-regexp", r"^remote\..*\.url$")
        remotes = dict(line.split(" ", 1) for line in (answer or "").splitlines() if " " in line)
        url = remotes.get("remote.origin.url") or next(iter(remotes.values()), None)
        return mask_text(url) if url else None

    def diff(self) -> tuple[str, bool] | None:
        """How tracked files differ from the commit, with secrets masked; and whether it was cut.

        None if they do not differ, or git took too long.
        """
        answer = self._ask("diff", "HEAD", "--no-ext-diff", "--no-textconv", "--no-color", limit=DIFF_BYTES)
        if not answer:
            return None
        cut = len(answer.encode()) >= DIFF_BYTES
        return mask_text(answer[: answer.rfind("\n") + 1] if cut else answer, code=True), cut

    def _ask(self, *question: str, limit: int = ANSWER_BYTES) -> str | None:
        """Git's answer, up to ``limit`` bytes; None if it fails or takes too long."""
        # the full path: searching for it, subprocess would replace the warning filters, which all threads share
        git = shutil.which("git")
        if git is None:
            return None
        command = [git, "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", self._directory, *question]
        environment = {**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
        if time.monotonic() >= self._deadline:
            return None
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
        except OSError:
            return None
        with process:
            assert process.stdout is not None
            answer, has_ended = self._read(process.stdout.fileno(), limit)
            if not has_ended:
                process.kill()
        full = len(answer) == limit
        return answer.decode("utf-8", "replace") if full or process.returncode == 0 else None

    def _read(self, pipe: int, limit: int) -> tuple[bytes, bool]:
        """What comes before the deadline, up to ``limit`` bytes, and whether that is all.

        Without a thread that would end git: Python 3.12.1 starts none any more when it exits.
        """
        answer = b""
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        while len(answer) < limit and poll.poll(1000 * max(0.0, self._deadline - time.monotonic())):
            piece = os.read(pipe, limit - len(answer))
            if not piece:
                return answer, True
            answer += piece
        return answer, False
