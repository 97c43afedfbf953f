"""Renders pages, and says what they may load."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.staticfiles import StaticFiles

from kerasbnn._version import __version__
from kerasbnn.geometry.views.wording import percent

from .wording import with_code

HERE = Path(__file__).parent

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
# Swagger UI is a script that styles its own elements and draws icons from its style.
DOCUMENTATION_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self' "
    "'unsafe-inline'; img-src 'self' data:; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    # Without a referrer at all, a browser would not tell where a form comes from.
    "Referrer-Policy": "same-origin",
}


class Pages:
    """Renders the templates of this folder; what they are given is escaped."""

    def __init__(self):
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["percent"] = percent
        self._templates.filters["code"] = with_code

    def render(
        self,
        request: Request,
        template: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        policy: str = POLICY,
        **values: Any,
    ) -> Response:
        """Render a page.

        Args:
            request: The request.
            template: Name of the template.
            status: Status of the answer.
            headers: Further headers of the answer.
            policy: What the page may load.
            **values: What the template shows.

        Returns:
            The answer.
        """
        text = self._templates.get_template(template).render(
            root=request.scope.get("root_path", ""),
            now=f"{datetime.now(UTC):%H:%M:%S} UTC",
            version=__version__,
            **values,
        )
        fields = {
            **(headers or {}),
            **_HEADERS,
            "Content-Security-Policy": policy,
            "Cache-Control": "no-store",
        }
        return HTMLResponse(text, status, fields)


class Files(StaticFiles):
    """Files that pages load.

    Args:
        directory: The folder that they lie in.
        only: Names of those that may be loaded; None for all.
    """

    def __init__(self, directory: Path, only: frozenset[str] | None = None):
        super().__init__(directory=directory)
        self._only = only

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Find a file, unless it is one that pages do not load."""
        if self._only is not None and path not in self._only:
            return "", None
        return super().lookup_path(path)

    def file_response(self, *args: Any, **options: Any) -> Response:
        """Return a file with the headers that all answers have."""
        response = super().file_response(*args, **options)
        response.headers.update(_HEADERS)
        return response
