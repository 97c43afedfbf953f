"""Reads a form that was sent with a file."""

from typing import TYPE_CHECKING

import python_multipart
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from ..errors import ServiceError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MOST_PARTS = 16


def field_of_form(body: bytes, content_type: str, name: str) -> bytes:
    r"""Return the content of a field of a form, in memory.

    Args:
        body: The form, as `multipart/form-data`.
        content_type: Its type, with the boundary.
        name: Name of the field.

    Returns:
        The content; of several fields of that name, that of the first.

    Raises:
        ServiceError: It is no such form, or has no such field; 400.

    Example:
        >>> from kerasbnn.serve.prediction.multipart import field_of_form
        >>> head = b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\n'
        >>> body = head + b"123\r\n--b--\r\n"
        >>> field_of_form(body, "multipart/form-data; boundary=b", "image")
        b'123'
    """
    form = _Form()
    try:
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise _refused("its Content-Type names no boundary")
        parser = python_multipart.MultipartParser(boundary, form.callbacks)
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise _refused(str(error).rstrip(".")) from error
    if not form.is_complete:
        raise _refused("it ends before its last boundary")
    if name not in form.fields:
        there = ", ".join(f"'{found[:40]}'" for found in form.fields) or "none"
        raise ServiceError(
            400,
            f"The form has no field '{name}'. It has: {there}. With curl: "
            f"-F {name}=@digit.png",
        )
    return form.fields[name]


class _Form:
    """Collects the fields as the parser finds them."""

    def __init__(self):
        self.fields: dict[str, bytes] = {}
        self.is_complete = False
        self._parts = 0
        self._header = b""
        self._value = b""
        self._name: str | None = None
        self._pieces: list[bytes] = []

    @property
    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._complete,
        }

    def _begin(self):
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise _refused(f"it has more than {MOST_PARTS} fields")
        self._name, self._pieces = None, []

    def _header_name(self, data, start, end):
        self._header += data[start:end]

    def _header_value(self, data, start, end):
        self._value += data[start:end]

    def _header_end(self):
        if self._header.lower() == b"content-disposition":
            name = parse_options_header(self._value)[1].get(b"name")
            self._name = None if name is None else name.decode("utf-8", "replace")
        self._header = self._value = b""

    def _data(self, data, start, end):
        self._pieces.append(data[start:end])

    def _end(self):
        if self._name is not None:
            self.fields.setdefault(self._name, b"".join(self._pieces))

    def _complete(self):
        self.is_complete = True


def _refused(reason):
    return ServiceError(
        400, f"The form cannot be read: {reason}. Send multipart/form-data."
    )
