"""The images of Kermany's chest X-ray set, out of the archive or a mirror's folder."""

import re
import shutil
import zipfile
import zlib
from pathlib import Path

from covidcxr.data.download import is_url
from covidcxr.data.sources import kermany_files
from covidcxr.errors import InputError
from covidcxr.files import atomic
from covidcxr.logs import progress

MIRROR_FOLDER = "chest_xray"
MEMBER = re.compile(r"chest_xray/(train|test)/(NORMAL|PNEUMONIA)/([^/\\]+\.jpe?g)", re.IGNORECASE)


def kermany_mirror_is_extracted(mirror: str | None) -> bool:
    """Say whether a mirror holds the extracted images, so that no archive is needed."""
    return mirror is not None and not is_url(mirror) and Path(mirror, MIRROR_FOLDER).is_dir()


def extract_kermany_images(
    archive: str | Path | None, output_dir: str | Path, *, mirror: str | None = None
) -> None:
    """Lay the images out as `output_dir/[train|test/]{NORMAL,PNEUMONIA}/*`.

    Parameters
    ----------
    archive
        ZIP file with `chest_xray/{train,test}/{NORMAL,PNEUMONIA}/`; None takes the mirror's folder
        `chest_xray/`, with or without the level `{train,test}`.

    Raises
    ------
    InputError
        If the archive is damaged, or there are no images.
    """
    with atomic(output_dir) as folder:
        folder.mkdir()
        if archive is not None:
            count, origin = _extract(Path(archive), folder), str(archive)
        elif mirror is not None and kermany_mirror_is_extracted(mirror):
            count, origin = _copy(Path(mirror, MIRROR_FOLDER), folder), f"{mirror}/{MIRROR_FOLDER}"
        else:
            raise InputError(f"the mirror {mirror} has no folder {MIRROR_FOLDER}")
        if not count:
            raise InputError(
                f"{origin} holds no images under [train|test/]{{NORMAL,PNEUMONIA}}; "
                "is it Kermany's chest X-ray set?"
            )


def _extract(archive: Path, folder: Path) -> int:
    """Unpack the images. Names are rebuilt from what matched, so none can leave `folder`."""
    count = 0
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
                count += 1
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise InputError(f"{archive} is damaged ({error}); delete it and fetch it again") from error
    return count


def _copy(source: Path, folder: Path) -> int:
    files = kermany_files(source)
    for path in progress(files, desc="copying"):
        target = folder / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return len(files)
