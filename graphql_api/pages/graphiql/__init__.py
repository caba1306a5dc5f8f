"""Serves GraphiQL at `/graphql`, and its files, which `build.py` builds.

Nothing is loaded from another host; the content security policy makes the browser enforce this.
"""

from __future__ import annotations

from pathlib import Path

from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

HERE = Path(__file__).parent
# Scripts and workers come from our files only. Styles cannot be as strict: the editor writes HTML
# with style attributes (44 when the page loads; without them, line numbers disappear while typing)
# and keeps its colors in style elements (2; without them, every operation is grey). Trusted Types
# do not work either: GraphiQL sets the descriptions of the schema as HTML.
POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; "
    "style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-cache",  # the browser asks each time, and its ETag mostly gives 304
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def page(folder: Path) -> HTMLResponse:
    """Return the page for `/graphql`: GraphiQL or, if it is not built, how to build it.

    Args:
        folder: the built files.
    """
    is_built = (folder / "main.js").exists()
    text = (HERE / ("index.html" if is_built else "missing.html")).read_text()
    headers = HEADERS | {"Content-Security-Policy": POLICY}
    return HTMLResponse(text, status_code=200 if is_built else 503, headers=headers)


class Assets(StaticFiles):
    """Serves the built files at `/graphql/assets`; their folder may be missing."""

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder, check_dir=False)

    async def check_config(self) -> None:
        """Skip Starlette's check, which fails if the folder is missing: its files are a 404."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file with a policy that lets it load nothing; it applies to workers."""
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS | {"Content-Security-Policy": "default-src 'none'"})
        return response
