"""The report says what the files say, warns of what they hide, and stands on its own."""

import base64
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covidcxr.errors import InputError
from covidcxr.report import content, facts, formats, sections
from covidcxr.report.content import Notice
from covidcxr.report.facts import Run
from covidcxr.report.formats import table_of
from covidcxr.report.report import write_report
from covidcxr.report.sections.section import Section, SectionFigure, SectionTable
from covidcxr.report.summaries import beside_table
from tests.unit.report_inputs import CLASSES, ROOT, Inputs, made_up_run


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    return made_up_run(tmp_path)


class Page(HTMLParser):
    """Collects what the tests ask of a page: attributes by tag, ids, and the text of it all."""

    def __init__(self, html: str) -> None:
        super().__init__()
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
    write_report(output, **inputs.arguments())
    return Page(output.read_text())


def run_of(inputs: Inputs) -> facts.Run:
    names = ("manifest", "split", "quarantine", "classification", "intervals", "synthetic")
    return facts.Run(config=inputs.config, **{name: inputs.frames[name] for name in names})


def warnings_of(inputs: Inputs) -> list[str]:
    return [notice.text for notice in content.notices(run_of(inputs))]


# ---------------------------------------------------------------- the page


def test_page_loads_nothing_from_elsewhere(inputs: Inputs) -> None:
    page = page_of(inputs)
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "poster", "data", "action"):
            address = attributes.get(name)
            assert address is None or address.startswith(("data:", "#")), address
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
    inputs.frames["quarantine"].loc[0, "path"] = "<img src=x onerror=alert(2)>"
    page = page_of(inputs)
    assert len(page.attributes("script")) == 1
    assert not [a for a in page.attributes("img") if a.get("src") == "x"]
    assert "A <made-up> run & its report" in page.text


def test_same_inputs_give_the_same_file(inputs: Inputs) -> None:
    arguments = inputs.arguments()
    for name in ("a.html", "b.html"):
        write_report(inputs.folder / name, **arguments)
    assert (inputs.folder / "a.html").read_bytes() == (inputs.folder / "b.html").read_bytes()


def test_figures_and_optional_tables_that_a_run_lacks_are_left_out(inputs: Inputs) -> None:
    for name in ("fig2_synthetic", "cyclegan_samples", "fig7_timeline", "fig_jobs"):
        del inputs.figures[name]
    for name in ("losses", "synthetic", "published_accuracy", "models", "collections", "jobs"):
        del inputs.frames[name]
    page = page_of(inputs)
    assert "Figure 7" not in page.text
    assert "Figure 6" in page.text
    headings = {a.get("href") for a in page.attributes("a")}
    assert headings.isdisjoint({"#cyclegan", "#models", "#runtimes"})


def test_tables_of_the_paper_keep_their_numbers_and_others_count_in_page_order(
    inputs: Inputs,
) -> None:
    labels = re.findall(r"Table (S?\d+)\.", page_of(inputs).text)
    own = [label for label in labels if label.startswith("S")]
    assert len(own) > 10
    assert own == [f"S{k}" for k in range(1, len(own) + 1)]
    assert [label for label in labels if not label.startswith("S")] == ["1", "2"]


def test_explanations_say_what_was_predicted_and_how_surely(inputs: Inputs) -> None:
    page = page_of(inputs)
    captions = {
        k: page.text.partition(f"Figure {k}.")[2].partition("VGG16:")[2][:150] for k in (6, 7)
    }
    assert "covid → normal 0.613, normal → normal 0.700" in captions[6]
    assert "day 9 → covid 0.980" in captions[7]
    assert "which is covid throughout" in page.text


def test_file_without_maps_is_named(inputs: Inputs) -> None:
    np.savez(inputs.gradcam["VGG16"], other=np.zeros(1))
    with pytest.raises(InputError, match=r"VGG16\.npz"):
        page_of(inputs)


def test_numbers_are_right_aligned_and_texts_are_not(inputs: Inputs) -> None:
    html = (page_of(inputs), (inputs.folder / "report.html").read_text())[1]
    assert re.search(r'<td class="number">57\.0</td>', html)
    assert re.search(r"<td>COVIDNet-CXR Large</td>", html)


def test_quarantine_is_counted_by_reason(inputs: Inputs) -> None:
    page = page_of(inputs)
    assert ["missing", "clinic", "covid", "7"] in page.cells
    assert ["duplicate bytes", "hospital", "normal", "1"] in page.cells
    assert "7 images without a file; 1 file of no use (1 duplicate bytes)" in page.text


