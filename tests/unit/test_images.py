import tracemalloc

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from covidcxr.data.images import resize, run
from covidcxr.errors import InputError


def write_pngs(folder, arrays):
    paths = []
    for i, array in enumerate(arrays):
        paths.append(str(folder / f"{i}.png"))
        Image.fromarray(array).save(paths[-1])
    table = folder / "cohort.csv"
    pd.DataFrame({"image_id": range(len(paths)), "path": paths}, dtype=str).to_csv(
        table, index=False
    )
    return table


def test_rows_follow_the_table(tmp_path):
    arrays = [np.full((20 + i, 30), 5 * i, np.uint8) for i in range(40)]
    run(write_pngs(tmp_path, arrays), tmp_path / "out.npy", size=16, threads=4)
    images = np.load(tmp_path / "out.npy", mmap_mode="r")
    assert images.shape == (40, 16, 16)
    assert images.dtype == np.uint8
    assert images[:, 8, 8].tolist() == [5 * i for i in range(40)]


def test_image_of_the_right_size_is_kept_as_it_is(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    run(write_pngs(tmp_path, [array]), tmp_path / "out.npy", size=32)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy")[0], array)


def test_shrinking_averages_whole_blocks():
    image = np.random.default_rng(0).integers(0, 256, (40, 60), np.uint8)
    expected = image.reshape(20, 2, 20, 3).mean(axis=(1, 3))
    assert np.abs(resize(image, 20) - expected).max() <= 0.5 + 1e-6


def test_enlarging_a_ramp_stays_a_ramp():
    ramp = np.tile(np.linspace(20, 220, 50).round().astype(np.uint8), (50, 1))
    row = resize(ramp, 200)[100].astype(int)
    expected = np.interp((np.arange(200) + 0.5) / 4 - 0.5, np.arange(50), ramp[0])
    assert np.abs(row - expected)[4:-4].max() <= 2


def test_image_that_shrinks_one_way_and_grows_the_other_is_not_aliased():
    stripes = np.tile(np.array([0, 255], np.uint8), (20, 100))  # 20 x 200, one-pixel stripes
    image = resize(stripes, 50)
    assert image.shape == (50, 50)
    assert np.abs(image.astype(int) - 127).max() <= 1


def test_table_without_rows_gives_an_array_without_rows(tmp_path):
    (tmp_path / "cohort.csv").write_text("image_id,path\n")
    run(tmp_path / "cohort.csv", tmp_path / "out.npy", size=16)
    assert np.load(tmp_path / "out.npy").shape == (0, 16, 16)


def test_undecodable_image_is_named_and_leaves_no_array(tmp_path):
    table = write_pngs(tmp_path, [np.zeros((20, 20), np.uint8)] * 3)
    (tmp_path / "1.png").write_bytes(b"not an image")
    with pytest.raises(InputError, match=r"1\.png"):
        run(table, tmp_path / "out.npy", size=16)
    assert not (tmp_path / "out.npy").exists()


def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    image = tmp_path / "one.png"
    cv2.imwrite(str(image), np.zeros((64, 64), np.uint8))
    peaks = []
    for count in (50, 400):
        table = tmp_path / f"{count}.csv"
        pd.DataFrame({"path": [str(image)] * count}).to_csv(table, index=False)
        tracemalloc.start()
        run(table, tmp_path / "out.npy", size=128, threads=2)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # 350 more images are 5.7 MB more on disk.
    assert peaks[1] - peaks[0] < 1_500_000
