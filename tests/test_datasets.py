import numpy as np
import pytest
from scipy import ndimage

from kerasbnn import datasets

RNG = np.random.default_rng(0)
GOOD = {
    "x_train": RNG.integers(0, 256, (20, 8, 8)).astype("uint8"),
    "y_train": np.arange(20).astype("uint8") % 4,
    "x_test": RNG.integers(0, 256, (6, 8, 8)).astype("uint8"),
    "y_test": np.arange(6).astype("uint8") % 4,
}
GOOD["x_train"][0, 0, :2] = 0, 255


def written(folder, **changes):
    arrays = {
        key: value for key, value in {**GOOD, **changes}.items() if value is not None
    }
    np.savez(folder / "images.npz", **arrays)
    return folder / "images.npz"


def test_the_digits_are_real_and_a_third_is_held_out():
    digits = datasets.load_digits(seed=1)
    assert digits.x_train.shape == (1198, 8, 8, 1)
    assert digits.x_test.shape == (599, 8, 8, 1)
    assert digits.num_classes == 10
    assert (digits.x_train.min(), digits.x_train.max()) == (-1, 1)
    shares = np.bincount(digits.y_test) / len(digits.y_test)
    assert shares.min() > 0.09
    # Nothing is in both parts, but for images that scikit-learn has twice.
    train = {image.tobytes() for image in digits.x_train}
    assert not any(image.tobytes() in train for image in digits.x_test)


def test_another_seed_holds_out_another_third():
    first, second = datasets.load_digits(0), datasets.load_digits(1)
    assert not np.array_equal(first.y_test, second.y_test)


def test_a_file_is_scaled_to_the_range_of_its_training_images(tmp_path):
    images = datasets.load_npz(written(tmp_path))
    expected = GOOD["x_train"][..., np.newaxis] / 127.5 - 1
    np.testing.assert_allclose(images.x_train, expected, atol=1e-6)
    assert images.x_train.dtype == "float32"
    assert images.x_test.shape == (6, 8, 8, 1)
    assert images.y_train.dtype == "int64"
    assert images.num_classes == 4


def test_colour_images_and_column_labels_are_taken(tmp_path):
    path = written(
        tmp_path,
        x_train=RNG.random((20, 8, 8, 3)),
        x_test=RNG.random((6, 8, 8, 3)),
        y_train=GOOD["y_train"][:, np.newaxis],
    )
    images = datasets.load_npz(path)
    assert images.x_train.shape == (20, 8, 8, 3)
    assert images.y_train.shape == (20,)


NAN = np.full((20, 8, 8), np.nan)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": None}, "lacks y_test and has x_train, y_train, x_test"),
        ({"x_train": NAN}, "NaN or infinite"),
        ({"x_train": np.zeros((20, 8, 8))}, "nothing to learn"),
        ({"x_train": np.zeros((0, 8, 8))}, "at least one image"),
        ({"x_train": np.zeros((20, 64))}, r"Received shape \(20, 64\)"),
        ({"x_train": np.full((20, 8, 8), "a")}, "as numbers"),
        ({"x_train": np.full((20, 8, 8), None)}, "not usable"),
        ({"x_test": np.zeros((6, 9, 9))}, "Expected the same"),
        ({"y_train": np.zeros(19, int)}, "one integer label"),
        ({"y_train": np.zeros(20)}, "one integer label"),
        ({"y_train": -np.ones(20, int)}, "one integer label"),
        ({"y_train": np.zeros(20, int)}, "one class only"),
    ],
)
def test_a_bad_file_is_refused_with_the_reason(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        datasets.load_npz(written(tmp_path, **changes))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        datasets.load_npz(tmp_path / "none.npz")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04broken"])
def test_what_is_no_npz_is_refused(tmp_path, content):
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not usable"):
        datasets.load_npz(path)


def test_a_single_array_is_refused(tmp_path):
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(ValueError, match="one array, not an archive"):
        datasets.load_npz(tmp_path / "one.npy")


def test_a_truncated_file_is_refused(tmp_path):
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(ValueError, match="not usable"):
        datasets.load_npz(path)


def test_shifted_images_are_those_that_slicing_gives():
    images = RNG.random((50, 6, 5, 2)).astype("float32")
    shifted = datasets.shifted(images, 2, np.random.default_rng(3))
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), constant_values=-1)
    seen = set()
    for before, after in zip(padded, shifted, strict=True):
        matches = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if np.array_equal(before[y : y + 6, x : x + 5], after)
        ]
        assert len(matches) == 1
        seen.add(matches[0])
    # All directions occur.
    assert {y for y, _ in seen} == {x for _, x in seen} == set(range(5))


def test_jittered_images_are_those_that_scipy_interpolates():
    images = RNG.random((6, 9, 7, 2)).astype("float32")
    options = {"shift": 1.5, "angle": 40.0, "scale": 0.4}
    found = datasets.jittered(images, np.random.default_rng(3), **options)
    assert found.dtype == np.float32
    rng = np.random.default_rng(3)
    turns = np.deg2rad(rng.uniform(-40, 40, 6))
    zooms = np.exp(rng.uniform(-0.4, 0.4, 6))
    moves = rng.uniform(-1.5, 1.5, (2, 6)).T
    middle = np.array([4, 3])
    for image, turn, zoom, move, after in zip(
        images, turns, zooms, moves, found, strict=True
    ):
        matrix = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
        matrix = np.array(matrix) / zoom
        for channel in range(2):
            expected = ndimage.affine_transform(
                image[..., channel],
                matrix,
                offset=middle - matrix @ middle + move,
                order=1,
                mode="grid-constant",
                cval=-1,
            )
            np.testing.assert_allclose(after[..., channel], expected, atol=1e-5)


def test_without_any_jitter_images_stay_as_they_are():
    images = RNG.random((3, 5, 8, 1)).astype("float32")
    rng = np.random.default_rng(0)
    after = datasets.jittered(images, rng, shift=0, angle=0, scale=0)
    np.testing.assert_allclose(after, images, atol=1e-6)


def test_what_is_moved_away_leaves_the_background():
    images = np.ones((20, 4, 4, 1), "float32")
    rng = np.random.default_rng(0)
    after = datasets.jittered(images, rng, shift=100, angle=0, scale=0)
    assert (after == -1).all(axis=(1, 2, 3)).sum() > 10
