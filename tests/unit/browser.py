"""Headless Chromium, driven by the DevTools protocol over `--remote-debugging-pipe`.

That needs no further package and makes a phone's width possible (a headless window is never
narrower than 500 px).
"""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
EXECUTABLE = next(filter(None, map(shutil.which, BROWSERS)), None)
WAIT_SECONDS = 60


class Browser:
    """A page of headless Chromium and what it reported. Messages are JSON, ended by a zero byte."""

    def __init__(self, profile: Path) -> None:
        read_by_browser, self._to_browser = os.pipe()
        self._from_browser, written_by_browser = os.pipe()
        self._messages: list[dict[str, Any]] = []
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        # The pipe's ends must be descriptors 3 and 4 of the browser; bash puts them there.
        move = f'exec 3<&{read_by_browser} 4>&{written_by_browser}; exec "$@"'
        flags = (
            "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
            "--disable-dev-shm-usage --remote-debugging-pipe"
        )
        self._process = subprocess.Popen(
            [
                *("bash", "-c", move, "bash", str(EXECUTABLE), *flags.split()),
                *(f"--user-data-dir={profile}", "about:blank"),
            ],
            pass_fds=(read_by_browser, written_by_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(read_by_browser)
        os.close(written_by_browser)
        os.set_blocking(self._from_browser, False)
        [page] = [
            target
            for target in self.call("Target.getTargets")["targetInfos"]
            if target["type"] == "page"
        ]
        attached = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        os.close(self._to_browser)
        os.close(self._from_browser)
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(WAIT_SECONDS)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to_browser, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return dict(answer["result"])
            self.events.append(answer)

    def wait_for(self, method: str) -> None:
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self._next())

    def open(self, path: Path, width: int, height: int = 900, scheme: str = "light") -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        self.wait_for("Page.loadEventFired")

    def pages(self) -> int:
        """Return how many pages the page open now takes in print."""
        printed = self.call("Page.printToPDF", preferCSSPageSize=True)["data"]
        return len(re.findall(rb"/Type\s*/Page[^s]", base64.b64decode(printed)))

    def ask(self, expression: str) -> Any:
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def press(self, key: str, code: int) -> None:
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                **(text if kind == "keyDown" else {}),
            )

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + WAIT_SECONDS
        while b"\0" not in self._buffer:
            assert time.monotonic() < end, "the browser does not answer"
            try:
                data = os.read(self._from_browser, 1 << 20)
            except BlockingIOError:
                time.sleep(0.01)
                continue
            assert data, "the browser has ended"
            self._buffer += data
        first, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(first))
