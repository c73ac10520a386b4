"""The archive of Kermany's chest X-ray set (Kermany et al. 2018, doi:10.17632/rscbjbr9sj.2)."""

from pathlib import Path

from covidcxr.data.download import ZIP, Checksum, fetch, fetch_from_mirror

URL = (
    "https://data.mendeley.com/public-files/datasets/rscbjbr9sj/files/"
    "f12eaf6d-6023-432f-acc9-80c9d7393433/file_downloaded"
)
SHA256 = "13efc055629733dbab07877f8b3c9f81097840dbcdaa326a8542322c2281ce36"
MIRROR_NAME = "ChestXRay2017.zip"


def fetch_kermany_archive(output_zip: str | Path, *, mirror: str | None = None) -> None:
    """Fetch the archive (1.2 GB), held against its SHA-256, or take a mirror's `ChestXRay2017.zip`.

    Raises
    ------
    InputError
        If it cannot be had or is not the archive; NotFoundError if the mirror has none.
    """
    if mirror is not None:
        fetch_from_mirror(mirror, [(MIRROR_NAME,)], output_zip, expect=ZIP)
    else:
        fetch(URL, output_zip, check=Checksum("sha256", SHA256), expect=ZIP)
