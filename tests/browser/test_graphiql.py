"""Test GraphiQL in a real browser: its content security policy, and tasks on real workers."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from playwright.async_api import Page, Request, Route, WebSocket, async_playwright, expect

from celeryql.settings import load_settings
from graphql_api.pages.graphiql.build import BuildFailed, build
from tests.client import Client

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]  # the first test may build the page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--no-sandbox"]  # Chromium's sandbox does not start as root, as in containers
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DEADLINE_MS = 30_000
# Listens in the page, because not every violation is logged to the console.
LISTEN = "addEventListener('securitypolicyviolation', e => console.error(e.violatedDirective))"


@dataclass
class Visit:
    """A browser page with GraphiQL, and a record of its errors.

    Attributes:
        complaints: console output, uncaught errors and violations of the content security policy.
        refused: requested URLs of other hosts.
        frames: frames that the page sent over WebSockets.
    """

    page: Page
    origin: str
    complaints: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    frames: list[str] = field(default_factory=list)

    async def open(self) -> None:
        """Load the page and block requests to other hosts."""
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("websocket", self._record_frames)
        await self.page.add_init_script(LISTEN)
        await self.page.route("**/*", self._block_other_hosts)
        await self.page.goto(f"{self.origin}/graphql")

    async def show(self, tab: str) -> None:
        """Open the tab of an example, and wait until GraphiQL has loaded it."""
        await self.page.get_by_role("tab", name=tab).click()
        await self.page.wait_for_function(
            "tab => localStorage['graphiql:query']?.match(`(mutation|subscription) ${tab}`)",
            arg=tab,
        )

    async def execute(self) -> None:
        """Run the operation in the tab."""
        await self.page.get_by_role("button", name="Execute").click()

    async def fill(self, editor: str, text: str) -> None:
        """Replace the text of the editor for variables or headers."""
        shown = f"section[aria-label={editor}] .graphiql-editor:not(.hidden) .view-lines"
        await self.page.get_by_role("button", name=editor).click()
        await self.page.locator(shown).click()
        await self.page.keyboard.press("Control+A")
        await self.page.keyboard.press("Delete")
        await self.page.keyboard.insert_text(text)

    async def wait_for_response(self, text: str | re.Pattern[str]) -> str:
        """Wait until the response contains a text, and return the whole response."""
        shown = self.page.locator(".graphiql-response .view-lines")
        await expect(shown).to_contain_text(text)
        return await shown.inner_text()

    def _record_frames(self, socket: WebSocket) -> None:
        if not socket.url.startswith(f"{self.origin}/".replace("http", "ws", 1)):
            self.refused.append(socket.url)
        socket.on("framesent", lambda frame: self.frames.append(str(frame)))

    async def _block_other_hosts(self, route: Route) -> None:
        if route.request.url.startswith((f"{self.origin}/", "data:")):
            await route.continue_()
        else:
            self.refused.append(route.request.url)
            await route.abort()


@pytest.fixture(scope="module")
def browser_path() -> str:
    """Find a Chromium, and build the page."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        pytest.skip(f"no browser found: none of {', '.join(BROWSERS)} is on PATH")
    try:
        build(load_settings().graphiql_dir)
    except BuildFailed as failure:
        pytest.skip(f"GraphiQL's page could not be built: {failure}")
    return found


@pytest.fixture
async def visit(browser_path: str, client: Client) -> AsyncIterator[Visit]:
    """Open the page; at the end, check that it reported no error and requested no other host."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=browser_path, args=ARGUMENTS)
        page = await browser.new_page()
        page.set_default_timeout(DEADLINE_MS)
        expect.set_options(timeout=DEADLINE_MS)
        visit = Visit(page, client.url)
        await visit.open()
        yield visit
        await browser.close()
    assert visit.refused == []
    assert visit.complaints == []


async def test_a_workflow_is_enqueued_and_watched_to_its_end(
    visit: Visit, start_worker: Callable[[str], None]
) -> None:
    start_worker("celery")

    await visit.show("Chain")
    await visit.execute()
    answer = await visit.wait_for_response(UUID)
    await visit.show("Watch")
    await visit.fill("Variables", f'{{"id": "{UUID.search(answer)[0]}"}}')
    await visit.execute()

    await visit.wait_for_response("SUCCEEDED")


async def test_a_token_reaches_requests_and_sockets(visit: Visit) -> None:
    await visit.show("Email")
    await visit.fill("Headers", '{"Authorization": "Bearer one"}')
    async with visit.page.expect_request(is_mutation) as made:
        await visit.execute()
    task_id = UUID.search(await visit.wait_for_response(UUID))[0]
    await visit.show("Watch")
    await visit.fill("Variables", f'{{"id": "{task_id}"}}')
    await visit.fill("Headers", '{"Authorization": "Bearer two"}')
    await visit.execute()
    await visit.wait_for_response("SNAPSHOT")

    assert (await (await made.value).all_headers())["authorization"] == "Bearer one"
    assert visit.frames[0] == '{"type":"connection_init","payload":{"Authorization":"Bearer two"}}'


def is_mutation(request: Request) -> bool:
    return "enqueueSendEmail" in (request.post_data or "")


async def test_features_of_graphiql_comply_with_the_policy(visit: Visit) -> None:
    page = visit.page
    await page.get_by_role("button", name="Show Documentation Explorer").click()
    await page.get_by_text("Mutation", exact=True).click()
    await page.get_by_role("button", name="Show History").click()
    await page.get_by_role("button", name="Open settings dialog").click()
    await page.get_by_role("button", name="Dark").click()
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Prettify").click()

    await page.locator(".graphiql-query-editor .view-lines").click()
    await page.keyboard.press("Control+A")
    await page.keyboard.type("{ viewer { su")
    await page.keyboard.press("Control+Space")
    await expect(page.locator(".suggest-widget")).to_contain_text("subject")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("tab", name="untitled")).to_be_visible()
    await page.keyboard.press("Control+Enter")

    await visit.wait_for_response("anonymous")
