import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from covidcxr.data import examination
from covidcxr.data.examination import Examination, Examiner, SeenImages, examine_image
from covidcxr.data.holdout import choose_holdout
from covidcxr.data.manifest import build_manifest, run
from covidcxr.data.sampling import image_ids, sampling_order
from covidcxr.data.source import CANDIDATE_COLUMNS
from covidcxr.data.tables import MANIFEST, read_manifest
from covidcxr.errors import InputError

HEADER = "patientid,offset,sex,age,finding,view,modality,folder,filename,license"


def film(seed: int, size: int = 128) -> np.ndarray:
    """Draw a smooth random picture, as unlike the next as two radiographs are."""
    coarse = np.random.default_rng(seed).normal(size=(12, 12))
    picture = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.uint8(255 * (picture - picture.min()) / np.ptp(picture))


def candidates(*keys: str, **columns: Any) -> pd.DataFrame:
    texts = {"diagnosis": "x", "patient_id": list(keys), "view": "", "sex": "", "subtype": ""}
    texts["site"] = "s"
    numbers = {"day": float("nan"), "age": float("nan")}
    frame = pd.DataFrame({"key": list(keys), "path": list(keys)}).assign(
        license="", **{**texts, **numbers, **columns}
    )
    return frame[CANDIDATE_COLUMNS].assign(image_id=image_ids("s", keys), source="s")


class Named(Examiner):
    """Examines made-up paths: all fit and unlike one another, but for those that say otherwise."""

    def __call__(self, paths: Sequence[str]) -> list[Examination]:
        names = [path.partition("=")[0] for path in paths]
        bad = ("missing", "undecodable", "blank")
        return [Examination("", None, n) if n in bad else Examination(n, None) for n in names]

    def same(self, found: Examination) -> set[str]:
        return {found.sha256}


def build(frame: pd.DataFrame, *parts: dict, timeline: dict | None = None, seed: int = 1):
    classes = {f"c{number}": [{"source": "s", **part}] for number, part in enumerate(parts)}
    spec = timeline and {"source": "s", "where": timeline}
    return build_manifest({"s": frame}, classes=classes, followed=spec, seed=seed, examine=Named())


KEYS = [f"{number:03}" for number in range(60)]


def test_a_part_draws_its_count_and_the_manifest_fits_its_schema():
    study = build(candidates(*KEYS), {"count": 20}, {"count": 30})
    assert study.manifest["label"].tolist() == ["c0"] * 20 + ["c1"] * 30
    assert study.manifest["image_id"].is_unique
    for _, ids in study.manifest.groupby("label")["image_id"]:
        assert ids.is_monotonic_increasing
    assert set(study.manifest["patient_id"]) <= {f"s:{key}" for key in KEYS}
    hexadecimal = study.manifest.assign(sha256="0" * 64)
    MANIFEST.validate(hexadecimal)


def test_a_part_without_a_count_takes_all():
    assert len(build(candidates(*KEYS), {"count": None}).manifest) == len(KEYS)


def test_the_draw_depends_on_the_seed_only():
    first, again, other = (
        build(candidates(*KEYS), {"count": 20}, seed=seed).manifest for seed in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(first, again)
    assert set(first["image_id"]) != set(other["image_id"])


@settings(max_examples=25, deadline=None)
@given(st.permutations(KEYS), st.integers(0, 5), st.integers(1, 40))
def test_the_draw_ignores_row_order_and_hardly_feels_images_that_come_or_go(
    keys: list[str], gone: int, count: int
):
    whole = build(candidates(*KEYS), {"count": count}).manifest
    shuffled = build(candidates(*keys), {"count": count}).manifest
    pd.testing.assert_frame_equal(whole, shuffled)
    fewer = build(candidates(*keys[gone:]), {"count": count}).manifest
    assert len(set(whole["image_id"]) - set(fewer["image_id"])) <= gone


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20))
def test_a_larger_count_keeps_what_a_smaller_one_drew(fewer: int, more: int):
    small = build(candidates(*KEYS), {"count": fewer}).manifest
    large = build(candidates(*KEYS), {"count": fewer + more}).manifest
    assert set(small["image_id"]) < set(large["image_id"])