def test_files_that_the_collections_list_but_lack_are_counted(inputs: Inputs) -> None:
    listed, present = 300 + 16 + 1583, 211 + 3 + 424
    expected = f"of these {formats.count(listed - present)} ({100 * (1 - present / listed):.1f}"
    assert expected in (inputs.folder / "report.html", page_of(inputs))[0].read_text()


def test_licences_are_counted_and_unstated_ones_named(inputs: Inputs) -> None:
    cells = page_of(inputs).cells
    assert ["clinic", "not stated", "10"] in cells
    assert ["hospital", "CC BY 4.0", "80"] in cells


# ---------------------------------------------------------------- errors


def test_missing_table_is_named(inputs: Inputs) -> None:
    del inputs.frames["split"]
    with pytest.raises(InputError, match="split"):
        page_of(inputs)


def test_unreadable_figure_is_named_and_leaves_no_report(inputs: Inputs) -> None:
    inputs.figures["fig4_loss"] = inputs.folder / "nowhere.png"
    with pytest.raises(InputError, match=r"nowhere\.png"):
        page_of(inputs)
    assert not (inputs.folder / "report.html").exists()


def test_figure_without_a_place_is_named(inputs: Inputs) -> None:
    inputs.figures["fig8_more"] = inputs.figures["fig4_loss"]
    with pytest.raises(InputError, match="fig8_more"):
        page_of(inputs)


# ---------------------------------------------------------------- notices


def test_class_with_a_source_of_its_own_is_named_with_its_number(inputs: Inputs) -> None:
    [notice] = [text for text in warnings_of(inputs) if "cannot be told apart" in text]
    assert notice.startswith("Every covid image (n\u00a0=\u00a020) comes from source clinic")


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
    texts = warnings_of(inputs)
    assert texts[0] == (
        "All images are computer-drawn phantoms; no figure here says anything about patients."
    )
    assert not [text for text in texts if text.startswith("Age")]
    assert not [text for text in content.limits(run_of(inputs)) if "hospital" in text]
    assert "no patient's image" in content.licence_text(run_of(inputs))


def test_some_phantoms_are_counted(inputs: Inputs) -> None:
    inputs.config["sources"]["hospital"]["type"] = "phantom"
    assert warnings_of(inputs)[0].startswith("80 of 100 images are computer-drawn phantoms")


def test_random_weights_are_named_and_others_are_not(inputs: Inputs) -> None:
    [text] = [text for text in warnings_of(inputs) if "random weights" in text]
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
    assert any("pinned checksums" in text for text in warnings_of(inputs)) is said


def test_notice_of_the_config_stands_first_and_research_only_last(inputs: Inputs) -> None:
    inputs.config["notice"] = "Read\n  this."
    texts = warnings_of(inputs)
    assert texts[0] == "Read this."
    assert "Not a medical device" in texts[-1]


def test_ages_are_told_with_their_unknown_share(inputs: Inputs) -> None:
    covid = inputs.frames["manifest"].query("label == 'covid'")["age"]
    [text] = [text for text in warnings_of(inputs) if text.startswith("Age")]
    expected = (
        f"covid median {np.nanmedian(covid):.0f} years ({np.nanmin(covid):.0f}–"
        f"{np.nanmax(covid):.0f}), unknown for 25.0\u202f%; normal unknown"
    )
    assert expected in text


def test_classes_of_disjoint_ages_are_a_limit(inputs: Inputs) -> None:
    manifest = inputs.frames["manifest"]
    manifest.loc[manifest["label"] == "normal", "age"] = 3.0
    [text] = [text for text in content.limits(run_of(inputs)) if "do not overlap" in text]
    assert "covid" in text
    assert "normal" in text
    assert "pneumonia" not in text


# ---------------------------------------------------------------- facts


def test_patient_on_both_sides_is_found_from_the_files_and_shown_as_failed(
    inputs: Inputs,
) -> None:
    assert facts.shared_patients(run_of(inputs).images) == set()
    split = inputs.frames["split"]
    split.loc[0, ["split", "fold"]] = ["train", 0]
    assert facts.shared_patients(run_of(inputs).images) == {"clinic:covid0"}
    page = page_of(inputs)
    assert [a for a in page.attributes("li") if a.get("class") == "failed"]
    assert "Patients in both the training and the test set: 1" in page.text


