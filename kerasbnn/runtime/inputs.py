"""Checks what `Interpreter.predict` is given, and turns it into what a file takes."""

from collections.abc import Mapping, Sequence

import numpy as np

from kerasbnn.runtime.model_file import Signature, TensorSpec


def checked_inputs(x, signature: Signature) -> list[np.ndarray]:
    """Return an array for each input, of its dtype and shape.

    Args:
        x: Array, or dict of arrays by name, or list with an array for each input.
        signature: What is run.

    Returns:
        C-contiguous arrays in the order of the signature.

    Raises:
        ValueError: Number, names, shapes or values are not what the file takes.
        TypeError: A dtype is not.
    """
    arrays = [
        _checked(value, name, spec)
        for (name, spec), value in zip(
            signature.inputs.items(), _by_order(x, signature), strict=True
        )
    ]
    sizes = {
        name: array.shape[0]
        for (name, spec), array in zip(signature.inputs.items(), arrays, strict=True)
        if spec.shape and spec.shape[0] is None
    }
    if len(set(sizes.values())) > 1:
        raise ValueError(
            "All inputs must have the same number of samples. Received: "
            + ", ".join(f"{size} of '{name}'" for name, size in sizes.items())
            + "."
        )
    return arrays


def checked_batch_size(batch_size) -> int:
    """Check the number of samples that are computed at once.

    Args:
        batch_size: The number.

    Returns:
        The number.

    Raises:
        TypeError: It is not an integer.
        ValueError: It is below 1.
    """
    if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)):
        raise TypeError(f"`batch_size` must be an integer. Received: {batch_size!r}.")
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1, not {batch_size}.")
    return int(batch_size)


def parts_of(
    arrays: list[np.ndarray], signature: Signature, batch_size: int
) -> list[list[np.ndarray]]:
    """Split inputs into batches that a file can run.

    Args:
        arrays: An array for each input.
        signature: What is run.
        batch_size: Samples of a batch, where the file leaves that open.

    Returns:
        Lists with an array for each input; a batch of one sample of zeros where there
        is no sample, for LiteRT has no empty tensors.

    Raises:
        ValueError: The file was made for batches of another size.
    """
    firsts = {spec.shape[0] if spec.shape else 0 for spec in signature.inputs.values()}
    if len(firsts) != 1 or firsts == {0}:
        _check_sizes(arrays, signature)
        return [arrays]
    count, fixed = len(arrays[0]), firsts.pop()
    if fixed is not None:
        for name, array in zip(signature.inputs, arrays, strict=True):
            if len(array) % fixed or len(array) != count:
                raise ValueError(
                    f"The file was made for batches of {fixed}, and input '{name}' has "
                    f"{len(array)} samples. Give a multiple of {fixed}, the same for "
                    "each input, or convert the model with an open batch size."
                )
        batch_size = fixed
    if not count:
        one = fixed or 1
        return [[np.zeros((one, *a.shape[1:]), a.dtype) for a in arrays]]
    return [
        [array[start : start + batch_size] for array in arrays]
        for start in range(0, count, batch_size)
    ]


def _check_sizes(arrays, signature):
    """Check the first sizes of a file whose inputs are not batches alike."""
    for (name, spec), array in zip(signature.inputs.items(), arrays, strict=True):
        if spec.shape and spec.shape[0] not in (None, len(array)):
            raise ValueError(_wrong_shape(array.shape, name, spec))


def _by_order(x, signature):
    names = list(signature.inputs)
    if isinstance(x, Mapping):
        if set(x) != set(names):
            raise ValueError(
                f"Expected inputs named {names}. Received: {sorted(map(str, x))}. "
                "`signatures` lists names, shapes and dtypes."
            )
        return [x[name] for name in names]
    if len(names) == 1:
        return [x]
    if not isinstance(x, Sequence) or len(x) != len(names):
        received = f"{type(x).__name__}"
        if isinstance(x, Sequence):
            received += f" of {len(x)}"
        raise ValueError(
            f"The file has {len(names)} inputs. Expected a dict with the keys {names}, "
            f"or a list in this order. Received: {received}."
        )
    return x


def _checked(value, name, spec: TensorSpec):
    array = np.asarray(value)
    expected = spec.shape
    if array.ndim != len(expected) or any(
        size is not None and size != found
        for size, found in zip(expected[1:], array.shape[1:], strict=False)
    ):
        raise ValueError(_wrong_shape(array.shape, name, spec))
    if spec.dtype is None:
        raise TypeError(
            f"Input '{name}' has a type that numpy does not have, so `predict` cannot "
            "run this file. Convert it with float or integer inputs."
        )
    return np.ascontiguousarray(_cast(array, name, spec.dtype))


def _wrong_shape(shape, name, spec):
    sizes = ["batch" if spec.shape[:1] == (None,) else str(s) for s in spec.shape[:1]]
    sizes += ["any" if size is None else str(size) for size in spec.shape[1:]]
    expected = f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"
    text = f"Input '{name}' must have the shape {expected}. Received: {shape}."
    fits = len(shape) + 1 == len(spec.shape) and all(
        size is None or size == found
        for size, found in zip(spec.shape[1:], shape, strict=True)
    )
    if fits:
        text += " This is one sample: put it into a batch of one with `x[np.newaxis]`."
    return text


def _cast(array, name, dtype):
    if array.dtype == dtype:
        return array
    is_real = array.dtype.kind in "biuf" or array.dtype.name.startswith(
        ("bfloat16", "float8")
    )
    if not is_real:
        raise TypeError(
            f"Input '{name}' must hold real numbers, to become {dtype}. Received: "
            f"dtype {array.dtype}."
        )
    if dtype.kind == "f":
        # What is too large becomes infinite, as it does everywhere in numpy.
        with np.errstate(over="ignore"):
            return array.astype(dtype)
    if dtype.kind == "b":
        if array.dtype.kind == "b" or np.isin(array, (0, 1)).all():
            return array.astype(dtype)
        limits = "0 or 1"
    else:
        info = np.iinfo(dtype)
        limits = f"whole numbers from {info.min} to {info.max}"
        if array.dtype.kind in "biu" and (
            not array.size or (array.min() >= info.min and array.max() <= info.max)
        ):
            return array.astype(dtype)
    raise TypeError(
        f"Input '{name}' is {dtype}: expected {limits}. Received: dtype {array.dtype}"
        + (f", values from {array.min()} to {array.max()}." if array.size else ".")
    )
