import hashlib
import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from covidcxr.data import download, fetch, repository
from covidcxr.data.download import HDF5, IMAGE, TABLE, ZIP, Checksum, NotFoundError
from covidcxr.data.sources import kermany
from covidcxr.errors import InputError
from covidcxr.features import weights
from tests.unit.http_server import HTML, Fault, Site

BODY = b"PK\x03\x04" + bytes(range(256)) * 2000
SHA256 = Checksum("sha256", hashlib.sha256(BODY).hexdigest())
PNG = b"\x89PNG\r\n\x1a\n"
NAME = "/set.zip"
CHUNK = download.CHUNK_BYTES
COMMIT = "6a4242344473ccb5ed0d2148d8c7bfb1691e4ed8"


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    asked: list[float] = []
    monkeypatch.setattr(download.time, "sleep", asked.append)
    return asked


def download_it(url: str, path: Path, *, attempts: int = download.ATTEMPTS, **options) -> None:
    with mock.patch.object(download, "ATTEMPTS", attempts):
        download.download(url, path, **{"expect": ZIP, **options})


def get(site: Site, path: Path, **options) -> None:
    download_it(site.url + NAME, path, **{"check": SHA256, **options})


def leftovers(path: Path) -> list[str]:
    return sorted(p.name for p in path.parent.iterdir() if p != path)


def test_a_file_arrives_whole_and_leaves_nothing_else_behind(site: Site, tmp_path: Path):
    site.files[NAME] = BODY
    get(site, tmp_path / "new" / "a.zip")
    assert (tmp_path / "new" / "a.zip").read_bytes() == BODY
    assert leftovers(tmp_path / "new" / "a.zip") == []


