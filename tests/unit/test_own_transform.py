"""A user's own transform: what it gets, that views repeat, and words for what goes wrong."""

from pathlib import Path

import numpy as np
import pytest

from covidcxr.errors import InputError
from covidcxr.features import features
from covidcxr.features.own_transform import load_transform, own_view
from tests.unit.tiny import TRANSFORM, tiny_study

IMAGE = np.arange(64, dtype=np.uint8).reshape(8, 8)


def written(folder: Path, body: str) -> str:
    path = folder / "mine.py"
    path.write_text(f"import numpy as np\n\ndef mine(image, rng):\n    {body}\n")
    return f"{path}:mine"


def test_a_view_depends_on_seed_image_and_number_alone(tmp_path: Path) -> None:
    mine = load_transform(written(tmp_path, "return np.roll(image, rng.integers(1, 64))"))
    one = own_view(mine, IMAGE, "a", 0, 1)
    np.testing.assert_array_equal(one, own_view(mine, IMAGE, "a", 0, 1))
    others = [own_view(mine, IMAGE, *key) for key in (("b", 0, 1), ("a", 1, 1), ("a", 0, 2))]
    assert any(not np.array_equal(one, other) for other in others)


def test_the_image_stays_as_it_is_even_where_the_function_writes_into_it(tmp_path: Path) -> None:
    mine = load_transform(written(tmp_path, "image[:] = 0; return image"))
    before = IMAGE.copy()
    assert not own_view(mine, IMAGE, "a", 0, 1).any()
    np.testing.assert_array_equal(IMAGE, before)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return image[:4]", r"uint8 \[4, 8\]"),
        ("return image / 255", "float64"),
        ("return None", "NoneType"),
        ("return image.nothing", "fails on image a"),
    ],
)
def test_what_a_function_does_wrong_is_told_in_words(tmp_path: Path, body: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        own_view(load_transform(written(tmp_path, body)), IMAGE, "a", 0, 1)


def test_files_and_functions_that_are_not_there_are_named(tmp_path: Path) -> None:
    place = written(tmp_path, "return image")
    with pytest.raises(InputError, match="no function other"):
        load_transform(place.replace(":mine", ":other"))
    with pytest.raises(InputError, match=r"no file .*gone\.py"):
        load_transform(f"{tmp_path}/gone.py:mine")
    with pytest.raises(InputError, match="form"):
        load_transform("mine")
    (tmp_path / "mine.py").write_text("import nothing_of_this_name\n")
    with pytest.raises(InputError, match="cannot be run"):
        load_transform(place)


def test_views_of_the_identity_have_the_features_of_the_images(tmp_path: Path) -> None:
    folder = tiny_study(tmp_path)
    features.run(
        *(folder / name for name in ("tiny.keras", "images.npy", "manifest.csv", "split.csv")),
        *(folder / name for name in ("clean.npy", "views.npy", "rows.csv")),
        settings={
            "trainable": "head",
            "views": 2,
            "transform": TRANSFORM | {"function": written(tmp_path, "return image")},
            "seed": 1,
        },
        threads=1,
    )
    clean, views = np.load(folder / "clean.npy"), np.load(folder / "views.npy")
    for number in range(2):
        np.testing.assert_allclose(views[:, number], clean[: len(views)], atol=1e-5)
