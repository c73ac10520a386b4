import pkgutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from covidcxr.config import read_schema
from covidcxr.data import sources
from covidcxr.data.source import (
    CANDIDATE_COLUMNS,
    Source,
    check_filters,
    filter_candidates,
    open_source,
)
from covidcxr.data.sources.covid_chestxray import covid_diagnosis
from covidcxr.data.sources.nih import nih_age
from covidcxr.errors import InputError

SCHEMA = Path(__file__).parents[2] / "workflow/schemas/config.schema.yaml"
HEADER = "patientid,offset,sex,age,finding,view,modality,folder,filename,license"


def read(kind: str, folder: Path = Path(), **options: Any) -> pd.DataFrame:
    return open_source({"type": kind, **options}, folder).candidates()


def read_nih(folder: Path, pneumonia: str = "alone") -> pd.DataFrame:
    options = {"type": "nih", "folder": str(folder), "pneumonia": pneumonia}
    return open_source(options).candidates()


def test_every_type_of_the_schema_is_a_source_and_the_other_way_round():
    kinds = read_schema(SCHEMA)["properties"]["sources"]["additionalProperties"]["properties"][
        "type"
    ]
    modules = {module.name for module in pkgutil.iter_modules(sources.__path__)}
    assert set(kinds["enum"]) == modules
    assert all(isinstance(open_source({"type": kind}), Source) for kind in modules)


def covid(tmp_path: Path, *rows: str, header: str = HEADER) -> pd.DataFrame:
    (tmp_path / "metadata.csv").write_text("\n".join([header, *rows]) + "\n")
    return read("covid_chestxray", tmp_path)


@pytest.mark.parametrize(
    ("finding", "diagnosis"),
    [
        ("COVID-19", "COVID-19"),
        ("COVID-19, ARDS", "COVID-19"),
        ("Pneumonia/Viral/COVID-19", "COVID-19"),
        ("Pneumonia/Viral/COVID-19, ARDS", "COVID-19"),
        ("Pneumonia/Fungal/Pneumocystis", "Pneumocystis"),
        ("Pneumonia", "Pneumonia"),
        ("No Finding", "No Finding"),
        ("todo", "todo"),
    ],
)
def test_both_notations_of_a_finding_give_one_diagnosis(finding: str, diagnosis: str):
    assert covid_diagnosis(finding) == diagnosis


def test_rows_of_the_covid_collection_become_candidates(tmp_path: Path):
    frame = covid(
        tmp_path,
        '173,-3,F,45,"COVID-19, ARDS",AP Supine,X-ray,images,a.jpg,CC BY 4.0',
        "173,?,,,COVID-19,PA,X-ray,images,b.png,",
        "4,0,M,50,COVID-19,Axial,CT,images,ct.png,",
        "4,0,M,50,COVID-19,PA,X-ray,volumes,v.nii.gz,",
    )
    assert list(frame.columns) == CANDIDATE_COLUMNS
    first, second = frame.to_dict("records")
    assert first == {
        "key": "a.jpg", "path": str(tmp_path / "images" / "a.jpg"), "diagnosis": "COVID-19",
        "patient_id": "173", "site": "", "view": "AP Supine", "sex": "F",
        "subtype": "COVID-19, ARDS", "license": "CC BY 4.0", "day": -3.0, "age": 45.0,
    }  # fmt: skip
    assert pd.isna(second["day"])
    assert pd.isna(second["age"])


def test_the_site_is_the_location_and_where_it_is_blank_the_host_of_the_address(tmp_path: Path):
    frame = covid(
        tmp_path,
        "1,0,,,SARS,PA,X-ray,images,a.png,,Hong Kong ,https://radiopaedia.org/cases/1",
        "2,0,,,SARS,PA,X-ray,images,b.png,,?,https://www.rad2share.com/x?y=http://no",
        "3,0,,,SARS,PA,X-ray,images,c.png,,,",
        header=f"{HEADER},location,url",
    )
    assert frame["site"].tolist() == ["Hong Kong", "www.rad2share.com", ""]


