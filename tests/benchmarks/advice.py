"""How good is the audit's advice? Rank its score against the accuracy that is lost.

    python tests/benchmarks/advice.py --mnist mnist.npz --cifar10 cifar10_jpeg.npz

Trains five float networks. In each, one layer at a time gets binary weights, the batch
normalizations are refitted, and the accuracy lost on the test images is measured. The
tables have the rank correlation (Spearman's) of this loss with what is known before any
training: the audit's score and two naive ones, the angle alone and the number of
weights. The score was chosen on the network `CHOSEN_ON`; the others are its test. With
--docs they are written as a page. Networks and figures are kept in the folder given by
--cache.

CIFAR-10 is read from an .npz of JPEG files (`train_jpeg` and `test_jpeg`: all files one
after the other, `train_offsets` and `test_offsets`: where each begins).
"""

import argparse
import io
import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np

import kerasbnn
from kerasbnn.datasets import load_digits, load_npz

K = keras.layers
CHOSEN_ON = "cifar10_conv"
MARKER = "<!-- The script writes what follows. -->"
SCORES = {
    "audit": lambda layer: layer["score"],
    "angle": lambda layer: layer["angles"]["mean"],
    "size": lambda layer: layer["fan_in"] * layer["filters"],
}


def unit(x, layer, activation="relu"):
    """Append a layer, batch normalization and activation."""
    x = K.BatchNormalization(momentum=0.9, name=f"{layer.name}_bn")(layer(x))
    return K.Activation(activation, name=f"{layer.name}_{activation}")(x)


def conv(filters, name, **arguments):
    """Make a 3 x 3 convolution."""
    return K.Conv2D(filters, 3, padding="same", use_bias=False, name=name, **arguments)


def dense(units, name):
    """Make a dense layer."""
    return K.Dense(units, use_bias=False, name=name)


def chain(shape, convolutions, units, classes=10):
    """Build a network of convolutions, with pooling after every second, and dense."""
    x = inputs = keras.Input(shape)
    for i, filters in enumerate(convolutions):
        x = unit(x, conv(filters, f"conv_{i + 1}"))
        if i % 2:
            x = K.MaxPooling2D(2)(x)
    x = K.Flatten()(x)
    for i, size in enumerate(units):
        x = unit(x, dense(size, f"dense_{i + 1}"))
    return keras.Model(inputs, unit(x, dense(classes, "logits"), "softmax"))


def separable(shape, filters=(24, 48, 48, 96), classes=10):
    """Build a network of depthwise and pointwise convolutions with shortcuts."""
    x = inputs = keras.Input(shape)
    x = unit(x, conv(filters[0], "stem"))
    for i, size in enumerate(filters):
        strides = 2 if i % 2 else 1
        before = x
        depthwise = K.DepthwiseConv2D(
            3, strides, padding="same", use_bias=False, name=f"depthwise_{i + 1}"
        )
        x = unit(x, depthwise)
        pointwise = K.Conv2D(size, 1, use_bias=False, name=f"pointwise_{i + 1}")
        x = unit(x, pointwise)
        if before.shape == x.shape:
            x = K.Add()([x, before])
    x = K.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, unit(x, dense(classes, "logits"), "softmax"))


def read_cifar10(path, train, test):
    """Decode the first images of a file of JPEGs."""
    from PIL import Image

    file = np.load(path)
    found = []
    for split, count in (("train", train), ("test", test)):
        data, offsets = file[f"{split}_jpeg"], file[f"{split}_offsets"]
        images = [
            np.asarray(Image.open(io.BytesIO(data[a:b].tobytes())).convert("RGB"))
            for a, b in zip(offsets[:count], offsets[1 : count + 1], strict=True)
        ]
        x = np.stack(images).astype("float32") / 127.5 - 1
        found += [x, file[f"y_{split}"][:count].astype("int64").ravel()]
    return found


