"""The GraphiQL page at `/graphql`, with and without its built files."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from graphql import build_schema, parse, validate

from celeryql.settings import PROJECT_ROOT, Settings
from graphql_api.app import create_app
from graphql_api.pages.graphiql.build import PAGE_DIR

SDL = (PROJECT_ROOT / "schema.graphql").read_text()


async def get(folder: Path, path: str, **headers: str) -> httpx.Response:
    app = create_app(Settings(_env_file=None, graphiql_dir=folder))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        return await client.get(path, headers=headers)


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "main.js").write_text("run()")
    return tmp_path


def sources(policy: str, directive: str) -> list[str]:
    (found,) = [each.split() for each in policy.split("; ") if each.startswith(f"{directive} ")]
    return found[1:]


async def test_a_browser_gets_a_page_that_runs_only_our_files(built: Path) -> None:
    answer = await get(built, "/graphql", accept="text/html")

    assert answer.status_code == 200
    assert re.findall("<script.*?>", answer.text) == ['<script src="graphql/assets/main.js" defer>']
    policy = answer.headers["content-security-policy"]
    assert sources(policy, "default-src") == ["'none'"]
    assert sources(policy, "script-src") == ["'self'"]
    assert sources(policy, "worker-src") == ["'self'"]
    assert sources(policy, "connect-src") == ["'self'"]
    assert sources(policy, "frame-ancestors") == ["'none'"]
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_without_its_files_the_page_says_how_to_build_them(tmp_path: Path) -> None:
    answer = await get(tmp_path / "nowhere", "/graphql", accept="text/html")

    assert answer.status_code == 503
    assert "python -m graphql_api.pages.graphiql.build" in answer.text
    assert "<script" not in answer.text
    assert sources(answer.headers["content-security-policy"], "script-src") == ["'self'"]


async def test_a_file_is_cached_and_may_load_nothing(built: Path) -> None:
    first = await get(built, "/graphql/assets/main.js")
    again = await get(built, "/graphql/assets/main.js", **{"if-none-match": first.headers["etag"]})

    assert (first.status_code, first.text) == (200, "run()")
    assert first.headers["content-type"].startswith("text/javascript")
    assert first.headers["content-security-policy"] == "default-src 'none'"
    assert first.headers["x-content-type-options"] == "nosniff"
    assert (again.status_code, again.text) == (304, "")


@pytest.mark.parametrize("folder", ["built", "missing"])
@pytest.mark.parametrize("name", ["other.js", "", "..%2Fsecret", "%2e%2e/secret"])
async def test_other_files_are_not_found(tmp_path: Path, name: str, folder: str) -> None:
    (tmp_path / "secret").touch()
    (tmp_path / "built").mkdir()

    answer = await get(tmp_path / folder, f"/graphql/assets/{name}")

    assert answer.status_code == 404


@pytest.mark.parametrize("path", sorted(PAGE_DIR.glob("examples/*")), ids=lambda path: path.stem)
def test_every_example_is_valid_and_in_a_tab(path: Path) -> None:
    assert validate(build_schema(SDL), parse(path.read_text())) == []
    assert f'"./examples/{path.name}"' in (PAGE_DIR / "main.js").read_text()
