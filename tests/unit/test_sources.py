from pathlib import Path

import pandas as pd
import pytest

from covidcxr.data.sources import (
    CANDIDATE_COLUMNS,
    covid_diagnosis,
    filter_candidates,
    read_covid_chestxray,
    read_csv,
    read_kermany,
    read_phantom,
    read_source,
)
from covidcxr.errors import InputError

HEADER = "patientid,offset,sex,age,finding,view,modality,folder,filename,license"


def covid(tmp_path: Path, *rows: str, header: str = HEADER) -> pd.DataFrame:
    (tmp_path / "metadata.csv").write_text("\n".join([header, *rows]) + "\n")
    return read_covid_chestxray(tmp_path / "metadata.csv", tmp_path / "images")


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
        "patient_id": "173", "view": "AP Supine", "sex": "F", "subtype": "COVID-19, ARDS",
        "license": "CC BY 4.0", "day": -3.0, "age": 45.0,
    }  # fmt: skip
    assert pd.isna(second["day"])
    assert pd.isna(second["age"])


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
        path = tmp_path / level / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    frame = read_kermany(tmp_path)
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
        (tmp_path / level / "NORMAL").mkdir(parents=True)
        (tmp_path / level / "NORMAL" / "IM-0115-0001.jpeg").touch()
    keys = read_kermany(tmp_path)["key"].tolist()
    assert keys == ["test/NORMAL/IM-0115-0001.jpeg", "train/NORMAL/IM-0115-0001.jpeg"]


def test_an_empty_kermany_folder_is_named(tmp_path: Path):
    with pytest.raises(InputError, match="holds no images under"):
        read_kermany(tmp_path)


def own(tmp_path: Path, text: str) -> pd.DataFrame:
    (tmp_path / "own.csv").write_text(text)
    return read_csv(tmp_path / "own.csv")


def test_one_s_own_table_needs_three_columns_only(tmp_path: Path):
    frame = own(tmp_path, "path,label,patient_id\nfilms/a.png,normal,007\n/abs/b.png,NA,8\n")
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
        ("path,label,patient_id\na,b,1\na,c,1\n", r"own\.csv, row 3: path names an image"),
        ("path,label,patient_id\n" + ",b,1\n" * 7, r"row 2, 3, 4, 5, 6 and 2 more: path is empty"),
    ],
)
def test_bad_rows_of_one_s_own_table_are_named(tmp_path: Path, text: str, message: str):
    with pytest.raises(InputError, match=message):
        own(tmp_path, text)


def test_phantoms_are_read_from_their_table(tmp_path: Path):
    (tmp_path / "metadata.csv").write_text(
        "filename,patient_id,diagnosis,view,day,age,sex,subtype,severity,license\n"
        "p1.png,p1,pneumonia,AP,0,40,F,left upper lobe,0.5,CC0-1.0\n"
    )
    frame = read_source({"type": "phantom"}, tmp_path)
    assert frame.loc[0, ["key", "path", "subtype", "day"]].tolist() == [
        "p1.png", str(tmp_path / "images" / "p1.png"), "left upper lobe", 0.0,
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"own\.csv does not exist"):
        read_phantom(tmp_path / "own.csv", tmp_path)


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


def test_the_real_collections_are_read(shared: Path):
    data = shared / "data"
    covid = read_covid_chestxray(
        data / "covid-chestxray-dataset" / "metadata.csv",
        data / "covid-chestxray-dataset" / "images",
    )
    frontal = filter_candidates(covid, {"diagnosis": ["COVID-19"], "view": ["AP", "AP Supine"]})
    present = frontal[[Path(path).is_file() for path in frontal["path"]]]
    assert len(present) == 211
    assert present["patient_id"].nunique() == 127
    kermany = read_kermany(data / "chest_xray")
    assert kermany["diagnosis"].value_counts().to_dict() == {"normal": 424, "pneumonia": 442}
    adult = read_source({"type": "csv", "table": data / "nih_adult" / "adult.csv"}, data)
    assert adult["diagnosis"].value_counts().to_dict() == {"normal": 253, "pneumonia": 232}
