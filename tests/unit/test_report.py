"""The report says what the files say, warns of what they hide, and stands on its own."""

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covidcxr.errors import InputError
from covidcxr.report import facts, formats, parts, report
from covidcxr.report.checklist import ANSWERED, GAP, model_card
from covidcxr.report.section import Check, Section, SectionFigure
from tests.unit.report_inputs import ROOT, Inputs, made_up_run


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    return made_up_run(tmp_path)


class Page(HTMLParser):
    """Collects what the tests ask of a page: attributes by tag, ids, and the text of it all."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.cells: list[list[str]] = []
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "tr":
            self.cells.append([])

    def handle_endtag(self, _tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("style", "script"):
            self.words.append(data)
        if self._inside in ("td", "th"):
            self.cells[-1].append(data)

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page_of(inputs: Inputs) -> Page:
    output = inputs.folder / "report.html"
    report.run(report=output, **inputs.arguments())
    return Page(output.read_text())


def run_of(inputs: Inputs) -> facts.Run:
    names = ("manifest", "split", "quarantine", "collections")
    frames = {name: inputs.frames[name] for name in names}
    return facts.Run(config=inputs.config, sections=inputs.sections, **frames)


def limits_of(inputs: Inputs, *, first: bool | None = None) -> list[str]:
    found = parts.data_limits(run_of(inputs))
    return [limit.text for limit in found if first is None or limit.first == first]


# ---------------------------------------------------------------- the page


def test_page_loads_nothing_from_elsewhere(inputs: Inputs) -> None:
    page = page_of(inputs)
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "poster", "data", "action"):
            address = attributes.get(name)
            followed_by_hand = tag == "a" and str(address).startswith("https://doi.org/")
            assert address is None or followed_by_hand or address.startswith(("data:", "#")), (
                address
            )
    styles = (ROOT / "src/covidcxr/report/report.css").read_text()
    assert not re.search(r"url\(|@import", styles)


def test_page_holds_the_figures_byte_for_byte_with_alternative_texts(inputs: Inputs) -> None:
    pictures = [a for a in page_of(inputs).attributes("img") if a.get("src")]
    shown = {base64.b64decode(str(a["src"]).partition("base64,")[2]) for a in pictures}
    assert shown == {path.read_bytes() for path in inputs.figures.values()}
    assert all(len(str(a["alt"])) > 10 for a in pictures)


def test_every_link_of_the_page_has_its_target_and_ids_are_unique(inputs: Inputs) -> None:
    page = page_of(inputs)
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    targets = [str(a["href"])[1:] for a in page.attributes("a") if str(a["href"]).startswith("#")]
    assert len(targets) > 8
    assert set(targets) <= set(ids)


def test_text_of_config_and_tables_is_escaped(inputs: Inputs) -> None:
    inputs.config["notice"] = "<script>alert(1)</script>"
    inputs.sections.append(
        Section("x", "<b>Bold</b>", "data", paragraphs=("<img src=x onerror=alert(2)> ECE",))
    )
    page = page_of(inputs)
    assert len(page.attributes("script")) == 1
    assert not [a for a in page.attributes("img") if a.get("src") == "x"]
    assert "A <made-up> run & its report" in page.text
    assert "<b>Bold</b>" in page.text


def test_same_inputs_give_the_same_file(inputs: Inputs) -> None:
    arguments = inputs.arguments()
    for name in ("a.html", "b.html"):
        report.run(report=inputs.folder / name, **arguments)
    assert (inputs.folder / "a.html").read_bytes() == (inputs.folder / "b.html").read_bytes()


def test_a_run_without_sections_of_steps_still_has_a_report(inputs: Inputs) -> None:
    inputs.sections.clear()
    page = page_of(inputs)
    assert "No ensemble has been scored on the test set." in page.text
    targets = {a.get("href") for a in page.attributes("a")}
    assert targets.isdisjoint({"#performance", "#validity", "#synthetic"})


def test_figures_of_the_paper_keep_their_numbers_and_others_count_in_page_order(
    inputs: Inputs,
) -> None:
    text = page_of(inputs).text
    tables = re.findall(r"Table (S?\d+)\.", text)
    assert tables == [f"S{k}" for k in range(1, len(tables) + 1)]
    assert len(tables) > 6
    assert re.findall(r"Figure (S?\d+)\.", text) == ["5", "4", "S1"]


def test_parts_come_in_the_order_of_the_report(inputs: Inputs) -> None:
    html = page_of(inputs).html
    order = ["summary", "data", "performance", "validity", "limits", "methods", "card"]
    places = [html.index(f'<section id="{part}"') for part in order]
    assert places == sorted(places)


def test_numbers_are_right_aligned_and_texts_are_not(inputs: Inputs) -> None:
    html = page_of(inputs).html
    assert re.search(r'<td class="number"[^>]*>0\.100</td>', html)
    assert re.search(r'<td data-label="Backbone">VGG16</td>', html)


def test_a_table_s_file_is_offered_beside_it_and_a_large_one_is_named(
    inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    [link] = [a for a in page_of(inputs).attributes("a") if a.get("download") == "comparisons.csv"]
    data = base64.b64decode(str(link["href"]).partition("base64,")[2])
    assert data == (inputs.folder / "comparisons.csv").read_bytes()
    monkeypatch.setattr(report, "LARGEST_FILE", 10)
    page = page_of(inputs)
    assert not [a for a in page.attributes("a") if str(a.get("download")).endswith(".csv")]
    assert f"{inputs.folder.name}/comparisons.csv" in page.text


def test_what_is_folded_is_in_details_and_shows_its_first_sentence(inputs: Inputs) -> None:
    html = page_of(inputs).html
    folded = re.search(r'<details class="part" id="calibration">.*?</summary>', html, re.S)
    assert folded is not None
    assert "First of it." in folded[0]
    assert html.count("First of it.") == 1
    assert re.search(r'<details class="method">\s*<summary>[^<]*</summary>\s*<p>Patients', html)


# ---------------------------------------------------------------- the first screen


def test_first_screen_has_finding_key_rows_and_checks_that_link_to_their_sections(
    inputs: Inputs,
) -> None:
    page = page_of(inputs)
    summary = Page(page.html[page.html.index('id="summary"') : page.html.index('id="data"')])
    assert "accuracy 0.900 (0.800–0.950), but shortcuts warns: this is no evidence" in summary.text
    assert "Majority class 0.400" in summary.text
    states = re.findall(r'<li class="(pass|warning|not-run)">', summary.html)
    assert states == ["pass", "warning", "not-run", "not-run", "pass", "not-run", "not-run"]
    links = [a["href"] for a in summary.attributes("a")]
    assert "#shortcuts" in links
    assert "#calibration" in links


def test_study_date_version_images_and_patients_stand_at_the_head(inputs: Inputs) -> None:
    page = page_of(inputs)
    head = Page(page.html[page.html.index("<header>") : page.html.index("</header>")]).text
    for text in (
        "Zebin and Rezvy",
        "seed",
        "100 images",
        "50 patients",
        "covidcxr",
        "not a medical",
    ):
        assert text in head
    assert re.search(r"\d{4}-\d\d-\d\d", head)


def test_of_several_checks_of_one_name_the_worst_counts(inputs: Inputs) -> None:
    run = run_of(inputs)
    assert run.checks["Leakage"][0].state == "pass"
    assert run.checks["External validity"] == (
        Check("External validity", "not run", "Not part of this run."),
        "",
    )
    worse = Section("late", "Late", "data", checks=(Check("Leakage", "warning", "Two copies."),))
    for sections in ([worse, *inputs.sections], [*inputs.sections, worse]):
        check, place = replace(run, sections=sections).checks["Leakage"]
        assert (check.text, place) == ("Two copies.", "late")


def test_finding_names_what_warns_or_what_was_not_checked(inputs: Inputs) -> None:
    run = run_of(inputs)
    assert report.finding(run).endswith(
        "but shortcuts warns: this is no evidence that the models recognise disease."
    )
    calm = [section for section in inputs.sections if section.ident != "shortcuts"]
    assert report.finding(replace(run, sections=calm)).endswith(
        "; not checked: shortcuts, confounding and external validity."
    )


# ---------------------------------------------------------------- limits


def test_no_external_validation_is_a_limit_only_where_no_external_set_was_scored(
    inputs: Inputs,
) -> None:
    def said() -> bool:
        return any("No external validation" in limit.text for limit in run_of(inputs).limits)

    assert said()
    for state in ("pass", "warning"):
        scored = Check("External validity", state, "0.500 on adults.")
        inputs.sections.append(Section("external", "External test", "validity", checks=(scored,)))
        assert not said()
        inputs.sections.pop()
    skipped = Check("External validity", "not run", "No set given.")
    inputs.sections.append(Section("external", "External test", "validity", checks=(skipped,)))
    assert said()
    inputs.config["split"]["unit"] = "site"
    assert said()
    assert not any("of another hospital" in limit.text for limit in run_of(inputs).limits)


def test_every_limit_stands_once_at_the_top_or_under_limits_whoever_gives_it(
    inputs: Inputs,
) -> None:
    page = page_of(inputs)
    start = page.html.index('<section id="limits"')
    top, text = (Page(part).text for part in (page.html[:start], page.html[start:]))
    text = text[: text.index("Methods")]
    for limit in (*parts.data_limits(run_of(inputs)), *run_of(inputs).limits):
        said = " ".join(limit.text.split())
        assert (top.count(said), text.count(said)) == (int(limit.first), int(not limit.first))


def test_class_with_a_source_of_its_own_is_named_with_its_number(inputs: Inputs) -> None:
    [text] = [text for text in limits_of(inputs) if "no other is from source" in text]
    assert text.startswith(
        "Every covid image (n\u00a0=\u00a020) and no other is from source clinic:"
    )


def test_no_class_is_named_once_each_source_serves_two_classes(inputs: Inputs) -> None:
    manifest = inputs.frames["manifest"]
    manifest.loc[manifest["label"] == "normal", "source"] = ["clinic", "hospital"] * 20
    assert facts.confounded_classes(manifest) == {}


def test_class_from_two_sources_of_its_own_is_confounded_too(inputs: Inputs) -> None:
    manifest = inputs.frames["manifest"]
    manifest.loc[manifest["label"] == "covid", "source"] = ["clinic", "ward"] * 10
    assert facts.confounded_classes(manifest) == {"covid": "clinic and ward"}


def test_unknown_views_confound_nothing(inputs: Inputs) -> None:
    assert facts.confounded_classes(inputs.frames["manifest"], "view") == {
        "covid": "AP and AP Supine"
    }
    inputs.frames["manifest"]["view"] = ""
    assert facts.confounded_classes(inputs.frames["manifest"], "view") == {}


def test_phantoms_are_announced_before_any_number(inputs: Inputs) -> None:
    for source in inputs.config["sources"].values():
        source["type"] = "phantom"
    page = page_of(inputs)
    first = "All images are computer-drawn phantoms: no figure here says anything about patients."
    assert limits_of(inputs, first=True)[0] == first
    assert page.text.index(first) < page.text.index("Recommended model")
    assert "Labels are the collections" not in " ".join(limits_of(inputs))
    assert "no patient's image" in parts.licences(run_of(inputs)).paragraphs[0]


def test_some_phantoms_are_counted(inputs: Inputs) -> None:
    inputs.config["sources"]["hospital"]["type"] = "phantom"
    assert limits_of(inputs)[0].startswith("80 of 100 images are computer-drawn phantoms")


def test_random_weights_are_named_and_others_are_not(inputs: Inputs) -> None:
    [text] = [text for text in limits_of(inputs, first=True) if "pretrained" in text]
    assert "ResNet50" in text
    assert "VGG16" not in text


@pytest.mark.parametrize(
    ("mirror", "kinds", "said"),
    [
        ("/data/mirror", ("covid_chestxray", "kermany"), True),
        (None, ("covid_chestxray", "kermany"), False),
        ("/data/mirror", ("phantom", "phantom"), False),
    ],
)
def test_mirror_is_noted_where_something_came_through_it(
    inputs: Inputs, mirror: str | None, kinds: tuple[str, str], said: bool
) -> None:
    inputs.config["mirror"] = mirror
    inputs.config["weights"] = dict.fromkeys(inputs.config["backbones"], "random")
    for source, kind in zip(inputs.config["sources"].values(), kinds, strict=True):
        source["type"] = kind
    assert any("not checked against the pinned files" in text for text in limits_of(inputs)) is said


def test_notice_of_the_config_stands_first(inputs: Inputs) -> None:
    inputs.config["notice"] = "Read\n  this."
    assert limits_of(inputs, first=True)[0] == "Read this."


def test_ages_are_given_with_their_unknown_share(inputs: Inputs) -> None:
    covid = inputs.frames["manifest"].query("label == 'covid'")["age"]
    expected = (
        f"covid median {np.nanmedian(covid):.0f} years ({np.nanmin(covid):.0f}–"
        f"{np.nanmax(covid):.0f}), unknown for 25.0\u202f%; normal unknown"
    )
    assert expected in parts.ages_text(run_of(inputs))


def test_classes_of_disjoint_ages_are_a_limit(inputs: Inputs) -> None:
    manifest = inputs.frames["manifest"]
    manifest.loc[manifest["label"] == "normal", "age"] = 3.0
    [text] = [text for text in limits_of(inputs) if "do not overlap" in text]
    assert "covid" in text
    assert "normal" in text
    assert "pneumonia" not in text


def test_synthetic_images_carry_the_source_only_where_the_classes_share_none(
    inputs: Inputs,
) -> None:
    def said() -> bool:
        return any("share no source" in text for text in limits_of(inputs))

    assert said()
    inputs.frames["manifest"]["source"] = "clinic"
    assert not said()
    inputs.frames["manifest"].loc[:5, "source"] = "hospital"
    inputs.config["augmentations"] = {"v1": {"synthetic": 0}}
    assert not said()


# ---------------------------------------------------------------- data


def test_flow_adds_up_from_the_collections_to_the_test_set(inputs: Inputs) -> None:
    boxes = {box.title: box for box in parts.flow(run_of(inputs))}
    listed, present = 300 + 16 + 1583, 211 + 3 + 424
    assert boxes["Listed in the collections"].images == listed
    assert boxes["No file here"].images == listed - present
    assert boxes["Quarantined"].details == ("1 duplicate bytes",)
    assert boxes["Sampled"].images == 100 == boxes["Training"].images + boxes["Test"].images
    left = sum(box.images for box in boxes.values() if box.kind == "left out")
    assert listed - left == boxes["Sampled"].images
    assert "covid 4, normal 8, pneumonia 8" in boxes["Test"].details
    assert any("3 folds of" in text for text in boxes["Training"].details)


def test_licences_are_counted_and_unstated_ones_named(inputs: Inputs) -> None:
    cells = page_of(inputs).cells
    assert ["clinic", "not stated", "10"] in cells
    assert ["hospital", "CC BY 4.0", "80"] in cells


def test_patient_on_both_sides_is_found_from_the_files_and_is_a_limit(inputs: Inputs) -> None:
    assert facts.shared_patients(run_of(inputs).images) == set()
    split = inputs.frames["split"]
    split.loc[0, ["split", "fold"]] = ["train", 0]
    run = run_of(inputs)
    assert facts.shared_patients(run.images) == {"clinic:covid0"}
    assert any("1 patient with images in both" in limit.text for limit in parts.data_limits(run))


# ---------------------------------------------------------------- errors


def test_unreadable_section_is_named_and_leaves_no_report(inputs: Inputs) -> None:
    arguments = inputs.arguments()
    arguments["sections"][0].write_text("{}")
    with pytest.raises(InputError, match=r"performance-models\.json"):
        report.run(report=inputs.folder / "report.html", **arguments)
    assert not (inputs.folder / "report.html").exists()


def test_figure_without_a_file_is_named(inputs: Inputs) -> None:
    figure = SectionFigure("fig8_more", "More.", "More of it.")
    inputs.sections.append(Section("more", "More", "data", figures=(figure,)))
    with pytest.raises(InputError, match="fig8_more"):
        page_of(inputs)


# ---------------------------------------------------------------- protocol


def test_departures_list_only_what_differs_from_the_study(inputs: Inputs) -> None:
    table = facts.departures(inputs.config).set_index("setting")
    assert set(table.index) == {
        "split.unit",
        "split.folds",
        "cyclegan.region",
        "training.normalize_features",
        "weights.ResNet50",
        "views",
    }
    assert table.loc["split.folds"].tolist() == ["5", "3"]


def test_layers_pooled_beside_the_last_are_a_departure(inputs: Inputs) -> None:
    config = inputs.config | {"pooled_layers": {"VGG16": ["block3_pool", "block4_pool"]}}
    table = facts.departures(config).set_index("setting")
    assert table.loc["pooled_layers.VGG16", "this_run"] == "block3_pool, block4_pool, the last"


def test_flattened_config_keeps_every_value(inputs: Inputs) -> None:
    flat = facts.flatten(inputs.config)
    assert flat["classes.covid[0].count"] == "20"
    assert flat["backbones"] == "VGG16, ResNet50"
    assert flat["transform.horizontal_flip"] == "yes"
    assert flat["timeline"] == formats.MISSING


def test_augmentations_are_defined_by_what_the_run_does(inputs: Inputs) -> None:
    v1, v2 = (report.augmentation_text(inputs.config, name) for name in ("v1", "v2"))
    assert "rotation up to 5°, shifts up to 5 % and horizontal flip" in v1
    assert "CycleGAN" not in v1
    assert v2.endswith("plus 100 CycleGAN images in each training fold")
    text = page_of(inputs).text
    assert v1 in text
    assert "as v1, plus 100 CycleGAN images in each training fold" in text


# ---------------------------------------------------------------- model card and checklist


def answers(inputs: Inputs) -> dict[str, list[str]]:
    """Rows of the checklist by what they ask."""
    run = run_of(inputs)
    run = replace(run, sections=[*(make(run) for make in parts.MAKERS[:-1]), *run.sections])
    _, claim = model_card(run).tables
    assert claim.table is not None
    return {row[1]: list(row) for row in claim.table.rows}


def test_missing_external_test_is_a_gap_and_a_given_one_is_answered_with_its_numbers(
    inputs: Inputs,
) -> None:
    assert answers(inputs)["Test on external data"][2] == GAP
    check = Check("External validity", "pass", "0.910 on adults.")
    inputs.sections.append(Section("external", "External test", "validity", checks=(check,)))
    _, _, state, text = answers(inputs)["Test on external data"]
    assert state == ANSWERED
    assert "0.910 on adults" in text


def test_leakage_keeps_disjointness_from_being_answered(inputs: Inputs) -> None:
    row = "Level at which partitions are disjoint"
    assert answers(inputs)[row][2] == ANSWERED
    check = Check("Leakage", "warning", "2 patients on both sides.")
    inputs.sections.append(Section("audit", "Audit", "validity", checks=(check,)))
    assert answers(inputs)[row][2] != ANSWERED
    assert "2 patients" in answers(inputs)[row][3]


def test_what_the_checklist_points_to_is_in_the_report(inputs: Inputs) -> None:
    page = page_of(inputs)
    for _, _, _, text in answers(inputs).values():
        for title in re.findall(r"'([^']+)'", text):
            assert re.search(rf"<h[23]>{title}</h[23]>", page.html), title
    assert "in this report" not in answers(inputs)["Software"][3]


def test_power_is_claimed_only_where_it_was_calculated(inputs: Inputs) -> None:
    row = "Sample size and how it was determined"
    assert "No power calculation" in answers(inputs)[row][3]
    inputs.sections.append(Section("synthetic-effect", "Effect", "synthetic"))
    assert "can detect" in answers(inputs)[row][3]


def test_checklist_counts_what_its_table_shows_and_denies_clinical_use(inputs: Inputs) -> None:
    found = model_card(run_of(inputs))
    card, claim = (item.table for item in found.tables)
    assert card is not None
    assert claim is not None
    states = [row[2] for row in claim.rows]
    assert f"{states.count(GAP)} are gaps" in found.paragraphs[0]
    assert f"answers {states.count(ANSWERED)}," in found.paragraphs[0]
    assert "no clinical use" in found.paragraphs[0]
    assert "not for diagnosis" in " ".join(" ".join(row) for row in card.rows)
    assert all(row[3].strip() and "nan" not in row[3].split() for row in claim.rows)


# ---------------------------------------------------------------- terms


def test_a_term_is_marked_where_it_is_first_used_and_always_in_headings() -> None:
    terms = report.Terms({"ECE": "Error.", "macro F1": "Mean.", "F1": "Harmonic mean."})
    assert terms.marked("An ECE <x> and the macro F1; ECE") == (
        'An <a class="term" href="#term-ece">ECE</a> &lt;x&gt; and the '
        '<a class="term" href="#term-macro-f1">macro F1</a>; ECE'
    )
    assert terms.marked("ECE") == "ECE"
    assert "href" in terms.marked("ECE", always=True)
    assert terms.marked("fence, F10") == "fence, F10"


def test_every_marked_term_has_its_definition(inputs: Inputs) -> None:
    page = page_of(inputs)
    used = {str(a["href"])[1:] for a in page.attributes("a") if a.get("class") == "term"}
    defined = {a.get("id") for a in page.attributes("dt")}
    assert {"term-ece", "term-holm", "term-v1"} - used <= {"term-v1"}
    assert used <= defined


# ---------------------------------------------------------------- forms


@given(st.floats(0, 1e7))
def test_durations_are_within_a_hundredth_of_what_they_write(seconds: float) -> None:
    units = {"s": 1, "min": 60, "h": 3600}
    words = formats.duration(seconds).split()
    written = sum(float(n) * units[unit] for n, unit in zip(words[::2], words[1::2], strict=True))
    assert abs(written - seconds) <= max(0.0501, 0.0085 * seconds)
    assert all(float(n) < 60 for n, unit in zip(words[2::2], words[3::2], strict=True) if unit)


@given(st.integers(-(10**12), 10**12))
def test_counts_read_back(number: int) -> None:
    text = formats.count(number)
    assert int(text.replace("\u202f", "").replace("\u2212", "-")) == number


@pytest.mark.parametrize(
    ("value", "text"), [(0.0121, "+0.012"), (-0.0121, "−0.012"), (-0.0001, "0.000"), (0, "0.000")]
)
def test_differences_carry_a_sign_unless_they_round_to_nothing(value: float, text: str) -> None:
    assert formats.difference(value) == text


def test_metric_columns_are_grouped_and_missing_values_are_dashes() -> None:
    frame = pd.DataFrame(
        {"model": ["a", ""], "precision_x": [1.0, np.nan], "precision_y": [0.5, 0.25]}
    )
    table = formats.table_of(frame)
    assert table.head == [("", 1), ("Precision", 2)]
    assert table.rows == [["a", "1.000", "0.500"], ["–", "–", "0.250"]]


# ---------------------------------------------------------------- captions of `snakemake --report`


def test_captions_of_the_workflow_are_valid_and_all_there(inputs: Inputs) -> None:
    core = pytest.importorskip("docutils.core", reason="docutils comes with Snakemake only")
    captions = {path.name: path for path in (ROOT / "workflow/report").glob("*.rst")}
    used = {
        name
        for path in (ROOT / "workflow").rglob("*")
        if path.suffix == ".smk" or path.name == "Snakefile"
        for name in re.findall(r"report/(\w+\.rst)", path.read_text())
    }
    assert set(captions) == used
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    for path in captions.values():
        source = environment.from_string(path.read_text()).render(
            snakemake={"config": inputs.config, "rule": "train"}
        )
        # Level 2 is a warning; it raises.
        html = core.publish_string(
            source, writer="html5", settings_overrides={"halt_level": 2, "report_level": 2}
        )
        assert len(html) > 500
