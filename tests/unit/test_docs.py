"""README and docs stay short, and their links lead somewhere."""

import re
from pathlib import Path

import pytest
import yaml

from ..workflow.conftest import REPOSITORY

PAGES = sorted((REPOSITORY / "docs").glob("*.md"))
LINKED = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md"]
LINKED += [*sorted((REPOSITORY / "docs").rglob("*.md")), REPOSITORY / "benchmarks/README.md"]


def test_readme_and_docs_keep_their_budget() -> None:
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= 120
    words = [len(page.read_text().split()) for page in [*PAGES, REPOSITORY / "config/README.md"]]
    assert sum(words) <= 9000


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_links_within_the_repository_lead_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    lost = [link for link in links if ":" not in link and not (page.parent / link).exists()]
    assert lost == []


def test_figures_quoted_in_the_pages_are_those_of_the_last_real_run() -> None:
    quoted = yaml.safe_load((REPOSITORY / "docs/quoted.yaml").read_text())
    pages = [REPOSITORY / "README.md", *PAGES]
    marks = [
        mark
        for page in pages
        for mark in re.findall(r"<!--(\w+)-->(.*?)<!---->", page.read_text(), re.DOTALL)
    ]
    assert {name for name, _ in marks} == set(quoted)
    assert [(name, quoted[name]["value"]) for name, _ in marks] == marks
