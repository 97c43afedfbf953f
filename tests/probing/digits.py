"""The packaged model of digits, and what may happen to digits that it is sent."""

import functools
import json

import numpy as np

from kerasbnn.datasets import load_digits
from kerasbnn.probing import Probe, Reference
from tests.helpers.processes import ROOT

FOLDER = ROOT / "serve" / "digits" / "digits" / "1"


@functools.cache
def packaged():
    """Return the probe and the reference of the packaged model."""
    geometry = json.loads((FOLDER / "geometry.json").read_text())
    probe = Probe(FOLDER / "model.probe.tflite")
    return probe, Reference.from_dict(geometry["reference"])


@functools.cache
def held_out():
    """Return digits that the packaged model was not trained on."""
    return load_digits(0).x_test


def moved(x, down, right=0):
    """Move images of background -1."""
    height, width = x.shape[1:3]
    padded = np.pad(x, [(0, 0), (down, 0), (right, 0), (0, 0)], constant_values=-1)
    return padded[:, :height, :width]


def noisy(x, sd):
    """Add normal noise."""
    noise = np.random.default_rng(0).normal(size=x.shape, scale=sd)
    return (x + noise).astype("float32")


# What happens to the digits, and the layers and kinds of warnings that it must bring;
# of other layers and kinds there may be more.
DRIFTS = {
    "moved by 1": (lambda x: moved(x, 1), {"conv_1": ["covariance"]}),
    "moved by 2": (
        lambda x: moved(x, 2),
        {"conv_1": ["covariance"], "logits": ["signs", "normalization"]},
    ),
    "moved by 3": (
        lambda x: moved(x, 3),
        {"conv_1": ["covariance", "input_mean"], "logits": ["correlation"]},
    ),
    "moved by 1, 1": (lambda x: moved(x, 1, 1), {"conv_1": ["covariance"]}),
    "noise of 0.25": (lambda x: noisy(x, 0.25), {"conv_1": ["covariance"]}),
    "noise of 0.5": (
        lambda x: noisy(x, 0.5),
        {"conv_1": ["covariance"], "conv_2": ["saturation"]},
    ),
    "noise of 1": (
        lambda x: noisy(x, 1.0),
        {"conv_1": ["covariance", "input_spread"], "conv_2": ["saturation"]},
    ),
    "inverted": (
        lambda x: -x,
        {
            "conv_1": ["covariance", "input_mean", "normalization"],
            "conv_2": ["saturation", "signs", "input_mean"],
            "logits": ["correlation"],
        },
    ),
}
