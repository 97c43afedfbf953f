"""Draw the figures of The High-Dimensional Geometry of Binary Neural Networks.

    python paper_figures.py --out figures
    python paper_figures.py --out figures --model model.keras --data x.npz

The first line draws what the paper (Anderson & Berg, arXiv 1705.07199) shows of random
vectors, with the parameters of the authors' notebooks, and prints the values beside
those of another run with these parameters. The second one also draws the paper's
figures of a trained network for your model: angles, weights and dot products of each
layer. The file of the data has an array `x` or `x_test`, as the model takes it, or
with --range as it comes.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from matplotlib.figure import Figure

from kerasbnn.geometry import LIMIT_ANGLE_DEGREES, angle_degrees
from kerasbnn.geometry.angles import angle_density, peak_angle_degrees
from kerasbnn.geometry.rotation import (
    haar_rotation,
    rotated_binarization_angle_degrees,
)
from kerasbnn.geometry.theory import ternary_angle_degrees, ternary_zero_fraction

BLUE, RED, ORANGE, GRAY = "#0072b2", "#d55e00", "#e69f00", "#6e6e6e"
BANDWIDTH = np.degrees(0.02)
DEGREES = np.linspace(0, 180, 721)

# The threshold of the authors' ternary network over the deviation of its weights.
EMPIRICAL = 0.1111
THRESHOLDS = (0.01, EMPIRICAL, 0.2, 0.3, 0.5)


def panels(columns, *, width=3.2, height=2.6, y=None):
    """Make a figure of panels side by side."""
    figure = Figure(figsize=(width * columns + 0.3, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False, sharey=True)[0]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    if y is None:
        axes[0].set_yticks([])
    else:
        axes[0].set_ylabel(y)
    return figure, axes


def draw_angles(ax, angles, color, label):
    """Draw a density of angles, with its area filled."""
    density = angle_density(angles, DEGREES, BANDWIDTH)
    # Densities of very different widths fit into one panel by their own heights.
    density /= density.max()
    ax.plot(DEGREES, density, color=color, label=label)
    ax.fill_between(DEGREES, density, color=color, alpha=0.2, lw=0)


def finish_angles(ax, title, theory=LIMIT_ANGLE_DEGREES):
    """Label a panel of angles, and draw a dashed line at the theory."""
    ax.axvline(theory, color=GRAY, ls="--", lw=1)
    ax.set_title(title, fontsize=10)
    ax.set_xlim(0, 180)
    ax.set_ylim(0, 1.05)
    ax.set_xticks([0, 45, 90, 135, 180])
    ax.set_xlabel("angle, degrees")


def add_legend(figure, ax):
    """Explain the lines of one panel below all of them."""
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=2,
        frameon=False,
        fontsize=9,
    )


def straight_through(rng):
    """Figure 1b: the forward function, and the one whose gradient is used."""
    figure, (forward, backward) = panels(2, y="")
    x = np.linspace(-2.3, 2.3, 1001)
    for below, above in ((x[x < 0], -1.0), (x[x >= 0], 1.0)):
        forward.plot(below, np.full(below.size, above), color=BLUE)
    forward.set_title("forward: sign(x)", fontsize=10)
    backward.plot(x, np.clip(x, -1, 1), color=RED)
    backward.set_title("backward: clip(x, -1, 1)", fontsize=10)
    for ax in (forward, backward):
        ax.axhline(0, color=GRAY, lw=0.5)
        ax.axvline(0, color=GRAY, lw=0.5)
        ax.set_xlabel("x")
    return figure, []


def random_and_binarized(rng):
    """Figure 2a: angles of random vectors to each other, and to their own signs."""
    dimensions = {3: (28.1, 10.9, 39.2), 10: (34.6, 6.2, 19.1), 27: (36.2, 3.8, 11.2)}
    figure, axes = panels(3)
    rows = []
    for ax, (d, (mean, deviation, chance)) in zip(
        axes, dimensions.items(), strict=True
    ):
        u, v = rng.normal(size=(2, 10_000, d))
        apart = angle_degrees(u, v)
        own = angle_degrees(u, np.where(u < 0, -1.0, 1.0))
        draw_angles(ax, apart, BLUE, "two random vectors")
        draw_angles(ax, own, RED, "a vector and its signs")
        finish_angles(ax, f"d = {d}")
        rows += [
            (f"d = {d}: angle to the signs, mean", own.mean(), mean),
            (f"d = {d}: angle to the signs, deviation", own.std(), deviation),
            (f"d = {d}: angle of random vectors, deviation", apart.std(), chance),
        ]
    add_legend(figure, axes[0])
    return figure, rows


def rotated_binarization(rng):
    """The figure of the generalized binarization: badly scaled components, rotated."""
    dimensions = {10: (36.8, 34.7), 100: (68.2, 36.9), 500: (80.5, 37.0)}
    figure, axes = panels(3)
    rows = []
    for ax, (d, (before, after)) in zip(axes, dimensions.items(), strict=True):
        scales = np.exp(0.1 * (np.arange(d) - d / 2))
        u = rng.normal(size=(100, d)) * scales
        plain = angle_degrees(u, np.where(u < 0, -1.0, 1.0))
        rotated = rotated_binarization_angle_degrees(u, haar_rotation(d, seed=0))
        draw_angles(ax, plain, RED, "as it is")
        draw_angles(ax, rotated, ORANGE, "rotated")
        finish_angles(ax, f"d = {d}")
        rows += [
            (f"d = {d}: angle to the signs, mean", plain.mean(), before),
            (f"d = {d}: the same, rotated", rotated.mean(), after),
        ]
    add_legend(figure, axes[0])
    return figure, rows


def ternary(u, threshold):
    """Three levels: the sign where the magnitude is above the threshold, else 0."""
    return np.where(np.abs(u) > threshold, np.where(u < 0, -1.0, 1.0), 0.0)


def ternary_angle_by_threshold(rng):
    """Median angle to three levels against the threshold, and the theory."""
    reference = (0.6418, 0.5907, 0.5500, 0.5101, 0.4591)
    found = {threshold: [] for threshold in THRESHOLDS}
    # In parts, for all 10,000 vectors at once would take gigabytes.
    for _ in range(20):
        u = rng.normal(size=(500, 1000))
        for threshold, angles in found.items():
            angles.append(angle_degrees(u, ternary(u, threshold)))
    medians = [np.median(np.radians(angles)) for angles in found.values()]
    figure, (ax,) = panels(1, width=4.2, height=3, y="median angle, radians")
    grid = np.linspace(0, 0.6, 121)
    theory = np.radians(ternary_angle_degrees(grid))
    ax.plot(grid, theory, color=GRAY, ls="--", lw=1, label="theory")
    ax.plot(THRESHOLDS, medians, "o", color=BLUE, label="10,000 vectors, d = 1000")
    ax.set_xlim(0, 0.6)
    ax.set_ylim(0, np.pi / 4)
    ax.set_xlabel("threshold, standard deviations")
    ax.legend(frameon=False, fontsize=8)
    rows = [
        (f"t = {threshold}: median angle, radians", median, value)
        for threshold, median, value in zip(THRESHOLDS, medians, reference, strict=True)
    ]
    return figure, rows


def ternary_angles(rng):
    """Angles of random vectors to each other, and to their own three levels."""
    apart, own, zeros = [], [], []
    for _ in range(20):
        u, v = rng.normal(size=(2, 500, 1000))
        levels = ternary(u, EMPIRICAL)
        apart.append(angle_degrees(u, v))
        own.append(angle_degrees(u, levels))
        zeros.append(np.mean(levels == 0))
    figure, (ax,) = panels(1, width=4.2, height=3)
    draw_angles(ax, apart, BLUE, "two random vectors")
    draw_angles(ax, own, RED, "a vector and its three levels")
    theory = float(ternary_angle_degrees(EMPIRICAL))
    finish_angles(ax, f"d = 1000, threshold {EMPIRICAL}", theory)
    add_legend(figure, ax)
    expected = float(ternary_zero_fraction(EMPIRICAL))
    rows = [
        ("peak of the angle, radians", np.radians(peak_angle_degrees(own)), 0.5907),
        ("fraction of zeros", np.mean(zeros), 0.0885),
        ("the same by theory", expected, 0.0885),
    ]
    return figure, rows


SYNTHETIC = (
    straight_through,
    random_and_binarized,
    rotated_binarization,
    ternary_angle_by_threshold,
    ternary_angles,
)


def read_inputs(path, limits):
    """Read `x` or `x_test` of an .npz, and map `limits` to -1 and 1."""
    with np.load(path) as arrays:
        name = next((n for n in ("x", "x_test") if n in arrays), None)
        if name is None:
            raise SystemExit(f"{path} has no array 'x' or 'x_test'.")
        x = arrays[name].astype("float32")
    if limits is not None:
        low, high = limits
        x = (x - low) * 2 / (high - low) - 1
    return x


def draw_model(arguments):
    """Draw the paper's figures of a trained network for a model of yours."""
    import keras

    import kerasbnn
    from kerasbnn.geometry.views.plots import KINDS

    model = keras.saving.load_model(arguments.model, compile=False)
    x = read_inputs(arguments.data, arguments.range)
    if len(model.input_shape) == x.ndim + 1 and model.input_shape[-1] == 1:
        x = x[..., None]
    # The paper looks at the first 500 test images.
    report = kerasbnn.audit(model, x, max_samples=500)
    for kind in KINDS:
        path = arguments.out / f"model_{kind}.{arguments.format}"
        report.plot(kind, path)
        print(f"Written: {path}")
    report.show()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("figures"), metavar="FOLDER")
    parser.add_argument("--format", choices=("png", "pdf", "svg"), default="png")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", type=Path, help="a .keras file to draw as well")
    parser.add_argument("--data", type=Path, help="an .npz with inputs of the model")
    parser.add_argument(
        "--range",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="values of the data that become -1 and 1, such as 0 255",
    )
    arguments = parser.parse_args()
    if (arguments.model is None) != (arguments.data is None):
        parser.error("--model and --data go together.")

    arguments.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(arguments.seed)
    values = []
    for draw in SYNTHETIC:
        figure, rows = draw(rng)
        path = arguments.out / f"{draw.__name__}.{arguments.format}"
        figure.savefig(path, dpi=160)
        print(f"Written: {path}")
        values += [(f"{draw.__name__}, {name}", *pair) for name, *pair in rows]
    width = max(len(name) for name, *_ in values)
    print(f"\n{'Angles in degrees unless said otherwise':<{width}}  here    reference")
    for name, value, reference in values:
        digits = 4 if abs(reference) < 1 else 1
        print(f"{name:<{width}}  {value:<6.{digits}f}  {reference:.{digits}f}")
    if arguments.model is not None:
        print()
        draw_model(arguments)


if __name__ == "__main__":
    main()
