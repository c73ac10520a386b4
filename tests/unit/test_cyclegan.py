import logging
import shutil

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covidcxr.cyclegan import checkpoint
from covidcxr.cyclegan import cyclegan as training
from covidcxr.cyclegan.cyclegan import CycleGANSettings, loss_table, training_digest
from covidcxr.cyclegan.inputs import (
    position,
    random_crop,
    to_grey_values,
    to_unit_range,
    training_rows,
)
from covidcxr.cyclegan.pool import ImagePool
from covidcxr.data.tables import MANIFEST_COLUMNS
from covidcxr.errors import InputError
from covidcxr.runtime import configure

SETTINGS = {
    "source_class": "well",
    "target_class": "ill",
    "image_size": 32,
    "iterations": 6,
    "decay_from": 0.5,
    "filters": 4,
    "residual_blocks": 1,
    "learning_rate": 2e-4,
    "cycle_weight": 10.0,
    "identity_weight": 5.0,
    "pool_size": 2,
    "ema_decay": 0.999,
    "checkpoint_every": 2,
    "seed": 7,
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Ten images of 40 px, of two classes used and one not; the last of each is a test image."""
    folder = tmp_path_factory.mktemp("inputs")
    labels = ["well"] * 4 + ["ill"] * 4 + ["other"] * 2
    rng = np.random.default_rng(0)
    np.save(folder / "images.npy", rng.integers(0, 256, (10, 40, 40), dtype=np.uint8))
    ids = [f"a-{i}" for i in range(10)]
    table = pd.DataFrame(
        {
            "image_id": ids,
            "path": [f"{i}.png" for i in ids],
            "label": labels,
            "patient_id": [f"a:{i}" for i in ids],
            "source": "a",
            "site": "a",
            "sha256": "0" * 64,
        },
        columns=MANIFEST_COLUMNS,
    )
    table.to_csv(folder / "manifest.csv", index=False)
    split = ["test" if i in (3, 7, 9) else "train" for i in range(10)]
    pd.DataFrame({"image_id": ids, "split": split}).to_csv(folder / "holdout.csv", index=False)
    return folder


def tables(folder):
    return folder / "images.npy", folder / "manifest.csv", folder / "holdout.csv"


def train(inputs, folder, **changed):
    """Train, with everything written to `folder`; return `folder`."""
    images, manifest, split = tables(inputs)
    training.run(
        images=images,
        manifest=manifest,
        split=split,
        generators=[folder / "generator.keras", folder / "backward.keras"],
        losses_table=folder / "losses.csv",
        seen=folder / "inputs.csv",
        samples=folder / "samples.png",
        settings=SETTINGS | changed,
        threads=1,
    )
    return folder


@pytest.fixture(scope="module")
def whole(inputs):
    """Results of a training, and beside them what it would leave if it died in its last step."""
    folder, advance = inputs / "whole", training.advance

    def noting(iteration, *rest):
        if iteration == 5:
            shutil.copytree(folder / "checkpoints", inputs / "interrupted" / "checkpoints")
        return advance(iteration, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "advance", noting)
        return train(inputs, folder)


@pytest.fixture(scope="module")
def interrupted(inputs, whole):
    """What a training leaves that dies after five of six steps: checkpoints of steps 2 and 4."""
    assert len(list((inputs / "interrupted" / "checkpoints").glob("step-*.npz"))) == 2
    return inputs / "interrupted"


def weights(folder):
    return [
        weight
        for name in ("generator", "backward")
        for weight in keras.models.load_model(folder / f"{name}.keras").get_weights()
    ]


def assert_same_result(one, other):
    for a, b in zip(weights(one), weights(other), strict=True):
        np.testing.assert_array_equal(a, b)
    for name in ("losses.csv", "samples.png", "inputs.csv"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_interrupted_and_resumed_training_equals_an_uninterrupted_one(
    inputs, whole, interrupted, tmp_path, caplog
):
    """With the newest checkpoint cut off: the one before it serves."""
    shutil.copytree(interrupted, tmp_path / "run")
    newest = sorted((tmp_path / "run" / "checkpoints").glob("step-*.npz"))[-1]
    newest.write_bytes(newest.read_bytes()[:-1000])
    with caplog.at_level(logging.INFO, "covidcxr"):
        resumed = train(inputs, tmp_path / "run")
    assert "is damaged" in caplog.text
    assert "going on from the checkpoint of step 2" in caplog.text
    assert_same_result(whole, resumed)
    assert not (resumed / "checkpoints").exists()


def test_checkpoint_of_another_training_is_refused(interrupted, tmp_path, caplog):
    shutil.copytree(interrupted / "checkpoints", tmp_path / "checkpoints")
    assert checkpoint.latest(tmp_path / "checkpoints", "another digest") is None
    assert "starting from the first step" in caplog.text
    assert not (tmp_path / "checkpoints").exists()


def test_digest_tells_trainings_apart_and_knows_what_does_not_matter():
    images = np.zeros((2, 4, 4), np.uint8)

    def digest(source=images, target=images, **changed):
        return training_digest(CycleGANSettings(**SETTINGS | changed), source, target)

    others = [
        digest(source=images + 1),
        digest(target=images + 1),
        digest(seed=2),
        digest(xla=True),
        *(digest(**{key: SETTINGS[key] * 2}) for key in SETTINGS if key.endswith("weight")),
        digest(iterations=7),
    ]
    assert len({digest(), *others}) == len(others) + 1
    assert digest(checkpoint_every=1) == digest()


def test_only_training_images_of_the_class_are_read(inputs):
    images, rows = training_rows(*tables(inputs), "ill")
    assert list(rows["image_id"]) == ["a-4", "a-5", "a-6"]
    np.testing.assert_array_equal(images, np.load(inputs / "images.npy")[4:7])


def test_array_that_does_not_fit_the_manifest_is_reported(inputs, tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((9, 40, 40), np.uint8))
    with pytest.raises(InputError, match=r"holds 9 rows.*lists 10"):
        training_rows(tmp_path / "images.npy", *tables(inputs)[1:], "ill")


@given(iterations=st.integers(1, 10_000), decay_from=st.floats(0, 1), rate=st.floats(1e-6, 1))
def test_learning_rate_is_constant_then_falls_linearly_towards_zero(iterations, decay_from, rate):
    changed = {"iterations": iterations, "decay_from": decay_from, "learning_rate": rate}
    settings = CycleGANSettings(**SETTINGS | changed)
    steps = np.arange(0, iterations, max(1, iterations // 50))
    rates = np.array([settings.learning_rate_at(int(i)) for i in steps])
    # Straight line through (start, rate) and (iterations, 0), cut off at rate.
    line = np.interp(steps, [decay_from * iterations, max(iterations, 1e-9)], [rate, 0])
    if decay_from == 1:
        line = np.full(len(steps), rate)
    np.testing.assert_allclose(rates, line, rtol=1e-6, atol=1e-9 * rate)
    assert (rates > 0).all()


def test_losses_are_means_over_ten_steps():
    settings = CycleGANSettings(**SETTINGS | {"iterations": 25})
    history = np.arange(25 * 8, dtype=np.float32).reshape(25, 8)
    table = loss_table(history, settings)
    assert list(table["iteration"]) == [10, 20, 25]
    np.testing.assert_allclose(table["adversarial_forward"], [36, 116, 176])
    np.testing.assert_allclose(table["learning_rate"], [2e-4, 2e-4 * 6 / 12.5, 2e-4 * 1 / 12.5])


def test_samples_show_originals_and_real_targets_in_the_first_and_last_row(inputs, whole):
    picture = cv2.imread(str(whole / "samples.png"), cv2.IMREAD_GRAYSCALE)
    images = np.load(inputs / "images.npy")
    assert picture.shape == (4 * 32, 8 * 32)
    for row, image in ((0, images[0]), (3, images[4])):
        small = cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(picture[32 * row : 32 * row + 32, :32], small)


class Steps:
    """The first steps of a training, one by one."""

    def __init__(self, inputs, **changed):
        configure(threads=1, seed=0)
        self.settings = CycleGANSettings(**SETTINGS | changed)
        self.networks = training.build_networks(self.settings)
        self.steps = training.make_steps(self.networks, self.settings)
        images = np.load(inputs / "images.npy")
        self.images, self.pools = (images[:4], images[4:]), (ImagePool(2), ImagePool(2))

    def __call__(self, iteration):
        """Do a step; return its losses."""
        return training.advance(iteration, self.steps, self.images, self.pools, self.settings)

    def values(self):
        """Return the weights of the generators, and those of the discriminators."""
        n = self.networks
        return tuple(
            [v.numpy() for v in variables]
            for variables in (n.generator_variables, n.discriminator_variables)
        )


@pytest.fixture(scope="module")
def three_steps(inputs):
    """Three steps; the losses of each, the weights before the first and after each."""
    step = Steps(inputs, ema_decay=0.15)
    weights, losses = [step.values()], []
    for iteration in range(3):
        losses.append(step(iteration))
        weights.append(step.values())
    return step, np.array(losses), weights


def test_moving_average_equals_its_definition_and_models_hold_it(three_steps):
    step, _, ((expected, _), *trained) = three_steps
    for decay, (new, _) in zip((0.1, 0.15, 0.15), trained, strict=True):
        expected = [decay * a + (1 - decay) * b for a, b in zip(expected, new, strict=True)]
    forward, backward = training.averaged_generators(step.networks, step.settings)
    averages = forward.trainable_variables + backward.trainable_variables
    for average, value in zip(averages, expected, strict=True):
        np.testing.assert_allclose(average.numpy(), value, rtol=1e-4, atol=1e-6)


def test_first_step_of_adam_moves_every_weight_by_the_learning_rate(three_steps):
    """Adam's first step is rate x sign(gradient), for the weights of all four networks."""
    _, _, (before, after, *_) = three_steps
    for old, new in zip([*before[0], *before[1]], [*after[0], *after[1]], strict=True):
        moved = np.abs(new - old)
        assert moved.max() <= 2e-4 * 1.01
        # The offset of a block's last normalisation has no gradient: the next one takes it out.
        if moved.ndim == 4:
            assert np.median(moved) == pytest.approx(2e-4, rel=0.05)


def test_a_loss_that_is_not_finite_stops_the_training(inputs, tmp_path, monkeypatch):
    def diverging(iteration, *_):
        return np.full(len(training.LOSSES), np.nan if iteration == 2 else 1.0)

    monkeypatch.setattr(training, "advance", diverging)
    with pytest.raises(InputError, match=r"diverged by step 3: .*cyclegan\.learning_rate"):
        train(inputs, tmp_path, checkpoint_every=100)


def test_same_class_twice_and_unknown_class_are_reported(inputs, tmp_path):
    with pytest.raises(InputError, match="both 'well'"):
        train(inputs, tmp_path, target_class="well")
    with pytest.raises(InputError, match="no training image of class 'absent'"):
        train(inputs, tmp_path, target_class="absent")


def test_half_precision_starts_with_the_same_losses_trains_and_saves_float32(inputs, three_steps):
    half = Steps(inputs, mixed_precision=True)
    (before, _) = half.values()
    np.testing.assert_allclose(half(0), three_steps[1][0], rtol=0.02)
    # The loss scale is found by trial, and steps with too large a one change nothing.
    for iteration in range(1, 20):
        half(iteration)
    (after, _) = half.values()
    assert max(np.abs(new - old).max() for new, old in zip(after, before, strict=True)) > 1e-4
    assert all(np.isfinite(weights).all() for weights in after)
    for model in training.averaged_generators(half.networks, half.settings):
        assert {layer.compute_dtype for layer in model.layers} == {"float32"}


@pytest.mark.slow
def test_xla_starts_with_the_same_losses(inputs, three_steps):
    step = Steps(inputs, ema_decay=0.15, xla=True)
    compiled = np.array([step(iteration) for iteration in range(3)])
    np.testing.assert_allclose(compiled[0], three_steps[1][0], rtol=1e-3)
    np.testing.assert_allclose(compiled, three_steps[1], rtol=0.05)


@pytest.mark.slow
def test_published_size_and_depth_take_a_step(inputs, tmp_path):
    """256 px and 9 blocks; 64 filters in place of 2 change no shape but the channels."""
    folder = train(inputs, tmp_path, image_size=256, filters=2, residual_blocks=9, iterations=1)
    model = keras.models.load_model(folder / "generator.keras")
    assert model.output_shape == (None, 256, 256, 1)
    assert np.isfinite(pd.read_csv(folder / "losses.csv").to_numpy()).all()


def test_every_run_through_the_images_shows_each_once_in_a_new_order():
    runs = [[position(run * 7 + i, 7, 3, "source") for i in range(7)] for run in range(4)]
    assert all(sorted(run) == list(range(7)) for run in runs)
    assert len({tuple(run) for run in runs}) > 1


def test_crops_are_parts_of_the_image_and_half_of_them_mirrored():
    # Grey rises from left to right, so a mirrored crop falls.
    ramp = np.tile(np.arange(0, 200, 2, dtype=np.uint8), (100, 1))
    rng = np.random.default_rng(0)
    crops = [random_crop(ramp, 50, rng)[..., 0] for _ in range(200)]
    slopes = np.array([crop[0, -1] - crop[0, 0] for crop in crops])
    assert 60 < (slopes < 0).sum() < 140
    # The side is 90 to 100 of 100 px; averaging 50 columns takes half a column off at each end.
    widths = np.abs(slopes) * 127.5 / 2
    assert widths.min() > 86
    assert widths.max() < 100


def test_grey_values_survive_the_way_to_unit_range_and_back():
    grey = np.arange(256, dtype=np.uint8)
    unit = to_unit_range(grey)
    assert unit.min() == -1
    assert unit.max() == 1
    np.testing.assert_array_equal(to_grey_values(unit), grey)
    np.testing.assert_array_equal(to_grey_values(np.float32([-3, 3])), [0, 255])


def test_folder_keeps_the_last_two_checkpoints_and_reads_back_the_newest(tmp_path):
    for iteration in (10, 20, 30):
        checkpoint.save(tmp_path, iteration, "digest", {"a": np.arange(iteration)})
    assert [p.name for p in sorted(tmp_path.iterdir())] == [
        "step-00000020.npz",
        "step-00000030.npz",
    ]
    done, state = checkpoint.latest(tmp_path, "digest")
    assert done == 30
    np.testing.assert_array_equal(state["a"], np.arange(30))


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_damaged_checkpoint_is_passed_over(tmp_path, damage):
    checkpoint.save(tmp_path, 10, "digest", {"a": np.arange(1000)})
    checkpoint.save(tmp_path, 20, "digest", {"a": np.arange(1000)})
    path = tmp_path / "step-00000020.npz"
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    path.write_bytes({"cut": content[:-100], "flipped": content, "empty": b""}[damage])
    assert checkpoint.latest(tmp_path, "digest")[0] == 10


def test_no_checkpoint_in_an_absent_folder(tmp_path):
    assert checkpoint.latest(tmp_path / "absent", "digest") is None
