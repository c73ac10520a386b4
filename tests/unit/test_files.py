from pathlib import Path

import pytest

from covidcxr.files import atomic


def test_result_appears_whole_under_its_name(tmp_path: Path) -> None:
    with atomic(tmp_path / "deep/result.csv") as temporary:
        temporary.write_text("new")
        assert not (tmp_path / "deep/result.csv").exists()
        assert temporary.suffix == ".csv"
    assert (tmp_path / "deep/result.csv").read_text() == "new"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["result.csv"]


def test_failure_leaves_the_earlier_result_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "result.csv").write_text("old")
    with pytest.raises(RuntimeError), atomic(tmp_path / "result.csv") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert (tmp_path / "result.csv").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_folder_replaces_a_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with atomic(tmp_path / "folder") as temporary:
            temporary.mkdir()
            (temporary / name).touch()
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["b"]