def test_laterals_labelled_frontal_count_as_lateral(tmp_path: Path, caplog):
    frame = covid(
        tmp_path,
        "1,0,,,COVID-19,PA,X-ray,images,covid-19-infection-exclusive-symptoms-l.png,",
        "2,0,,,Pneumocystis,PA,X-ray,images,pneumocystis-jiroveci-pneumonia-4-L.png,",
        "3,0,,,COVID-19,PA,X-ray,images,covid-19-pneumonia-bilateral.jpg,",
    )
    assert frame["view"].tolist() == ["L", "L", "PA"]
    assert "pneumocystis-jiroveci-pneumonia-4-L.png" in caplog.text


def test_of_rows_that_repeat_a_file_the_first_counts(tmp_path: Path, caplog):
    frame = covid(
        tmp_path,
        "1,0,,,COVID-19,AP,X-ray,images,a.png,",
        "2,0,,,SARS,AP,X-ray,images,a.png,",
    )
    assert frame["patient_id"].tolist() == ["1"]
    assert "1 rows name a file" in caplog.text


def test_an_image_without_a_patient_is_a_patient_of_its_own(tmp_path: Path):
    frame = covid(
        tmp_path,
        ",0,,,COVID-19,AP,X-ray,images,a.png,",
        ",0,,,COVID-19,AP,X-ray,images,b.png,",
    )
    assert frame["patient_id"].nunique() == 2


@pytest.mark.parametrize("name", ["../a.png", "/etc/a.png", "x/a.png", ""])
def test_a_file_name_that_leaves_its_folder_is_refused(tmp_path: Path, name: str):
    with pytest.raises(InputError, match=r"metadata\.csv, row 2: .* is not the bare name"):
        covid(tmp_path, f"1,0,,,COVID-19,AP,X-ray,images,{name},")


@pytest.mark.parametrize("column", HEADER.split(","))
def test_a_lacking_column_is_named(tmp_path: Path, column: str):
    header = HEADER.replace(column, "x")
    with pytest.raises(InputError, match=rf"metadata\.csv has no column '{column}'"):
        covid(tmp_path, header=header)


@pytest.mark.parametrize("level", ["", "train", "test"])
def test_kermany_s_names_tell_patients_and_germs(tmp_path: Path, level: str):
    names = {
        "NORMAL/IM-0115-0001.jpeg": ("IM-0115", "", "normal"),
        "NORMAL/IM-0439-0001-0002.jpeg": ("IM-0439", "", "normal"),
        "NORMAL/NORMAL2-IM-1427-0001.jpeg": ("NORMAL2-IM-1427", "", "normal"),
        "NORMAL/renamed.jpeg": ("renamed", "", "normal"),
        "PNEUMONIA/person1000_bacteria_2931.jpeg": ("person1000", "bacteria", "pneumonia"),
        "PNEUMONIA/person1000_virus_1.JPG": ("person1000", "virus", "pneumonia"),
    }
    for name in [*names, "NORMAL/._IM-0115-0001.jpeg", "PNEUMONIA/Thumbs.db"]:
        path = tmp_path / "images" / level / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    frame = read("kermany", tmp_path)
    found = dict(
        zip(
            frame["key"],
            frame[["patient_id", "subtype", "diagnosis"]].itertuples(index=False, name=None),
            strict=True,
        )
    )
    assert found == names
    assert set(frame["license"]) == {"CC BY 4.0"}
    assert set(frame["view"]) == {"AP"}


def test_kermany_s_images_of_one_name_on_both_levels_stay_two(tmp_path: Path):
    for level in ("train", "test"):
        (tmp_path / "images" / level / "NORMAL").mkdir(parents=True)
        (tmp_path / "images" / level / "NORMAL" / "IM-0115-0001.jpeg").touch()
    keys = read("kermany", tmp_path)["key"].tolist()
    assert keys == ["test/NORMAL/IM-0115-0001.jpeg", "train/NORMAL/IM-0115-0001.jpeg"]


def test_an_empty_kermany_folder_is_named(tmp_path: Path):
    with pytest.raises(InputError, match="holds no images under"):
        read("kermany", tmp_path)