def test_server_errors_are_retried_with_growing_pauses(site: Site, tmp_path: Path, waits):
    site.files[NAME] = BODY
    site.faults[NAME] = [Fault(500), Fault(503), Fault(429)]
    get(site, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY
    assert waits == [1, 2, 4]


def test_retry_after_is_respected(site: Site, tmp_path: Path, waits):
    site.files[NAME] = BODY
    site.faults[NAME] = [Fault(503, retry_after="7")]
    get(site, tmp_path / "a.zip")
    assert waits == [7]


def test_lasting_server_errors_end_in_one_message(site: Site, tmp_path: Path):
    site.files[NAME] = BODY
    site.faults[NAME] = [Fault(500)] * 10
    with pytest.raises(InputError, match=r"set\.zip was not to be had in 3 attempts .*500"):
        get(site, tmp_path / "a.zip", attempts=3)
    assert len(site.requests) == 3
    assert not (tmp_path / "a.zip").exists()


def test_an_unreachable_server_ends_in_one_message(tmp_path: Path):
    with pytest.raises(InputError, match="was not to be had in 2 attempts"):
        download_it("http://127.0.0.1:9/x", tmp_path / "x", attempts=2)


def test_a_cut_transfer_is_continued_where_it_stopped(site: Site, tmp_path: Path):
    site.files[NAME] = BODY
    site.faults[NAME] = [Fault(cut=6 * CHUNK), Fault(cut=12 * CHUNK)]
    get(site, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY
    assert site.ranges(NAME) == [None, f"bytes={6 * CHUNK}-", f"bytes={12 * CHUNK}-"]


def test_attempts_count_failures_that_gain_nothing(site: Site, tmp_path: Path):
    site.files[NAME] = BODY
    site.faults[NAME] = [Fault(cut=size) for size in range(CHUNK, len(BODY), CHUNK)]
    get(site, tmp_path / "a.zip", attempts=2)
    assert (tmp_path / "a.zip").read_bytes() == BODY


def test_a_server_that_ignores_ranges_and_always_cuts_does_not_loop(site: Site, tmp_path: Path):
    site.files[NAME] = BODY
    site.faults[NAME] = [Fault(cut=1000, ranges=False)] * 50
    with pytest.raises(InputError, match="was not to be had in 3 attempts"):
        get(site, tmp_path / "a.zip", attempts=3)
    assert len(site.requests) < 6


def test_a_later_run_continues_what_an_earlier_one_left(site: Site, tmp_path: Path):
    site.files[NAME] = BODY
    site.faults[NAME] = [Fault(cut=8 * CHUNK), Fault(500)]
    with pytest.raises(InputError):
        get(site, tmp_path / "a.zip", attempts=1)
    with pytest.raises(InputError):
        get(site, tmp_path / "a.zip", attempts=1)
    assert leftovers(tmp_path / "a.zip") == ["a.zip.part", "a.zip.part.json"]
    get(site, tmp_path / "a.zip")
    assert site.ranges(NAME)[1:] == [f"bytes={8 * CHUNK}-"] * 2
    assert (tmp_path / "a.zip").read_bytes() == BODY


def test_a_server_that_ignores_ranges_is_read_from_the_start(site: Site, tmp_path: Path):
    site.files[NAME] = BODY
    site.faults[NAME] = [Fault(cut=300_000), Fault(ranges=False)]
    get(site, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY


@pytest.mark.parametrize("etag", [True, False])
def test_a_file_that_changed_meanwhile_is_not_glued_together(
    site: Site, tmp_path: Path, etag: bool
):
    site.files[NAME] = b"PK\x03\x04" + bytes(400_000)
    site.faults[NAME] = [Fault(cut=300_000, etag=etag), Fault(etag=etag)]
    with pytest.raises(InputError):
        get(site, tmp_path / "a.zip", attempts=1)
    site.files[NAME] = BODY
    get(site, tmp_path / "a.zip", check=None)
    assert (tmp_path / "a.zip").read_bytes() == BODY


def test_a_part_of_another_address_is_not_continued(site: Site, tmp_path: Path):
    site.files["/other"] = BODY
    site.faults["/other"] = [Fault(cut=10_000)]
    with pytest.raises(InputError):
        download_it(f"{site.url}/other", tmp_path / "a.zip", attempts=1)
    site.files[NAME] = BODY
    get(site, tmp_path / "a.zip")
    assert site.ranges(NAME) == [None]


def test_a_part_that_was_whole_when_the_run_was_killed_is_taken(site: Site, tmp_path: Path):
    site.files[NAME] = BODY
    site.faults[NAME] = [Fault(cut=CHUNK)]
    with pytest.raises(InputError):
        get(site, tmp_path / "a.zip", attempts=1)
    (tmp_path / "a.zip.part").write_bytes(BODY)
    get(site, tmp_path / "a.zip")
    assert site.ranges(NAME) == [None, f"bytes={len(BODY)}-"]
    assert (tmp_path / "a.zip").read_bytes() == BODY


def test_a_page_instead_of_the_file_is_named_before_the_checksum(site: Site, tmp_path: Path):
    site.files[NAME] = HTML
    with pytest.raises(InputError, match="the server sent an HTML page instead of a ZIP archive"):
        get(site, tmp_path / "a.zip")
    assert leftovers(tmp_path / "a.zip") == []


def test_a_page_sent_once_is_fetched_over(site: Site, tmp_path: Path):
    site.files[NAME] = BODY
    site.faults[NAME] = [Fault(body=HTML)]
    get(site, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY


@pytest.mark.parametrize(
    ("sent", "expect", "message"),
    [
        (b"not a zip", ZIP, "something else than a ZIP archive"),
        (b"", ZIP, "an empty file instead of a ZIP archive"),
        (b"\n <html lang=de>", TABLE, "an HTML page instead of a CSV table"),
        (b"PK\x03\x04", HDF5, "something else than a HDF5 file"),
        (b"version https://git-lfs.github.com/spec/v1", IMAGE, "something else than a image"),
    ],
)
def test_content_of_another_type_is_named(
    site: Site, tmp_path: Path, sent: bytes, expect: download.Kind, message: str
):
    site.files[NAME] = sent
    with pytest.raises(InputError, match=message):
        get(site, tmp_path / "a", check=None, expect=expect)


def test_a_wrong_checksum_is_fetched_over_once_then_both_values_are_told(
    site: Site, tmp_path: Path
):
    wrong = BODY[:-1] + b"?"
    site.files[NAME] = wrong
    found = hashlib.sha256(wrong).hexdigest()
    with pytest.raises(InputError, match=f"sha256 checksum is {found}, not {SHA256.value}"):
        get(site, tmp_path / "a.zip")
    assert site.ranges(NAME) == [None, None]
    site.faults[NAME] = [Fault()]
    site.files[NAME] = BODY
    get(site, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY


def test_a_redirect_is_followed(site: Site, tmp_path: Path):
    site.files["/real"] = BODY
    site.faults[NAME] = [Fault(location="/real")]
    get(site, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY


@pytest.mark.parametrize(("status", "kind"), [(404, NotFoundError), (403, InputError)])
def test_refusals_are_not_retried(site: Site, tmp_path: Path, status: int, kind: type):
    site.faults[NAME] = [Fault(status)]
    with pytest.raises(kind, match=str(status)):
        get(site, tmp_path / "a.zip")
    assert len(site.requests) == 1


def test_a_body_of_untold_length_is_taken(site: Site, tmp_path: Path):
    site.files[NAME] = BODY
    site.faults[NAME] = [Fault(length=False)]
    get(site, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY


def test_the_old_file_stays_until_the_new_one_is_whole(site: Site, tmp_path: Path):
    (tmp_path / "a.zip").write_text("old")
    site.files[NAME] = HTML
    with pytest.raises(InputError):
        get(site, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_text() == "old"


def test_git_blob_checksum_is_git_s_own(tmp_path: Path):
    (tmp_path / "x").write_bytes(BODY)
    git = subprocess.run(
        ["git", "hash-object", str(tmp_path / "x")], capture_output=True, text=True, check=True
    )
    assert Checksum("git-blob", "").of(tmp_path / "x") == git.stdout.strip()


def test_a_local_file_is_copied_and_checked(tmp_path: Path):
    (tmp_path / "x").write_bytes(BODY)
    download.fetch(str(tmp_path / "x"), tmp_path / "y", check=SHA256, expect=ZIP)
    assert (tmp_path / "y").read_bytes() == BODY
    with pytest.raises(InputError, match="this is something else than a HDF5 file"):
        download.fetch(str(tmp_path / "x"), tmp_path / "z", expect=HDF5)
    with pytest.raises(NotFoundError, match="nothing does not exist"):
        download.fetch(str(tmp_path / "nothing"), tmp_path / "z", expect=ZIP)


def fetched(kind: str, folder: Path, mirror: str | None = None, select: Any = ({},)) -> list[str]:
    """Fetch a source and return the images that are there."""
    options = {"type": kind, "commit": COMMIT}
    fetch.run(folder, options=options, select=select, mirror=mirror)
    assert not folder.with_name(f"{folder.name}.part").exists()
    return files_below(folder / "images")


# --- the collection of COVID-19 images ---

COLUMNS = "patientid,offset,sex,age,finding,view,modality,folder,filename,license"


def metadata(path: Path, *rows: str) -> Path:
    path.write_text("\n".join([COLUMNS, *rows]) + "\n")
    return path


def row(name: str, finding: str = "Pneumonia/Viral/COVID-19", view: str = "AP") -> str:
    return f"1,0,M,60,{finding},{view},X-ray,images,{name},"


@pytest.fixture
def github(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(repository, "RAW", site.url)
    monkeypatch.setattr(repository, "API", site.url)
    return site


COVID_ROOT = f"/ieee8023/covid-chestxray-dataset/{COMMIT}"


def publish(site: Site, *rows: str, **images: bytes) -> None:
    """Put the table, images (`a_png` is a.png) and git's listing of them on the server."""
    site.files[f"{COVID_ROOT}/metadata.csv"] = "\n".join([COLUMNS, *rows, ""]).encode()
    tree = []
    for key, content in images.items():
        name = key.replace("_", ".")
        site.files[f"{COVID_ROOT}/images/{name}"] = content
        sha = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        tree.append({"path": f"images/{name}", "type": "blob", "sha": sha})
    listing = {"truncated": False, "tree": tree}
    api = f"/repos/ieee8023/covid-chestxray-dataset/git/trees/{COMMIT}?recursive=1"
    site.files[api] = json.dumps(listing).encode()


COVID = [{"diagnosis": ["COVID-19"], "view": ["AP"]}]


def fetched_covid(folder: Path, select: Any = COVID, mirror: str | None = None) -> list[str]:
    return fetched("covid_chestxray", folder, mirror, select)


def test_only_the_images_that_pass_a_filter_are_fetched(github: Site, tmp_path: Path):
    rows = [row("a.png"), row("b.png", view="PA"), row("c.png", "SARS"), row("d.png", view="L")]
    publish(github, *rows, **{f"{name}_png": PNG + name.encode() for name in "abcd"})
    select = [*COVID, {"view": ["PA"]}]
    assert fetched_covid(tmp_path / "covid", select) == ["a.png", "b.png"]


def test_images_that_the_repository_lacks_are_left_out(github: Site, tmp_path: Path, caplog):
    publish(github, row("a.png"), row("gone.png"), a_png=PNG + b"a")
    assert fetched_covid(tmp_path / "covid") == ["a.png"]
    assert "1 of 2 images in the metadata do not exist: gone.png" in caplog.text


def test_an_image_that_differs_from_git_s_hash_is_refused(github: Site, tmp_path: Path):
    publish(github, row("a.png"), a_png=PNG + b"a")
    github.files[f"{COVID_ROOT}/images/a.png"] = PNG + b"x"
    with pytest.raises(InputError, match=r"a\.png: git-blob checksum is"):
        fetched_covid(tmp_path / "covid")


def test_a_killed_fetch_goes_on_with_what_it_lacks(github: Site, tmp_path: Path):
    publish(github, row("a.png"), row("b.png"), a_png=PNG + b"a", b_png=PNG + b"b")
    address = f"{COVID_ROOT}/images/"
    github.faults[address + "b.png"] = [Fault(403)]
    with pytest.raises(InputError, match="403"):
        fetched_covid(tmp_path / "covid")
    assert not (tmp_path / "covid").exists()
    assert fetched_covid(tmp_path / "covid") == ["a.png", "b.png"]
    asked = [path for path, _ in github.requests]
    assert asked.count(address + "a.png") == 1
    assert sum("git/trees" in path for path in asked) == 1


def test_images_no_longer_selected_go(github: Site, tmp_path: Path):
    rows = [row("a.png"), row("b.png", view="PA")]
    publish(github, *rows, a_png=PNG + b"a", b_png=PNG + b"b")
    assert fetched_covid(tmp_path / "covid", [{}]) == ["a.png", "b.png"]
    assert fetched_covid(tmp_path / "covid") == ["a.png"]


def test_boxes_of_lungs_are_fetched_where_there_are_some(github: Site, tmp_path: Path, caplog):
    publish(github, row("a.png"), a_png=PNG + b"a")
    fetched_covid(tmp_path / "covid")
    assert not (tmp_path / "covid/lung_boxes.json").exists()
    assert "no boxes of lungs" in caplog.text
    name = "imageannotation_ai_lung_bounding_boxes.json"
    github.files[f"{COVID_ROOT}/annotations/{name}"] = b"{}"
    fetched_covid(tmp_path / "covid")
    assert (tmp_path / "covid/lung_boxes.json").read_bytes() == b"{}"


def test_metadata_and_images_come_from_a_local_or_served_mirror(site: Site, tmp_path: Path):
    mirror = tmp_path / "mirror" / "covid-chestxray-dataset"
    (mirror / "images").mkdir(parents=True)
    (mirror / "images" / "a b.png").write_bytes(PNG)
    metadata(mirror / "metadata.csv", row("a b.png"), row("gone.png"))
    for path in mirror.rglob("*.*"):
        site.files[f"/m/covid-chestxray-dataset/{path.relative_to(mirror)}"] = path.read_bytes()
    for name, address in (("local", str(mirror.parent)), ("served", f"{site.url}/m/")):
        assert fetched_covid(tmp_path / name, mirror=address) == ["a b.png"]


def test_an_image_replaced_in_a_local_mirror_is_copied_over(tmp_path: Path):
    mirror = tmp_path / "mirror" / "covid-chestxray-dataset"
    (mirror / "images").mkdir(parents=True)
    metadata(mirror / "metadata.csv", row("a.png"))
    for content in (PNG + b"1", PNG + b"2"):
        (mirror / "images/a.png").write_bytes(content)
        fetched_covid(tmp_path / "covid", mirror=str(mirror.parent))
        assert (tmp_path / "covid/images/a.png").read_bytes() == content


def test_a_missing_mirror_is_one_clear_error(tmp_path: Path):
    with pytest.raises(InputError, match=r"the mirror .*nowhere is no folder; correct `mirror`"):
        fetched_covid(tmp_path / "covid", mirror=str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"lacks metadata\.csv \(looked for"):
        fetched_covid(tmp_path / "covid", mirror=str(tmp_path))


# --- the NIH subset ---

SUBSET = "X-Ray Image DataSet"
ALL = [{"diagnosis": ["normal"]}, {"diagnosis": ["pneumonia"], "view": ["PA"]}]


def publish_subset(site: Site, *names: str, raw: str, api: str) -> None:
    """Put films, each with its name as content, and git's listing of them on the server."""
    tree = [{"path": SUBSET, "type": "tree", "sha": "0"}]
    for name in names:
        content = PNG + name.encode()
        site.files[f"{raw}/{SUBSET}/{name}"] = content
        sha = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        tree.append({"path": f"{SUBSET}/{name}", "type": "blob", "sha": sha})
    site.files[api] = json.dumps({"truncated": False, "tree": tree}).encode()


@pytest.fixture
def talo(github: Site) -> Site:
    publish_subset(
        github,
        "No_findings/00001280_004.png",
        "Pneumonia/00000013_026.png",
        "Covid-19/01.png",
        "notes.txt",
        raw=f"/muhammedtalo/COVID-19/{COMMIT}",
        api=f"/repos/muhammedtalo/COVID-19/git/trees/{COMMIT}?recursive=1",
    )
    return github


def fetched_subset(folder: Path, select: Any = ALL, mirror: str | None = None) -> list[str]:
    return fetched("nih_subset", folder, mirror, select)


def test_images_are_fetched_from_a_folder_with_spaces_and_without_the_covid_19_folder(
    talo: Site, tmp_path: Path
):
    assert fetched_subset(tmp_path / "nih") == [
        "No_findings/00001280_004.png",
        "Pneumonia/00000013_026.png",
    ]
    image = tmp_path / "nih/images/Pneumonia/00000013_026.png"
    assert image.read_bytes().endswith(b"026.png")


def test_only_the_diagnoses_asked_for_are_fetched(talo: Site, tmp_path: Path):
    fetched_subset(tmp_path / "nih")
    assert fetched_subset(tmp_path / "nih", ALL[1:]) == ["Pneumonia/00000013_026.png"]


def test_an_image_of_the_subset_that_differs_from_git_s_hash_is_refused(talo: Site, tmp_path: Path):
    name = "Pneumonia/00000013_026.png"
    talo.files[f"/muhammedtalo/COVID-19/{COMMIT}/{SUBSET}/{name}"] = PNG + b"x"
    with pytest.raises(InputError, match=r"026\.png: git-blob checksum is"):
        fetched_subset(tmp_path / "nih")
    assert not (tmp_path / "nih").exists()


def test_a_killed_fetch_of_the_subset_asks_for_none_twice(talo: Site, tmp_path: Path):
    address = f"/muhammedtalo/COVID-19/{COMMIT}/{SUBSET}/"
    talo.faults[address + "Pneumonia/00000013_026.png"] = [Fault(403)]
    with pytest.raises(InputError, match="403"):
        fetched_subset(tmp_path / "nih")
    fetched_subset(tmp_path / "nih")
    asked = [path for path, _ in talo.requests]
    assert asked.count(address + "No_findings/00001280_004.png") == 1
    assert sum("git/trees" in path for path in asked) == 1


def test_the_subset_comes_from_a_local_or_served_mirror(site: Site, tmp_path: Path):
    publish_subset(
        site,
        "No_findings/00001280_004.png",
        "Covid-19/01.png",
        raw="/m",
        api=f"/m/{SUBSET}/tree.json",
    )
    for path, content in site.files.items():
        file = tmp_path / "mirror" / path.removeprefix("/m/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    for name, address in (("local", str(tmp_path / "mirror")), ("served", f"{site.url}/m/")):
        found = fetched_subset(tmp_path / name, [{}], address)
        assert found == ["No_findings/00001280_004.png"]


def test_a_mirror_without_the_subset_is_one_clear_error(tmp_path: Path):
    with pytest.raises(InputError, match="holds no images under X-Ray Image DataSet"):
        fetched_subset(tmp_path / "nih", mirror=str(tmp_path))


# --- Kermany's set ---


def archive(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, name)
    return path


def files_below(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def fetched_kermany(tmp_path: Path) -> list[str]:
    """Fetch the set from the mirror `tmp_path`."""
    return fetched("kermany", tmp_path / "out", str(tmp_path))


def test_the_archive_is_held_against_its_published_checksum(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    zipped = archive(tmp_path / "k.zip", "chest_xray/train/NORMAL/IM-1.jpeg")
    monkeypatch.setattr(kermany, "URL", site.url + NAME)
    site.files[NAME] = zipped.read_bytes()
    with pytest.raises(InputError, match=f"not {kermany.SHA256}"):
        fetched("kermany", tmp_path / "out")
    monkeypatch.setattr(kermany, "SHA256", hashlib.sha256(zipped.read_bytes()).hexdigest())
    for _ in range(2):  # an archive that is there already is not fetched again
        assert fetched("kermany", tmp_path / "out") == ["train/NORMAL/IM-1.jpeg"]
    assert len(site.requests) == 3


def test_only_the_images_are_unpacked_and_none_outside_the_folder(tmp_path: Path):
    good = ["chest_xray/train/NORMAL/IM-1.jpeg", "chest_xray/test/PNEUMONIA/person1_virus_2.jpeg"]
    archive(
        tmp_path / "ChestXRay2017.zip",
        *good,
        "chest_xray/.DS_Store",
        "__MACOSX/chest_xray/train/NORMAL/._IM-1.jpeg",
        "chest_xray/train/NORMAL/._IM-1.jpeg",
        "chest_xray/train/NORMAL/../../../../evil.jpeg",
        "../evil.jpeg",
        "/tmp/evil.jpeg",
        "chest_xray/train/NORMAL/..\\evil.jpeg",
    )
    assert fetched_kermany(tmp_path) == sorted(name.removeprefix("chest_xray/") for name in good)
    assert not list(tmp_path.rglob("evil*"))


def test_a_damaged_archive_leaves_nothing(tmp_path: Path):
    zipped = archive(
        tmp_path / "ChestXRay2017.zip", *(f"chest_xray/train/NORMAL/{i}.jpeg" for i in range(9))
    )
    content = zipped.read_bytes()
    zipped.write_bytes(
        content.replace(
            b"chest_xray/train/NORMAL/5.jpegchest", b"chest_xray/train/NORMAL/5.jpegCHEST"
        )
    )
    for damaged in (zipped.read_bytes(), content[:300]):
        zipped.write_bytes(damaged)
        with pytest.raises(InputError, match=r"ChestXRay2017\.zip is damaged"):
            fetched_kermany(tmp_path)
        assert not (tmp_path / "out").exists()


def test_an_archive_of_something_else_is_named(tmp_path: Path):
    archive(tmp_path / "ChestXRay2017.zip", "a.txt")
    with pytest.raises(InputError, match="holds no images under"):
        fetched_kermany(tmp_path)


@pytest.mark.parametrize("level", ["", "train/"])
def test_a_mirror_of_extracted_images_is_copied(tmp_path: Path, level: str):
    with pytest.raises(InputError, match=r"lacks ChestXRay2017\.zip"):
        fetched_kermany(tmp_path)
    for diagnosis in ("NORMAL", "PNEUMONIA"):
        folder = tmp_path / "chest_xray" / level / diagnosis
        folder.mkdir(parents=True)
        (folder / "a.jpeg").write_text("x")
        (folder / "._a.jpeg").write_text("x")
    assert fetched_kermany(tmp_path) == [f"{level}NORMAL/a.jpeg", f"{level}PNEUMONIA/a.jpeg"]


# --- weights ---

HDF5_BODY = HDF5.magic[0] + b"weights"


@pytest.mark.parametrize(
    ("backbone", "name", "md5"),
    [
        (
            "VGG16",
            "vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "6d6bbae143d832006294945121d1f1fc",
        ),
        (
            "ResNet50",
            "resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "4d473c1dd8becc155b73f8504c6f6626",
        ),
        ("EfficientNetB0", "efficientnetb0_notop.h5", "50bc09e76180e00e4465e1a485ddc09d"),
        (
            "DenseNet121",
            "densenet/densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "30ee3e1110167f948a6b9946edeeb738",
        ),
        ("MobileNet", "mobilenet/mobilenet_1_0_224_tf_no_top.h5", None),
    ],
)
def test_any_network_of_keras_has_its_address_and_checksum(
    backbone: str, name: str, md5: str | None
):
    url, found = weights.address(backbone)
    assert url.startswith("https://storage.googleapis.com/")
    assert url.endswith(f"keras-applications/{name}")
    assert found == md5


def test_weights_are_checked_recorded_and_held_against_the_record(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    md5 = hashlib.md5(HDF5_BODY).hexdigest()
    monkeypatch.setattr(weights, "address", lambda _: (f"{site.url}/v.h5", md5))
    site.files["/v.h5"] = HDF5_BODY + b"?"
    with pytest.raises(InputError, match="md5 checksum is"):
        weights.run(tmp_path / "v.h5", backbone="VGG16", mirror=None)
    site.files["/v.h5"] = HDF5_BODY
    weights.run(tmp_path / "v.h5", backbone="VGG16", mirror=None)
    record = (tmp_path / "v.h5.sha256").read_text()
    assert record == f"{hashlib.sha256(HDF5_BODY).hexdigest()}  v.h5\n"
    weights.run(tmp_path / "v.h5", backbone="VGG16", mirror=None)
    (tmp_path / "v.h5").write_bytes(HDF5_BODY + b"other")
    with pytest.raises(InputError, match=r"recorded .* when they were first used"):
        weights.run(tmp_path / "w" / ".." / "v.h5", backbone="VGG16", mirror=str(tmp_path))
    assert files_below(tmp_path) == ["v.h5", "v.h5.sha256"]


@pytest.mark.parametrize("place", ["weights", ""])
def test_a_mirror_holds_weights_in_either_place(tmp_path: Path, place: str):
    folder = tmp_path / "mirror" / place
    folder.mkdir(parents=True)
    (folder / weights.weight_file("EfficientNetB0")).write_bytes(HDF5_BODY)
    weights.run(tmp_path / "e.h5", backbone="EfficientNetB0", mirror=str(tmp_path / "mirror"))
    assert (tmp_path / "e.h5").read_bytes() == HDF5_BODY


def test_a_mirror_without_the_weights_is_one_clear_error(tmp_path: Path):
    name = weights.weight_file("ResNet50")
    with pytest.raises(InputError, match=rf"lacks {name} \(looked for .*weights/{name} and "):
        weights.run(tmp_path / "r.h5", backbone="ResNet50", mirror=str(tmp_path))


def test_a_network_that_keras_does_not_have_is_refused():
    with pytest.raises(InputError, match="no ImageNet weights of a network AlexNet"):
        weights.address("AlexNet")
