"""A Chromium without a window that opens pages as people do: narrow or wide, light or dark.

It is driven by the DevTools protocol over two pipes, which needs no package.
"""

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium here; Debian's: apt-get install chromium"
)
ANSWER_S = 120.0  # a machine with other work on it is slow
HEIGHT_PX = 900


class Browser:
    """One process of Chromium."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._ids = itertools.count(1)
        self._read = b""
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """Return the browser's answer to a command; events that come before it are kept."""
        number = next(self._ids)
        command = {"id": number, "method": method, "params": params}
        command |= {"sessionId": session} if session else {}
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                return dict(message["result"])
            self.events.append(message)

    def wait_for(self, method: str, session: str) -> None:
        """Return once an event has come."""
        while not any((e["method"], e.get("sessionId")) == (method, session) for e in self.events):
            self.events.append(self._next())

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + ANSWER_S
        while b"\0" not in self._read:
            ready, _, _ = select.select([self._answers], [], [], deadline - time.monotonic())
            assert ready, "the browser does not answer"
            part = os.read(self._answers, 1 << 20)
            assert part, "the browser has ended"
            self._read += part
        message, _, self._read = self._read.partition(b"\0")
        return dict(json.loads(message))


@dataclass
class Page:
    """A page that is open."""

    browser: Browser
    session: str
    address: str

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page, awaited if it is a promise."""
        answer = self.browser.send(
            "Runtime.evaluate",
            self.session,
            expression=script,
            returnByValue=True,
            awaitPromise=True,
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def turn(self, width_px: int, *, dark: bool) -> None:
        """Change the width of the window and the paper."""
        size = {"width": width_px, "height": HEIGHT_PX, "deviceScaleFactor": 1, "mobile": False}
        self.browser.send("Emulation.setDeviceMetricsOverride", self.session, **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.browser.send("Emulation.setEmulatedMedia", self.session, features=[scheme])
        self.run("new Promise((done) => setTimeout(done, 500))")  # charts are drawn anew

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse at a point of the window, move it, and let it go."""
        steps = [start, *(_between(start, end, share / 8) for share in range(9)), end]
        kinds = ["mouseMoved", "mousePressed", *["mouseMoved"] * 8, "mouseReleased"]
        for kind, (x, y) in zip(kinds, steps, strict=True):
            held = {"button": "left", "buttons": 1, "clickCount": 1} if kind != kinds[0] else {}
            self.browser.send("Input.dispatchMouseEvent", self.session, type=kind, x=x, y=y, **held)

    def close(self) -> None:
        """Close the page; its memory is given back."""
        self.browser.send("Page.close", self.session)

    def complaints(self) -> list[str]:
        """Return errors of scripts and what the browser wrote to its console."""
        named = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        return [json.dumps(event["params"]) for event in self._events() if event["method"] in named]

    def requests(self) -> list[str]:
        """Return the addresses of everything but the page itself that it asked for."""
        asked = [
            event["params"]["request"]["url"]
            for event in self._events()
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in asked if url != self.address and not url.startswith("data:")]

    def picture(self, path: Path) -> None:
        """Write the whole page as PNG."""
        size = self.browser.send("Page.getLayoutMetrics", self.session)["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        answer = self.browser.send(
            "Page.captureScreenshot", self.session, captureBeyondViewport=True, clip=clip
        )
        path.write_bytes(base64.b64decode(answer["data"]))

    def _events(self) -> Iterator[dict[str, Any]]:
        return (event for event in self.browser.events if event.get("sessionId") == self.session)


@contextmanager
def open_browser(profile: Path) -> Iterator[Browser]:
    """Start a browser with an empty profile in that folder, and end it."""
    to_browser, commands = os.pipe()
    answers, from_browser = os.pipe()
    flags = [
        "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars",
        "--use-angle=swiftshader", "--enable-unsafe-swiftshader",  # WebGL without a GPU
        "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank",
    ]  # fmt: skip
    # The pipes' ends must be the descriptors 3 and 4 of the browser.
    line = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
    process = subprocess.Popen(
        ["bash", "-c", line, str(BROWSER), *flags],
        pass_fds=(to_browser, from_browser),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_browser)
    os.close(from_browser)
    try:
        yield Browser(commands, answers)
    finally:
        process.terminate()
        process.wait(30)
        os.close(commands)
        os.close(answers)


def open_page(browser: Browser, path: Path, width_px: int, *, dark: bool = False) -> Page:
    """Return the page of a file once it has loaded, at a width, on light or dark paper."""
    target = browser.send("Target.createTarget", url="about:blank")["targetId"]
    attached = browser.send("Target.attachToTarget", targetId=target, flatten=True)
    session = str(attached["sessionId"])
    for domain in ("Page", "Runtime", "Log", "Network"):
        browser.send(f"{domain}.enable", session)
    page = Page(browser, session, path.absolute().as_uri())
    page.turn(width_px, dark=dark)
    browser.events.clear()  # those of the blank page
    browser.send("Page.navigate", session, url=page.address)
    browser.wait_for("Page.loadEventFired", session)
    return page


def _between(
    start: tuple[float, float], end: tuple[float, float], share: float
) -> tuple[float, float]:
    (x, y), (to_x, to_y) = start, end
    return x + share * (to_x - x), y + share * (to_y - y)
