"""The table of what a model weighs and does."""

import re
from collections.abc import Callable

import keras
from rich.box import SIMPLE
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from kerasbnn.models import printing
from kerasbnn.models.profiling import profile

# Where the output goes to a file there is no terminal whose width to ask for.
WIDTH = 100
WIDTH_OF_FURTHER_BITS = 9


def summary(
    model: keras.Model,
    input_shape=None,
    *,
    print_fn: Callable[[str], object] | None = None,
    console: Console | None = None,
) -> dict:
    """Print what each layer of a model weighs and does, and return it as a dict.

    The numbers are those of the deployed model: a weight takes the bits of its
    quantizer (32 where it has none), a BatchNormalization two numbers per channel, a
    layer that is used twice is stored once and works twice. A multiply-accumulate (MAC)
    is one product of an input and a weight in a dense layer or convolution; it counts
    as 1-bit where both are binary. A layer's inputs have the bits of its
    `input_quantizer`, else of the quantizer that made them, else 32. Zeros that
    `padding="same"` adds do not change that. MACs of other layers, such as recurrent
    ones, attention or your own, are shown as `?`. The counters of `metrics.FlipRatio`
    are left out.

    Shapes are inferred without running the model; nothing about it changes, but a
    model that is not built yet is built.

    Args:
        model: A Keras model, of any kind.
        input_shape: Shape of one sample without the batch axis, such as `(32, 32, 3)`;
            a list or dict of shapes where there are several inputs, or a dict by the
            names of several arguments. Only needed where the model does not know it, or
            leaves a size open.
        print_fn: Function that is called with each line of plain text, instead of
            printing.
        console: `rich` console to print to. By default one for the standard output.

    Returns:
        Dict of plain numbers, lists and strings, ready for `json.dumps`:

        - `"model"`: the name of the model.
        - `"layers"`: a list of dicts in the order of the first calls, each with
          `"name"` (the path, with `/` between nested names), `"type"`, `"calls"` (per
          forward pass), `"input_bits"` (None for a layer that was not called),
          `"output_shapes"` (a list of shapes, None for the batch), `"weights"` (number
          by bits, as in `{"1": 864, "32": 8}`), `"packed_bytes"`, `"float32_bytes"`,
          `"macs"` (per sample, by bits of input and weight, as in `{"32x1": 663552}`,
          or None where they are not modelled), `"macs_1bit"` and `"macs_other"`.
        - `"totals"`: the same sums, and `"compression_ratio"` (float32 bytes over
          packed bytes), `"share_1bit_macs"` (from 0 to 1; both None where there is
          nothing to divide by) and `"layers_without_macs"` (names of those that are not
          in the sums).

    Raises:
        TypeError: `model` is not a Keras model.
        ValueError: `input_shape` is malformed, or needed and missing.

    Example:
        >>> import keras
        >>> from kerasbnn import QuantDense, models
        >>> model = keras.Sequential([
        ...     keras.Input((256,)),
        ...     QuantDense(
        ...         64, use_bias=False, input_quantizer="ste_sign",
        ...         kernel_quantizer="ste_sign", kernel_constraint="weight_clip",
        ...     ),
        ... ])
        >>> totals = models.summary(model, print_fn=lambda line: None)["totals"]
        >>> totals["weights"], totals["packed_bytes"], totals["macs_1bit"]
        ({'1': 16384}, 2048, 16384)
    """
    result = profile(model, input_shape)
    print_table(result, print_fn=print_fn, console=console)
    return result


def print_table(result: dict, *, print_fn=None, console: Console | None = None):
    """Print a profile as `summary` does.

    Args:
        result: What `summary` returns.
        print_fn: As for `summary`.
        console: As for `summary`.

    Example:
        >>> import keras
        >>> from kerasbnn.models.profiling import profile
        >>> from kerasbnn.models.summarizing import print_table
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> print_table(profile(model), print_fn=lambda line: None)
    """
    # One column for binary weights and one for others fit; each further one needs more.
    further = max(0, len(result["totals"]["weights"]) - 2)
    width = WIDTH + WIDTH_OF_FURTHER_BITS * further
    printing.print_table(_table(result), width, print_fn, console)


