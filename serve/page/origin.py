"""Tells whether a form was sent from a page of this service."""

from collections.abc import Mapping

from ..errors import ServiceError

_OWN = ("same-origin", "none")


def check_origin(headers: Mapping[str, str]):
    """Refuse a form that a page of another site has sent, with the keys of a browser.

    What is no browser sends neither of the headers that are looked at, and passes.

    Args:
        headers: Headers of the request, with names in any case.

    Raises:
        ServiceError: Another site has sent it; 403.

    Example:
        >>> from kerasbnn.serve.page.origin import check_origin
        >>> check_origin({"sec-fetch-site": "same-origin"})
        >>> check_origin({"origin": "http://a.test:80", "host": "a.test:80"})
    """
    site = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    if site is not None:
        is_own = site in _OWN
    else:
        is_own = origin is None or origin.partition("://")[2] == headers.get("host")
    if not is_own:
        raise ServiceError(
            403,
            "The form was sent by a page of another site. Open the page of the model "
            "here, and send it again.",
        )
