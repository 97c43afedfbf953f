"""One composite in the native library, by its C interface and without LiteRT."""

import ctypes
import os

import numpy as np
from flatbuffers import flexbuffers

from kerasbnn.runtime import delegate_path
from kerasbnn.runtime.composites import BITS


class NativeError(ValueError):
    """What the library says that is wrong."""


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("is_float", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("dims", ctypes.POINTER(ctypes.c_int32)),
        ("data", ctypes.c_void_p),
        ("bytes", ctypes.c_int64),
    ]


def library_path():
    """Return where the library is: CI names one that is built with sanitizers."""
    return os.environ.get("KERASBNN_TEST_LIBRARY") or delegate_path()


def load_library():
    """Load the native library, with the types of its functions."""
    library = ctypes.CDLL(library_path())
    library.kerasbnn_implementations.restype = ctypes.c_char_p
    library.kerasbnn_operation_create.restype = ctypes.c_void_p
    library.kerasbnn_operation_create.argtypes = [
        *(ctypes.c_char_p,) * 3,
        ctypes.c_size_t,
        ctypes.c_char_p,
        ctypes.c_size_t,
    ]
    library.kerasbnn_operation_prepare.argtypes = [
        ctypes.c_void_p,
        ctypes.POINTER(_Tensor),
        ctypes.c_int,
        ctypes.POINTER(ctypes.c_int32),
        ctypes.c_char_p,
        ctypes.c_size_t,
    ]
    library.kerasbnn_operation_run.argtypes = [ctypes.c_void_p] * 4
    library.kerasbnn_operation_run.restype = None
    library.kerasbnn_operation_set_threads.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.kerasbnn_operation_set_threads.restype = None
    library.kerasbnn_operation_destroy.argtypes = [ctypes.c_void_p]
    library.kerasbnn_operation_destroy.restype = None
    return library


def implementations():
    """Return the names of those that this processor can run."""
    return load_library().kerasbnn_implementations().decode().split(",")


class NativeOperation:
    """A composite at work.

    Args:
        composite: A `Composite`, or a dict of attributes.
        implementation: Name of an implementation.
        name: Name of the composite, where attributes are given.
    """

    def __init__(self, composite, implementation, name=None):
        self._library = load_library()
        self._text = ctypes.create_string_buffer(500)
        attributes = composite if name else composite.attributes()
        packed = bytes(flexbuffers.Dumps(attributes))
        self._handle = self._library.kerasbnn_operation_create(
            implementation.encode(),
            (name or composite.name).encode(),
            packed,
            len(packed),
            self._text,
            len(self._text),
        )
        if not self._handle:
            raise NativeError(self._text.value.decode())
        self.yields_bits = (
            attributes["output"] == BITS if name else (composite.output == BITS)
        )

    def prepare(self, arrays):
        """Get ready for x, filters, scale, bias and perhaps a residual."""
        self._arrays = arrays
        tensors = (_Tensor * len(arrays))()
        shapes = []
        for tensor, array in zip(tensors, arrays, strict=True):
            shapes.append((ctypes.c_int32 * array.ndim)(*array.shape))
            tensor.is_float = array.dtype == np.float32
            tensor.rank, tensor.dims = array.ndim, shapes[-1]
            tensor.data, tensor.bytes = array.ctypes.data, array.nbytes
        dims = (ctypes.c_int32 * 4)()
        rank = self._library.kerasbnn_operation_prepare(
            self._handle, tensors, len(arrays), dims, self._text, len(self._text)
        )
        if not rank:
            raise NativeError(self._text.value.decode())
        dtype = np.uint8 if self.yields_bits else np.float32
        # Filled with what no right result leaves there.
        self.output = np.full(dims[:rank], 170 if self.yields_bits else np.nan, dtype)
        return self.output.shape

    def set_threads(self, threads):
        """Share the work of large layers among so many threads."""
        self._library.kerasbnn_operation_set_threads(self._handle, threads)

    def run(self):
        """Compute once; return the output, which the next run overwrites."""
        residual = self._arrays[4].ctypes.data if len(self._arrays) > 4 else None
        self._library.kerasbnn_operation_run(
            self._handle,
            self._arrays[0].ctypes.data,
            residual,
            self.output.ctypes.data,
        )
        return self.output

    def __call__(self, *arrays):
        arrays = [np.ascontiguousarray(array) for array in arrays if array is not None]
        self.prepare(arrays)
        return self.run()

    def close(self):
        """Free it."""
        if getattr(self, "_handle", None):
            self._library.kerasbnn_operation_destroy(self._handle)
            self._handle = None

    def __del__(self):
        self.close()
