"""The report's last section: the model card, and the items of CLAIM with their gaps."""

from collections.abc import Mapping

import pandas as pd

from covidcxr.report.checklist import ANSWERED, GAP, PARTLY, answer, counts, read_items
from covidcxr.report.facts import Run
from covidcxr.report.formats import Column, Table, count
from covidcxr.report.sections.section import Section, SectionTable


def section(run: Run, tables: Mapping[str, pd.DataFrame]) -> Section:
    """Fill the model card and the checklist from the run's own data."""
    items = read_items()
    card = [[item["heading"], answer(item, run, tables).text] for item in items["card"]]
    answers = [answer(item, run, tables) for item in items["claim"]]
    rows = [
        [item["item"], item["asks"], found.status, found.text]
        for item, found in zip(items["claim"], answers, strict=True)
    ]
    number = counts(answers)
    return Section(
        ident="checklist",
        title="Model card and checklist",
        paragraphs=[
            f"Of {count(len(rows))} groups of items of CLAIM (Mongan, Moy & Kahn 2020) the run "
            f"answers {count(number[ANSWERED])} from its own data, {count(number[PARTLY])} in "
            f"part; {count(number[GAP])} are gaps. The items are put in short; those that only an "
            "article can answer (title, abstract, hypotheses, definitions of data elements) are "
            "left out.",
            "These models are for research on the method. They have no clinical use.",
        ],
        tables=[
            SectionTable(
                "model_card",
                "Model card",
                Table([Column(""), Column("what this run can say")], card),
            ),
            SectionTable(
                "claim",
                "Items of CLAIM",
                Table([Column("item"), Column("asks"), Column("state"), Column("answer")], rows),
            ),
        ],
    )
