"""ScaledAdam against Adam written out in numpy."""

import keras
import numpy as np
import pytest
from keras import ops

from kerasbnn import QuantConv2D, QuantDense
from kerasbnn.constraints import WeightClip
from kerasbnn.optimizers import ScaledAdam, glorot_scale


class NumpyAdam:
    """Adam on one array, in float64, each update times a factor."""

    def __init__(self, weights, factor):
        self.w, self.factor = weights.astype("float64"), factor
        self.m, self.v, self.t = np.zeros_like(self.w), np.zeros_like(self.w), 0

    def step(self, g, rate=0.01, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
        self.t += 1
        self.m = beta_1 * self.m + (1 - beta_1) * g
        self.v = beta_2 * self.v + (1 - beta_2) * g**2
        # As in Adam's paper, end of section 2: epsilon without the bias correction.
        rate *= np.sqrt(1 - beta_2**self.t) / (1 - beta_1**self.t)
        self.w = self.w - self.factor * rate * self.m / (np.sqrt(self.v) + epsilon)
        return self.w


def variables(rng, shapes):
    made = []
    for shape, constraint in shapes:
        variable = keras.Variable(rng.uniform(-1, 1, shape).astype("float32"))
        variable.constraint = constraint
        made.append(variable)
    return made


SHAPES = [
    ((20, 12), WeightClip()),
    ((3, 3, 4, 8), WeightClip(0.9)),
    ((20, 12), None),
    ((12,), None),
    ((12,), keras.constraints.MaxNorm(1e9)),
]


@pytest.mark.parametrize(
    ("scale", "factors"),
    [
        ("glorot", [np.sqrt(32 / 1.5), np.sqrt(9 * 12 / 1.5), 1, 1, 1]),
        (3.5, [3.5, 3.5, 1, 1, 1]),
    ],
)
def test_scales_the_updates_of_clipped_variables_only(scale, factors, rng):
    trained = variables(rng, SHAPES)
    references = [
        NumpyAdam(ops.convert_to_numpy(variable), factor)
        for variable, factor in zip(trained, factors, strict=True)
    ]
    limits = [1.0, 0.9, np.inf, np.inf, np.inf]
    optimizer = ScaledAdam(0.01, learning_rate_scale=scale, epsilon=1e-8)
    clipped = 0
    for _ in range(10):
        gradients = [rng.normal(size=v.shape).astype("float32") for v in trained]
        optimizer.apply([ops.convert_to_tensor(g) for g in gradients], trained)
        for variable, reference, gradient, limit in zip(
            trained, references, gradients, limits, strict=True
        ):
            reference.w = np.clip(reference.step(gradient), -limit, limit)
            clipped += (np.abs(reference.w) == limit).sum()
            values = ops.convert_to_numpy(variable)
            np.testing.assert_allclose(values, reference.w, rtol=2e-4, atol=2e-5)
    assert clipped > 0


@pytest.mark.parametrize(
    ("shape", "fans"),
    [
        ((1024, 512), 1536),
        ((3, 3, 128, 256), 9 * (128 + 256)),
        ((5, 16, 32), 5 * (16 + 32)),
        ((2, 3, 4, 5, 6), 24 * (5 + 6)),
        ((3, 3, 16, 1), 9 * 17),
        ((7,), 14),
        ((), 2),
    ],
)
def test_glorot_scale(shape, fans):
    assert glorot_scale(shape) == pytest.approx(1 / np.sqrt(1.5 / fans), rel=1e-12)
    # Keras' Glorot initializer counts the same fans.
    if len(shape) > 1:
        limit = np.sqrt(6 / fans)
        values = ops.convert_to_numpy(keras.initializers.GlorotUniform(seed=0)(shape))
        largest = np.abs(values).max()
        assert 0.9 * limit < largest <= limit


def test_trains_a_model_as_adam_with_two_rates(rng):
    def build(optimizer):
        keras.utils.set_random_seed(1)
        model = keras.Sequential(
            [
                keras.Input((6, 6, 2)),
                QuantConv2D(
                    4,
                    3,
                    kernel_quantizer="ste_sign",
                    kernel_constraint="weight_clip",
                    use_bias=False,
                ),
                keras.layers.BatchNormalization(),
                keras.layers.Flatten(),
                QuantDense(
                    3, kernel_quantizer="ste_sign", kernel_constraint="weight_clip"
                ),
            ]
        )
        model.compile(optimizer, loss="mse")
        return model

    x, y = rng.normal(size=(8, 6, 6, 2)), rng.normal(size=(8, 3))
    # A large epsilon, so that gradients that are zero but for rounding do not matter.
    scaled = build(ScaledAdam(1e-3, epsilon=1e-3))
    plain = build(keras.optimizers.Adam(1e-3, epsilon=1e-3))
    start = plain.get_weights()
    for model in (scaled, plain):
        model.fit(x, y, batch_size=8, verbose=0)
    factors = {
        (3, 3, 2, 4): np.sqrt(9 * 6 / 1.5),
        (64, 3): np.sqrt(67 / 1.5),
    }
    paths = [variable.path for variable in plain.weights]
    for path, a, b, c in zip(
        paths, start, scaled.get_weights(), plain.get_weights(), strict=True
    ):
        factor = factors.get(a.shape, 1) if path.endswith("kernel") else 1
        np.testing.assert_allclose(b - a, factor * (c - a), rtol=1e-3, atol=1e-6)


def test_config_and_file_round_trip(tmp_path, rng):
    schedule = keras.optimizers.schedules.ExponentialDecay(0.01, 10, 0.5)
    optimizer = ScaledAdam(schedule, learning_rate_scale=2.0, beta_1=0.8, clipvalue=1.0)
    clone = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert clone.get_config() == optimizer.get_config()
    assert isinstance(clone, ScaledAdam)

    layer = QuantDense(3, kernel_quantizer="ste_sign", kernel_constraint="weight_clip")
    model = keras.Sequential([keras.Input((4,)), layer])
    model.compile(ScaledAdam(0.01), loss="mse")
    x, y = rng.normal(size=(8, 4)), rng.normal(size=(8, 3))
    arguments = {"batch_size": 4, "shuffle": False, "verbose": 0}
    model.fit(x, y, **arguments)
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    for trained in (model, reloaded):
        trained.fit(x, y, **arguments)
    for a, b in zip(model.get_weights(), reloaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("scale", "error"), [("he", ValueError), (0, ValueError), (None, TypeError)]
)
def test_refuses(scale, error):
    with pytest.raises(error, match="learning_rate_scale"):
        ScaledAdam(learning_rate_scale=scale)
