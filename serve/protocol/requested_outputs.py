"""Which outputs a request asks for, and how."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ..errors import ServiceError
from .checks import optional, refuse_shared_memory, shown


@dataclass(slots=True)
class RequestedOutput:
    """An output that a request asks for.

    Attributes:
        name: Its name.
        binary: Whether it is to be binary data.
        classes: How many of the best classes are to be named; 0 asks for the values.
    """

    name: str
    binary: bool
    classes: int = 0


def requested_outputs(
    document: dict[str, Any], known: Collection[str] | None, binary: bool
) -> list[RequestedOutput] | None:
    """Return the outputs that a request asks for.

    Args:
        document: The request.
        known: Names that it may ask for; None for any.
        binary: Whether they are binary data where the request does not say.

    Returns:
        The outputs, or None where it asks for none, which means all.

    Raises:
        ServiceError: There is no such output, or it is asked for twice; 400.
    """
    wanted = optional(document, "outputs", list, "the request")
    if not wanted:
        return None
    outputs: dict[str, RequestedOutput] = {}
    for output in wanted:
        name = output.get("name") if type(output) is dict else None
        if type(name) is not str:
            raise ServiceError(
                400,
                "Each of 'outputs' must be an object with a name. Received: "
                f"{shown(output)}.",
            )
        if known is not None and name not in known:
            raise ServiceError(
                400,
                f"The model has no output {shown(name)}. It has "
                f"{', '.join(repr(each) for each in known)}.",
            )
        if name in outputs:
            raise ServiceError(400, f"Output {shown(name)} is asked for twice.")
        outputs[name] = _requested(name, output, binary)
    return list(outputs.values())


def _requested(name, output, binary):
    where = f"output {shown(name)}"
    parameters = optional(output, "parameters", dict, where)
    if not parameters:
        return RequestedOutput(name, binary)
    refuse_shared_memory(parameters, f"Output {shown(name)}")
    chosen = optional(parameters, "binary_data", bool, where)
    classes = parameters.get("classification", 0)
    if type(classes) is not int or classes < 0:
        raise ServiceError(
            400,
            f"'classification' of {where} must be a number of classes from 1. "
            f"Received: {shown(classes)}.",
        )
    return RequestedOutput(name, binary if chosen is None else chosen, classes)
