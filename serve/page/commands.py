"""Commands of a shell that ask a model."""

import json
import math
import shlex
from collections.abc import Iterable

import numpy as np

from ..models.tensor_spec import TensorSpec

# Values that are written out; of more, a line of Python makes the body.
MOST_WRITTEN = 64


def predict_command(url: str, file: str = "digit.png") -> str:
    """Return a command that sends an image.

    Args:
        url: Address of the model in the API.
        file: Name of the image.

    Returns:
        A line for a POSIX shell.

    Example:
        >>> from kerasbnn.serve.page.commands import predict_command
        >>> predict_command("http://127.0.0.1:8000/v2/models/digits")
        'curl -F image=@digit.png http://127.0.0.1:8000/v2/models/digits/predict'
    """
    return f"curl -F image=@{shlex.quote(file)} {shlex.quote(f'{url}/predict')}"


def infer_command(url: str, inputs: Iterable[TensorSpec]) -> str:
    """Return a command that sends one row of zeros.

    Args:
        url: Address of the model in the API.
        inputs: What the model takes; sizes that are open become 1.

    Returns:
        A line for a POSIX shell; it needs `python3` where there are many zeros.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.serve.models.tensor_spec import TensorSpec
        >>> from kerasbnn.serve.page.commands import infer_command
        >>> x = TensorSpec("x", "FP32", np.dtype("float32"), (-1, 2))
        >>> command = infer_command("http://a/v2/models/net", [x])
        >>> command.partition(" -d ")[0]
        'curl http://a/v2/models/net/infer'
        >>> print(command.partition(" -d ")[2])  # doctest: +NORMALIZE_WHITESPACE
        '{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32",
        "data": [0, 0]}]}'
    """
    address = shlex.quote(f"{url}/infer")
    inputs = list(inputs)
    if sum(math.prod(_shape(spec)) for spec in inputs) <= MOST_WRITTEN:
        return f"curl {address} -d {shlex.quote(_body(inputs, _written))}"
    program = f"import json; print(json.dumps({_body(inputs, _repeated)}))"
    return f"python3 -c {shlex.quote(program)} | curl {address} -d @-"


def _body(inputs, data):
    tensors = ", ".join(
        f'{{"name": {json.dumps(spec.name)}, "shape": {json.dumps(_shape(spec))}, '
        f'"datatype": "{spec.datatype}", "data": {data(spec)}}}'
        for spec in inputs
    )
    return f'{{"inputs": [{tensors}]}}'


def _shape(spec):
    return [1 if size < 0 else size for size in spec.shape]


def _written(spec):
    zero = False if spec.dtype == np.bool_ else 0
    return json.dumps([zero] * math.prod(_shape(spec)))


def _repeated(spec):
    return f"[{False if spec.dtype == np.bool_ else 0}] * {math.prod(_shape(spec))}"
