"""Writes what real Larq computes, for the tests of `kerasbnn.larq` to compare with.

It runs in an environment of its own, with Python 3.11 and without kerasbnn:

    pip install larq==0.14.0 tensorflow==2.16.2 tf-keras==2.16.0
    TF_USE_LEGACY_KERAS=1 python -m tests.larq.make_fixtures [FOLDER]

in the root of the repository. It writes `fixtures.npz`, `configs.json`,
`signatures.json` and `figures.json` to the folder, else beside itself; the tests need
nothing but these.
"""

import contextlib
import io
import json
import os
import sys
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import larq as lq
import numpy as np
import tensorflow as tf

from tests.larq import cases
from tests.larq.describe_larq import configs, signatures

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent


def main():
    FOLDER.mkdir(exist_ok=True)
    arrays, figures = {}, {}
    quantizers(arrays)
    functions(arrays)
    layers(arrays)
    optimizers(arrays)
    constraints(arrays)
    flip_ratio(arrays)
    training(arrays, figures)
    summaries(figures)
    quantized_weights(arrays)
    np.savez_compressed(FOLDER / "fixtures.npz", **arrays)
    write("figures", figures)
    write("signatures", signatures())
    write("configs", configs())
    size = (FOLDER / "fixtures.npz").stat().st_size
    print(f"{len(arrays)} arrays, {size / 1000:.0f} kB")


def write(name, content):
    text = json.dumps(content, sort_keys=True, default=str)
    (FOLDER / f"{name}.json").write_text(text + "\n")


