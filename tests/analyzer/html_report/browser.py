"""A headless Chromium for tests of pages, spoken to over a pair of pipes.

The DevTools protocol is JSON messages, each ended by a NUL; with `--remote-debugging-pipe` the
browser reads them from its descriptor 3 and writes answers and events to its descriptor 4, so no
port is opened and no client library is needed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
_OPTIONS = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --remote-debugging-pipe"


class Browser:
    """A running browser; a context manager that ends it."""

    def __init__(self, process: subprocess.Popen[bytes], to: int, answers: int) -> None:
        self._process = process
        self._to = os.fdopen(to, "wb", buffering=0)
        self._answers = os.fdopen(answers, "rb")
        self._number = 0
        self._events: list[dict[str, Any]] = []

    @classmethod
    def start(cls, folder: Path) -> Self:
        """Start one that keeps its profile in a folder."""
        assert CHROMIUM is not None, "tests are skipped without one"
        reads, to = os.pipe()
        answers, writes = os.pipe()
        command = [CHROMIUM, *_OPTIONS.split(), f"--user-data-dir={folder}", "about:blank"]
        process = subprocess.Popen(
            ["/bin/sh", "-c", f'exec "$0" "$@" 3</dev/fd/{reads} 4>/dev/fd/{writes}', *command],
            pass_fds=(reads, writes),
            stderr=subprocess.DEVNULL,
        )
        os.close(reads)
        os.close(writes)
        return cls(process, to, answers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._to.close()
        self._answers.close()
        self._process.terminate()
        self._process.wait(timeout=10)

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """The answer to one command; events that arrive before it are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        message |= {"sessionId": session} if session else {}
        self._to.write(json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._number:
            self._events.append(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return dict(answer["result"])

    def events(self, session: str, *methods: str) -> list[dict[str, Any]]:
        """What happened in a tab so far."""
        return [
            event["params"]
            for event in self._events
            if event.get("sessionId") == session and event["method"] in methods
        ]

    def until(self, session: str, method: str) -> None:
        """Read on until an event of a tab."""
        while not self.events(session, method):
            self._events.append(self._read())

    def _read(self) -> dict[str, Any]:
        message = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            assert byte, "the browser has ended"
            message += byte
        return dict(json.loads(message))

    def open(self, page: Path | str, width: int = 1280, *, dark: bool = False) -> Tab:
        """Load a page in a tab of its own, and wait until it is drawn."""
        url = page.as_uri() if isinstance(page, Path) else page
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            tab.call(f"{domain}.enable")
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        tab.call("Emulation.setEmulatedMedia", features=scheme)
        tab.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        tab.call("Page.navigate", url=url)
        self.until(session, "Page.loadEventFired")
        tab.value("new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn, 0)))")
        return tab


@dataclass(frozen=True)
class Tab:
    """One page in a browser."""

    browser: Browser
    session: str

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command to this tab."""
        return self.browser.call(method, self.session, **params)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression, or the promise it gives, comes to."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def texts(self, selector: str) -> list[str]:
        """The visible text of every element that a CSS selector finds and that is shown."""
        found = f"[...document.querySelectorAll({json.dumps(selector)})]"
        shown = f"{found}.filter((e) => e.checkVisibility())"
        return list(self.value(f"{shown}.map((e) => e.textContent.trim())"))

    def hover(self, selector: str, across: float = 0.5, down: float = 0.5) -> None:
        """Move the pointer over an element, to a share of its width and height."""
        self._mouse("mouseMoved", *self._place(selector, across, down))

    def click(self, selector: str) -> None:
        """Press and release the left button on the middle of an element."""
        place = self._place(selector, 0.5, 0.5)
        self._mouse("mousePressed", *place)
        self._mouse("mouseReleased", *place)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.call("Input.insertText", text=text)

    def press(self, key: str) -> None:
        """Press and release a key that has a name."""
        code = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}[key]
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)

    def contrast(self, selector: str) -> float:
        """The least contrast of the texts that a selector finds with what is behind them (WCAG)."""
        return float(self.value(_CONTRAST.replace("SELECTOR", json.dumps(selector))))

    def _place(self, selector: str, across: float, down: float) -> tuple[float, float]:
        element = f"document.querySelector({json.dumps(selector)})"
        box = self.value(
            f"{element}.scrollIntoView({{ block: 'center', behavior: 'instant' }});"
            f"(({{ x, y, width, height }}) => [x, y, width, height])"
            f"({element}.getBoundingClientRect())"
        )
        return box[0] + across * box[2], box[1] + down * box[3]

    def _mouse(self, kind: str, x: float, y: float) -> None:
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    @property
    def complaints(self) -> list[dict[str, Any]]:
        """Exceptions, and whatever was written to the console or the browser's log."""
        return self.browser.events(
            self.session,
            "Runtime.exceptionThrown",
            "Runtime.consoleAPICalled",
            "Log.entryAdded",
        )

    @property
    def fetched(self) -> list[str]:
        """The addresses that were asked for."""
        requests = self.browser.events(self.session, "Network.requestWillBeSent")
        return [request["request"]["url"] for request in requests]


_CONTRAST = """
(() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [0.2126 * r, 0.7152 * g, 0.0722 * b].reduce((a, c) => a + c);
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const luminance = (rgb) => light(rgb.slice(0, 3).map((c) => linear(c / 255)));
  const behind = (element) => {
    const [r, g, b, a = 1] = parse(getComputedStyle(element).backgroundColor);
    if (a === 1) return [r, g, b];
    const below = behind(element.parentElement);
    return [r, g, b].map((c, i) => a * c + (1 - a) * below[i]);
  };
  const contrast = (element) => {
    const of = [parse(getComputedStyle(element).color), behind(element)].map(luminance);
    return (Math.max(...of) + 0.05) / (Math.min(...of) + 0.05);
  };
  return Math.min(...[...document.querySelectorAll(SELECTOR)].map(contrast));
})()
"""