def networks(arguments):
    """Return for each network a function that builds it, its data and its epochs."""
    mnist = load_npz(arguments.mnist)
    mnist = mnist.x_train[:20_000], mnist.y_train[:20_000], mnist.x_test, mnist.y_test
    digits = load_digits()
    digits = digits.x_train, digits.y_train, digits.x_test, digits.y_test
    cifar10 = read_cifar10(arguments.cifar10, 20_000, 5000)
    return {
        "cifar10_conv": (
            lambda: chain((32, 32, 3), (24, 24, 48, 48, 96, 96), (128,)),
            cifar10,
            6,
        ),
        "cifar10_separable": (lambda: separable((32, 32, 3)), cifar10, 6),
        "mnist_conv": (
            lambda: chain((28, 28, 1), (8, 16, 24, 32), (64, 64)),
            mnist,
            4,
        ),
        "mnist_mlp": (lambda: chain((28, 28, 1), (), (128,) * 5), mnist, 6),
        "digits_mlp": (lambda: chain((8, 8, 1), (), (96, 64, 48, 48, 32)), digits, 40),
    }


def trained(name, build, data, epochs, cache):
    """Load a trained network from the folder, or train it and keep it there."""
    path = cache / f"{name}.keras"
    if path.exists():
        return keras.models.load_model(path)
    keras.utils.set_random_seed(0)
    x, y, x_test, y_test = data
    model = build()
    steps = epochs * -(-len(x) // 64)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, steps)),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(x, y, 64, epochs, validation_data=(x_test, y_test), verbose=2)
    model.save(path)
    return model


def spearman(first, second):
    """Return the correlation of ranks; equal values share their mean rank."""
    ranks = []
    for values in (first, second):
        values = np.asarray(values, float)
        below = (values[:, None] > values).sum(axis=1)
        ranks.append(below + ((values[:, None] == values).sum(axis=1) - 1) / 2)
    return float(np.corrcoef(*ranks)[0, 1])


def measure(name, model, data, cache):
    """Return each layer's accuracy lost, its standard error, and its geometry."""
    path = cache / f"{name}.json"
    if path.exists():
        return json.loads(path.read_text())
    x, _, x_test, y_test = data
    refit = x[:2000]
    swaps = kerasbnn.models.swap_test(
        model, x_test, y_test, refit_data=refit, direction="binary", verbose=0
    )
    report = kerasbnn.audit(model, refit, verbose=0)
    result = {
        "accuracy": swaps.baseline.accuracy_refit,
        "images": len(x_test),
        "lost": swaps.accuracy_lost(),
        "layers": report.to_dict(histograms=False)["layers"],
    }
    path.write_text(json.dumps(result))
    return result


def tables(results):
    """Return the tables as Markdown: rank correlations, then the layers."""
    lines = [
        "| Network | Layers | Test images | Accuracy | Audit's score | Angle | Size |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        lost = [result["lost"][layer["name"]] for layer in result["layers"]]
        figures = [
            f"{spearman([score(layer) for layer in result['layers']], lost):+.2f}"
            for score in SCORES.values()
        ]
        label = f"`{name}`" + (" (chosen on it)" if name == CHOSEN_ON else "")
        row = [label, str(len(lost)), f"{result['images']:,}"]
        lines.append(
            "| "
            + " | ".join([*row, f"{100 * result['accuracy']:.1f} %", *figures])
            + " |"
        )
    for name, result in results.items():
        lines += [
            f"\n### `{name}`\n",
            "| Layer | Accuracy lost | Audit's score | Angle | Size | Verdict |",
            "|---|---|---|---|---|---|",
        ]
        for layer in result["layers"]:
            values = [score(layer) for score in SCORES.values()]
            lines.append(
                f"| {layer['name']} | {100 * result['lost'][layer['name']]:.1f} % | "
                f"{values[0]:.3f} | {values[1]:.1f} | {values[2]:,} | "
                f"{layer['verdicts'][0]['kind']} |"
            )
    return "\n".join(lines)


def main():
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, required=True)
    parser.add_argument("--cifar10", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("advice-networks"))
    parser.add_argument("--docs", type=Path, help="page to write the tables into")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    results = {}
    for name, (build, data, epochs) in networks(arguments).items():
        model = trained(name, build, data, epochs, arguments.cache)
        results[name] = measure(name, model, data, arguments.cache)
    text = tables(results)
    print(text)
    if arguments.docs is not None:
        page = arguments.docs.read_text()
        head = page[: page.index(MARKER) + len(MARKER)]
        arguments.docs.write_text(f"{head}\n\n{text}\n")


if __name__ == "__main__":
    main()
