"""`/docs`: the API in Swagger UI, without any other host."""

from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import Response

from .rendering import DOCUMENTATION_POLICY, Files, Pages

# A package of the registry that carries the files of Swagger UI 5.
_PACKAGE = "fastapi_swagger.resources"
_FILES = frozenset({"swagger-ui.css", "swagger-ui-bundle.js"})


def add_documentation(app: FastAPI, pages: Pages):
    """Add the page that shows the API.

    Args:
        app: The application.
        pages: Renders it.
    """
    swagger = Files(Path(str(files(_PACKAGE))), _FILES)
    app.mount("/static/swagger", swagger, name="swagger")

    @app.get("/docs", include_in_schema=False)
    async def documentation(request: Request) -> Response:
        return pages.render(
            request,
            "documentation.html",
            policy=DOCUMENTATION_POLICY,
            openapi=app.openapi_url,
        )