def test_the_order_of_a_part_feels_no_other_source_class_or_filter():
    frame = candidates(*KEYS, diagnosis=["x", "y"] * 30)
    order = sampling_order(frame, "s", 1)["key"].tolist()
    alone = sampling_order(frame[frame["diagnosis"] == "y"], "s", 1)["key"].tolist()
    assert alone == [key for key in order if key in set(alone)]
    assert order != sampling_order(frame, "other", 1)["key"].tolist()
    where = {"where": {"diagnosis": ["y"]}, "count": 10}
    lone = build(frame, where).manifest["image_id"]
    second = build(frame, {"where": {"diagnosis": ["x"]}}, where).manifest
    assert second[second["label"] == "c1"]["image_id"].tolist() == lone.tolist()


def test_every_image_is_drawn_equally_often():
    drawn = [
        key
        for seed in range(400)
        for key in sampling_order(candidates(*KEYS[:8]), "s", seed)["key"].head(2)
    ]
    counts = pd.Series(drawn).value_counts()
    # Binomial(400, 1/4): mean 100, standard deviation 8.7.
    assert len(counts) == 8
    assert counts.between(60, 140).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["missing", "undecodable", "blank", "twin", ""]), max_size=40))
def test_bad_files_are_quarantined_and_the_next_in_order_takes_the_place(faults: list[str]):
    keys = [f"{fault or 'good' + key}={key}" for fault, key in zip(faults, KEYS, strict=False)]
    frame = candidates(*keys, *KEYS)
    study = build(frame, {"count": 40})
    assert len(study.manifest) == 40
    good, bad = set(study.manifest["path"]), set(study.quarantine["path"])
    examined = sampling_order(frame, "s", 1)["key"].tolist()[: len(good | bad)]
    assert good | bad == set(examined)
    fault_of = dict(zip(keys, faults, strict=False))
    twins = [key for key in examined if fault_of.get(key) == "twin"]
    unfit = {key for key in examined if fault_of.get(key) in ("missing", "undecodable", "blank")}
    assert bad == unfit | set(twins[1:])