NIH_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
NIH_ROWS = (
    "00000001_000.png,No Finding,0,1,58,M,PA,2682,2749,0.143,0.143",
    "00000001_001.png,Pneumonia,1,1,058Y,M,AP,2682,2749,0.143,0.143",
    "00000002_000.png,Infiltration|Pneumonia,0,2,006M,F,AP,2682,2749,0.143,0.143",
    "00000003_000.png,Hernia,0,3,414,F,PA,2682,2749,0.143,0.143",
    "00000004_000.png,No Finding,0,4,30,F,PA,2682,2749,0.143,0.143",
)


def nih(tmp_path: Path, *rows: str, header: str = NIH_HEADER) -> Path:
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "Data_Entry_2017_v2020.csv").write_text("\n".join([header, *rows]) + "\n")
    # NIH's archives unpack to images/, Kaggle's copy to images_001/images/.
    for number, folder in ((1, "images"), (2, "images_001/images"), (3, "images_002/images")):
        (tmp_path / folder).mkdir(parents=True)
        for follow_up in (0, 1):
            (tmp_path / folder / f"{number:08d}_{follow_up:03d}.png").write_bytes(b"")
    return tmp_path


def test_nih_films_become_candidates_where_their_files_lie(tmp_path: Path, caplog):
    frame = read_nih(nih(tmp_path, *NIH_ROWS))
    assert list(frame.columns) == CANDIDATE_COLUMNS
    assert frame.to_dict("records")[1] == {
        "key": "00000001_001.png", "path": str(tmp_path / "images/00000001_001.png"),
        "diagnosis": "pneumonia", "patient_id": "00000001", "site": "", "view": "AP", "sex": "M",
        "subtype": "Pneumonia", "license": "free use (NIH Clinical Center)",
        "day": pytest.approx(float("nan"), nan_ok=True), "age": 58.0,
    }  # fmt: skip
    assert frame["diagnosis"].tolist() == [
        "normal", "pneumonia", "Infiltration|Pneumonia", "Hernia",
    ]  # fmt: skip
    assert frame["path"][2] == str(tmp_path / "images_001/images/00000002_000.png")
    assert frame["age"].tolist() == pytest.approx([58, 58, 0.5, float("nan")], nan_ok=True)
    assert "1 of 5 images of the table are not there" in caplog.text


def test_pneumonia_beside_other_findings_counts_on_request(tmp_path: Path):
    frame = read_nih(nih(tmp_path, *NIH_ROWS), "any")
    assert frame["diagnosis"].tolist() == ["normal", "pneumonia", "pneumonia", "Hernia"]


def test_both_names_of_the_sex_column_are_read(tmp_path: Path):
    header = NIH_HEADER.replace("Gender", "Sex") + ","
    frame = read_nih(nih(tmp_path, NIH_ROWS[0] + ",", header=header))
    assert frame[["sex", "view", "age"]].to_numpy().tolist() == [["M", "PA", 58.0]]


@pytest.mark.parametrize(
    ("text", "years"),
    [("58", 58), ("058Y", 58), ("018M", 1.5), ("007D", 7 / 365.25), ("120", 120), ("414Y", None),
     ("", None), ("F", None)],
)  # fmt: skip
def test_ages_are_years_in_every_notation_and_impossible_ones_unknown(text: str, years):
    expected = float("nan") if years is None else years
    assert nih_age(text) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (("x.png,No Finding,0,1,58,M,PA,1,1,1,1",), NIH_HEADER, "of the 1 images .* none lies"),
        (NIH_ROWS, NIH_HEADER.replace("Patient Gender", "G"), "no column 'Patient Gender'"),
        (NIH_ROWS, NIH_HEADER.replace("Finding Labels", "L"), "no column 'Finding Labels'"),
    ],
)
def test_a_folder_that_is_not_nih_s_is_named(tmp_path: Path, rows, header, message: str):
    with pytest.raises(InputError, match=message):
        read_nih(nih(tmp_path, *rows, header=header))


def test_an_nih_folder_without_its_table_is_named(tmp_path: Path):
    with pytest.raises(InputError, match="holds no tables Data_Entry_2017"):
        read_nih(tmp_path)


