"""A headless Chromium, driven by the DevTools protocol over pipes; without one, the tests that use it are skipped.

It is what ``$NEUROCKT_CHROMIUM`` names, with options if it needs some, or a Chromium or Chrome on the path.
"""

from __future__ import annotations

import base64
import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from neurockt.cli import main

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS: Final = 60.0


def find() -> list[str]:
    """How it is started; empty where there is none."""
    if named := os.environ.get("NEUROCKT_CHROMIUM"):
        return shlex.split(named)
    return [*filter(None, map(shutil.which, NAMES))][:1]


def command() -> list[str]:
    """How it is started; skips the test where there is none."""
    return find() or pytest.skip("no Chromium: name one in NEUROCKT_CHROMIUM")


@contextmanager
def opened_report(place: Path) -> Iterator[Chromium]:
    """The report of the runs in ``place / "runs"``, written and open, with its charts drawn."""
    assert main(["report", str(place / "runs"), "-o", str(place / "r.html")]) == 0
    browser = Chromium(place / "home")
    try:
        browser.call("Page.navigate", url=f"file://{place / 'r.html'}")
        browser.until("!!document.querySelector('#grid .main-svg')")
        yield browser
    finally:
        browser.close()


class Chromium:
    """One page."""

    def __init__(self, home: Path, width: int = 1280, height: int = 900) -> None:
        (read_here, write_there), (read_there, write_here) = os.pipe(), os.pipe()
        options = f"--headless --no-sandbox --disable-gpu --no-first-run --remote-debugging-pipe --user-data-dir={home}"
        # the protocol is spoken on descriptors 3 and 4
        line = shlex.join([*command(), *options.split(), f"--window-size={width},{height}"])
        self._process = subprocess.Popen(
            ["bash", "-c", f"exec 3<&{read_there} 4>&{write_there}; exec {line}"],
            pass_fds=(read_there, write_there),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_there)
        os.close(write_there)
        self._in, self._out = os.fdopen(write_here, "wb", 0), os.fdopen(read_here, "rb")
        self._rest = b""
        self._count = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._in.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self.events.append(answer)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            data = os.read(self._out.fileno(), 1 << 20)
            assert data, "Chromium has ended"
            self._rest += data
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        done = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def until(self, script: str) -> Any:
        """The value of an expression as soon as it is true."""
        end = time.monotonic() + SECONDS
        while not (found := self.run(script)):
            assert time.monotonic() < end, script
            time.sleep(0.02)
        return found

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Where an element is: left, top, width and height."""
        at = f"document.querySelector({selector!r}).getBoundingClientRect()"
        left, top, width, height = self.run(f"(({{x, y, width, height}}) => [x, y, width, height])({at})")
        return left, top, width, height

    def mouse(self, kind: str, x: float, y: float, clicks: int = 0) -> None:
        button = "left" if clicks else "none"
        self.call("Input.dispatchMouseEvent", type=f"mouse{kind}", x=x, y=y, button=button, clickCount=clicks)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.mouse("Moved", *start)
        self.mouse("Pressed", *start, clicks=1)
        for part in (0.3, 0.7, 1.0):
            x, y = (a + (b - a) * part for a, b in zip(start, end, strict=True))
            self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, button="left", buttons=1)
        self.mouse("Released", *end, clicks=1)

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    @property
    def requests(self) -> list[str]:
        sent = [event["params"] for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return [str(each["request"]["url"]) for each in sent]

    @property
    def complaints(self) -> list[str]:
        """Exceptions, and what the browser has logged, such as a violated policy."""
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        return [str(event["params"])[:500] for event in self.events if event.get("method") in kinds]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._in.close()
        self._out.close()
