import os
import shutil
from pathlib import Path

import pytest

from covidcxr.data import fingerprint as module
from covidcxr.data.fingerprint import fingerprint, fingerprint_listing
from covidcxr.data.source import open_source

OLD = 1_600_000_000


def folder_of_two(parent: Path) -> Path:
    folder = parent / "images"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.png").write_text("a")
    (folder / "deep" / "b.png").write_text("b")
    for path in folder.rglob("*.png"):
        os.utime(path, (OLD, OLD))
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "stat.json"


def test_a_fresh_timestamp_changes_nothing(tmp_path: Path, cache: Path):
    folder = folder_of_two(tmp_path)
    before = fingerprint([folder], cache)
    (folder / "a.png").touch()
    assert fingerprint([folder], cache) == before


def test_content_names_and_presence_count(tmp_path: Path, cache: Path):
    folder = folder_of_two(tmp_path)
    seen = {fingerprint([folder], cache)}

    def is_new() -> bool:
        known = len(seen)
        seen.add(fingerprint([folder], cache))
        return len(seen) > known

    (folder / "a.png").write_text("A")
    assert is_new()
    (folder / "a.png").rename(folder / "c.png")
    assert is_new()
    (folder / "deep" / "b.png").rename(folder / "b.png")
    assert is_new()
    (folder / "b.png").unlink()
    assert is_new()


def test_contents_that_swap_names_count(tmp_path: Path, cache: Path):
    folder = folder_of_two(tmp_path)
    before = fingerprint([folder], cache)
    (folder / "a.png").write_text("b")
    (folder / "deep" / "b.png").write_text("a")
    assert fingerprint([folder], cache) != before


def test_a_moved_folder_and_another_order_of_paths_count_for_nothing(tmp_path: Path, cache: Path):
    folder = folder_of_two(tmp_path / "here")
    single = tmp_path / "table.csv"
    single.write_text("x")
    before = fingerprint([folder, single], cache)
    (tmp_path / "there").mkdir()
    shutil.move(folder, tmp_path / "there")
    assert fingerprint([single, tmp_path / "there" / "images"], cache) == before


def test_a_missing_path_differs_from_an_empty_file(tmp_path: Path, cache: Path):
    missing = fingerprint([tmp_path / "x"], cache)
    (tmp_path / "x").touch()
    assert fingerprint([tmp_path / "x"], cache) != missing


def test_unchanged_files_are_not_read_again(tmp_path: Path, cache: Path, monkeypatch):
    folder = folder_of_two(tmp_path)
    before = fingerprint([folder], cache)
    reads = []
    real = module.hashlib.file_digest
    monkeypatch.setattr(
        module.hashlib,
        "file_digest",
        lambda file, kind: reads.append(file.name) or real(file, kind),
    )
    assert fingerprint([folder], cache) == before
    assert reads == []
    (folder / "a.png").write_text("A")
    fingerprint([folder], cache)
    assert [Path(name).name for name in reads] == ["a.png"]


def test_a_change_within_the_clock_s_resolution_is_seen(tmp_path: Path, cache: Path):
    path = tmp_path / "x"
    path.write_text("a")
    stat = path.stat()
    before = fingerprint([path], cache)
    path.write_text("b")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert fingerprint([path], cache) != before


@pytest.mark.parametrize("content", ["", "not json", "[]"])
def test_a_spoilt_cache_is_made_anew(tmp_path: Path, cache: Path, content: str):
    folder = folder_of_two(tmp_path)
    before = fingerprint([folder], cache)
    cache.write_text(content)
    assert fingerprint([folder], cache) == before
    assert cache.read_text() != content


def test_a_csv_source_counts_its_table_and_the_images_it_names(tmp_path: Path, cache: Path):
    folder = folder_of_two(tmp_path)
    table = tmp_path / "t.csv"
    table.write_text("path,label,patient_id\nimages/a.png,x,1\nimages/gone.png,x,2\n")
    source = open_source({"type": "csv", "table": str(table)})
    first = source.fingerprint(cache)
    (folder / "deep" / "b.png").write_text("not named")
    assert source.fingerprint(cache) == first
    (folder / "gone.png").write_text("came")
    second = source.fingerprint(cache)
    (folder / "a.png").write_text("other")
    third = source.fingerprint(cache)
    table.write_text(table.read_text().replace(",x", ",longer"))
    assert len({first, second, third, source.fingerprint(cache)}) == 4


def test_a_listing_tells_new_missing_and_resized_files_but_no_timestamps(tmp_path: Path):
    folder = folder_of_two(tmp_path)
    files = sorted(folder.rglob("*.png"))
    before = fingerprint_listing(files)
    os.utime(files[0])
    assert fingerprint_listing(files[::-1]) == before
    assert fingerprint_listing(files[:1]) != before
    files[0].write_text("longer")
    assert fingerprint_listing(files) != before
