"""GraphiQL at `/graphql`: the page and its files, served by ourselves; `build.py` makes the files.

Nothing is loaded from another host, and the policy below has the browser hold to it.
"""

from __future__ import annotations

from pathlib import Path

from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

HERE = Path(__file__).parent
# Scripts and workers come from our files only. Styles cannot be as strict: the editor writes HTML
# with style attributes (44 on loading the page; refused, line numbers vanish as one types), and has
# its colours in style elements (2; refused, all of an operation is grey). Nor can Trusted Types be
# asked for: GraphiQL sets the descriptions in the schema's documentation as HTML.
POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; "
    "style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-cache",  # asks each time, and by the ETag is mostly told 304
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def page(folder: Path) -> HTMLResponse:
    """Answer a browser at `/graphql`: GraphiQL or, where it is not built, how to get it.

    Args:
        folder: where `build` put the files.
    """
    is_there = (folder / "main.js").exists()
    text = (HERE / ("index.html" if is_there else "missing.html")).read_text()
    headers = HEADERS | {"Content-Security-Policy": POLICY}
    return HTMLResponse(text, status_code=200 if is_there else 503, headers=headers)


class Assets(StaticFiles):
    """The files of the page, for `/graphql/assets`; the folder may still be missing."""

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder, check_dir=False)

    async def check_config(self) -> None:
        """Let each file of a missing folder be not found, where Starlette would fail."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer with a file, which is not to load anything itself: workers have this policy."""
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS | {"Content-Security-Policy": "default-src 'none'"})
        return response
