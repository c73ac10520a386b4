"""Readers of the raw collections: each lists its images with what is told about them.

A reader returns the collection's candidates, one row an image, in the columns `CANDIDATE_COLUMNS`:

- `key`: names the image within its source, unique; stays the same wherever the files lie;
- `path`: of the file, which need not exist;
- `diagnosis`, `patient_id`, `view`, `sex`, `subtype`, `license`: text, "" where unknown;
- `day`: days since onset or admission, float, NaN where unknown;
- `age`: years, float, NaN where unknown.
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from covidcxr.data.tables import read_table
from covidcxr.errors import InputError

log = logging.getLogger("covidcxr")

TEXTS = ["diagnosis", "patient_id", "view", "sex", "subtype", "license"]
NUMBERS = ["day", "age"]
CANDIDATE_COLUMNS = ["key", "path", *TEXTS, *NUMBERS]

COVID = "COVID-19"
LATERAL = re.compile(r"[-_]l$", re.IGNORECASE)
KERMANY_DIAGNOSES = {"NORMAL": "normal", "PNEUMONIA": "pneumonia"}
KERMANY_SUFFIXES = {".jpeg", ".jpg", ".png"}
KERMANY_PNEUMONIA = re.compile(r"(person\d+)_(bacteria|virus)_")
KERMANY_NORMAL = re.compile(r"((?:NORMAL2-)?IM-\d+)-")
NIH_ENTRIES = "Data_Entry_2017*.csv"
NIH_LICENSE = "free use (NIH Clinical Center)"
NIH_NAME = re.compile(r"(\d+)_\d+")
NIH_AGE = re.compile(r"(\d+)([YMWD]?)")
NIH_YEARS = {"": 1.0, "Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
OLDEST = 120
"""Years; the NIH table holds ages up to 414, which are errors."""
NO_FINDING, PNEUMONIA = "No Finding", "Pneumonia"
NIH_SUBSET_DIAGNOSES = {"No_findings": "normal", "Pneumonia": "pneumonia"}


def read_phantom(table: str | Path, images: str | Path) -> pd.DataFrame:
    """List the chest phantoms that the package drew.

    Parameters
    ----------
    table
        CSV with `filename, patient_id, diagnosis, view, day, age, sex, subtype, license`.
    images
        Folder of the files.

    Raises
    ------
    InputError
        If the table cannot be read or lacks a column.
    """
    rows = read_table(table, ["filename", *TEXTS, *NUMBERS], NUMBERS)
    return _candidates(rows, key=rows["filename"], path=_paths(images, rows["filename"]))


def read_covid_chestxray(metadata: str | Path, images: str | Path) -> pd.DataFrame:
    """List the radiographs of the COVID-19 Image Data Collection.

    CT scans and what does not lie in the collection's folder `images` are left out. The finding is
    read in both of its notations: flat (`COVID-19`, `COVID-19, ARDS`) and as a path
    (`Pneumonia/Viral/COVID-19`). Whatever names COVID-19 becomes `COVID-19`, else the last element
    of the path stands (`Pneumocystis`); `subtype` holds the finding as written. Files that call
    themselves lateral (`...-L.png`) count as lateral whatever their row says (the collection's
    issue 109). Of rows that name the same file, the first counts. Offsets and ages that are no
    number are unknown.

    Parameters
    ----------
    metadata
        The collection's `metadata.csv`.
    images
        Folder of the files.

    Raises
    ------
    InputError
        If the table cannot be read or lacks a column.
    """
    rows = read_table(
        metadata,
        [
            "patientid",
            "offset",
            "sex",
            "age",
            "finding",
            "view",
            "modality",
            "folder",
            "filename",
            "license",
        ],
    )
    rows = rows[(rows["modality"] == "X-ray") & (rows["folder"] == "images")]
    rows = _first_of_each_file(rows, metadata)
    lateral = rows["filename"].map(lambda name: bool(LATERAL.search(Path(name).stem)))
    mislabelled = lateral & (rows["view"] != "L")
    if mislabelled.any():
        log.warning(
            "%s: lateral by their names, taken as such: %s",
            metadata,
            ", ".join(rows["filename"][mislabelled]),
        )
    return _candidates(
        rows,
        key=rows["filename"],
        path=_paths(images, rows["filename"]),
        diagnosis=rows["finding"].map(covid_diagnosis),
        subtype=rows["finding"],
        # An image without a patient is a patient of its own: nothing links it to another.
        patient_id=rows["patientid"].where(rows["patientid"] != "", rows["filename"]),
        view=rows["view"].mask(lateral, "L"),
        day=pd.to_numeric(rows["offset"], errors="coerce"),
        age=pd.to_numeric(rows["age"], errors="coerce"),
    )


def covid_diagnosis(finding: str) -> str:
    """Reduce a finding of the COVID-19 Image Data Collection to one name (see the reader)."""
    elements = [element.strip() for element in re.split("[/,]", finding)]
    return COVID if COVID in elements else finding.rpartition("/")[2].strip()


def _first_of_each_file(rows: pd.DataFrame, metadata: str | Path) -> pd.DataFrame:
    strange = rows[rows["filename"].map(lambda name: Path(name).name != name or not name)]
    if len(strange):
        raise InputError(
            f"{metadata}, row {int(strange.index[0]) + 2}: {strange['filename'].iloc[0]!r} "
            "is not the bare name of a file"
        )
    repeated = rows["filename"].duplicated()
    if repeated.any():
        log.warning(
            "%s: %d rows name a file that an earlier row names, and are left out: %s",
            metadata,
            repeated.sum(),
            ", ".join(rows["filename"][repeated].head()),
        )
    return rows[~repeated]


def read_kermany(folder: str | Path) -> pd.DataFrame:
    """List Kermany's chest X-rays: `[train|test/]{NORMAL,PNEUMONIA}/*`.

    Patients are read off the names: `person1000_bacteria_2931` is patient person1000 (subtype
    bacteria), `IM-0115-0001` and `NORMAL2-IM-1427-0001` are patients IM-0115 and NORMAL2-IM-1427;
    an image of another name is a patient of its own. All are antero-posterior (Kermany et al.
    2018).

    Raises
    ------
    InputError
        If there are no images.
    """
    folder = Path(folder)
    files = kermany_files(folder)
    if not files:
        raise InputError(
            f"{folder} holds no images under [train|test/]{{NORMAL,PNEUMONIA}}; "
            "is it Kermany's chest X-ray set?"
        )
    # Copies with and without the level [train|test] must give the same draw.
    short = pd.Series([f"{file.parent.name}/{file.name}" for file in files])
    whole = pd.Series([file.relative_to(folder).as_posix() for file in files])
    matches = [(KERMANY_PNEUMONIA.match(f.stem), KERMANY_NORMAL.match(f.stem)) for f in files]
    return _candidates(
        pd.DataFrame(index=range(len(files))),
        key=short.mask(short.duplicated(keep=False), whole).tolist(),
        path=[str(file) for file in files],
        diagnosis=[KERMANY_DIAGNOSES[file.parent.name] for file in files],
        patient_id=[
            sick[1] if sick else well[1] if well else file.stem
            for file, (sick, well) in zip(files, matches, strict=True)
        ],
        subtype=[sick[2] if sick else "" for sick, _ in matches],
        view="AP",
        license="CC BY 4.0",
    )


def kermany_files(folder: Path) -> list[Path]:
    """Return the images under `[*/]{NORMAL,PNEUMONIA}`, sorted, without macOS' `._` files."""
    return sorted(
        path
        for diagnosis in KERMANY_DIAGNOSES
        for pattern in (f"{diagnosis}/*", f"*/{diagnosis}/*")
        for path in folder.glob(pattern)
        if path.suffix.lower() in KERMANY_SUFFIXES and not path.name.startswith(".")
    )