def subset(tmp_path: Path) -> Path:
    for name in ("No_findings/00000001_000.png", "Pneumonia/00000003_000.png", "Covid-19/1.png",
                 "Pneumonia/._00000003_000.png"):  # fmt: skip
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).write_bytes(b"")
    return tmp_path


def test_the_nih_subset_tells_patients_and_diagnoses_by_its_names(tmp_path: Path):
    frame = read("nih_subset", subset(tmp_path), entries=None)
    assert frame[["key", "diagnosis", "patient_id", "view", "subtype"]].to_numpy().tolist() == [
        ["No_findings/00000001_000.png", "normal", "00000001", "", ""],
        ["Pneumonia/00000003_000.png", "pneumonia", "00000003", "", ""],
    ]
    assert frame["age"].isna().all()


def test_nih_s_table_tells_age_sex_and_view_of_the_subset(tmp_path: Path):
    entries = nih(tmp_path / "nih", *NIH_ROWS[:1]) / "Data_Entry_2017_v2020.csv"
    frame = read("nih_subset", subset(tmp_path), entries=str(entries))
    assert frame[["age", "sex", "view", "subtype"]].to_numpy().tolist()[0] == [
        58.0, "M", "PA", "No Finding",
    ]  # fmt: skip
    assert frame[["sex", "view"]].to_numpy().tolist()[1] == ["", ""]
    assert frame["diagnosis"].tolist() == ["normal", "pneumonia"]


def test_an_empty_subset_folder_is_named(tmp_path: Path):
    with pytest.raises(InputError, match="holds no images under"):
        read("nih_subset", tmp_path, entries=None)


def own(tmp_path: Path, text: str) -> pd.DataFrame:
    (tmp_path / "own.csv").write_text(text)
    return read("csv", table=str(tmp_path / "own.csv"))


def test_one_s_own_table_needs_three_columns_only(tmp_path: Path):
    frame = own(tmp_path, "path,label,patient_id\nfilms/a.png,normal,007\n/abs/b.png,NA,8\n")
    assert frame["site"].tolist() == ["", ""]
    assert frame["path"].tolist() == [str(tmp_path / "films" / "a.png"), "/abs/b.png"]
    assert frame["diagnosis"].tolist() == ["normal", "NA"]
    assert frame["patient_id"].tolist() == ["007", "8"]
    assert frame["day"].isna().all()
    assert frame["license"].tolist() == ["", ""]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na,b\n", r"own\.csv has no column 'patient_id'"),
        ("path,label,patient_id\na,b,1\nc,,2\nd, ,2\n", r"own\.csv, row 3, 4: label is empty"),
        ("path,label,patient_id\na,b,\n", r"own\.csv, row 2: patient_id is empty"),
        ("path,label,patient_id,age\na,b,1,4O\n", r"own\.csv, row 2: age is '4O', not a number"),
        ("path,label,patient_id\na,b,1\na,c,1\n", r"own\.csv, row 3: path .a. names an image"),
        ("path,label,patient_id\n" + ",b,1\n" * 7, r"row 2, 3, 4, 5, 6 and 2 more: path is empty"),
    ],
)
def test_bad_rows_of_one_s_own_table_are_named(tmp_path: Path, text: str, message: str):
    with pytest.raises(InputError, match=message):
        own(tmp_path, text)


@pytest.mark.parametrize(
    "written", ["films\\a\u0301.png", "films/\u00e1.png", "films\\\u00e1.png", "films/a\u0301.png"]
)
def test_paths_as_other_systems_write_them_are_found(tmp_path: Path, written: str):
    (tmp_path / "films").mkdir()
    (tmp_path / "films/a\u0301.png").touch()
    frame = own(tmp_path, f"path,label,patient_id\n{written},x,1\n")
    assert Path(frame["path"][0]).is_file()


def test_patients_who_may_be_one_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    own(tmp_path, "path,label,patient_id\na,x,P-01\nb,x,p01\nc,x,7\nd,x,007\ne,x,P02\n")
    assert "are the patients '007', '7' one?" in caplog.text
    assert "are the patients 'P-01', 'p01' one?" in caplog.text
    assert "P02" not in caplog.text


