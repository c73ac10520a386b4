"""Small made-up cohorts for the tests of the split."""

import numpy as np
import pandas as pd


def images(patients_by_class: dict[str, list[int]]) -> pd.DataFrame:
    """One row an image, from the number of images of each patient of a class."""
    rows = [
        (f"{label}-{p}-{i}", label, f"src:{label}{p}")
        for label, patients in patients_by_class.items()
        for p, n in enumerate(patients)
        for i in range(n)
    ]
    return pd.DataFrame(rows, columns=["image_id", "label", "patient_id"])


def manifest_of(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": frame["image_id"],
            "path": frame["image_id"] + ".png",
            "label": frame["label"],
            "patient_id": frame["patient_id"],
            "source": "src",
            "site": "src",
            "view": "",
            "day": np.nan,
            "age": np.nan,
            "sex": "",
            "subtype": "",
            "license": "",
            "sha256": "0" * 64,
        }
    )
