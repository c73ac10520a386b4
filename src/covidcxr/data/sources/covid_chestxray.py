"""The COVID-19 Image Data Collection (Cohen et al. 2020, arXiv:2006.11988)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from covidcxr.data.download import JSON, TABLE, NotFoundError, join
from covidcxr.data.repository import Repository
from covidcxr.data.source import Source, Where, as_candidates, filter_any
from covidcxr.errors import InputError
from covidcxr.logs import log

if TYPE_CHECKING:
    import pandas as pd

    from covidcxr.data.lung_shape import Boxes

REPOSITORY = "ieee8023/covid-chestxray-dataset"
MIRROR = "covid-chestxray-dataset"
COVID = "COVID-19"
LATERAL = re.compile(r"[-_]l$", re.IGNORECASE)
COLUMNS = ["patientid", "offset", "sex", "age", "finding", "view", "modality", "folder"]
COLUMNS += ["filename", "license"]
BOXES = "lung_boxes.json"
BOX_FILES = ("imageannotation_ai_lung_bounding_boxes.json", "lung_bounding_boxes.json")
LUNGS = {"right lung": 0, "left lung": 1}
"""The patient's right lung is on the viewer's left."""


class CovidChestXray(Source):
    """The collection's `metadata.csv`, the images asked for, and radiologists' boxes of lungs.

    The boxes (github.com/GeneralBlockchain/covid-19-chest-xray-lung-bounding-boxes-dataset,
    CC BY 4.0) are kept by the collection in COCO format.
    """

    mirrored = (f"{MIRROR}/metadata.csv", f"{MIRROR}/images", f"{MIRROR}/annotations")

    def candidates(self) -> pd.DataFrame:
        """List the radiographs.

        CT scans and what does not lie in the collection's folder `images` are left out. The finding
        is read in both of its notations: flat (`COVID-19`, `COVID-19, ARDS`) and as a path
        (`Pneumonia/Viral/COVID-19`). Whatever names COVID-19 becomes `COVID-19`, else the last
        element of the path stands (`Pneumocystis`); `subtype` holds the finding as written. Files
        that call themselves lateral (`...-L.png`) count as lateral whatever their row says (the
        collection's issue 109). Of rows that name the same file, the first counts. Offsets and ages
        that are no number are unknown. The site is the `location`, where that is given, else the
        host of the `url` that the image is from.
        """
        import pandas as pd

        from covidcxr.data.tables import read_table

        table = self.folder / "metadata.csv"
        rows = read_table(table, COLUMNS)
        rows = rows[(rows["modality"] == "X-ray") & (rows["folder"] == "images")]
        rows = _first_of_each_file(rows, table)
        names = rows["filename"]
        lateral = names.map(lambda name: bool(LATERAL.search(Path(name).stem)))
        mislabelled = lateral & (rows["view"] != "L")
        if mislabelled.any():
            listed = ", ".join(names[mislabelled])
            log.warning("%s: lateral by their names, taken as such: %s", table, listed)
        return as_candidates(
            rows,
            key=names,
            path=[str(self.folder / "images" / name) for name in names],
            diagnosis=rows["finding"].map(covid_diagnosis),
            subtype=rows["finding"],
            # An image without a patient is a patient of its own: nothing links it to another.
            patient_id=rows["patientid"].where(rows["patientid"] != "", names),
            site=_sites(rows),
            view=rows["view"].mask(lateral, "L"),
            day=pd.to_numeric(rows["offset"], errors="coerce"),
            age=pd.to_numeric(rows["age"], errors="coerce"),
        )

    def fetch(self, folder: Path, *, select: Sequence[Where], mirror: str | None) -> None:
        """Fetch table, boxes and the images that pass a filter, each held against git's hash."""
        repository = Repository(REPOSITORY, self.options["commit"], mirror, MIRROR)
        repository.fetch_file(["metadata.csv"], folder / "metadata.csv", expect=TABLE)
        places = [join("annotations", name) for name in BOX_FILES]
        try:
            repository.fetch_file(places, folder / BOXES, expect=JSON)
        except NotFoundError as error:
            log.warning("no boxes of lungs: %s; the lungs are estimated", error)
            (folder / BOXES).unlink(missing_ok=True)
        wanted = filter_any(CovidChestXray(self.options, folder).candidates(), select)
        repository.fetch_images("images", sorted(wanted["key"]), folder)

    def lung_boxes(self) -> dict[str, Boxes]:
        """Read the boxes, none where the collection has none."""
        file = self.folder / BOXES
        return read_lung_boxes(file) if file.exists() else {}


SOURCE = CovidChestXray


def covid_diagnosis(finding: str) -> str:
    """Reduce a finding of the collection to one name, see `CovidChestXray.candidates`."""
    elements = [element.strip() for element in re.split("[/,]", finding)]
    return COVID if COVID in elements else finding.rpartition("/")[2].strip()


def _sites(rows: pd.DataFrame) -> pd.Series[str]:
    import pandas as pd

    place, url = (
        rows.get(column, pd.Series("", rows.index)).str.strip() for column in ("location", "url")
    )
    host = url.str.extract(r"//([^/]+)", expand=False).fillna("")
    return place.where(place.str.contains(r"\w"), host)


def _first_of_each_file(rows: pd.DataFrame, table: Path) -> pd.DataFrame:
    names = rows["filename"]
    strange = names[names.map(lambda name: Path(name).name != name or not name)]
    if len(strange):
        raise InputError(
            f"{table}, row {int(strange.index[0]) + 2}: {strange.iloc[0]!r} "
            "is not the bare name of a file"
        )
    repeated = names.duplicated()
    if repeated.any():
        log.warning(
            "%s: %d rows name a file that an earlier row names, and are left out: %s",
            table,
            repeated.sum(),
            ", ".join(names[repeated].head()),
        )
    return rows[~repeated]


def read_lung_boxes(path: str | Path) -> dict[str, Boxes]:
    """Read boxes of lungs in COCO format, by file name; a row of NaN where one lung has none.

    Raises
    ------
    InputError
        If the file is not in COCO format.
    """
    import numpy as np

    try:
        content = json.loads(Path(path).read_text())
        lung = {c["id"]: LUNGS.get(c["name"].lower()) for c in content["categories"]}
        images = {image["id"]: image for image in content["images"]}
        found: dict[str, Boxes] = {}
        for annotation in content["annotations"]:
            side, image = lung[annotation["category_id"]], images[annotation["image_id"]]
            if side is None:
                continue
            x, y, width, height = annotation["bbox"]
            boxes = found.setdefault(image["file_name"], np.full((2, 4), np.nan))
            scale = np.array([image["width"], image["height"]] * 2, float)
            boxes[side] = np.array([x, y, x + width, y + height]) / scale
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} does not hold lung boxes in COCO format ({error!r}): delete it to fetch it"
        ) from error
    return found