def read_nih(folder: str | Path, pneumonia: str = "alone") -> pd.DataFrame:
    """List the films of NIH ChestX-ray14 (Wang et al. 2017) that lie in a folder.

    The diagnosis of `No Finding` is `normal`, that of `Pneumonia` is `pneumonia`, any other stands
    as written, findings joined by `|`; `subtype` holds all of them. Labels were mined from reports.

    Parameters
    ----------
    folder
        Holds one `Data_Entry_2017*.csv`, and the films anywhere below folders `images*` (as NIH's
        archives unpack, or Kaggle's). Films of the table that are not there are left out.
    pneumonia
        `alone`: only films with no other finding are `pneumonia`; `any`: all that name it.

    Raises
    ------
    InputError
        If there is no such table or more than one, it lacks a column, or no film is there.
    """
    folder = Path(folder)
    tables = sorted(folder.glob(NIH_ENTRIES))
    if len(tables) != 1:
        raise InputError(
            f"{folder} holds {len(tables) or 'no'} tables {NIH_ENTRIES}, where one is needed; is "
            "it the folder of NIH ChestX-ray14?"
        )
    rows = _read_nih_entries(tables[0])
    files = {path.name: path for path in nih_files(folder)}
    present = rows["name"].isin(list(files))
    if not present.any():
        raise InputError(
            f"{folder}: of the {len(rows)} films in {tables[0].name} none lies below "
            "a folder images*; unpack NIH's images_*.tar.gz there"
        )
    if not present.all():
        log.warning(
            "%s: %d of %d films of the table are not there and are left out",
            folder,
            (~present).sum(),
            len(rows),
        )
    rows = rows[present]
    return _candidates(
        rows,
        key=rows["name"],
        path=[str(files[name]) for name in rows["name"]],
        diagnosis=[nih_diagnosis(labels, pneumonia) for labels in rows["subtype"]],
        patient_id=[nih_patient(name) for name in rows["name"]],
        license=NIH_LICENSE,
    )