def _table(result):
    totals = result["totals"]
    widths = list(totals["weights"])
    table = Table(
        title=f"Model: {result['model']}",
        title_justify="left",
        title_style="bold",
        box=SIMPLE,
        show_footer=True,
        header_style="bold",
        footer_style="bold",
        show_edge=False,
        pad_edge=False,
        padding=(0, 1),
        collapse_padding=True,
    )
    # Only ASCII characters, and no ellipsis: the output may go anywhere.
    table.add_column("Layer (type)", "Total", overflow="fold")
    table.add_column("Output", overflow="fold")
    table.add_column("In\nbits", justify="right")
    for bits in widths:
        total = f"{totals['weights'][bits]:,}"
        table.add_column(f"{bits}-bit\nweights", total, justify="right", no_wrap=True)
    for title, key in (
        ("Packed\nbytes", "packed_bytes"),
        ("Float32\nbytes", "float32_bytes"),
    ):
        table.add_column(title, byte_size(totals[key]), justify="right", no_wrap=True)
    for title, key in (("1-bit\nMACs", "macs_1bit"), ("Other\nMACs", "macs_other")):
        table.add_column(title, si_number(totals[key]), justify="right", no_wrap=True)
    for layer in result["layers"]:
        table.add_row(*_row(layer, widths))
    return Group(table, *_notes(totals))


def _row(layer, widths):
    name = Text(layer["name"])
    # Keras names a layer after its class unless told otherwise: no need to say it
    # twice.
    if not layer["name"].split("/")[-1].startswith(_snake_case(layer["type"])):
        kind = layer["type"].replace("BatchNormalization", "BatchNorm")
        name.append(f" ({kind})", style="dim")
    if layer["calls"] != 1:
        times = f" x{layer['calls']}" if layer["calls"] else " not called"
        name.append(times, style="bold")
    weights = [layer["weights"].get(bits, 0) for bits in widths]
    is_binary = layer["macs_1bit"]
    return [
        name,
        " ".join(_shape(shape) for shape in layer["output_shapes"]) or "-",
        "-" if layer["input_bits"] is None else f"{layer['input_bits']:g}",
        *(f"{count:,}" if count else "-" for count in weights),
        *(
            byte_size(layer[k]) if layer[k] else "-"
            for k in ("packed_bytes", "float32_bytes")
        ),
        Text(_macs(layer["macs_1bit"]), style="green" if is_binary else ""),
        _macs(layer["macs_other"]),
    ]


def _snake_case(name):
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _shape(shape):
    return "x".join(str(size) for size in shape[1:]) if len(shape) > 1 else "scalar"


def _macs(count):
    if count is None:
        return "?"
    return si_number(count) if count else "-"


def _notes(totals):
    weights = sum(totals["weights"].values())
    parts = [f"{count:,} of {bits} bit" for bits, count in totals["weights"].items()]
    lines = [("Weights", f"{weights:,}" + (f": {', '.join(parts)}" if parts else ""))]
    size = f"{byte_size(totals['packed_bytes'])} packed"
    if totals["compression_ratio"]:
        size += f", {byte_size(totals['float32_bytes'])} as float32"
        if totals["compression_ratio"] >= 1.05:
            size += f": {totals['compression_ratio']:.1f} times smaller"
    lines.append(("Size", size))
    macs = totals["macs_1bit"] + totals["macs_other"]
    work = f"{si_number(macs)} per sample"
    if totals["share_1bit_macs"] is not None:
        work += f", {100 * totals['share_1bit_macs']:.2f} % of them 1-bit"
    others = [f"{si_number(n)} of {pair}" for pair, n in totals["macs"].items()]
    if others:
        work += f" (bits of input x weight: {', '.join(others)})"
    lines.append(("MACs", work))
    unknown = totals["layers_without_macs"]
    if unknown:
        lines.append(("Not counted (?)", "MACs of " + ", ".join(unknown)))
    grid = Table.grid(padding=(0, 2))
    for title, text in lines:
        grid.add_row(Text(title, style="bold"), Text(text))
    return [grid]


def byte_size(count: int) -> str:
    """Write a number of bytes with three digits and a binary unit.

    Args:
        count: Number of bytes.

    Returns:
        Text of at most 8 characters.

    Example:
        >>> from kerasbnn.models.summarizing import byte_size
        >>> byte_size(512), byte_size(1_752_752)
        ('512 B', '1.67 MiB')
    """
    return _scaled(count, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))


def si_number(count: int) -> str:
    """Write a number with three digits and a decimal prefix.

    Args:
        count: A number from 0 on.

    Returns:
        Text of at most 6 characters.

    Example:
        >>> from kerasbnn.models.summarizing import si_number
        >>> si_number(999), si_number(616_988_672)
        ('999', '617 M')
    """
    return _scaled(count, 1000, ("", "k", "M", "G", "T")).strip()


def _scaled(count, base, units):
    unit, *larger = units
    for next_unit in larger:
        # Rounding to three digits may carry over, as in 999.9 k.
        if float(f"{count:.3g}") < 1000:
            break
        count, unit = count / base, next_unit
    digits = f"{count:.3g}" if count < 1000 else f"{count:.0f}"
    return f"{digits} {unit}"
