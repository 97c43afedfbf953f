"""What the service refuses, in words and as a status of HTTP."""

from collections.abc import Mapping


class ServiceError(Exception):
    """A request that is refused, or cannot be answered now.

    Its answer is `{"error": message}`.

    Args:
        status: Status of HTTP, from 400 on.
        message: What happened, what was expected, and how to mend it.
        headers: Further headers of the answer.

    Example:
        >>> from kerasbnn.serve.errors import ServiceError
        >>> ServiceError(503, "The queue is full.", {"Retry-After": "1"}).status
        503
    """

    def __init__(
        self, status: int, message: str, headers: Mapping[str, str] | None = None
    ):
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})