def nih_files(folder: Path) -> list[Path]:
    """Return the films below the folders `images*` of NIH ChestX-ray14, sorted."""
    return sorted(
        path
        for images in folder.glob("images*")
        if images.is_dir()
        for path in images.rglob("*.png")
    )


def nih_diagnosis(labels: str, pneumonia: str = "alone") -> str:
    """Reduce the labels of a film of NIH ChestX-ray14 to one diagnosis, see `read_nih`."""
    if labels == NO_FINDING:
        return "normal"
    if labels == PNEUMONIA or (pneumonia == "any" and PNEUMONIA in labels.split("|")):
        return "pneumonia"
    return labels


def nih_patient(name: str) -> str:
    """Return the patient in a film's name, `00000013_026.png`; the stem where it is another."""
    match = NIH_NAME.fullmatch(Path(name).stem)
    return match[1] if match else Path(name).stem


def nih_age(text: str) -> float:
    """Return an age in years, from `58` as from the older `058Y`, `013M`, `002D`; NaN if none."""
    match = NIH_AGE.fullmatch(text.strip())
    years = int(match[1]) * NIH_YEARS[match[2]] if match else float("nan")
    return years if years <= OLDEST else float("nan")


def _read_nih_entries(table: str | Path) -> pd.DataFrame:
    """Return name, subtype (the labels), age, sex and view of each film in NIH's table."""
    names = {
        "Image Index": "name",
        "Finding Labels": "subtype",
        "Patient Age": "age",
        "Patient Gender": "sex",
        "Patient Sex": "sex",
        "View Position": "view",
    }
    rows = read_table(table, ["Image Index", "Finding Labels", "Patient Age", "View Position"])
    rows = rows.rename(columns=names)
    if "sex" not in rows:
        raise InputError(f"{table} has no column 'Patient Gender' or 'Patient Sex'")
    return rows.assign(age=rows["age"].map(nih_age))[["name", "subtype", "age", "sex", "view"]]


def read_nih_subset(folder: str | Path, entries: str | Path | None = None) -> pd.DataFrame:
    """List the subset of NIH ChestX-ray14 that `muhammedtalo/COVID-19` holds.

    Films are `{No_findings,Pneumonia}/<patient>_<number>.png`; nothing else is told of them.

    Parameters
    ----------
    entries
        NIH's own `Data_Entry_2017*.csv`, from which age, sex, view and labels come; or None.

    Raises
    ------
    InputError
        If there are no films, or the table cannot be read or lacks a column.
    """
    files = nih_subset_files(Path(folder))
    if not files:
        raise InputError(
            f"{folder} holds no films under {{{','.join(NIH_SUBSET_DIAGNOSES)}}}; is it the folder "
            "'X-Ray Image DataSet' of muhammedtalo/COVID-19?"
        )
    candidates = list_nih_subset(files)
    if entries is None:
        return candidates
    told = _read_nih_entries(entries).drop_duplicates("name").set_index("name")
    told = told.reindex(candidates["path"].map(lambda path: Path(path).name))
    for column in ("subtype", "age", "sex", "view"):
        candidates[column] = told[column].to_numpy()
    return candidates.fillna(dict.fromkeys(("subtype", "sex", "view"), ""))


def nih_subset_files(folder: Path) -> list[Path]:
    """Return the films under `{No_findings,Pneumonia}`, sorted, without hidden files."""
    return sorted(
        path
        for name in NIH_SUBSET_DIAGNOSES
        for path in folder.glob(f"{name}/*.png")
        if not path.name.startswith(".")
    )


