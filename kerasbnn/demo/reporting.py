"""Says what the demo has trained: summary, accuracy, learning curve, audit."""

import json


def report(model, images, history, out):
    """Say what was trained and what the audit finds.

    Args:
        model: The trained model.
        images: `kerasbnn.datasets.LabelledImages`.
        history: What `train` has returned of its training.
        out: Folder to write to.

    Returns:
        The files that were written.
    """
    from kerasbnn import audit, models

    _, accuracy = model.evaluate(
        images.x_test, images.y_test, batch_size=512, verbose=0
    )
    print()
    models.summary(model)
    print(f"Test accuracy: {accuracy:.2%} of {len(images.x_test)} images.")
    print("\nDoes binarization preserve what the layers compute? The audit:")
    geometry = audit(model, images.x_test)
    geometry.show()
    names = ("model.keras", "history.json", "learning_curve.png", "geometry.html")
    files = [out / name for name in names]
    model.save(files[0])
    files[1].write_text(json.dumps(history, indent=2) + "\n")
    _plot(history, files[2])
    geometry.to_html(files[3])
    return files


def _plot(history, path):
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    epochs = range(1, len(history["loss"]) + 1)
    figure, (top, bottom) = plt.subplots(
        2, 1, sharex=True, figsize=(7, 6), layout="constrained"
    )
    for axes, quantity in ((top, "accuracy"), (bottom, "loss")):
        marker = "o" if len(epochs) < 20 else None
        axes.plot(epochs, history[quantity], marker=marker, label="training, jittered")
        axes.plot(epochs, history[f"val_{quantity}"], marker=marker, label="test")
        axes.set_ylabel(quantity)
        axes.grid(alpha=0.3)
        axes.legend()
    top.yaxis.set_major_formatter(PercentFormatter(1.0))
    top.set_title("A network of binary weights and activations learns")
    bottom.set_yscale("log")
    bottom.set_xlabel("epoch")
    bottom.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.savefig(path, dpi=150)
    plt.close(figure)