def test_patient_in_two_folds_is_found(inputs: Inputs) -> None:
    split = inputs.frames["split"]
    row = split.index[split["split"] == "train"][0]
    split.loc[row, "fold"] = (split.loc[row, "fold"] + 1) % 3
    assert len(facts.patients_in_several_folds(run_of(inputs).images)) == 1


def test_synthetic_image_of_a_test_image_is_found(inputs: Inputs) -> None:
    assert facts.synthetic_from_test(run_of(inputs)) == 0
    inputs.frames["synthetic"].loc[0, "source_image_id"] = "hospital-normal0"
    assert facts.synthetic_from_test(run_of(inputs)) == 1


def test_key_result_is_the_best_test_ensemble_with_its_interval(inputs: Inputs) -> None:
    table = inputs.frames["classification"]
    # A fold and a validation score above all ensembles are not the key result.
    table.loc[(table["model"] == "fold0") & (table["augmentation"] == "v2"), "accuracy"] = 1.0
    sentence, per_backbone = content.key_result(run_of(inputs))
    assert "VGG16 with v1, accuracy 0.900" in sentence
    assert "interval 0.800–0.950" in sentence
    assert "would give 0.400" in sentence
    assert per_backbone == [
        "VGG16: v1 0.900, v2 0.850",
        "ResNet50 (random weights): v1 0.500, v2 0.450",
    ]


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


def test_table_1_groups_each_measure_with_its_published_value_and_difference(
    inputs: Inputs,
) -> None:
    table = beside_table(inputs.frames["published_accuracy"])
    assert table.head == [
        *[("", 1)] * 3,
        ("Accuracy", 3),
        ("Folds, accuracy", 3),
        *[(f"Precision {label}", 3) for label in CLASSES],
    ]
    assert [column.label for column in table.columns[3:9]] == [
        *("this run", "published", "difference"),
        *("mean", "min", "max"),
    ]
    assert table.rows[0][3:6] == ["0.900", "0.880", "+0.020"]
    assert table.rows[1][4:6] == ["–", "–"]


# ---------------------------------------------------------------- captions of `snakemake --report`


def test_captions_of_the_workflow_are_valid_and_all_there(inputs: Inputs) -> None:
    core = pytest.importorskip("docutils.core", reason="docutils comes with Snakemake only")
    jinja2 = pytest.importorskip("jinja2")
    captions = {path.stem: path for path in (ROOT / "workflow/report").glob("*.rst")}
    wanted = {"workflow", "classification", "published_accuracy", "published_comparison", "models"}
    assert wanted | set(inputs.figures) <= set(captions)
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    for path in captions.values():
        source = environment.from_string(path.read_text()).render(
            snakemake={"config": inputs.config}
        )
        # Level 2 is a warning; it raises.
        html = core.publish_string(
            source, writer="html5", settings_overrides={"halt_level": 2, "report_level": 2}
        )
        assert len(html) > 500


def test_a_sections_text_figure_and_table_enter_the_page_and_its_notice_stands_on_top(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = made_up_run(tmp_path)
    inputs.frames["ages"] = pd.DataFrame({"label": ["covid"], "accuracy": [0.875]})
    inputs.figures["ages"] = inputs.figures["fig1_diagnoses"]
    del inputs.figures["fig_jobs"]  # its section gives way to the one of this test

    def section(run: Run, tables: Mapping[str, pd.DataFrame]) -> Section | None:
        if "ages" not in tables:
            return None
        return Section(
            ident="ages",
            title="Ages",
            paragraphs=["What ages say."],
            notices=[Notice("warning", "Age names the class.")],
            figures=[SectionFigure("ages", "Ages of all.", "Bars of ages.")],
            tables=[SectionTable("ages", "By age.", table_of(tables["ages"]))],
        )

    monkeypatch.setattr(sections, "BODY", (section,))
    write_report(tmp_path / "with.html", **inputs.arguments())
    page = (tmp_path / "with.html").read_text()
    assert page.index("Age names the class.") < page.index("What was run</h2>")
    assert page.index("What ages say.") < page.index('id="limits"')
    assert '<a href="#ages">Ages</a>' in page
    assert "0.875" in page
    assert 'alt="Bars of ages."' in page
    labels = re.findall(r"<b>Table\u00a0S(\d+)\.</b>", page)
    assert sorted(labels, key=int) == labels

    del inputs.frames["ages"], inputs.figures["ages"]
    write_report(tmp_path / "without.html", **inputs.arguments())
    assert 'id="ages"' not in (tmp_path / "without.html").read_text()
