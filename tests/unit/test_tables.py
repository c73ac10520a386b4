from pathlib import Path

import pandas as pd
import pytest

from covidcxr.data.tables import (
    MANIFEST_COLUMNS,
    read_manifest,
    read_split,
    read_table,
    write_table,
)
from covidcxr.errors import InputError


def manifest(**changes) -> pd.DataFrame:
    row = {
        "image_id": "s-001", "path": "a/001.png", "label": "covid", "patient_id": "s:007",
        "source": "s", "site": "s",
        "view": "", "day": 3.0, "age": float("nan"), "sex": "", "subtype": "NA", "license": "",
        "sha256": "0" * 64,
    }  # fmt: skip
    return pd.DataFrame([{**row, **changes}])


def test_a_manifest_survives_writing_and_reading(tmp_path: Path):
    write_table(manifest(), tmp_path / "m.csv")
    read = read_manifest(tmp_path / "m.csv")
    pd.testing.assert_frame_equal(read, manifest().astype(read.dtypes))
    assert read["subtype"][0] == "NA"
    assert read["day"].dtype == float


def test_ids_that_look_like_numbers_stay_text(tmp_path: Path):
    write_table(manifest(image_id="007", source="1", label="0"), tmp_path / "m.csv")
    read = read_manifest(tmp_path / "m.csv")
    assert read.loc[0, ["image_id", "source", "label"]].tolist() == ["007", "1", "0"]


def test_a_manifest_without_rows_reads_with_all_its_types(tmp_path: Path):
    write_table(manifest().iloc[:0], tmp_path / "m.csv")
    read = read_manifest(tmp_path / "m.csv")
    assert list(read.columns) == MANIFEST_COLUMNS
    assert read["day"].dtype == float


@pytest.mark.parametrize("column", MANIFEST_COLUMNS)
def test_a_lacking_column_is_named_with_its_file(tmp_path: Path, column: str):
    write_table(manifest().drop(columns=column), tmp_path / "m.csv")
    with pytest.raises(InputError, match=rf"m\.csv has no column '{column}'"):
        read_manifest(tmp_path / "m.csv")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"age": "old"}, r"m\.csv, row 2: age is 'old', not a number"),
        ({"age": -1.0}, r"m\.csv, row 2: column 'age'"),
        ({"image_id": "a/b"}, r"m\.csv, row 2: column 'image_id' holds 'a/b'"),
        ({"label": ""}, "column 'label'"),
        ({"patient_id": "173"}, "column 'patient_id'"),
        ({"sha256": "x"}, "column 'sha256'"),
    ],
)
def test_a_value_out_of_bounds_is_named_with_its_row(tmp_path: Path, change: dict, message: str):
    write_table(manifest(**change), tmp_path / "m.csv")
    with pytest.raises(InputError, match=message):
        read_manifest(tmp_path / "m.csv")


def test_an_image_listed_twice_is_refused(tmp_path: Path):
    write_table(pd.concat([manifest(), manifest()]), tmp_path / "m.csv")
    with pytest.raises(InputError, match="column 'image_id' holds 's-001'"):
        read_manifest(tmp_path / "m.csv")


def test_a_split_has_folds_for_training_images_only(tmp_path: Path):
    (tmp_path / "s.csv").write_text("image_id,split,fold\na,train,0\nb,test,\n")
    read = read_split(tmp_path / "s.csv")
    assert read["fold"].tolist() == [0, pd.NA]
    assert str(read["fold"].dtype) == "Int64"
    (tmp_path / "s.csv").write_text("image_id,split,fold\na,tran,0\n")
    with pytest.raises(InputError, match="column 'split' holds 'tran'"):
        read_split(tmp_path / "s.csv")


@pytest.mark.parametrize("content", ["", 'a,b\n"1,2\n3', "a\n1,2\n3,4,5\n"])
def test_a_file_that_is_no_table_is_named(tmp_path: Path, content: str):
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(InputError, match=r"x\.csv"):
        read_table(tmp_path / "x.csv", ["a", "b"])


def test_a_missing_file_and_a_byte_order_mark(tmp_path: Path):
    with pytest.raises(InputError, match=r"no\.csv does not exist"):
        read_table(tmp_path / "no.csv")
    (tmp_path / "excel.csv").write_bytes("path,label\nä,b\n".encode("utf-8-sig"))
    assert list(read_table(tmp_path / "excel.csv", ["path"])["path"]) == ["ä"]


def test_writing_that_fails_leaves_the_old_table(tmp_path: Path):
    class Unwritable(pd.DataFrame):
        def to_csv(self, path, **_):
            Path(path).write_text("half")
            raise OSError("disk full")

    write_table(manifest(), tmp_path / "m.csv")
    before = (tmp_path / "m.csv").read_text()
    with pytest.raises(OSError, match="disk full"):
        write_table(Unwritable(), tmp_path / "m.csv")
    assert (tmp_path / "m.csv").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["m.csv"]
