"""Compares a converted file with Keras, sign by sign and output by output."""

import dataclasses
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from kerasbnn._saved_models import held_back_errors
from kerasbnn.models.input_shapes import symbolic_inputs
from kerasbnn.runtime import delegate
from kerasbnn.runtime.bitpacking import unpack_bits
from kerasbnn.runtime.composites import BITS
from kerasbnn.tflite.decisions import Decisions, decisions_of_keras
from kerasbnn.tflite.errors import ConversionError
from kerasbnn.tflite.fusion import Placed
from kerasbnn.tflite.report import Verification
from kerasbnn.tflite.tensorflow_export import SIGNATURE, input_names

DEFAULT_SAMPLES = 4

# Of float32 rounding, relative to the largest output.
TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class FoundSigns:
    """What a converted model takes the signs of in one call of a layer.

    Attributes:
        path: Path of the layer.
        is_negative: Boolean array `(samples, ...)`, with channels last.
    """

    path: str
    is_negative: np.ndarray


def default_samples(
    model: keras.Model, input_shape=None, count: int = DEFAULT_SAMPLES
) -> list[np.ndarray]:
    """Make inputs to compare on.

    Args:
        model: The model.
        input_shape: As for `convert`.
        count: Number of samples.

    Returns:
        An array for each input: multiples of 1/256 between -1 and 1, with which sums of
        a first layer are exact in any order; or small integers where a model takes
        integers.
    """
    args, kwargs, _ = symbolic_inputs(model, input_shape)
    rng = np.random.default_rng(0)
    samples = []
    for tensor in keras.tree.flatten((args, kwargs)):
        shape = (count, *tensor.shape[1:])
        if "float" in tensor.dtype:
            values = rng.integers(-256, 257, size=shape) / 256
        else:
            values = rng.integers(0, 2, size=shape)
        samples.append(values.astype(tensor.dtype))
    return samples


def check_are_arrays(samples):
    """Check that the inputs to compare on are arrays of numbers, of any shape.

    Args:
        samples: What a user has given.

    Raises:
        TypeError: They are something else.
    """
    if samples is None:
        return
    kinds = set()
    for leaf in keras.tree.flatten(samples):
        if not hasattr(leaf, "shape"):
            kinds.add(type(leaf).__name__)
        elif isinstance(leaf, np.ndarray) and leaf.dtype.kind in "OSUcmM":
            kinds.add(str(leaf.dtype))
    if kinds:
        raise TypeError(
            "`sample_inputs` must be an array of numbers, or a list or dict with one "
            f"for each input. Received: {type(samples).__name__} of "
            f"{', '.join(sorted(kinds))}. Example: sample_inputs=x_test[:100]."
        )


def check_samples(model: keras.Model, samples, input_shape=None):
    """Check the inputs that a user has given to compare on.

    Args:
        model: The model.
        samples: Array, or list or dict of arrays, of finite numbers; or None.
        input_shape: As for `convert`.

    Returns:
        An array for each input, or None.

    Raises:
        TypeError: They are not arrays of numbers.
        ValueError: They are not what the model takes, or not finite.
    """
    if samples is None:
        return None
    check_are_arrays(samples)
    args, kwargs, _ = symbolic_inputs(model, input_shape)
    expected = keras.tree.flatten((args, kwargs))
    if isinstance(samples, dict):
        names = input_names(model, expected)
        if set(names) == set(samples):
            samples = [samples[name] for name in names]
    arrays = [np.asarray(x) for x in keras.tree.flatten(samples)]
    fits = len(arrays) == len(expected) and all(
        array.ndim == len(tensor.shape)
        and array.shape[1:] == tuple(tensor.shape[1:])
        and len(array) == len(arrays[0]) > 0
        for array, tensor in zip(arrays, expected, strict=False)
    )
    if not fits:
        raise ValueError(
            "`sample_inputs` must hold at least one sample for each input, of shapes "
            f"{[('samples', *tensor.shape[1:]) for tensor in expected]}. Received: "
            f"{[array.shape for array in arrays]}."
        )
    with np.errstate(over="ignore", invalid="ignore"):
        cast = [
            array.astype(tensor.dtype)
            for array, tensor in zip(arrays, expected, strict=True)
        ]
    if not all(np.isfinite(array).all() for array in (*arrays, *cast)):
        raise ValueError(
            "`sample_inputs` must be finite; with NaN or infinity no output can be "
            "compared. Leave those samples out."
        )
    return cast


def verify(
    model: keras.Model,
    content: bytes,
    placed: list[Placed],
    samples: list[np.ndarray],
    input_shape=None,
    has_packed: bool = True,
) -> Verification:
    """Compare a file with Keras, without the delegate and, where it is there, with it.

    Args:
        model: The model, on the TensorFlow backend.
        content: The file.
        placed: The composites of its first subgraph, in order.
        samples: An array for each input.
        input_shape: As for `convert`.
        has_packed: Whether there is anything that the delegate computes.

    Returns:
        What was compared.

    Raises:
        ConversionError: The file computes something else; it names the layer.
    """
    args, kwargs, _ = symbolic_inputs(model, input_shape)
    inputs = keras.tree.pack_sequence_as((args, kwargs), samples)
    decided = decisions_of_keras(model, *inputs)
    names = input_names(model, keras.tree.flatten((args, kwargs)))
    named = dict(zip(names, samples, strict=True))
    compared = _Run(content, named, None).compare(placed, decided, "the decomposition")
    library = delegate.load_if_usable() if has_packed else None
    if library is None:
        return compared
    with_delegate = _Run(content, named, library).compare(
        placed, decided, "the delegate"
    )
    return dataclasses.replace(
        compared,
        near_ties=max(compared.near_ties, with_delegate.near_ties),
        left_out=max(compared.left_out, with_delegate.left_out),
        largest_difference=max(
            compared.largest_difference, with_delegate.largest_difference
        ),
        same_classes=min(compared.same_classes, with_delegate.same_classes),
        delegate=delegate.implementation(),
    )