def test_the_result_does_not_depend_on_examining_in_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    paths = []
    for number in range(12):
        Image.fromarray(film(number // 2)).save(
            tmp_path / f"{number}.png", compress_level=number % 2
        )
        paths.append(str(tmp_path / f"{number}.png"))
    spec: dict[str, Any] = {
        "classes": {"c": [{"source": "s", "count": 6}]}, "followed": None, "seed": 3,
    }  # fmt: skip
    made = []
    for threads in (1, 4):
        monkeypatch.setattr(examination, "THREADS", threads)
        made.append(build_manifest({"s": candidates(*paths)}, **spec, examine=Examiner()))
    pd.testing.assert_frame_equal(made[0].manifest, made[1].manifest)
    pd.testing.assert_frame_equal(made[0].quarantine, made[1].quarantine)


def test_no_image_is_in_two_classes_and_each_is_quarantined_once():
    frame = candidates(*KEYS[:10], "missing=1")
    study = build(frame, {"count": 4}, {"count": None})
    assert study.manifest["path"].is_unique
    assert len(study.manifest) == 10
    assert len(study.quarantine) == 1


def test_too_few_images_name_every_class_both_numbers_and_the_reasons():
    frame = candidates(
        *KEYS[:6], "missing=1", "missing=2", "blank=1", diagnosis=["x"] * 5 + ["y"] * 4
    )
    with pytest.raises(InputError) as caught:
        build(
            frame,
            {"count": 7, "where": {"diagnosis": ["x"]}},
            {"count": 3, "where": {"diagnosis": ["y"]}},
        )
    first, second = str(caught.value).splitlines()
    assert "class c0: source s has 5 fit images, 7 asked for. Of its 9 images 5 pass" in first
    assert "class c1: source s has 1 fit images, 3 asked for" in second
    assert "3 were left out (1 blank, 2 missing)" in second


def test_a_filter_that_nothing_passes_tells_the_values_there_are():
    frame = candidates(*KEYS, diagnosis="COVID-19")
    with pytest.raises(InputError, match="values of diagnosis there: 'COVID-19'"):
        build(frame, {"count": None, "where": {"diagnosis": ["covid"]}})


def test_an_image_under_two_labels_trains_under_neither_nor_does_a_third_copy():
    keys = ["twin=1", "twin=2", "twin=3", *KEYS[:8]]
    frame = candidates(*keys, diagnosis=["x", "y", "x", *["x"] * 4, *["y"] * 4])
    parts = [{"where": {"diagnosis": [name]}} for name in "xy"]
    study = build(frame, *parts)
    assert sorted(study.manifest["path"]) == KEYS[:8]
    assert sorted(study.quarantine["path"]) == ["twin=1", "twin=2", "twin=3"]
    reasons = study.quarantine.set_index("path")["reason"]
    assert set(reasons) == {"conflicting_labels"}


def test_who_shares_an_image_under_two_labels_is_one_patient():
    frame = candidates(
        "twin=1",
        "twin=2",
        *KEYS[:4],
        patient_id=["p", "q", "p", "q", "r", "s"],
        diagnosis=["x", "y", "x", "y", "x", "y"],
    )
    study = build(frame, *({"where": {"diagnosis": [name]}} for name in "xy")).manifest
    by_path = dict(zip(study["path"], study["patient_id"], strict=True))
    assert by_path[KEYS[0]] == by_path[KEYS[1]] == "s:p+s:q"


def test_the_next_in_order_takes_the_place_of_an_image_under_two_labels():
    keys = ["twin=1", "twin=2", *KEYS[:8]]
    frame = candidates(*keys, diagnosis=["x", "y", *["x"] * 4, *["y"] * 4])
    study = build(frame, *({"where": {"diagnosis": [name]}, "count": 4} for name in "xy"))
    assert study.manifest["label"].value_counts().to_dict() == {"c0": 4, "c1": 4}


def test_patients_of_the_timeline_are_in_no_class():
    frame = candidates(
        *KEYS[:20],
        patient_id=["p"] * 5 + KEYS[5:20],
        day=[9.0, 3.0, 7.0, float("nan"), 1.0] + [0.0] * 15,
        view=["PA"] * 4 + ["AP"] * 16,
    )
    part = {"where": {"diagnosis": ["x"], "view": ["AP"]}}
    study = build(frame, part, timeline={"patient_id": ["p"], "view": ["PA"]})
    assert study.timeline["day"].tolist() == [3, 7, 9]
    assert set(study.timeline["label"]) == {"c0"}
    assert set(study.timeline["patient_id"]) == {"s:p"}
    assert "s:p" not in set(study.manifest["patient_id"])
    assert len(study.manifest) == 15


def test_a_copy_of_a_timeline_image_under_another_patient_stays_out():
    frame = candidates("twin=1", "twin=2", *KEYS[:3], patient_id=["p", "q", "a", "b", "c"], day=1.0)
    study = build(frame, {"count": None}, timeline={"patient_id": ["p"]})
    assert len(study.manifest) == 3
    assert study.quarantine["path"].tolist() == ["twin=2"]


def test_patients_with_a_film_in_common_are_one_for_the_split():
    keys = ["twin=1", "twin=2", "p1", "q1", "q2", "r1"]
    patients = ["p", "q", "p", "q", "q", "r"]
    study = build(candidates(*keys, patient_id=patients), {"count": None}).manifest
    by_key = dict(zip(study["path"], study["patient_id"], strict=True))
    assert {by_key[key] for key in ("p1", "q1", "q2")} == {"s:p+s:q"}
    assert by_key["r1"] == "s:r"
    for seed in range(20):
        split = choose_holdout(study, unit="patient", test=0.4, seed=seed)
        assert split["split"][study["patient_id"] == "s:p+s:q"].nunique() == 1


def test_other_films_of_a_timeline_patient_under_a_second_id_are_in_no_class():
    keys = ["twin=1", "twin=2", "q1", "q2", *KEYS[:9]]
    frame = candidates(*keys, patient_id=["p", "q", "q", "q", *KEYS[:9]], day=1.0)
    study = build(frame, {"count": 9}, timeline={"patient_id": ["p"]})
    assert sorted(study.manifest["path"]) == KEYS[:9]
    assert study.timeline["patient_id"].tolist() == ["s:p"]


def test_a_timeline_without_images_is_a_table_without_rows(caplog):
    study = build(candidates(*KEYS), {"count": 5}, timeline={"patient_id": ["nobody"]})
    assert len(study.timeline) == 0
    assert list(study.timeline.columns) == list(study.manifest.columns)
    assert "timeline: no image" in caplog.text


@settings(deadline=None)
@given(st.lists(st.text(min_size=1, max_size=150), min_size=1, max_size=12, unique=True))
def test_image_ids_are_unique_safe_as_file_names_and_stable(keys: list[str]):
    ids = image_ids("s", keys)
    assert len({name.casefold() for name in ids}) == len(keys)
    assert all(
        set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
        for name in ids
    )
    assert dict(zip(keys[::-1], image_ids("s", keys[::-1]), strict=True)) == dict(
        zip(keys, ids, strict=True)
    )


def test_image_ids_keep_the_stem():
    assert image_ids("kermany", ["train/NORMAL/IM-0115-0001.jpeg"]) == ["kermany-IM-0115-0001"]


# --- what a file holds ---


def test_a_copy_is_recognised_and_so_is_a_copy_of_a_copy(tmp_path: Path):
    """The third file is like the second only; the first and it are the same image all the same."""
    picture = film(0, 256)
    Image.fromarray(picture).save(tmp_path / "whole.png")
    Image.fromarray(picture[10:-10, 10:-10]).save(tmp_path / "copy.jpeg", quality=60)
    Image.fromarray(film(1, 256)).save(tmp_path / "other.png")
    (tmp_path / "bytes.png").write_bytes((tmp_path / "whole.png").read_bytes())
    paths = [str(tmp_path / name) for name in ("whole.png", "copy.jpeg", "other.png", "bytes.png")]
    examine = Examiner()
    whole, copy, other, same = examine(paths)
    seen = SeenImages(examine)
    assert seen.repeated(whole) is None
    seen.add(paths[0], whole)
    assert seen.repeated(copy) == (0, "duplicate_image", f"the same image as {paths[0]}")
    assert seen.repeated(same) == (0, "duplicate_bytes", f"same bytes as {paths[0]}")
    assert seen.repeated(other) is None


@pytest.mark.parametrize("kind", ["black", "white", "noise", "speck", "sixteen bits"])
def test_films_that_show_nothing_are_blank(tmp_path: Path, kind: str):
    picture = np.full((200, 200), 255 if kind == "white" else 0, np.uint8)
    if kind == "noise":
        picture = np.uint8(np.random.default_rng(0).normal(128, 2, (200, 200)))
    if kind == "speck":
        picture[:10, :10] = 255
    if kind == "sixteen bits":
        picture = np.full((200, 200), 30000, np.uint16)
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert examine_image(tmp_path / "a.png").reason == "blank"


def test_a_faint_film_is_not_blank(tmp_path: Path):
    Image.fromarray(film(0) // 4 + 100).save(tmp_path / "a.png")
    assert examine_image(tmp_path / "a.png").reason == ""


# --- whole collections on disk ---


def collection(root: Path) -> None:
    """Lay out a COVID-19 collection with everything that went wrong in the real one."""
    images = root / "images"
    images.mkdir(parents=True)
    rows = []

    def add(
        name: str, patient: str, view: str = "AP", finding: str = "Pneumonia/Viral/COVID-19", **save
    ) -> Path:
        rows.append(f"{patient},{len(rows)},M,60,{finding},{view},X-ray,images,{name},CC BY 4.0")
        path = images / name
        Image.fromarray(film(len(rows))).save(path, **save)
        return path

    for number in range(6):
        add(f"good{number}.png", f"p{number}")
    Image.fromarray(film(50)).convert("RGBA").save(add("rgba.png", "p6"))
    Image.fromarray(film(51)).convert("P").save(add("palette.png", "p7"))
    Image.fromarray(film(52).astype(np.uint16) * 200).save(add("sixteen.png", "p8"))
    Image.fromarray(film(53)).convert("RGB").save(add("webp.png", "p9"), format="webp")
    add("gray.jpeg", "p9", finding='"COVID-19, ARDS"')
    add("lateral-L.png", "p1", view="PA")
    add("patient-pa.png", "p1", view="PA")
    add("missing.png", "p10").unlink()
    add("folder.png", "p10").unlink()
    (images / "folder.png").mkdir()
    for name in ("cut.png", "cut.jpeg"):
        path = add(name, "p11")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    add("empty.png", "p11").write_bytes(b"")
    add("page.png", "p11").write_text("<html>not found</html>")
    Image.new("L", (64, 64), 17).save(add("blank.png", "p12"))
    add("same_bytes.png", "p13").write_bytes((images / "good0.png").read_bytes())
    Image.fromarray(film(2)).resize((90, 90)).save(add("resized.jpeg", "p14"))
    rows.append(rows[0])
    (images / "without_a_row.png").write_bytes((images / "good1.png").read_bytes())
    (root / "metadata.csv").write_text("\n".join([HEADER, *rows]) + "\n")


def write(tmp_path: Path, **options: Any) -> dict[str, pd.DataFrame]:
    defaults: dict[str, Any] = {
        "sources": {"covid": {"type": "covid_chestxray"}},
        "classes": {
            "covid": [{"source": "covid", "where": {"diagnosis": ["COVID-19"], "view": ["AP"]}}]
        },
        "followed": None,
        "seed": 7,
    }
    names = ["manifest", "quarantine", "timeline", "collections"]
    outputs = [tmp_path / "out" / "data" / f"{name}.csv" for name in names]
    run([tmp_path / "covid"], *outputs, **{**defaults, **options})
    return {
        "manifest": read_manifest(outputs[0]),
        "quarantine": pd.read_csv(outputs[1]),
        "timeline": read_manifest(outputs[2]),
        "collections": pd.read_csv(outputs[3]),
    }


def test_a_collection_with_every_fault_gives_its_good_images_and_a_reason_for_each_other(
    tmp_path: Path,
):
    collection(tmp_path / "covid")
    tables = write(tmp_path)
    quarantine = tables["quarantine"]
    reasons = {Path(row.path).name: row.reason for row in quarantine.itertuples()}
    copies = {
        name: reasons.pop(name)
        for name in list(reasons)
        if name in ("good0.png", "same_bytes.png", "good1.png", "resized.jpeg")
    }
    assert reasons == {
        "missing.png": "missing", "folder.png": "missing", "cut.png": "undecodable",
        "cut.jpeg": "undecodable", "empty.png": "undecodable", "page.png": "undecodable",
        "blank.png": "blank",
    }  # fmt: skip
    assert sorted(copies.values()) == ["duplicate_bytes", "duplicate_image"]
    stems = {Path(path).stem for path in tables["manifest"]["path"]} - {
        "good0",
        "same_bytes",
        "good1",
        "resized",
    }
    assert stems == {
        "good2",
        "good3",
        "good4",
        "good5",
        "rgba",
        "palette",
        "sixteen",
        "webp",
        "gray",
    }
    assert len(tables["manifest"]) == 11
    assert quarantine["detail"].notna().all()
    assert set(quarantine["source"]) == {"covid"}
    assert len(tables["timeline"]) == 0
    counts = tables["collections"].set_index(["diagnosis", "view"])
    assert counts.loc[("COVID-19", "AP"), ["images", "files"]].tolist() == [20, 18]
    assert counts.loc[("COVID-19", "L"), "images"] == 1


def test_nothing_is_written_when_images_are_too_few(tmp_path: Path):
    collection(tmp_path / "covid")
    with pytest.raises(InputError, match=r"has 11 fit images, 142 asked for.*2 missing"):
        write(
            tmp_path,
            classes={"covid": [{"source": "covid", "count": 142, "where": {"view": ["AP"]}}]},
        )
    assert not (tmp_path / "out/data").exists()
    assert set(pd.read_csv(tmp_path / "out/logs/quarantine.csv")["reason"]) >= {"missing", "blank"}


def test_equal_patient_ids_of_two_sources_are_two_patients(tmp_path: Path):
    for number in range(4):
        Image.fromarray(film(number)).save(tmp_path / f"{number}.png")
    for name, rows in (("a", "0.png,x,1\n1.png,x,2\n"), ("b", "2.png,y,1\n3.png,y,2\n")):
        (tmp_path / f"{name}.csv").write_text("path,label,patient_id\n" + rows)
    tables = write(
        tmp_path,
        sources={name: {"type": "csv", "table": str(tmp_path / f"{name}.csv")} for name in "ab"},
        classes={"both": [{"source": "a"}, {"source": "b"}]},
    )
    assert tables["manifest"]["patient_id"].tolist() == ["a:1", "a:2", "b:1", "b:2"]


def test_a_class_of_several_sources_gets_the_count_asked_of_each(tmp_path: Path):
    for number in range(6):
        Image.fromarray(film(number)).save(tmp_path / f"{number}.png")
    for name, own in (("a", "012"), ("b", "345")):
        site = "ward" if name == "b" else ""
        rows = "".join(f"{k}.png,x,{k},{20 + int(k)},F,PA,{site}\n" for k in own)
        (tmp_path / f"{name}.csv").write_text("path,label,patient_id,age,sex,view,site\n" + rows)
    tables = write(
        tmp_path,
        sources={name: {"type": "csv", "table": str(tmp_path / f"{name}.csv")} for name in "ab"},
        classes={"both": [{"source": "a", "count": 1}, {"source": "b", "count": 2}]},
    )
    manifest = tables["manifest"]
    assert manifest["source"].tolist() == ["a", "b", "b"]
    assert manifest["site"].tolist() == ["a", "ward", "ward"]
    assert manifest["age"].tolist() == [20 + int(i[-1]) for i in manifest["image_id"]]
    assert set(manifest["sex"]) == {"F"}
    assert set(manifest["view"]) == {"PA"}


def test_the_study_s_manifest_on_the_real_images(shared: Path, tmp_path: Path):
    data = shared / "data"
    (tmp_path / "kermany").mkdir()
    (tmp_path / "kermany" / "images").symlink_to(data / "chest_xray")
    (tmp_path / "covid").symlink_to(data / "covid-chestxray-dataset")
    outputs = [
        tmp_path / f"{name}.csv" for name in ("manifest", "quarantine", "timeline", "collections")
    ]
    frontal = {"diagnosis": ["COVID-19"], "view": ["AP", "AP Supine"]}
    started = time.monotonic()
    run(
        [tmp_path / "covid", tmp_path / "kermany"],
        *outputs,
        sources={"covid": {"type": "covid_chestxray"}, "kermany": {"type": "kermany"}},
        classes={
            "covid": [{"source": "covid", "count": 142, "where": frontal}],
            "normal": [{"source": "kermany", "count": 300, "where": {"diagnosis": ["normal"]}}],
            "pneumonia": [
                {"source": "kermany", "count": 300, "where": {"diagnosis": ["pneumonia"]}}
            ],
        },
        followed={"source": "covid", "where": {"patient_id": ["173"], "view": ["PA"]}},
        seed=2020,
    )
    assert time.monotonic() - started < 60
    manifest, timeline = read_manifest(outputs[0]), read_manifest(outputs[2])
    assert manifest["label"].value_counts(sort=False).to_dict() == {
        "covid": 142, "normal": 300, "pneumonia": 300,
    }  # fmt: skip
    assert manifest["sha256"].is_unique
    assert timeline["day"].tolist() == [3, 7, 9, 10]
    assert "covid:173" not in set(manifest["patient_id"])
    quarantine = pd.read_csv(outputs[1])
    assert set(quarantine["reason"]) <= {"missing", "duplicate_image"}
