"""Trains and exports the model that `kerasbnn serve` has without MODEL_DIR.

Run this after a change of what an export writes, and commit what it writes:

    python -m tests.serve.make_digits_model

The data are scikit-learn's digits, so nothing is downloaded. Everything is seeded, but
processors round differently: another machine trains other weights of the same accuracy.
"""

import numpy as np
from PIL import Image

import kerasbnn
from kerasbnn import demo
from kerasbnn.datasets import load_digits
from tests.helpers.processes import ROOT

SAMPLE = ROOT / "serve" / "page" / "static" / "digit.png"
FOLDER = ROOT / "serve" / "digits" / "digits" / "1"
SEED = 0
EPOCHS = 60
# Fewer than those of the demo: a probe holds the weights as float32.
FILTERS = (16, 32, 32)
# Digits have 17 shades, which are those of an image of bytes from 0, black, to 255, and
# the network is trained on values from -1 to 1.
NORMALIZATION = {"mean": 127.5, "std": 127.5}

LEAST_ACCURACY = 0.97
MOST_BYTES = 200_000


def main():
    """Train, export and check."""
    digits = load_digits(SEED)
    model, _ = demo.train(digits, EPOCHS, SEED, verbose=2, filters=FILTERS)
    report = kerasbnn.export(
        model,
        FOLDER,
        # What live inputs are compared with; the held-out digits are for the tests.
        digits.x_train,
        labels=[str(digit) for digit in range(10)],
        normalization=NORMALIZATION,
        max_samples=len(digits.x_train),
        overwrite=True,
    )
    report.show()
    with kerasbnn.Interpreter(FOLDER / "model.tflite") as file:
        right = file.predict(digits.x_test).argmax(axis=1) == digits.y_test
    print(f"{np.mean(right):.2%} of {len(right)} held-out digits are right.")
    assert np.mean(right) >= LEAST_ACCURACY
    assert sum(report.files.values()) <= MOST_BYTES
    write_sample(digits)


def write_sample(digits):
    """Write the first held-out digit, for the page of the model."""
    shades = np.round((digits.x_test[0, :, :, 0] + 1) * 127.5)
    Image.fromarray(shades.astype(np.uint8)).save(SAMPLE, optimize=True)


if __name__ == "__main__":
    main()
