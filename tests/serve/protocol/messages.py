"""Requests to infer, written by hand."""

import json

import numpy as np

LENGTH = "Inference-Header-Content-Length"


def tensor(name, array, datatype, **entries):
    """Describe an input without its values."""
    return {
        "name": name,
        "shape": list(array.shape),
        "datatype": datatype,
        **entries,
    }


def json_request(inputs, nested=False, **entries) -> bytes:
    """Write a request as JSON.

    Args:
        inputs: Datatype and array of each input, by name.
        nested: Whether data is nested like the shape.
        **entries: What else the request has.
    """
    tensors = [
        tensor(
            name, array, datatype, data=(array if nested else array.ravel()).tolist()
        )
        for name, (datatype, array) in inputs.items()
    ]
    return json.dumps({"inputs": tensors, **entries}).encode()


def binary_request(inputs, **entries) -> tuple[bytes, dict[str, str]]:
    """Write a request as binary data, and its headers."""
    tensors = [
        tensor(name, array, datatype, parameters={"binary_data_size": array.nbytes})
        for name, (datatype, array) in inputs.items()
    ]
    header = json.dumps({"inputs": tensors, **entries}).encode()
    content = b"".join(array.tobytes() for _, array in inputs.values())
    return header + content, {LENGTH: str(len(header))}


def arrays_of(content: bytes, length: str | None, dtypes) -> dict[str, np.ndarray]:
    """Read the outputs of an answer.

    Args:
        content: The answer.
        length: Its header with the bytes of the JSON, or None.
        dtypes: A dtype for each datatype.
    """
    end = len(content) if length is None else int(length)
    arrays, start = {}, end
    for output in json.loads(content[:end])["outputs"]:
        dtype = dtypes[output["datatype"]]
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            values = np.array(output["data"], dtype)
        else:
            values = np.frombuffer(content[start : start + size], dtype)
            start += size
        arrays[output["name"]] = values.reshape(output["shape"])
    assert start == len(content)
    return arrays