class _Run:
    """One run of a file that keeps the tensors between its operations."""

    def __init__(self, content, inputs, library):
        with warnings.catch_warnings(), held_back_errors():
            warnings.filterwarnings("ignore", ".*preserve_all_tensors.*")
            self.interpreter = Interpreter(
                model_content=content,
                experimental_delegates=None if library is None else [library],
                experimental_preserve_all_tensors=True,
                num_threads=1,
            )
            details = self.interpreter.get_signature_list()[SIGNATURE]
            runner = self.interpreter.get_signature_runner(SIGNATURE)
            # The converter drops inputs that nothing needs.
            kept = {k: v for k, v in inputs.items() if k in details["inputs"]}
            self.outputs = runner(**kept)

    def compare(self, placed, decided, by):
        """Compare with Keras."""
        signs = [
            FoundSigns(one.chain.mark.path, self.is_negative(one))
            for one in placed
            if one.chain.is_binary
        ]
        last = placed[-1].chain.mark.path if placed else None
        return compare_with_keras(signs, self.outputs, decided, by, last)

    def is_negative(self, placed):
        """Return where the inputs of a composite are negative."""
        values = self.interpreter.get_tensor(placed.operator.inputs[0])
        if placed.composite.input == BITS:
            values = unpack_bits(values, placed.composite.in_channels)
        return values < 0


def compare_with_keras(
    signs: Sequence[FoundSigns],
    found_outputs: dict[str, np.ndarray],
    decided: tuple[list[Decisions], dict[str, np.ndarray], np.ndarray],
    by: str,
    last: str | None = None,
) -> Verification:
    """Compare sign by sign, in the order of the layers, then the outputs.

    Args:
        signs: What the converted model takes the signs of, in order.
        found_outputs: Its outputs by name.
        decided: What `decisions_of_keras` returns.
        by: What has computed them, as the end of "computed by".
        last: Path of the last layer that takes signs; by default the last of `signs`.

    Returns:
        What was compared.

    Raises:
        ConversionError: The converted model computes something else.
    """
    decisions, outputs, step_ties = decided
    if last is None and signs:
        last = signs[-1].path
    samples = len(next(iter(outputs.values())))
    # A sample in which a tie fell the other way is of no use further on.
    alike = np.ones(samples, bool)
    compared = near_ties = 0
    for mine, theirs in _pairs(decisions, signs):
        values = theirs.values.reshape(samples, -1)
        is_negative = mine.is_negative.reshape(samples, -1)
        differs = (is_negative != (values < 0)) & alike[:, np.newaxis]
        ties = theirs.near_zero.reshape(samples, -1)
        ties = ties | theirs.ties_before[:, np.newaxis]
        if (differs & ~ties).any():
            raise ConversionError(
                f"Layer '{theirs.path}' would compute with other signs than in Keras: "
                f"{int((differs & ~ties).sum()):,} of {values[alike].size:,} differ, "
                f"computed by {by}. No file was written. Please report this with the "
                "model; training and `kerasbnn.audit` are not affected.",
                theirs.path,
            )
        compared += int(alike.sum()) * values.shape[1]
        near_ties += int(differs.sum())
        alike &= ~differs.any(axis=1)
    for name, expected in outputs.items():
        found = found_outputs[name].reshape(expected.shape)
        with np.errstate(invalid="ignore"):
            fits = np.abs(found - expected) <= _bound(expected)
        fallen = step_ties & alike & ~fits.reshape(samples, -1).all(axis=1)
        near_ties += int(fallen.sum())
        alike &= ~fallen
    largest, same = 0.0, alike.copy()
    for name, expected in outputs.items():
        found = found_outputs[name].reshape(expected.shape)
        if not alike.any():
            break
        with np.errstate(invalid="ignore"):
            difference = np.abs(found[alike] - expected[alike])
        largest = max(largest, float(difference.max(initial=0.0)))
        bound = _bound(expected)
        if not difference.max(initial=0.0) <= bound:
            raise ConversionError(
                f"Output '{name}' would differ from that of Keras by "
                f"{difference.max():.3g}, computed by {by}, while all signs before it "
                f"are the same; expected at most {bound:.3g}. No file was written. "
                "Look at the layers after the last binary one"
                + (f", '{last}'." if last else "."),
                last,
            )
        axis = tuple(range(1, expected.ndim))
        if axis:
            flat = found.reshape(samples, -1), expected.reshape(samples, -1)
            same &= flat[0].argmax(axis=1) == flat[1].argmax(axis=1)
    return Verification(
        samples=samples,
        decisions=compared,
        near_ties=near_ties,
        left_out=int((~alike).sum()),
        largest_difference=largest,
        same_classes=float(same.sum() / max(1, alike.sum())),
    )


def _bound(expected):
    return TOLERANCE * max(1.0, float(np.abs(expected).max(initial=0.0)))


def _pairs(decisions, signs):
    """Pair what a converted model decides with the calls of layers, in order."""
    waiting = list(decisions)
    for mine in signs:
        theirs = next((d for d in waiting if d.path == mine.path), None)
        if theirs is not None:
            waiting.remove(theirs)
            yield mine, theirs
