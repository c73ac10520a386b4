"""Kermany's chest X-ray set of children (Kermany et al. 2018, doi:10.17632/rscbjbr9sj.2)."""

from __future__ import annotations

import re
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from covidcxr.data.download import ZIP, Checksum, fetch, fetch_from_mirror, is_url
from covidcxr.data.source import Source, Where, as_candidates
from covidcxr.errors import InputError
from covidcxr.files import atomic
from covidcxr.logs import progress

if TYPE_CHECKING:
    import pandas as pd

URL = (
    "https://data.mendeley.com/public-files/datasets/rscbjbr9sj/files/"
    "f12eaf6d-6023-432f-acc9-80c9d7393433/file_downloaded"
)
SHA256 = "13efc055629733dbab07877f8b3c9f81097840dbcdaa326a8542322c2281ce36"
ARCHIVE = "ChestXRay2017.zip"
UNPACKED = "chest_xray"
MEMBER = re.compile(r"chest_xray/(train|test)/(NORMAL|PNEUMONIA)/([^/\\]+\.jpe?g)", re.IGNORECASE)
DIAGNOSES = {"NORMAL": "normal", "PNEUMONIA": "pneumonia"}
SUFFIXES = {".jpeg", ".jpg", ".png"}
SICK = re.compile(r"(person\d+)_(bacteria|virus)_")
WELL = re.compile(r"((?:NORMAL2-)?IM-\d+)-")


class Kermany(Source):
    """Images `[train|test/]{NORMAL,PNEUMONIA}/*`."""

    mirrored = (ARCHIVE, UNPACKED)

    def candidates(self) -> pd.DataFrame:
        """List the images.

        Patients are read off the names: `person1000_bacteria_2931` is patient person1000 (subtype
        bacteria), `IM-0115-0001` and `NORMAL2-IM-1427-0001` are patients IM-0115 and
        NORMAL2-IM-1427; an image of another name is a patient of its own. All are antero-posterior.
        """
        import pandas as pd

        folder = self.folder / "images"
        files = _images(folder)
        # Copies with and without the level [train|test] must give the same sample.
        short = pd.Series([f"{file.parent.name}/{file.name}" for file in files])
        whole = pd.Series([file.relative_to(folder).as_posix() for file in files])
        matches = [(SICK.match(file.stem), WELL.match(file.stem)) for file in files]
        return as_candidates(
            pd.DataFrame(index=range(len(files))),
            key=short.mask(short.duplicated(keep=False), whole).tolist(),
            path=[str(file) for file in files],
            diagnosis=[DIAGNOSES[file.parent.name] for file in files],
            patient_id=[
                sick[1] if sick else well[1] if well else file.stem
                for file, (sick, well) in zip(files, matches, strict=True)
            ],
            subtype=[sick[2] if sick else "" for sick, _ in matches],
            view="AP",
            license="CC BY 4.0",
        )

    def fetch(self, folder: Path, *, select: Sequence[Where], mirror: str | None) -> None:
        """Fetch the archive (1.2 GB, held against its SHA-256) and unpack it, or copy a mirror."""
        archive = folder / ARCHIVE
        with atomic(folder / "images") as images:
            images.mkdir()
            if mirror is not None and not is_url(mirror) and Path(mirror, UNPACKED).is_dir():
                _copy(Path(mirror, UNPACKED), images)
                archive.unlink(missing_ok=True)
                return
            published = Checksum("sha256", SHA256)
            if mirror is not None:
                fetch_from_mirror(mirror, [(ARCHIVE,)], archive, expect=ZIP)
            elif not archive.exists() or published.of(archive) != SHA256:
                fetch(URL, archive, check=published, expect=ZIP)
            _unpack(archive, images)


SOURCE = Kermany


def _images(folder: Path) -> list[Path]:
    """Return the images under `[*/]{NORMAL,PNEUMONIA}`, sorted, without macOS' `._` files."""
    files = sorted(
        path
        for diagnosis in DIAGNOSES
        for pattern in (f"{diagnosis}/*", f"*/{diagnosis}/*")
        for path in folder.glob(pattern)
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )
    if not files:
        raise InputError(
            f"{folder} holds no images under [train|test/]{{NORMAL,PNEUMONIA}}; "
            "is it Kermany's chest X-ray set?"
        )
    return files


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack the images. Names are rebuilt from what matched, so none can leave `folder`."""
    try:
        with zipfile.ZipFile(archive) as file:
            for member in progress(file.infolist(), desc="unpacking"):
                match = MEMBER.fullmatch(member.filename)
                if match is None or match[3].startswith("._"):
                    continue
                target = folder / match[1].lower() / match[2].upper() / match[3]
                target.parent.mkdir(parents=True, exist_ok=True)
                with file.open(member) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise InputError(f"{archive} is damaged ({error}); delete it and fetch it again") from error
    _images(folder)


def _copy(source: Path, folder: Path) -> None:
    for path in progress(_images(source), desc="copying"):
        target = folder / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
