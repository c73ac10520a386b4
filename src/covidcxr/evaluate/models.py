"""Which of a run's models an analysis shows, and what it calls them."""

from collections.abc import Iterator

import pandas as pd

from covidcxr.classify.predictions import ALL_BACKBONES, ENSEMBLE, NETWORK

STUDY = "study"
"""The run's own training population."""
BY_PATIENT = "by_patient"
"""The same images in folds of patients, where the run's own folds are of sites."""
KIND = ["backbone", "augmentation", "classifier"]
Kind = tuple[str, str, str]
"""Backbone, augmentation and classifier."""
CLASSIFIERS = {"logistic": "logistic regression", "support_vector": "support vector machine"}


def of_study(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the models that learned from the run's own training images."""
    return table[table["population"] == STUDY]


def networks(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of networks on a single backbone: the models of the published study."""
    return table[(table["classifier"] == NETWORK) & (table["backbone"] != ALL_BACKBONES)]


def ensembles(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ensembles."""
    return table[table["model"] == ENSEMBLE]


def recommended(validation: pd.DataFrame, accuracy: str = "accuracy") -> Kind:
    """Return the network whose ensemble is most accurate out of fold: the test set chooses nothing.

    Parameters
    ----------
    validation
        Rows on validation images, with the models' identity and the column `accuracy`.
    """
    rows = networks(ensembles(validation))
    [kind] = rows.iloc[[int(rows[accuracy].argmax())]][KIND].itertuples(index=False)
    return str(kind[0]), str(kind[1]), str(kind[2])


def recommended_of(predictions: pd.DataFrame) -> Kind:
    """Return the recommended network of what `read_predictions` returns, see `recommended`."""
    inside = of_study(predictions[predictions["set"] == "validation"])
    right = inside["predicted"] == inside["label"]
    means = right.groupby([inside[name] for name in [*KIND, "model"]], sort=False).mean()
    return recommended(means.rename("accuracy").reset_index())


def by_kind(table: pd.DataFrame) -> Iterator[tuple[Kind, pd.DataFrame]]:
    """Yield the rows of each kind of model, in their order."""
    for (backbone, augmentation, classifier), part in table.groupby(KIND, sort=False):
        yield (str(backbone), str(augmentation), str(classifier)), part


def named(kind: Kind) -> dict[str, str]:
    """Return the columns that name a kind of model in a table."""
    return dict(zip(KIND, kind, strict=True))


def variant_text(augmentation: str, classifier: str) -> str:
    """Say what was trained on a backbone: a network by its augmentation, or a classifier."""
    if classifier == NETWORK:
        return augmentation
    return CLASSIFIERS.get(classifier, classifier.replace("_", " "))


def backbone_text(backbone: str) -> str:
    """Name a backbone in a table or a sentence."""
    return "all backbones" if backbone == ALL_BACKBONES else backbone


def with_model(table: pd.DataFrame) -> pd.DataFrame:
    """Replace the columns of `KIND` by one, `model`, that names the kind of model."""
    names = [model_text(*kind) for kind in table[KIND].itertuples(index=False)]
    rest = table.drop(columns=[*KIND, "model"], errors="ignore")
    rest.insert(0, "model", names)
    return rest


def model_text(backbone: str, augmentation: str, classifier: str) -> str:
    """Name a kind of model in a sentence."""
    return f"{backbone_text(backbone)} {variant_text(augmentation, classifier)}"
