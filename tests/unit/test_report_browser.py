"""The report in headless Chromium: it fits narrow and wide windows, and its figures enlarge.

The browser is driven by the DevTools protocol over `--remote-debugging-pipe`: that needs no further
package and makes a phone's width possible (a headless window is never narrower than 500 px).
"""

import base64
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from covidcxr.report.report import write_report
from tests.unit.report_inputs import Inputs, made_up_run

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
EXECUTABLE = next(filter(None, map(shutil.which, BROWSERS)), None)
WAIT_SECONDS = 60

pytestmark = pytest.mark.skipif(
    EXECUTABLE is None, reason=f"none of {', '.join(BROWSERS)} is on the PATH"
)


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


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    started = Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


def add_sections(inputs: Inputs) -> None:
    """Give the run the tables and figures of the sections on explanations and export."""
    models = pd.DataFrame({"backbone": ["VGG16", "ResNet50"], "augmentation": "v1"})
    shares = {
        f"{region}_{what}": 0.4
        for region in ("lungs", "lesion")
        for what in ("share", "low", "high", "area")
    }
    areas = ("deletion", "deletion_random", "insertion", "insertion_random")
    stages = [f"correlation_{stage}" for stage in ("head", "last_block", "all")]
    inputs.frames["explanations"] = models.assign(
        images=20, empty=1, lungs_images=19, lesion_images=0, curve_images=6, **shares
    ).assign(**dict.fromkeys([*areas, *stages], 0.5))
    inputs.frames["timelines"] = models.assign(patient_id="clinic:1", day=1.0)
    inputs.frames["export"] = models.assign(
        model="fold0",
        format="int8",
        n=20,
        changed=[0, 1],
        published_mb=57.0,
        size_mb=15.0,
        milliseconds=20.0,
        **dict.fromkeys(["accuracy", "low", "high", "agreement", "largest_difference"], 0.9),
    )
    for name in ("explanations", "timelines"):
        inputs.figures[name] = inputs.figures["fig4_loss"]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    inputs = made_up_run(folder)
    add_sections(inputs)
    write_report(folder / "report.html", **inputs.arguments())
    return folder / "report.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_page_does_not_overflow_sideways_even_unfolded(
    browser: Browser, report: Path, width: int, scheme: str
) -> None:
    browser.open(report, width, scheme=scheme)
    browser.ask("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.ask("innerWidth") == width
    assert browser.ask("document.documentElement.scrollWidth") <= width
    # The widest table scrolls in its own box instead.
    assert browser.ask(
        "[...document.querySelectorAll('.scroll')].some(box => box.scrollWidth > box.clientWidth)"
    )


def test_page_asks_for_nothing_and_logs_nothing(browser: Browser, report: Path) -> None:
    browser.open(report, 1280)
    browser.ask("document.querySelector('.card').click()")
    requests = [
        event["params"]["request"]["url"]
        for event in browser.events
        if event.get("method") == "Network.requestWillBeSent"
    ]
    assert requests
    assert all(url.startswith(("file:", "data:")) for url in requests)
    assert sum(url.startswith("file:") for url in requests) == 1
    complaints = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
    assert [event for event in browser.events if event.get("method") in complaints] == []


def test_enter_enlarges_the_figure_and_escape_gives_focus_back(
    browser: Browser, report: Path
) -> None:
    browser.open(report, 1280)
    browser.ask("document.querySelector('#fig5-confusion .card').focus()")
    browser.press("Enter", 13)
    assert browser.ask("document.querySelector('dialog').open")
    assert browser.ask(
        "document.querySelector('dialog img').src"
        " === document.querySelector('#fig5-confusion img').src"
    )
    assert "Figure 5" in browser.ask("document.querySelector('dialog p').textContent")
    box = browser.ask(
        "(() => { const b = document.querySelector('dialog img').getBoundingClientRect();"
        " return [b.left, b.top, innerWidth - b.right, innerHeight - b.bottom]; })()"
    )
    assert min(box) >= 0
    browser.press("Escape", 27)
    assert not browser.ask("document.querySelector('dialog').open")
    assert browser.ask("document.activeElement.closest('figure').id") == "fig5-confusion"


def test_links_of_the_contents_lead_to_their_sections(browser: Browser, report: Path) -> None:
    browser.open(report, 1280)
    count = browser.ask("document.querySelectorAll('nav a').length")
    assert count >= 8
    for place in range(count):
        browser.ask(f"document.querySelectorAll('nav a')[{place}].click()")
        top = browser.ask(
            "document.getElementById(location.hash.slice(1)).getBoundingClientRect().top"
        )
        end = browser.ask("scrollY + innerHeight >= document.documentElement.scrollHeight - 2")
        assert abs(top) < 40 or end


def test_dark_scheme_darkens_the_page_but_not_the_card_of_a_figure(
    browser: Browser, report: Path
) -> None:
    def brightness(selector: str) -> float:
        colour = browser.ask(
            f"getComputedStyle(document.querySelector('{selector}')).backgroundColor"
        )
        parts = colour[colour.index("(") + 1 : -1].split(",")
        return sum(map(float, parts[:3])) / 3

    browser.open(report, 1280, scheme="light")
    assert brightness("body") > 200
    browser.open(report, 1280, scheme="dark")
    assert brightness("body") < 60
    assert brightness(".card") == 255


def test_printed_report_has_the_folded_tables_too(browser: Browser, report: Path) -> None:
    browser.open(report, 1280)
    browser.call("Emulation.setEmulatedMedia", media="print")
    heights = browser.ask(
        "Object.fromEntries(['classification', 'config', 'quarantined'].map(name =>"
        " [name, document.querySelector(`#table-${name} table`).getBoundingClientRect().height]))"
    )
    browser.call("Emulation.setEmulatedMedia", media="")
    assert heights["classification"] > 100
    assert heights["config"] > 100
    printed = browser.call("Page.printToPDF", preferCSSPageSize=True)["data"]
    assert base64.b64decode(printed).startswith(b"%PDF")


def test_every_image_has_a_text_for_who_cannot_see_it(browser: Browser, report: Path) -> None:
    browser.open(report, 1280)
    texts = browser.ask("[...document.querySelectorAll('figure img')].map(image => image.alt)")
    assert len(texts) >= 9
    assert all(len(text) > 20 for text in texts), texts


def test_every_inner_link_has_its_place_and_every_section_its_link(
    browser: Browser, report: Path
) -> None:
    browser.open(report, 1280)
    broken = browser.ask(
        "[...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.getAttribute('href'))"
        ".filter(href => href.length > 1 && !document.getElementById(href.slice(1)))"
    )
    assert broken == []
    linked = browser.ask(
        "[...document.querySelectorAll('nav a')].map(a => a.getAttribute('href').slice(1))"
    )
    assert {"explanation-measures", "export"} <= set(linked)


@pytest.mark.parametrize("name", ["fig4-loss", "fig5-confusion"])
def test_curves_and_matrices_fill_the_printed_page_on_white(
    browser: Browser, report: Path, name: str
) -> None:
    # A4 without margins of 2 cm is 640 px wide; the scheme of the screen must not reach the paper.
    browser.open(report, 640, scheme="dark")
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    browser.call("Emulation.setEmulatedMedia", media="print", features=[dark])
    width = browser.ask(f"document.querySelector('#{name} img').getBoundingClientRect().width")
    paper = browser.ask("getComputedStyle(document.body).backgroundColor")
    browser.call("Emulation.setEmulatedMedia", media="")
    assert width > 0.85 * 640
    assert paper in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)")
