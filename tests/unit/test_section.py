"""Sections come from the step that writes them to the report unchanged, or are refused by name."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covidcxr.errors import InputError
from covidcxr.report.formats import Column, Table, difference, interval
from covidcxr.report.section import (
    PARTS,
    Check,
    KeyRow,
    Limit,
    Section,
    SectionFigure,
    SectionTable,
    in_order,
    read_section,
    write_section,
)

texts = st.text(st.characters(codec="utf-8"), max_size=20)
tables = st.builds(
    lambda heads, rows, strong: Table(
        [Column(*head) for head in heads],
        [[f"{row}{k}" for k in range(len(heads))] for row in rows],
        frozenset({0} if strong and rows else {}),
    ),
    st.lists(st.tuples(texts, texts, st.booleans()), min_size=1, max_size=3),
    st.lists(texts, max_size=3),
    st.booleans(),
)
sections = st.builds(
    Section,
    ident=texts,
    title=texts,
    part=st.sampled_from(list(PARTS)),
    paragraphs=st.lists(texts, max_size=2).map(tuple),
    method=st.lists(texts, max_size=2).map(tuple),
    finding=texts,
    checks=st.lists(
        st.builds(Check, texts, st.sampled_from(["pass", "warning", "not run"]), texts), max_size=2
    ).map(tuple),
    key_rows=st.lists(st.builds(KeyRow, texts, texts, texts), max_size=2).map(tuple),
    limits=st.lists(st.builds(Limit, texts, st.booleans()), max_size=2).map(tuple),
    figures=st.lists(st.builds(SectionFigure, texts, texts, texts, st.booleans()), max_size=2).map(
        tuple
    ),
    tables=st.lists(
        st.builds(SectionTable, texts, texts, st.none() | tables, st.booleans()), max_size=2
    ).map(tuple),
    folded=st.booleans(),
)


@given(sections)
def test_a_section_reads_back_as_it_was_written(tmp_path_factory, section: Section) -> None:
    path = tmp_path_factory.mktemp("sections") / "a.json"
    write_section(path, section)
    assert read_section(path) == section


def test_parts_come_in_the_report_s_order_and_keep_their_own(tmp_path: Path) -> None:
    def section(ident: str, part: str) -> Section:
        return Section(ident=ident, title=ident, part=part)

    given_order = [section("c", "validity"), section("a", "data"), section("b", "validity")]
    assert [one.ident for one in in_order(given_order)] == ["a", "c", "b"]


def test_a_file_that_is_no_section_and_an_unknown_part_are_named(tmp_path: Path) -> None:
    path = tmp_path / "strange.json"
    path.write_text('{"ident": "x"}')
    with pytest.raises(InputError, match=r"strange\.json.*title"):
        read_section(path)
    write_section(path, Section(ident="x", title="X", part="appendix"))
    with pytest.raises(InputError, match=r"'appendix'.*validity"):
        read_section(path)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((0.9123, 0.85, 0.95), "0.912 (0.850–0.950)"),
        ((1.0, float("nan"), float("nan")), "1.000"),
        ((float("nan"), 0.1, 0.2), "–"),
        ((0.01, -0.02, 0.04), "0.010 (−0.020 to 0.040)"),
    ],
)
def test_one_form_for_an_estimate_and_its_interval(values, text) -> None:
    assert interval(*values) == text


def test_a_folded_section_leads_with_its_first_sentence_and_says_the_rest_once() -> None:
    long = Section("x", "X", "data", paragraphs=("It is 0.5 of 1. It may be less.", "More."))
    assert long.lead == "It is 0.5 of 1."
    assert long.rest.paragraphs == long.paragraphs
    short = Section("x", "X", "data", paragraphs=("It is 0.5.", "More."))
    assert short.lead == "It is 0.5."
    assert short.rest.paragraphs == ("More.",)
    assert Section("x", "X", "data").lead == ""


def test_a_difference_shows_its_sign_and_those_of_its_bounds() -> None:
    assert interval(0.05, 0.01, 0.09, difference) == "+0.050 (+0.010 to +0.090)"