def test_a_path_that_leads_nowhere_stays_as_written(tmp_path: Path):
    frame = own(tmp_path, "path,label,patient_id\nC:\\films\\a.png,x,1\n")
    assert frame["path"].tolist() == [str(tmp_path / "C:\\films\\a.png")]


def test_values_that_differ_in_case_or_signs_only_are_refused_with_both_counts():
    frame = pd.DataFrame({"diagnosis": ["opacity"] * 8 + ["Opacity "] * 3, "view": "AP"})
    with pytest.raises(InputError, match=r"3 images have the diagnosis 'Opacity '.*of 8 images"):
        check_filters(frame, [{"diagnosis": ["opacity"]}], "own")
    check_filters(frame, [{"diagnosis": ["opacity", "Opacity "]}], "own")
    check_filters(frame, [{"diagnosis": ["opacity"]}, {}], "own")
    views = frame.assign(diagnosis="x", view=["AP"] * 10 + ["ap"])
    with pytest.raises(InputError, match="1 images have the view 'ap'"):
        check_filters(views, [{"view": ["AP"]}], "own")


def test_labels_in_no_class_and_values_of_no_image_are_told(caplog: pytest.LogCaptureFixture):
    frame = pd.DataFrame({"diagnosis": ["opacity"] * 8 + ["opactiy"] * 3})
    check_filters(frame, [{"diagnosis": ["opacity", "clear"]}], "own")
    assert "3 images labelled 'opactiy' are in no class; did you mean 'opacity'?" in caplog.text
    assert "no image has the diagnosis 'clear'" in caplog.text


def test_phantoms_are_read_from_their_table(tmp_path: Path):
    (tmp_path / "metadata.csv").write_text(
        "filename,patient_id,diagnosis,view,day,age,sex,subtype,severity,license\n"
        "p1.png,p1,pneumonia,AP,0,40,F,left upper lobe,0.5,CC0-1.0\n"
    )
    frame = read("phantom", tmp_path)
    assert frame.loc[0, ["key", "path", "subtype", "day"]].tolist() == [
        "p1.png", str(tmp_path / "images" / "p1.png"), "left upper lobe", 0.0,
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"metadata\.csv does not exist"):
        read("phantom", tmp_path / "elsewhere")


FRAME = pd.DataFrame(
    {
        "key": ["a", "b", "c", "d"],
        "diagnosis": ["x", "x", "y", "y"],
        "view": ["AP", "PA", "AP", ""],
        "age": [10.0, float("nan"), 20.0, 30.0],
    }
)


@pytest.mark.parametrize(
    ("where", "keys"),
    [
        ({}, "abcd"),
        ({"diagnosis": ["x"]}, "ab"),
        ({"diagnosis": ["x", "y"], "view": ["AP"]}, "ac"),
        ({"view": [""]}, "d"),
        ({"age_min": 10, "age_max": 20}, "ac"),
        ({"age_min": 0}, "acd"),
        ({"diagnosis": ["X"]}, ""),
    ],
)
def test_all_conditions_must_hold_and_unknown_ages_fail_them(where: dict, keys: str):
    assert "".join(filter_candidates(FRAME, where)["key"]) == keys


def test_a_condition_on_no_column_is_refused():
    with pytest.raises(InputError, match="filters on 'colour'"):
        filter_candidates(FRAME, {"colour": ["red"]})


def test_the_real_collections_are_read(shared: Path, tmp_path: Path):
    data = shared / "data"
    covid = read("covid_chestxray", data / "covid-chestxray-dataset")
    frontal = filter_candidates(covid, {"diagnosis": ["COVID-19"], "view": ["AP", "AP Supine"]})
    present = frontal[[Path(path).is_file() for path in frontal["path"]]]
    assert len(present) == 211
    assert present["patient_id"].nunique() == 127
    (tmp_path / "images").symlink_to(data / "chest_xray")
    kermany = read("kermany", tmp_path)
    assert kermany["diagnosis"].value_counts().to_dict() == {"normal": 424, "pneumonia": 442}
    adult = read("csv", table=str(data / "nih_adult" / "adult.csv"))
    assert adult["diagnosis"].value_counts().to_dict() == {"normal": 253, "pneumonia": 232}
