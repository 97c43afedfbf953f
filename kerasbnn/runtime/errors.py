"""What `kerasbnn.runtime` raises."""


class ModelError(ValueError):
    """A file that cannot be run: damaged, of another kind, or with unknown operations.

    It is a `ValueError`; its text says what is wrong and what to do.

    Example:
        >>> from kerasbnn.runtime import Interpreter, ModelError
        >>> try:
        ...     Interpreter(b"not a model")
        ... except ModelError as error:
        ...     print(str(error).partition(" Expected")[0])
        The given bytes are not a .tflite file.
    """


class DelegateError(RuntimeError):
    """The native delegate is missing, does not load, or computes something wrong."""
