"""README and docs stay short, and their links lead somewhere."""

import re
from pathlib import Path

import pytest

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