def list_nih_subset(files: Sequence[Path]) -> pd.DataFrame:
    """Return the candidates of films in the subset's folders, at least one.

    A name can stand in both folders, so the key is folder and name.
    """
    return _candidates(
        pd.DataFrame(index=range(len(files))),
        key=[f"{file.parent.name}/{file.name}" for file in files],
        path=[str(file) for file in files],
        diagnosis=[NIH_SUBSET_DIAGNOSES[file.parent.name] for file in files],
        patient_id=[nih_patient(file.name) for file in files],
        license=NIH_LICENSE,
    )


def read_csv(table: str | Path) -> pd.DataFrame:
    """List a user's own images.

    Parameters
    ----------
    table
        CSV with `path` (relative to the table, or absolute), `label` (becomes the diagnosis) and
        `patient_id`; where known `view, day, age, sex, subtype, license`.

    Raises
    ------
    InputError
        If the table cannot be read, lacks a column, or a row lacks a value, holds a number that is
        none, or names an image again; names the rows.
    """
    required = ["path", "label", "patient_id"]
    rows = read_table(table, required, NUMBERS)
    for column in required:
        rows[column] = rows[column].str.strip()
        _refuse(rows[column] == "", table, f"{column} is empty")
    _refuse(rows["path"].duplicated(), table, "path names an image that an earlier row names")
    return _candidates(
        rows,
        key=rows["path"],
        path=_paths(Path(table).parent, rows["path"]),
        diagnosis=rows["label"],
    )


def _refuse(wrong: "pd.Series[bool]", table: str | Path, problem: str) -> None:
    numbers = [str(int(index) + 2) for index in wrong.index[wrong]]
    if numbers:
        more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
        raise InputError(f"{table}, row {', '.join(numbers[:5])}{more}: {problem}")


def _paths(folder: str | Path, names: "pd.Series[str]") -> list[str]:
    return [str(Path(folder, name)) for name in names]


def _candidates(rows: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    """Assemble candidates from `rows`, in which `columns` replace or add to what is there."""
    frame = rows.assign(**columns).reset_index(drop=True)
    for column in TEXTS:
        frame[column] = frame[column].str.strip() if column in frame else ""
    for column in NUMBERS:
        frame[column] = frame[column].astype(float) if column in frame else float("nan")
    return frame[CANDIDATE_COLUMNS].astype(dict.fromkeys(["key", "path", *TEXTS], "str"))


READERS: dict[str, Callable[[Mapping[str, Any], Path], pd.DataFrame]] = {
    "phantom": lambda _, root: read_phantom(root / "metadata.csv", root / "images"),
    "covid_chestxray": lambda _, root: read_covid_chestxray(root / "metadata.csv", root / "images"),
    "kermany": lambda _, root: read_kermany(root / "images"),
    "nih": lambda options, _: read_nih(options["folder"], options["pneumonia"]),
    "nih_subset": lambda options, root: read_nih_subset(root / "images", options["entries"]),
    "csv": lambda options, _: read_csv(options["table"]),
}
"""Reader of each source type, given the source's options in the config and its folder."""


def read_source(options: Mapping[str, Any], root: str | Path) -> pd.DataFrame:
    """List the candidates of a source as the config describes it.

    Parameters
    ----------
    options
        The source's entry in the config: `type` and what that type takes.
    root
        Folder of the source's files: `metadata.csv` and `images/`, or `images/` alone for Kermany's
        set and the NIH subset; not used for a table of one's own or a folder of NIH ChestX-ray14.
    """
    return READERS[options["type"]](options, Path(root))


def filter_candidates(candidates: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    """Return the candidates that pass every condition of `where`.

    Parameters
    ----------
    where
        For a text column the list of values that pass; `age_min` and `age_max` in years, both
        inclusive, which no image of unknown age passes.

    Raises
    ------
    InputError
        If a condition is on no column.
    """
    passed = pd.Series(True, index=candidates.index)
    for column, condition in where.items():
        if column == "age_min":
            passed &= candidates["age"] >= condition
        elif column == "age_max":
            passed &= candidates["age"] <= condition
        elif column in TEXTS:
            passed &= candidates[column].isin([str(value) for value in condition])
        else:
            raise InputError(
                f"`where` filters on {column!r}, which is no column of a source; there are "
                f"{', '.join([*TEXTS, 'age_min', 'age_max'])}"
            )
    return candidates[passed]
