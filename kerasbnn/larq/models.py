"""The summary of a model, with the figures that Larq's has."""

from kerasbnn.larq.layer_profiles import model_profiles
from kerasbnn.larq.utils import memory_as_readable_str

__all__ = ["summary"]

_BITS_PER_KB = 8 * 1024


def summary(model, print_fn=None, include_macs=True):
    """Print what each layer of a model weighs and does, counted as Larq counts.

    Weights by bits, their size in kB of 1024 bytes, and multiply-accumulates (MACs) by
    the larger of the bits of input and weight. The inputs of a layer have the bits of
    its `input_quantizer`, else 32. A BatchNormalization has two numbers per channel.
    MACs of layers that Larq does not know are shown as `?`.

    `kerasbnn.models.summary` knows more layers, sees also inputs that a layer before
    has quantized, and returns the figures.

    Args:
        model: A built Keras model.
        print_fn: Function that is called with each table as text; None prints it.
        include_macs: Whether to count MACs.

    Raises:
        ValueError: The model is not built.

    Example:
        >>> import keras
        >>> import kerasbnn.larq as lq
        >>> model = keras.Sequential([
        ...     keras.Input((64,)),
        ...     lq.layers.QuantDense(
        ...         32, use_bias=False, input_quantizer="ste_sign",
        ...         kernel_quantizer="ste_sign", kernel_constraint="weight_clip",
        ...         name="head",
        ...     ),
        ... ], name="small")
        >>> lq.models.summary(model)
        small stats
        Layer  Input prec. (bit)     Outputs  # 1-bit  Memory (kB)  1-bit MACs
        ----------------------------------------------------------------------
        head                   1  (None, 32)     2048         0.25        2048
        ----------------------------------------------------------------------
        Total                                    2048         0.25        2048
        small summary
        Total params                        2.05 k
        Trainable params                    2.05 k
        Non-trainable params                     0
        Model size                        256.00 B
        Model size (8-bit FP weights)     256.00 B
        Float-32 Equivalent               8.00 KiB
        Compression Ratio of Memory           0.03
        Number of MACs                      2.05 k
        Ratio of MACs that are binarized    1.0000
    """
    if not model.built:
        raise ValueError(
            f"The model '{model.name}' is not built, so it has no weights to count. "
            "Give it a keras.Input, call it on data, or call its build()."
        )
    print_fn = print_fn or print
    profiles = model_profiles(model)
    print_fn(f"{model.name} stats\n{_layers_table(profiles, include_macs)}")
    print_fn(f"{model.name} summary\n{_totals_table(profiles, include_macs)}")


def _layers_table(profiles, include_macs):
    widths = sorted({group.bits for profile in profiles for group in profile.weights})
    mac_bits = sorted({bits for profile in profiles for bits in profile.macs or ()})
    header = ["Layer", "Input prec. (bit)", "Outputs"]
    header += [f"# {bits:g}-bit" for bits in widths] + ["Memory (kB)"]
    rows = [
        [
            profile.name,
            "-" if profile.input_bits is None else f"{profile.input_bits:g}",
            "multiple" if profile.output_shape is None else str(profile.output_shape),
            *(str(profile.count(bits)) for bits in widths),
            _kilobytes(profile.memory()),
        ]
        for profile in profiles
    ]
    total = ["Total", "", ""]
    total += [str(sum(p.count(bits) for p in profiles)) for bits in widths]
    total += [_kilobytes(sum(p.memory() for p in profiles))]
    if include_macs:
        header += [f"{bits:g}-bit MACs" for bits in mac_bits]
        for row, profile in zip(rows, profiles, strict=True):
            known = profile.macs is not None
            row += [str(profile.macs.get(b, 0)) if known else "?" for b in mac_bits]
        total += [str(_macs(profiles, bits)) for bits in mac_bits]
    return _text([header, *rows, total], rules=(1, len(rows) + 1))


def _totals_table(profiles, include_macs):
    def total(count, *arguments):
        return sum(getattr(profile, count)(*arguments) for profile in profiles)

    as_float = 32 * total("count")
    rows = [
        ["Total params", _number(total("count"))],
        ["Trainable params", _number(total("count", None, True))],
        ["Non-trainable params", _number(total("count", None, False))],
        ["Model size", memory_as_readable_str(total("memory"))],
        ["Model size (8-bit FP weights)", memory_as_readable_str(total("memory", 8))],
        ["Float-32 Equivalent", memory_as_readable_str(as_float)],
        ["Compression Ratio of Memory", f"{total('memory') / max(1, as_float):.2f}"],
    ]
    if include_macs:
        macs = _macs(profiles)
        rows.append(["Number of MACs", _number(macs)])
        for bits, kind in ((1, "binarized"), (2, "ternarized")):
            share = _macs(profiles, bits) / max(1, macs)
            if share:
                rows.append([f"Ratio of MACs that are {kind}", f"{share:.4f}"])
    return _text(rows)


def _macs(profiles, bits=None):
    return sum(
        count
        for profile in profiles
        for own_bits, count in (profile.macs or {}).items()
        if bits in (None, own_bits)
    )


def _kilobytes(bits):
    return f"{bits / _BITS_PER_KB:.2f}" if bits else "0"


def _number(count):
    """Write a number with three digits, and a unit of thousands."""
    scaled, unit = float(f"{count:.3g}"), ""
    if scaled >= 1e15:
        return f"{scaled:.2E}"
    for larger in ("k", "M", "B", "T"):
        if scaled < 1000:
            break
        scaled, unit = scaled / 1000, f" {larger}"
    return f"{scaled:.3g}{unit}"


def _text(rows, rules=()):
    """Lay out a table: the first column to the left, others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for i, row in enumerate(rows):
        if i in rules:
            lines.append("-" * (sum(widths) + 2 * (len(widths) - 1)))
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
