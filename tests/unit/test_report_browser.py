"""The report in headless Chromium: it fits every window, sorts, filters and explains itself."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from covidcxr.report import report as step
from tests.unit.browser import BROWSERS, EXECUTABLE, Browser
from tests.unit.report_inputs import made_up_run

WIDTHS = (390, 768, 1280, 1920)
AXE = "axe-core@4.10.3"

pytestmark = pytest.mark.skipif(
    EXECUTABLE is None, reason=f"none of {', '.join(BROWSERS)} is on the PATH"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    started = Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    inputs = made_up_run(tmp_path_factory.mktemp("report"))
    inputs.sections = [
        replace(section, part="explanations") if section.ident == "shortcuts" else section
        for section in inputs.sections
    ]
    step.run(report=inputs.folder / "report.html", **inputs.arguments())
    return inputs.folder / "report.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_overflows_sideways_even_unfolded(
    browser: Browser, report: Path, width: int, scheme: str
) -> None:
    browser.open(report, width, scheme=scheme)
    browser.ask("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.ask("innerWidth") == width
    assert browser.ask("document.documentElement.scrollWidth") <= width
    wide = browser.ask(
        "[...document.querySelectorAll('.scroll')].filter(b => b.scrollWidth > b.clientWidth + 1)"
        ".map(b => b.getAttribute('aria-label'))"
    )
    assert wide == []


def test_first_screen_holds_finding_results_and_checks(browser: Browser, report: Path) -> None:
    bottom = "document.querySelector('.overview').getBoundingClientRect().bottom"
    browser.open(report, 1280)
    assert browser.ask(bottom) <= 900
    browser.open(report, 390, height=844)
    assert browser.ask(bottom) <= 2 * 844
    rows = browser.ask("document.querySelectorAll('.key tr').length")
    assert 0 < rows <= 8


def test_a_phone_shows_rows_as_cards_with_the_value_first(browser: Browser, report: Path) -> None:
    browser.open(report, 390)
    assert browser.ask(
        "[...document.querySelectorAll('.key tr')].every(row =>"
        " row.querySelector('.value').getBoundingClientRect().left"
        " < row.querySelector('th').getBoundingClientRect().left)"
    )
    label = "getComputedStyle(document.querySelector('.scroll td'), '::before').content"
    assert browser.ask(label) not in ("none", "normal")


@pytest.mark.parametrize("width", WIDTHS)
def test_text_of_figures_is_at_least_nine_pixels_high(
    browser: Browser, report: Path, width: int
) -> None:
    browser.open(report, width)
    browser.ask("document.querySelectorAll('details').forEach(d => d.open = true)")
    # Seven points, the smallest text, at 200 pixels an inch.
    heights = browser.ask(
        "[...document.querySelectorAll('figure img')].map(image =>"
        " 7 / 72 * 200 * image.getBoundingClientRect().width / image.naturalWidth)"
    )
    assert len(heights) == 3
    assert min(heights) >= 8.9


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
    assert "Figure\u00a05" in browser.ask("document.querySelector('dialog p').textContent")
    box = browser.ask(
        "(() => { const b = document.querySelector('dialog img').getBoundingClientRect();"
        " return [b.left, b.top, innerWidth - b.right, innerHeight - b.bottom]; })()"
    )
    assert min(box) >= 0
    browser.press("Escape", 27)
    assert not browser.ask("document.querySelector('dialog').open")
    assert browser.ask("document.activeElement.closest('figure').id") == "fig5-confusion"


def test_links_of_the_contents_and_of_checks_lead_to_their_sections(
    browser: Browser, report: Path
) -> None:
    browser.open(report, 1280)
    links = "[...document.querySelectorAll('nav a, .checks a')]"
    count = browser.ask(f"{links}.length")
    assert count >= 8
    for place in range(count):
        browser.ask(f"{links}[{place}].click()")
        top = browser.ask(
            "document.getElementById(location.hash.slice(1)).getBoundingClientRect().top"
        )
        end = browser.ask("scrollY + innerHeight >= document.documentElement.scrollHeight - 2")
        assert abs(top) < 70 or end


def test_a_link_to_something_folded_unfolds_it(browser: Browser, report: Path) -> None:
    browser.open(report, 1280)
    assert not browser.ask("document.getElementById('calibration').open")
    browser.ask("document.querySelector('.checks a[href=\"#calibration\"]').click()")
    browser.ask("new Promise(done => setTimeout(done, 50))")
    assert browser.ask("document.getElementById('calibration').open")


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


COLUMN = (
    "[...document.querySelectorAll('#table-models tbody tr')].map(r => r.cells[{}].textContent)"
)


def test_a_table_of_models_sorts_up_and_down_by_a_click(browser: Browser, report: Path) -> None:
    browser.open(report, 1280)
    button = "document.querySelectorAll('#table-models thead tr:last-child th button')[3]"
    before = browser.ask(COLUMN.format(3))
    browser.ask(f"{button}.click()")
    assert browser.ask(COLUMN.format(3)) == sorted(before)
    assert browser.ask(f"{button}.parentElement.getAttribute('aria-sort')") == "ascending"
    browser.ask(f"{button}.click()")
    assert browser.ask(COLUMN.format(3)) == sorted(before, reverse=True)


def test_a_table_of_models_filters_by_backbone_and_classifier(
    browser: Browser, report: Path
) -> None:
    browser.open(report, 1280)
    labels = browser.ask(
        "[...document.querySelectorAll('#table-models .filters label')]"
        ".map(l => l.firstChild.textContent.trim())"
    )
    assert labels == ["Backbone", "Classifier", "Augmentation"]
    browser.ask(
        "[...document.querySelectorAll('#table-models .filters select')].slice(0, 2).forEach("
        "(s, k) => { s.value = ['VGG16', 'network'][k]; s.dispatchEvent(new Event('change')); })"
    )
    shown = "[...document.querySelectorAll('#table-models tbody tr')].filter(r => !r.hidden)"
    assert (
        browser.ask(f"{shown}.map(r => r.cells[0].textContent + r.cells[1].textContent)")
        == ["VGG16network"] * 2
    )


def test_a_term_shows_its_definition_on_focus_and_tap_and_escape_hides_it(
    browser: Browser, report: Path
) -> None:
    browser.open(report, 390)
    term, box = "document.querySelector('a.term[href=\"#term-ece\"]')", "#definition"
    assert browser.ask(f"document.querySelector('{box}').hidden")
    browser.ask(f"{term}.click()")
    assert "confidence" in browser.ask(f"document.querySelector('{box}').textContent")
    place = browser.ask(
        f"(() => {{ const b = document.querySelector('{box}').getBoundingClientRect();"
        " return [b.left, b.right]; })()"
    )
    assert place[0] >= 0
    assert place[1] <= 390
    browser.press("Escape", 27)
    assert browser.ask(f"document.querySelector('{box}').hidden")
    browser.ask(f"{term}.focus()")
    assert not browser.ask(f"document.querySelector('{box}').hidden")


def test_print_shows_what_is_open_and_all_of_it_after_open_all(
    browser: Browser, report: Path
) -> None:
    def height(name: str) -> float:
        return float(
            browser.ask(
                f"document.querySelector('#table-{name} table').getBoundingClientRect().height"
            )
        )

    browser.open(report, 1280)
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert height("models") > 100
    assert height("config") == 0
    browser.call("Emulation.setEmulatedMedia", media="")
    few = browser.pages()
    browser.ask("document.getElementById('unfold').click()")
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert height("config") > 100
    browser.call("Emulation.setEmulatedMedia", media="")
    assert 0 < few < browser.pages()


def test_no_heading_is_left_alone_at_the_end_of_a_page(browser: Browser, report: Path) -> None:
    browser.open(report, 1280)
    browser.call("Emulation.setEmulatedMedia", media="print")
    kept = browser.ask(
        "[...document.querySelectorAll('h2, h3, summary, figure.table figcaption')]"
        ".every(e => getComputedStyle(e).breakAfter === 'avoid' || e.closest('summary'))"
    )
    browser.call("Emulation.setEmulatedMedia", media="")
    assert kept


@pytest.mark.parametrize("name", ["curve", "fig5-confusion"])
def test_curves_and_matrices_are_printed_on_white(
    browser: Browser, report: Path, name: str
) -> None:
    # A4 without margins of 2 cm is 640 px wide; the scheme of the screen must not reach the paper.
    browser.open(report, 640, scheme="dark")
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    browser.call("Emulation.setEmulatedMedia", media="print", features=[dark])
    width = browser.ask(f"document.querySelector('#{name} img').getBoundingClientRect().width")
    paper = browser.ask("getComputedStyle(document.body).backgroundColor")
    browser.call("Emulation.setEmulatedMedia", media="")
    assert width > 0.8 * 640
    assert paper in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)")


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script of axe-core, from npm."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not on the PATH, so axe-core cannot be fetched")
    folder = tmp_path_factory.mktemp("axe")
    got = subprocess.run(
        ["npm", "install", "--silent", "--no-save", "--prefix", folder, AXE],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    script = folder / "node_modules/axe-core/axe.min.js"
    if not script.is_file():
        pytest.skip(f"npm did not fetch {AXE}: {got.stderr.strip()[-200:] or 'no reason given'}")
    return script.read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_no_violation(
    browser: Browser, report: Path, axe: str, width: int, scheme: str
) -> None:
    browser.open(report, width, scheme=scheme)
    browser.ask("document.querySelectorAll('details').forEach(d => d.open = true)")
    browser.ask(axe + "; 0")
    found = browser.call(
        "Runtime.evaluate",
        expression="axe.run().then(r => JSON.stringify(r.violations.map(v =>"
        " [v.id, v.nodes.length, v.nodes[0].html.slice(0, 200), v.nodes[0].failureSummary])))",
        awaitPromise=True,
        returnByValue=True,
    )
    assert json.loads(found["result"]["value"]) == []
