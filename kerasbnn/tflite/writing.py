"""Packs the schema's objects into the bytes of a file, without repeating any."""

import flatbuffers
import numpy as np

IDENTIFIER = b"TFL3"

# What the schema asks for the contents of buffers.
_BUFFER_ALIGNMENT = 16


def packed_model(model) -> bytes:
    """Return the bytes of a `.tflite` file.

    Args:
        model: A `ModelT`; lists of tensors in it become arrays.

    Returns:
        The bytes, always the same for the same model.
    """
    for subgraph in model.subgraphs:
        for owner in (subgraph, *subgraph.operators):
            for name in ("inputs", "outputs"):
                places = getattr(owner, name)
                if places is not None:
                    setattr(owner, name, np.asarray(places, np.int32))
    builder = _SharingBuilder(1 << 16)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


class _SharingBuilder(flatbuffers.Builder):
    """Stores the same vector once: shapes and lists of tensors recur in every layer."""

    def __init__(self, size):
        super().__init__(size)
        self._vectors = {}

    def CreateString(self, s, encoding="utf-8", errors="strict"):
        key = s.encode(encoding, errors) if isinstance(s, str) else bytes(s)
        if key not in self._vectors:
            self._vectors[key] = super().CreateString(key)
        return self._vectors[key]

    def CreateNumpyVector(self, x):
        key = (x.dtype.str, x.tobytes())
        if key not in self._vectors:
            if x.dtype == np.uint8:
                self.Prep(_BUFFER_ALIGNMENT, x.size)
            self._vectors[key] = super().CreateNumpyVector(x)
        return self._vectors[key]
