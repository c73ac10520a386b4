import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import classification_report

from covidcxr.errors import InputError
from covidcxr.evaluate.classification import predicted_labels, scores, write_classification

CLASSES = ["covid", "normal", "pneumonia"]
COLUMNS = [f"p_{name}" for name in CLASSES]
TEST = [f"t{i:02d}" for i in range(12)]
FOLD = {k: [f"f{k}-{i:02d}" for i in range(8)] for k in (0, 1)}
LABEL = {image: CLASSES[i % 3] for i, image in enumerate([*TEST, *FOLD[0], *FOLD[1]])}


def table(images: list[str], seed: int) -> pd.DataFrame:
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(3), len(images))
    frame = pd.DataFrame(probabilities, columns=COLUMNS)
    frame.insert(0, "image_id", images)
    frame.insert(1, "patient_id", [f"src:{image}" for image in images])
    frame.insert(2, "label", [LABEL[image] for image in images])
    return frame


@pytest.fixture
def run(tmp_path):
    """Write a split of two folds and the predictions of two backbones' models."""
    split = pd.DataFrame(
        [(i, "test", None) for i in TEST] + [(i, "train", k) for k in FOLD for i in FOLD[k]],
        columns=["image_id", "split", "fold"],
    ).astype({"fold": "Int64"})
    split.to_csv(tmp_path / "split.csv", index=False)
    records = []
    for b, backbone in enumerate(("VGG16", "ResNet50")):
        for m, (model, images) in enumerate(
            [
                ("fold0", FOLD[0] + TEST),
                ("fold1", FOLD[1] + TEST),
                ("ensemble", FOLD[0] + FOLD[1] + TEST),
            ]
        ):
            path = tmp_path / f"{backbone}-{model}.csv"
            table(images, 10 * b + m).to_csv(path, index=False)
            records.append((backbone, "v1", model, str(path)))
    return tmp_path, records


def write(run, classes=CLASSES):
    folder, records = run
    write_classification(
        records, folder / "split.csv", folder / "classification.csv", classes=classes
    )
    return pd.read_csv(folder / "classification.csv")


labels = st.sampled_from(CLASSES)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(labels, labels), min_size=1, max_size=40))
def test_scores_agree_with_scikit_learns_report(pairs):
    truth, predicted = (pd.Series(column) for column in zip(*pairs, strict=True))
    report = classification_report(
        truth, predicted, labels=CLASSES, output_dict=True, zero_division=0
    )
    found = scores(truth, predicted, CLASSES)
    for name in CLASSES:
        assert found[f"precision_{name}"] == pytest.approx(report[name]["precision"])
        assert found[f"recall_{name}"] == pytest.approx(report[name]["recall"])
        assert found[f"f1_{name}"] == pytest.approx(report[name]["f1-score"])
    assert found["n"] == len(pairs)
    assert found["accuracy"] == pytest.approx(np.mean([t == p for t, p in pairs]))


def test_class_that_is_never_predicted_has_precision_zero():
    found = scores(pd.Series(["a", "b"]), pd.Series(["a", "a"]), ["a", "b"])
    assert found["precision_b"] == 0
    assert found["precision_a"] == 0.5


def test_highest_probability_decides_and_the_first_of_equals():
    probabilities = np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]])
    assert predicted_labels(probabilities, CLASSES).tolist() == ["normal", "covid"]


def test_rows_keep_the_given_order_and_hold_validation_and_test(run):
    written = write(run)
    assert written.columns.tolist() == [
        "backbone", "augmentation", "model", "split", "n", "accuracy",
        *(f"{metric}_{c}" for metric in ("precision", "recall", "f1") for c in CLASSES),
    ]  # fmt: skip
    keys = written[["backbone", "model", "split", "n"]].to_numpy().tolist()
    assert keys == [
        [backbone, model, split, n]
        for backbone in ("VGG16", "ResNet50")
        for model, held_out in (("fold0", 8), ("fold1", 8), ("ensemble", 16))
        for split, n in (("validation", held_out), ("test", 12))
    ]


def test_test_rows_score_test_images_only(run):
    written = write(run)
    frame = pd.read_csv(run[1][0][3])
    frame = frame[frame["image_id"].isin(TEST)]
    guess = frame[COLUMNS].to_numpy().argmax(axis=1)
    expected = np.mean(np.array(CLASSES)[guess] == frame["label"])
    row = written[(written["backbone"] == "VGG16") & (written["model"] == "fold0")]
    assert row.loc[row["split"] == "test", "accuracy"].item() == pytest.approx(expected)


def change(path, how):
    how(pd.read_csv(path)).to_csv(path, index=False)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda f: f.iloc[1:], "1 images not predicted, f0-00 among them"),
        (lambda f: pd.concat([f, f.iloc[[3]]]), "predicts image f0-03 twice"),
        (lambda f: pd.concat([f, table(["f1-02"], 0)]), "not this model's to predict, f1-02"),
        (lambda f: f.assign(p_covid=np.nan), "f0-00 has no probabilities"),
        (lambda f: f.assign(label="flu"), "image f0-00 is labelled 'flu'"),
        (lambda f: f.drop(columns="p_normal"), "no column 'p_normal'"),
    ],
)
def test_faulty_predictions_are_refused_and_named(run, how, message):
    change(run[1][0][3], how)
    with pytest.raises(InputError, match=message) as error:
        write(run)
    assert "VGG16-fold0.csv" in str(error.value)
    assert not (run[0] / "classification.csv").exists()


@pytest.mark.parametrize(
    ("position", "message"),
    [(1, "VGG16 v1 lacks predictions of fold1"), (2, "VGG16 v1 lacks predictions of ensemble")],
)
def test_missing_model_is_named(run, position, message):
    folder, records = run
    with pytest.raises(InputError, match=message):
        write((folder, records[:position] + records[position + 1 :]))


def test_model_given_twice_or_of_no_fold_is_named(run):
    folder, records = run
    with pytest.raises(InputError, match="has more than once predictions of fold0"):
        write((folder, [records[0], *records]))
    extra = (*records[0][:2], "fold2", records[0][3])
    with pytest.raises(InputError, match="of no fold of the split, predictions of fold2"):
        write((folder, [extra, *records]))
