"""The report of a whole run, in headless Chromium, keeps to what a reader has time for."""

from pathlib import Path

import pytest

from tests.unit.browser import BROWSERS, EXECUTABLE, Browser

from .conftest import Workflow

WORDS, TABLES, FIGURES, PAGES = 1800, 6, 8, 12

FOLDED = "document.querySelectorAll('details:not([open]) > :not(summary)').forEach(e => e.remove())"


@pytest.mark.skipif(EXECUTABLE is None, reason=f"none of {', '.join(BROWSERS)} is on the PATH")
def test_what_is_open_keeps_the_budget_of_words_tables_figures_and_pages(
    finished: Workflow, tmp_path: Path
) -> None:
    browser = Browser(tmp_path)
    try:
        browser.open(finished.folder / "results/tiny/report.html", 1280)
        pages = browser.pages()
        browser.ask(FOLDED)
        tables = browser.ask("document.querySelectorAll('table').length")
        figures = browser.ask("document.querySelectorAll('figure img').length")
        browser.ask("document.querySelectorAll('table').forEach(e => e.remove())")
        words = browser.ask("document.body.innerText.match(/\\p{L}[\\p{L}’'-]+/gu).length")
    finally:
        browser.close()
    assert words <= WORDS
    assert tables <= TABLES
    assert figures <= FIGURES
    assert pages <= PAGES
