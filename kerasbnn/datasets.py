"""Labelled images for demos and examples: loading, checking, scaling, shifting."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

KEYS = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True)
class LabelledImages:
    """Images and labels for training and testing.

    Attributes:
        x_train: Float32 `(samples, height, width, channels)` in [-1, 1].
        y_train: Int64 `(samples,)`, from 0 to `num_classes - 1`.
        x_test: As `x_train`.
        y_test: As `y_train`.
        source: Where the images come from, in words.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    source: str

    @property
    def num_classes(self):
        """Number of classes: the largest label and all below it."""
        return int(max(self.y_train.max(), self.y_test.max())) + 1


def load_digits(seed=0):
    """Load the handwritten digits that come with scikit-learn, a third held out.

    Args:
        seed: Chooses which third is held out, in equal shares of each class.

    Returns:
        `LabelledImages` of 1198 training and 599 test images of 8x8 pixels.

    Example:
        >>> from kerasbnn.datasets import load_digits
        >>> load_digits().x_test.shape
        (599, 8, 8, 1)

    Reference:
        Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.
    """
    from sklearn import datasets, model_selection

    digits = datasets.load_digits()
    x_train, x_test, y_train, y_test = model_selection.train_test_split(
        digits.images,
        digits.target,
        test_size=1 / 3,
        random_state=seed,
        stratify=digits.target,
    )
    return LabelledImages(
        scaled(x_train, 0, 16),
        y_train.astype("int64"),
        scaled(x_test, 0, 16),
        y_test.astype("int64"),
        "scikit-learn's handwritten digits, a third held out for the test",
    )


def load_npz(path):
    """Load labelled images from a file in the layout of `keras.datasets`.

    Args:
        path: A `.npz` file with the arrays `x_train`, `y_train`, `x_test` and `y_test`;
            images `(samples, height, width)` or with channels last, integer labels.

    Returns:
        `LabelledImages`; the range of the training images becomes [-1, 1].

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no `.npz`, lacks an array, or an array is not usable.

    Example:
        >>> from kerasbnn.datasets import load_npz
        >>> images = load_npz("mnist.npz")  # doctest: +SKIP
    """
    path = Path(path)
    arrays = _read(path)
    _check_images(path, arrays["x_train"], arrays["x_test"])
    for part in ("train", "test"):
        x, name = arrays[f"x_{part}"], f"y_{part}"
        arrays[name] = _checked_labels(path, name, arrays[name], len(x))
    low, high = arrays["x_train"].min(), arrays["x_train"].max()
    if low == high:
        raise ValueError(
            f"{path}: all values of 'x_train' are {low}, so there is nothing to learn. "
            "Expected images with different pixels."
        )
    if len(np.unique(arrays["y_train"])) < 2:
        raise ValueError(
            f"{path}: 'y_train' has one class only. Expected at least two."
        )
    for name in ("x_train", "x_test"):
        arrays[name] = scaled(arrays[name], low, high)
    return LabelledImages(**arrays, source=path.name)


def scaled(images, low, high):
    """Map `[low, high]` to [-1, 1] and append a channel axis where there is none.

    Args:
        images: Array `(samples, height, width)`, or with channels last.
        low: Value that becomes -1.
        high: Value that becomes 1.

    Returns:
        Float32 array `(samples, height, width, channels)`.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.datasets import scaled
        >>> scaled(np.array([[[0, 255]]]), 0, 255).ravel()
        array([-1.,  1.], dtype=float32)
    """
    span = float(high) - float(low)
    images = (images.astype("float32") - float(low)) * np.float32(2 / span) - 1
    return images[..., np.newaxis] if images.ndim == 3 else images


def shifted(images, reach, rng):
    """Move each image by up to `reach` pixels along both axes, at random.

    Args:
        images: Array `(samples, height, width, channels)`; -1 is the background.
        reach: Largest shift, in pixels.
        rng: A `numpy.random.Generator`.

    Returns:
        New array of the same shape.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.datasets import shifted
        >>> shifted(np.ones((2, 8, 8, 1)), 1, np.random.default_rng(0)).shape
        (2, 8, 8, 1)
    """
    count, height, width, _ = images.shape
    border = ((0, 0), (reach, reach), (reach, reach), (0, 0))
    padded = np.pad(images, border, constant_values=-1)
    down, right = rng.integers(0, 2 * reach + 1, (2, count))
    samples = np.arange(count)[:, np.newaxis, np.newaxis]
    rows = (down[:, np.newaxis] + np.arange(height))[:, :, np.newaxis]
    columns = (right[:, np.newaxis] + np.arange(width))[:, np.newaxis, :]
    return padded[samples, rows, columns]


