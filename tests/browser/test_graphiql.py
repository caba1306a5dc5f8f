"""GraphiQL in a real browser: served by the API alone, under its policy, against real workers."""

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

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]  # the first may build the page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--no-sandbox"]  # where tests run as root, as in containers, it refuses to start
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DEADLINE_MS = 30_000
# Heard in the page itself, since not every violation reaches the console.
LISTEN = "addEventListener('securitypolicyviolation', e => console.error(e.violatedDirective))"


@dataclass
class Visit:
    """A page with GraphiQL, and all that went wrong on it.

    Attributes:
        complaints: what was written to the console, errors that were not caught, violations of the
            page's policy.
        refused: addresses of other hosts that it asked for.
        frames: what it sent over WebSockets.
    """

    page: Page
    origin: str
    complaints: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    frames: list[str] = field(default_factory=list)

    async def open(self) -> None:
        """Go to the page, where no other host can be reached."""
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("websocket", self._hear)
        await self.page.add_init_script(LISTEN)
        await self.page.route("**/*", self._let_through)
        await self.page.goto(f"{self.origin}/graphql")

    async def show(self, tab: str) -> None:
        """Go to the tab of an example, and wait until GraphiQL has read it."""
        await self.page.get_by_role("tab", name=tab).click()
        await self.page.wait_for_function(
            "tab => localStorage['graphiql:query']?.match(`(mutation|subscription) ${tab}`)",
            arg=tab,
        )

    async def play(self) -> None:
        """Run what the tab holds."""
        await self.page.get_by_role("button", name="Execute").click()

    async def put(self, editor: str, text: str) -> None:
        """Replace what is in the editor of variables or headers."""
        shown = f"section[aria-label={editor}] .graphiql-editor:not(.hidden) .view-lines"
        await self.page.get_by_role("button", name=editor).click()
        await self.page.locator(shown).click()
        await self.page.keyboard.press("Control+A")
        await self.page.keyboard.press("Delete")
        await self.page.keyboard.insert_text(text)

    async def answers(self, text: str | re.Pattern[str]) -> str:
        """Wait for a text in the answer, and give the whole answer."""
        shown = self.page.locator(".graphiql-response .view-lines")
        await expect(shown).to_contain_text(text)
        return await shown.inner_text()

    def _hear(self, socket: WebSocket) -> None:
        if not socket.url.startswith(f"{self.origin}/".replace("http", "ws", 1)):
            self.refused.append(socket.url)
        socket.on("framesent", lambda frame: self.frames.append(str(frame)))

    async def _let_through(self, route: Route) -> None:
        if route.request.url.startswith((f"{self.origin}/", "data:")):
            await route.continue_()
        else:
            self.refused.append(route.request.url)
            await route.abort()


@pytest.fixture(scope="module")
def browser_path() -> str:
    """A Chromium, once the page is built."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        pytest.skip(f"there is no browser: none of {', '.join(BROWSERS)} is on PATH")
    try:
        build(load_settings().graphiql_dir)
    except BuildFailed as failure:
        pytest.skip(f"GraphiQL's page could not be built: {failure}")
    return found


@pytest.fixture
async def visit(browser_path: str, client: Client) -> AsyncIterator[Visit]:
    """The page, freshly opened; in the end nothing was asked of others, and nothing complained."""
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
    await visit.play()
    answer = await visit.answers(UUID)
    await visit.show("Watch")
    await visit.put("Variables", f'{{"id": "{UUID.search(answer)[0]}"}}')
    await visit.play()

    await visit.answers("SUCCEEDED")


async def test_a_token_reaches_requests_and_sockets(visit: Visit) -> None:
    await visit.show("Email")
    await visit.put("Headers", '{"Authorization": "Bearer one"}')
    async with visit.page.expect_request(is_mutation) as made:
        await visit.play()
    task_id = UUID.search(await visit.answers(UUID))[0]
    await visit.show("Watch")
    await visit.put("Variables", f'{{"id": "{task_id}"}}')
    await visit.put("Headers", '{"Authorization": "Bearer two"}')
    await visit.play()
    await visit.answers("SNAPSHOT")

    assert (await (await made.value).all_headers())["authorization"] == "Bearer one"
    assert visit.frames[0] == '{"type":"connection_init","payload":{"Authorization":"Bearer two"}}'


def is_mutation(request: Request) -> bool:
    return "enqueueSendEmail" in (request.post_data or "")


async def test_what_it_offers_keeps_to_the_policy(visit: Visit) -> None:
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

    await visit.answers("anonymous")
