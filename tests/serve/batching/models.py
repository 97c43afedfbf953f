"""Interpreters as the service runs them."""

from kerasbnn.serve.models.datatypes import datatype_of
from kerasbnn.serve.models.tensor_spec import TensorSpec


def run_of(model):
    """Return what computes all rows of its inputs at once."""
    names = list(next(iter(model.signatures.values())).outputs)

    def run(arrays):
        rows = max((len(a) for a in arrays.values() if a.ndim), default=1)
        outputs = model.predict(dict(arrays), batch_size=max(1, rows))
        return outputs if isinstance(outputs, dict) else {names[0]: outputs}

    return run


def specs_of(model):
    """Return the inputs of a file."""
    return {
        name: TensorSpec(
            name,
            datatype_of(spec.dtype),
            spec.dtype,
            tuple(-1 if size is None else size for size in spec.shape),
        )
        for name, spec in next(iter(model.signatures.values())).inputs.items()
    }
