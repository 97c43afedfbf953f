"""Finds the image in the body of a request, however it was sent."""

import base64
import binascii

import orjson

from ..errors import ServiceError
from ..protocol.documents import number_of_values
from .multipart import field_of_form

FIELD = "image"
WAYS = (
    "Send a PNG or JPEG file as it is (Content-Type: image/png), in a form with the "
    f"field '{FIELD}' (multipart/form-data), or in base64 as JSON: "
    f'{{"{FIELD}": "..."}}.'
)

MOST_VALUES = 10_000
"""How many values JSON with an image may have; base64 is one."""

# What clients say where nobody told them the type, such as `curl --data-binary`.
_UNTOLD = ("", "application/octet-stream", "application/x-www-form-urlencoded")


def uploaded_image(body: bytes, content_type: str) -> bytes:
    """Return the image file that a request holds.

    Args:
        body: Body of the request, decompressed.
        content_type: Its type, as the request says, or "".

    Returns:
        The content of the file, whatever it is.

    Raises:
        ServiceError: There is none (400), the type is one that holds none (415), or
            there is far more beside it (413).

    Example:
        >>> from kerasbnn.serve.prediction.uploads import uploaded_image
        >>> uploaded_image(b'{"image": "data:image/png;base64,iVBORw0K"}', "")[1:4]
        b'PNG'
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return field_of_form(body, content_type, FIELD)
    is_untold = kind in _UNTOLD
    if kind == "application/json" or (is_untold and body.lstrip()[:1] == b"{"):
        return _from_json(body)
    if is_untold or kind.startswith("image/"):
        return body
    raise ServiceError(415, f"The body is of the type '{kind[:100]}'. {WAYS}")


def _from_json(body):
    found = number_of_values(body)
    if found > MOST_VALUES:
        raise ServiceError(
            413, f"The JSON has about {found} values, expected one. {WAYS}"
        )
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ServiceError(400, f"The body is no JSON: {error}. {WAYS}") from error
    text = values.get(FIELD) if isinstance(values, dict) else None
    if not isinstance(text, str):
        raise ServiceError(
            400, f"The JSON has no string '{FIELD}', the image in base64. {WAYS}"
        )
    if text.startswith("data:"):
        head, comma, text = text.partition(",")
        if not comma or not head.endswith(";base64"):
            raise ServiceError(
                400,
                f"'{FIELD}' is a data: URL, but not in base64. Expected "
                "data:image/png;base64,...",
            )
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ServiceError(
            400, f"'{FIELD}' is no base64: {str(error).rstrip('.')}. {WAYS}"
        ) from error
