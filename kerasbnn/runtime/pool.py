"""LiteRT's interpreters of one file, one for each call that runs at the same time."""

import threading
from collections.abc import Callable, Sequence

import numpy as np

from kerasbnn.runtime.errors import ModelError
from kerasbnn.runtime.model_file import Signature


class Runner:
    """One interpreter of LiteRT, which remembers the shapes that it is ready for.

    Args:
        litert: The interpreter.
    """

    def __init__(self, litert):
        self.litert = litert
        self.shapes: tuple | None = None

    def run(
        self, signature: Signature, arrays: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Run a signature.

        Args:
            signature: The signature.
            arrays: An array for each of its inputs.

        Returns:
            An array for each of its outputs, not shared with LiteRT.

        Raises:
            ModelError: LiteRT refuses to run the file on these shapes.
        """
        try:
            if signature.subgraph:
                return self._run_other_subgraph(signature, arrays)
            litert, inputs = self.litert, signature.inputs.values()
            shapes = tuple([array.shape for array in arrays])
            if shapes != self.shapes:
                self.shapes = None
                for spec, shape in zip(inputs, shapes, strict=True):
                    litert.resize_tensor_input(spec.index, shape)
                litert.allocate_tensors()
                self.shapes = shapes
            for spec, array in zip(inputs, arrays, strict=True):
                litert.set_tensor(spec.index, array)
            litert.invoke()
            outputs = signature.outputs.values()
            return [litert.get_tensor(spec.index) for spec in outputs]
        except (RuntimeError, ValueError) as error:
            self.shapes = None
            raise ModelError(
                f"LiteRT cannot run the file on inputs of the shapes "
                f"{[array.shape for array in arrays]}: {_in_one_line(error)} If the "
                "shapes are those that `signatures` lists, the file is damaged or "
                "needs another version of ai-edge-litert."
            ) from error

    def _run_other_subgraph(self, signature, arrays):
        # LiteRT's own functions reach the first subgraph only.
        run = self.litert.get_signature_runner(signature.name)
        outputs = run(**dict(zip(signature.inputs, arrays, strict=True)))
        return [outputs[name] for name in signature.outputs]


class Pool:
    """Runners of one file; as many as have been in use at the same time.

    Args:
        make: Makes a runner.

    Attributes:
        is_closed: Whether `close` has been called.
    """

    def __init__(self, make: Callable[[], Runner]):
        self._make = make
        self._idle = [make()]
        self._lock = threading.Lock()
        self.is_closed = False

    def take(self, shapes=None) -> Runner:
        """Take a runner, preferably one that is ready for the shapes.

        Args:
            shapes: Tuple with the shape of each input, or None.

        Returns:
            A runner that is the caller's until it gives it back.

        Raises:
            RuntimeError: The pool is closed.
        """
        with self._lock:
            self.check_open()
            ready = [r for r in self._idle if r.shapes == shapes]
            if self._idle:
                runner = ready[-1] if ready else self._idle[-1]
                self._idle.remove(runner)
                return runner
        return self._make()

    def give_back(self, runner: Runner):
        """Give a runner back."""
        with self._lock:
            if not self.is_closed:
                self._idle.append(runner)

    def check_open(self):
        """Raise a RuntimeError where the pool is closed."""
        if self.is_closed:
            raise RuntimeError(
                "This Interpreter is closed. Make another one, or call `close()` (or "
                "leave the `with` block) after the last use."
            )

    def close(self):
        """Free the runners; one in use is freed when it is given back."""
        with self._lock:
            self.is_closed = True
            self._idle = []


def _in_one_line(error):
    return " ".join(str(error).split()).rstrip(".") + "."
