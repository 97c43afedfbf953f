"""Runs a `.tflite` file."""

import os
from collections.abc import Mapping
from typing import Any

import ai_edge_litert.interpreter as litert
import numpy as np

from kerasbnn.runtime import delegate as native
from kerasbnn.runtime.errors import ModelError
from kerasbnn.runtime.inputs import checked_batch_size, checked_inputs, parts_of
from kerasbnn.runtime.model_file import (
    Signature,
    check_beginning,
    read_model_file,
)
from kerasbnn.runtime.pool import Pool, Runner
from kerasbnn.runtime.self_test import taken_by_delegate

# Larger batches bring no speed, but take memory.
BATCH_SIZE = 32


class Interpreter:
    """Runs a `.tflite` file: those of `kerasbnn.convert`, and any other.

    Binary layers are computed on their bits by kerasbnn's native delegate. Where that
    is missing, LiteRT computes the same numbers with its own operations, slower, and
    one warning says so; `kerasbnn.runtime.status()` tells what is in use.

    An interpreter may be used by several threads at once: calls that run at the same
    time use an interpreter of LiteRT each, with memory for weights and activations of
    its own.

    A damaged file is refused where LiteRT's verifier or the checks of kerasbnn's layers
    can see the damage. A changed weight cannot be told from another weight.

    Args:
        path: Path of the file, or its bytes.
        num_threads: Threads that one call uses, an integer from 1.
        delegate: Whether to use the native delegate where it is there.

    Raises:
        ModelError: The file is not a `.tflite` file, is damaged, or holds an operation
            that LiteRT does not have.
        DelegateError: The environment variable `KERASBNN_FORCE_IMPLEMENTATION` asks for
            an implementation that cannot be had.
        OSError: The file cannot be read.
        TypeError: An argument is of a wrong type.
        ValueError: `num_threads` is below 1.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.runtime import Interpreter
        >>> from kerasbnn.runtime.self_test import content
        >>> with Interpreter(content(), delegate=False) as model:
        ...     print(model.input_shape["x"])
        ...     image, residual = np.zeros((2, 13, 13, 5)), np.zeros((2, 6, 6, 40))
        ...     outputs = model.predict({"x": image, "residual_2": residual})
        (None, 13, 13, 5)
        >>> outputs["y_5"].shape
        (2, 5)
    """

    def __init__(self, path, num_threads: int = 1, *, delegate: bool = True):
        if isinstance(num_threads, bool) or not isinstance(num_threads, int):
            raise TypeError(
                f"`num_threads` must be an integer. Received: {num_threads!r}."
            )
        if num_threads < 1:
            raise ValueError(f"`num_threads` must be at least 1, not {num_threads}.")
        self._content, self._source = _read(path)
        self._num_threads = num_threads
        check_beginning(self._content, self._source)
        # LiteRT verifies the structure before anything else looks at it.
        with _refused(self._source):
            litert.Interpreter(model_content=self._content)
        self._file = read_model_file(self._content, self._source)
        self._delegate = None
        if delegate and self._file.composites:
            self._delegate = native.load_if_usable()
            if self._delegate is None:
                native.warn_of_missing_delegate()
        self._pool = Pool(self._make_runner)
        self._delegated = self._find_delegated()

    def predict(
        self, x, *, batch_size: int = BATCH_SIZE, signature: str | None = None
    ) -> Any:
        """Compute the outputs of the file.

        Args:
            x: Array `(batch, ...)` of finite real numbers of any dtype, as the model
                was trained on: the normalization in `metadata` is not applied. For
                several inputs a dict of arrays by name, or a list in the order of
                `signatures`.
            batch_size: Samples that are computed at once, an integer from 1. A larger
                `x` is computed in parts.
            signature: Which one to run; None for `"serving_default"`, or the first.

        Returns:
            Array `(batch, ...)`, or for several outputs a dict of arrays by name.

        Raises:
            ValueError: Number, names or shapes of the inputs are not those of the file.
            TypeError: A dtype is not.
            ModelError: LiteRT cannot run the file on such inputs.
            RuntimeError: The interpreter is closed.
        """
        self._pool.check_open()
        chosen = self._signature(signature)
        arrays = checked_inputs(x, chosen)
        parts = parts_of(arrays, chosen, checked_batch_size(batch_size))
        runner = self._pool.take(tuple([array.shape for array in parts[0]]))
        try:
            results = [runner.run(chosen, part) for part in parts]
        finally:
            self._pool.give_back(runner)
        outputs = results[0]
        if len(results) > 1:
            outputs = [_joined(pieces) for pieces in zip(*results, strict=True)]
        elif arrays and arrays[0].ndim and not len(arrays[0]):
            outputs = [values[:0] for values in outputs]
        if len(outputs) == 1:
            return outputs[0]
        return dict(zip(chosen.outputs, outputs, strict=True))

    def compute(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute the outputs of inputs that have been checked, as one batch.

        `predict` checks and splits what it is given, which takes longer than to run a
        small file.

        Args:
            arrays: For each input of the default signature a C-contiguous array of
                its dtype and shape, all with as many samples, at least one.

        Returns:
            Arrays by name.

        Raises:
            ModelError: LiteRT cannot run the file on such inputs.
            RuntimeError: The interpreter is closed.
        """
        signature = self._signature(None)
        parts = [arrays[name] for name in signature.inputs]
        runner = self._pool.take(tuple([part.shape for part in parts]))
        try:
            outputs = runner.run(signature, parts)
        finally:
            self._pool.give_back(runner)
        return dict(zip(signature.outputs, outputs, strict=True))

    @property
    def signatures(self) -> dict[str, Signature]:
        """The ways to run the file: inputs and outputs of each, by name."""
        return dict(self._file.signatures)

    @property
    def metadata(self) -> dict[str, Any]:
        """What `kerasbnn.convert` was told: name, labels, ...; {} for other files."""
        return dict(self._file.metadata)

    @property
    def input_shape(self):
        """Shape of the input, None for the batch; for several a dict by name."""
        return _shapes(self._signature(None).inputs)

    @property
    def output_shape(self):
        """Shape of the output, None for the batch; for several a dict by name."""
        return _shapes(self._signature(None).outputs)

    @property
    def composites(self) -> tuple[str, ...]:
        """Names of the outputs of the file's binary layers."""
        return tuple(placed.label for placed in self._file.composites)

    @property
    def delegated(self) -> tuple[str, ...]:
        """Those of `composites` that the native delegate computes."""
        return self._delegated

    def close(self):
        """Free the memory; a call that is running ends as usual."""
        self._pool.close()

    def __enter__(self):
        self._pool.check_open()
        return self

    def __exit__(self, *exception):
        self.close()

    def __repr__(self):
        count, taken = len(self.composites), len(self.delegated)
        state = f"{taken} of {count} binary layers by the delegate"
        if self._pool.is_closed:
            state = "closed"
        return (
            f"<kerasbnn Interpreter of {self._source}: {self._signature(None)}, "
            f"{state}>"
        )

    def _make_runner(self):
        with _refused(self._source):
            interpreter = litert.Interpreter(
                model_content=self._content,
                num_threads=self._num_threads,
                experimental_delegates=self._delegate and [self._delegate],
            )
            interpreter.allocate_tensors()
        return Runner(interpreter)

    def _find_delegated(self):
        runner = self._pool.take()
        taken = taken_by_delegate(runner.litert)
        self._pool.give_back(runner)
        # LiteRT lists the operations of the first subgraph only.
        return tuple(
            placed.label
            for placed in self._file.composites
            if self._delegate is not None
            and (placed.subgraph or placed.output in taken)
        )

    def _signature(self, name):
        found = self._file.signatures
        if name is None:
            return found.get("serving_default") or next(iter(found.values()))
        if name not in found:
            raise ValueError(
                f"The file has no signature {name!r}. Expected one of {list(found)}."
            )
        return found[name]


class _refused:
    """Turns what LiteRT says of a file into a `ModelError`."""

    def __init__(self, source):
        self._source = source

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if not isinstance(error, (RuntimeError, ValueError)):
            return
        text = " ".join(str(error).split())
        if "not a valid Flatbuffer" in text:
            raise ModelError(
                f"{self._source}: the file is damaged or cut short (it has a wrong "
                "structure). Copy or convert it again."
            ) from error
        if "unresolved custom op" in text:
            raise ModelError(
                f"{self._source} needs an operation that is not built into LiteRT: "
                f"{text}. Convert the model without it, or run it with the interpreter "
                "that has it."
            ) from error
        raise ModelError(
            f"{self._source}: LiteRT refuses the file: {text}. It is damaged, or needs "
            "a later ai-edge-litert: pip install --upgrade ai-edge-litert."
        ) from error


def _read(path):
    if isinstance(path, (bytes, bytearray, memoryview)):
        return bytes(path), "The given bytes"
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            "`path` must be the path of a .tflite file, or its bytes. Received: "
            f"{path!r} of type {type(path).__name__}."
        )
    with open(path, "rb") as file:
        return file.read(), f"'{os.fspath(path)}'"


def _joined(pieces):
    if not pieces[0].ndim:
        raise ValueError(
            "An output has no batch axis, so that parts of a batch cannot be put "
            "together. Pass `batch_size=len(x)`."
        )
    return np.concatenate(pieces)


def _shapes(specs):
    shapes = {name: spec.shape for name, spec in specs.items()}
    return next(iter(shapes.values())) if len(shapes) == 1 else shapes