def pulled(function, inputs, upstream, variables=()):
    """Outputs, and the gradients of inputs and variables."""
    inputs = tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = function(inputs)
    upstream = upstream(outputs.shape)
    gradients = tape.gradient(
        outputs,
        [inputs, *variables],
        tf.constant(upstream),
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    return (
        outputs.numpy(),
        upstream,
        [tf.convert_to_tensor(g).numpy() for g in gradients],
    )


def drawn(rng):
    return lambda shape: rng.normal(size=tuple(shape)).astype(np.float32)


def quantizers(arrays):
    for i, (name, (cls, kwargs)) in enumerate(cases.QUANTIZERS.items()):
        for kind, shape in (("flat", (40,)), ("kernel", (3, 2, 4, 5))):
            rng = np.random.default_rng(i)
            x = cases.values(shape, rng, spread=2)
            quantizer = getattr(lq.quantizers, cls)(**kwargs)
            if kind == "flat":
                x = x.reshape(1, -1)
            y, upstream, (gradient,) = pulled(quantizer, x, drawn(rng))
            key = f"quantizer/{name}/{kind}"
            arrays |= {f"{key}/x": x, f"{key}/y": y}
            arrays |= {f"{key}/upstream": upstream, f"{key}/gradient": gradient}


def functions(arrays):
    rng = np.random.default_rng(1)
    x = cases.values((60,), rng, spread=2).reshape(4, 15)
    arrays["function/x"] = x
    for path, kwargs in cases.FUNCTIONS.items():
        function = getattr(getattr(lq, path.split(".")[0]), path.split(".")[1])
        y, upstream, (gradient,) = pulled(
            lambda x, function=function, kwargs=kwargs: function(x, **kwargs),
            x,
            drawn(rng),
        )
        arrays[f"function/{path}/y"] = y
        arrays[f"function/{path}/upstream"] = upstream
        arrays[f"function/{path}/gradient"] = gradient
    for path in cases.STEP_FUNCTIONS:
        function = getattr(getattr(lq, path.split(".")[0]), path.split(".")[1])
        arrays[f"function/{path}/y"] = function(tf.constant(x)).numpy()


def layers(arrays):
    for i, (name, case) in enumerate(cases.LAYERS.items()):
        rng = np.random.default_rng(100 + i)
        layer = getattr(lq.layers, case.cls)(*case.args, **case.kwargs)
        x = cases.values(case.shape, rng)
        layer.build(x.shape)
        weights = [cases.values(w.shape, rng) for w in layer.get_weights()]
        layer.set_weights(weights)
        latent = [getattr(w, "latent_variable", w) for w in layer.trainable_weights]
        y, upstream, gradients = pulled(layer, x, drawn(rng), latent)
        assert y.shape == tuple(layer.compute_output_shape(x.shape)), name
        key = f"layer/{name}"
        arrays |= {f"{key}/x": x, f"{key}/y": y, f"{key}/upstream": upstream}
        arrays |= {f"{key}/gradient": gradients[0]}
        for j, (weight, gradient) in enumerate(
            zip(weights, gradients[1:], strict=True)
        ):
            arrays |= {f"{key}/weight{j}": weight, f"{key}/gradient{j}": gradient}


def legacy(name, **kwargs):
    return getattr(tf.keras.optimizers.legacy, name)(**kwargs)


def optimizers(arrays):
    for i, (name, kwargs) in enumerate(
        {
            "default": {},
            "flips": {"threshold": 1e-3, "gamma": 0.1},
            "ties": {"threshold": 0.0, "gamma": 0.5},
            "exact": {"threshold": 0.25, "gamma": 0.5},
        }.items()
    ):
        rng = np.random.default_rng(200 + i)
        start = cases.values((6, 8), rng)
        variable = tf.Variable(start)
        gradients = rng.choice([-1, 0, 0.5, 1], size=(6, 6, 8)).astype(np.float32)
        optimizer = lq.optimizers.Bop(**kwargs)
        steps = []
        for gradient in gradients:
            optimizer.apply_gradients([(tf.constant(gradient), variable)])
            steps.append(variable.numpy())
        key = f"bop/{name}"
        arrays |= {f"{key}/start": start, f"{key}/gradients": gradients}
        arrays |= {f"{key}/steps": np.array(steps)}
    for name in ("Adam", "SGD"):
        rng = np.random.default_rng(300)
        layer = lq.layers.QuantDense(
            4, kernel_quantizer=lq.quantizers.NoOp(precision=1)
        )
        layer.build((None, 5))
        start = [cases.values((5, 4), rng), cases.values((4,), rng)]
        layer.set_weights(start)
        kwargs = {"learning_rate": 0.1} | ({"momentum": 0.9} if name == "SGD" else {})
        optimizer = lq.optimizers.CaseOptimizer(
            (lq.optimizers.Bop.is_binary_variable, lq.optimizers.Bop(0.05, 0.2)),
            default_optimizer=legacy(name, **kwargs),
        )
        for step in range(8):
            gradients = [rng.normal(size=w.shape).astype(np.float32) for w in start]
            optimizer.apply_gradients(
                zip(map(tf.constant, gradients), layer.trainable_weights, strict=True)
            )
            for j, (weight, gradient) in enumerate(
                zip(layer.get_weights(), gradients, strict=True)
            ):
                arrays[f"case/{name}/gradient{step}/{j}"] = gradient
                arrays[f"case/{name}/weight{step}/{j}"] = weight
        arrays |= {f"case/{name}/start{j}": value for j, value in enumerate(start)}


def constraints(arrays):
    x = cases.values((60,), np.random.default_rng(2), spread=3)
    arrays["constraint/x"] = x
    for clip_value in (1, 0.5, 2.0):
        clip = lq.constraints.WeightClip(clip_value)
        arrays[f"constraint/{clip_value}"] = clip(tf.constant(x)).numpy()


def flip_ratio(arrays):
    rng = np.random.default_rng(3)
    metric = lq.metrics.FlipRatio()
    signs, results = [], []
    for step in range(9):
        if step == 5:
            metric.reset_state()
        signs.append(rng.choice([-1, 1], size=(3, 4)).astype(np.int8))
        metric.update_state(signs[-1])
        results.append(float(metric.result()))
    arrays |= {"flips/signs": np.array(signs), "flips/results": np.array(results)}


def network(seed, quantizer=None, second=None):
    """Two dense layers, weights drawn by numpy, and data."""
    # Names begin to count anew.
    tf.keras.backend.clear_session()
    rng = np.random.default_rng(seed)
    x, labels = cases.digits(24, 6, 3, rng)
    model = tf.keras.Sequential(
        [
            # No bias: before a BatchNormalization its gradient is noise.
            lq.layers.QuantDense(
                8, use_bias=False, input_shape=(6,), kernel_quantizer=quantizer
            ),
            tf.keras.layers.BatchNormalization(),
            lq.layers.QuantDense(
                3,
                input_quantizer="ste_sign",
                kernel_quantizer=second
                or lq.quantizers.SteSign(metrics=["flip_ratio"]),
                kernel_constraint="weight_clip",
            ),
        ]
    )
    weights = [
        value if value.ndim < 2 else rng.uniform(-0.3, 0.3, value.shape)
        for value in model.get_weights()
    ]
    model.set_weights(weights)
    return model, x, labels


LOSS = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def training(arrays, figures):
    """Whole trainings: the histories, and the weights at the end."""
    figures["history"] = {}

    def record(name, model, x, labels, callbacks=(), **kwargs):
        for i, value in enumerate(model.get_weights()):
            arrays[f"training/{name}/start{i}"] = value
        history = model.fit(
            x, labels, shuffle=False, verbose=0, callbacks=list(callbacks), **kwargs
        )
        arrays[f"training/{name}/x"], arrays[f"training/{name}/labels"] = x, labels
        for i, value in enumerate(model.get_weights()):
            arrays[f"training/{name}/end{i}"] = value
        figures["history"][name] = {
            key: [float(value) for value in row] for key, row in history.history.items()
        }

    with lq.context.metrics_scope(["flip_ratio"]):
        model, x, labels = network(4, "ste_sign", "ste_sign")
    model.compile(legacy("SGD", learning_rate=0.3), LOSS)
    record("flips", model, x, labels, batch_size=6, epochs=4, validation_split=0.25)

    for name, arguments, update_freq in (
        ("scheduled_epoch", lambda epoch: 0.05 * 0.5**epoch, "epoch"),
        ("scheduled_step", lambda step: 0.05 / (1 + step), "step"),
        ("scheduled_value", lambda epoch, value: value * 0.5, "epoch"),
    ):
        no_op = lq.quantizers.NoOp(precision=1)
        model, x, labels = network(5, no_op)
        bop = lq.optimizers.Bop(threshold=1e-4, gamma=0.05)
        # A large epsilon: gradients that are rounding noise must not count.
        adam = legacy("Adam", learning_rate=0.02, epsilon=1e-3)
        optimizer = lq.optimizers.CaseOptimizer(
            (lambda v: isinstance(getattr(v, "quantizer", 0), lq.quantizers.NoOp), bop),
            default_optimizer=adam,
        )
        model.compile(optimizer, LOSS)
        callbacks = [
            lq.callbacks.HyperparameterScheduler(
                arguments, "gamma", bop, update_freq=update_freq
            ),
            lq.callbacks.HyperparameterScheduler(
                lambda epoch: 0.02 / (1 + epoch), "learning_rate", adam, log_name="rate"
            ),
            lq.callbacks.HyperparameterScheduler(
                lambda epoch: 0.9 - 0.1 * epoch, "beta_1", adam
            ),
        ]
        record(name, model, x, labels, callbacks, batch_size=8, epochs=3)


def summaries(figures):
    from larq.models import ModelProfile

    figures["summary"] = {}
    for name, (shape, parts) in cases.SUMMARY_MODELS.items():
        model = tf.keras.Sequential(name=name)
        model.add(tf.keras.layers.InputLayer(shape))
        for module, cls, args, kwargs in parts:
            home = lq.layers if module == "lq" else tf.keras.layers
            model.add(getattr(home, cls)(*args, **kwargs))
        profile = ModelProfile(model)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            lq.models.summary(model)
        figures["summary"][name] = {
            "layers": [
                {
                    "input_bits": part.input_precision,
                    "shape": list(part.output_shape),
                    "memory": part.memory,
                    "weights": {
                        bits: part.weight_count(bits)
                        for bits in profile.unique_param_bidtwidths
                    },
                    "macs": {
                        bits: part.op_count("mac", bits)
                        for bits in profile.unique_op_precisions
                    },
                }
                for part in profile.layer_profiles
            ],
            "totals": [
                [title, f"{value:.2f}" if isinstance(value, float) else value]
                for title, value in profile.generate_summary()
            ],
            "printed_lines": len(printed.getvalue().splitlines()),
        }


def quantized_weights(arrays):
    rng = np.random.default_rng(6)
    model = tf.keras.Sequential(
        [
            lq.layers.QuantConv2D(
                3, 3, kernel_quantizer="ste_sign", input_shape=(6, 6, 2)
            ),
            lq.layers.QuantSeparableConv2D(
                3,
                2,
                depthwise_quantizer="ste_tern",
                pointwise_quantizer="magnitude_aware_sign",
            ),
        ]
    )
    model.set_weights([cases.values(w.shape, rng) for w in model.get_weights()])
    for i, value in enumerate(model.get_weights()):
        arrays[f"scope/latent{i}"] = value
    with lq.context.quantized_scope(True):
        for i, value in enumerate(model.get_weights()):
            arrays[f"scope/quantized{i}"] = value


if __name__ == "__main__":
    main()