def jittered(images, rng, *, shift=1.0, angle=10.0, scale=0.1):
    """Move, turn and resize each image a little, at random.

    Values between pixels are interpolated linearly.

    Args:
        images: Array `(samples, height, width, channels)`; -1 is the background.
        rng: A `numpy.random.Generator`.
        shift: Largest shift along each axis, in pixels.
        angle: Largest angle, in degrees.
        scale: Largest natural logarithm of the factor of the size.

    Returns:
        New float32 array of the same shape.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.datasets import jittered
        >>> jittered(np.ones((2, 8, 8, 1)), np.random.default_rng(0)).shape
        (2, 8, 8, 1)
    """
    count, height, width, _ = images.shape
    turn = np.deg2rad(rng.uniform(-angle, angle, (count, 1, 1)))
    zoom = np.exp(rng.uniform(-scale, scale, (count, 1, 1)))
    down, right = rng.uniform(-shift, shift, (2, count, 1, 1))
    y = np.arange(height)[:, np.newaxis] - (height - 1) / 2
    x = np.arange(width) - (width - 1) / 2
    # Where in the old image each pixel of the new one comes from.
    rows = (np.cos(turn) * y - np.sin(turn) * x) / zoom + down + (height - 1) / 2
    columns = (np.sin(turn) * y + np.cos(turn) * x) / zoom + right + (width - 1) / 2
    return _interpolated(images, rows, columns).astype("float32")


def _interpolated(images, rows, columns):
    """Read images at rows and columns `(samples, height, width)` between the pixels."""
    border = ((0, 0), (1, 1), (1, 1), (0, 0))
    padded = np.pad(images, border, constant_values=-1)
    samples = np.arange(len(images))[:, np.newaxis, np.newaxis]
    top, below = _neighbours(rows, images.shape[1])
    left, beside = _neighbours(columns, images.shape[2])
    values = 0.0
    for row, row_share in ((top, 1 - below), (top + 1, below)):
        for column, column_share in ((left, 1 - beside), (left + 1, beside)):
            share = (row_share * column_share)[..., np.newaxis]
            values = values + share * padded[samples, row, column]
    return values


def _neighbours(places, size):
    """Return the pixel before each place in a padded image, and how far it is off."""
    places = np.clip(places + 1, 0, size + 1)
    before = np.minimum(places.astype(int), size)
    return before, places - before


def _read(path):
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file. Expected an .npz with the arrays {', '.join(KEYS)}."
        )
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise ValueError("it holds one array, not an archive")
            missing = [key for key in KEYS if key not in archive]
            if missing:
                raise ValueError(
                    f"it lacks {', '.join(missing)} and has {', '.join(archive)}"
                )
            return {key: archive[key] for key in KEYS}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is not usable: {error}. Expected an .npz as numpy.savez writes "
            f"it, with the arrays {', '.join(KEYS)}."
        ) from error


def _check_images(path, x_train, x_test):
    for name, x in {"x_train": x_train, "x_test": x_test}.items():
        if x.ndim not in (3, 4) or x.dtype.kind not in "uif" or 0 in x.shape:
            raise ValueError(
                f"{path}: '{name}' must hold at least one image, as numbers of shape "
                "(samples, height, width) or (samples, height, width, channels). "
                f"Received shape {x.shape}, dtype {x.dtype}."
            )
        if not np.isfinite(x).all():
            raise ValueError(
                f"{path}: '{name}' has NaN or infinite values. Remove or replace them."
            )
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(
            f"{path}: images of 'x_train' have shape {x_train.shape[1:]}, but those of "
            f"'x_test' have {x_test.shape[1:]}. Expected the same."
        )


def _checked_labels(path, name, labels, count):
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (count,) or labels.dtype.kind not in "ui" or labels.min() < 0:
        raise ValueError(
            f"{path}: '{name}' must hold one integer label from 0 on for each of the "
            f"{count} images. Received shape {labels.shape}, dtype {labels.dtype}."
        )
    return labels.astype("int64")
