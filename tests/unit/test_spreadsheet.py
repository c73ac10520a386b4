"""Tables as people and their programs write them."""

import contextlib
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covidcxr.data.spreadsheet import numbers, read_spreadsheet
from covidcxr.errors import InputError

REQUIRED, OPTIONAL = ("path", "label", "patient_id"), ("age",)
PLAIN = "path,label,patient_id,age\na.png,clear,007,61\nb.png,opacity,8,\n"


def read(tmp_path: Path, content: bytes | str) -> pd.DataFrame:
    table = tmp_path / "images.csv"
    table.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_spreadsheet(table, REQUIRED, OPTIONAL)


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", "|"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", ",\n"),
        PLAIN.replace("\n", ",,\n"),
        PLAIN.replace("patient_id,age", " Patient ID , Age"),
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        PLAIN.encode("utf-16-le"),
        ",path,label,patient_id,age\n0,a.png,clear,007,61\n1,b.png,opacity,8,\n",
        PLAIN.replace("8,\n", "8\n"),
    ],
    ids=range(12),
)
def test_what_is_unambiguous_is_read_alike(tmp_path: Path, content: bytes | str):
    pd.testing.assert_frame_equal(read(tmp_path, content), read(tmp_path, PLAIN), check_like=True)


def test_a_first_line_that_names_the_separator_is_obeyed(tmp_path: Path):
    found = read(tmp_path, "sep=;\n" + PLAIN.replace(",", ";"))
    assert found["label"].to_dict() == {3: "clear", 4: "opacity"}


def test_rows_keep_their_numbers_in_the_file_and_empty_ones_are_passed_over(tmp_path: Path):
    found = read(tmp_path, "\npath,label,patient_id\n\na,x,1\n,,\n\nb,y,2\n")
    assert found.index.tolist() == [4, 7]
    assert found["label"].tolist() == ["x", "y"]


def test_letters_of_windows_are_read_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    found = read(tmp_path, PLAIN.replace("clear", "Mühle").encode("cp1252"))
    assert found["label"].tolist() == ["Mühle", "opacity"]
    assert "Windows-1252" in caplog.text


def test_a_column_of_another_name_is_passed_over_with_a_hint(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    read(tmp_path, PLAIN.replace("age", "ages"))
    assert "column 'ages' is not read; did you mean 'age'?" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        (
            "a.png,clear,1\n",
            "no column 'path', 'label', 'patient_id'; the first line names 'a.png'",
        ),
        (PLAIN.replace("age", "Label"), r"column 'label' more than once \('label', 'Label'\)"),
        (PLAIN.replace("clear,", "clear,viral,"), "row 2 has 5 cells, the header 4; put"),
        (PLAIN.replace("clear", '"clear'), "row 2 cannot be read"),
        (b"\xff\xfe\x00", "is no table of text"),
        (b"path\0\0\0label,\x81\x8d", "is no table of text"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 and more", "is an Excel file.*save it as CSV"),
        (b"PK\x03\x04 and more", "is an Excel file.*save it as CSV"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_the_remedy(
    tmp_path: Path, content: bytes | str, message: str
):
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, content)
    assert "images.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_excel_sheet_is_read_where_a_reader_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cells = [line.split(",") for line in PLAIN.split()]
    monkeypatch.setattr(pd, "read_excel", lambda *_, **__: pd.DataFrame(cells))
    assert read(tmp_path, b"PK\x03\x04")["patient_id"].tolist() == ["007", "8"]


def test_numbers_have_a_point_or_a_comma_and_words_for_unknown(tmp_path: Path):
    texts = pd.Series(["61", "0,5", "7.25", "NA", "", "unknown"], index=range(2, 8), name="age")
    found = numbers(texts, tmp_path, 0, 120).tolist()
    assert found[:3] == [61, 0.5, 7.25]
    assert pd.isna(found[3:]).all()


@pytest.mark.parametrize("text", ["999", "-1", "inf", "1e9"])
def test_an_impossible_number_is_named_with_its_row(text: str):
    texts = pd.Series(["50", text], index=[2, 9], name="age")
    with pytest.raises(InputError, match=rf"t\.csv, row 9: age is '{text}', not from 0 to 120"):
        numbers(texts, "t.csv", 0, 120)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_table_or_an_error_in_words(tmp_path_factory, content: bytes):
    folder = tmp_path_factory.mktemp("any")
    for text in (content, PLAIN.encode() + content):
        with contextlib.suppress(InputError):
            read(folder, text)
