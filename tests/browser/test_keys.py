"""Keys: where the server asks for one the page asks, and keeps it in its tab alone.

The server here asks for none: what a locked one answers is put in between.
"""

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.browser.watched import Opener, connected
from tests.servers import Live

KEY = "hs-right"
LOCKED = {
    "error": {"message": "a key is needed", "type": "x", "param": None, "code": 401}
}


def lock(context: BrowserContext) -> None:
    def answer(route: Route) -> None:
        said = route.request.headers.get("authorization")
        if said == f"Bearer {KEY}":
            route.continue_()
        else:
            route.fulfill(status=401, json=LOCKED)

    context.route("**/v1/**", answer)


@pytest.fixture
def page(echo: Live, opener: Opener) -> Page:
    opener.forgive(["Failed to load resource"])
    page = opener("about:blank")
    lock(page.context)
    page.goto(echo.url)
    expect(page.locator("#key")).to_be_visible()
    return page


def test_a_key_is_asked_for_until_it_is_accepted(page: Page) -> None:
    page.fill("#key-value", "wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#key-title")).to_have_text("This key is not accepted")
    page.fill("#key-value", KEY)
    page.keyboard.press("Enter")

    connected(page)
    expect(page.locator("#key")).not_to_be_visible()


def test_it_stays_in_its_tab(page: Page, echo: Live) -> None:
    page.fill("#key-value", KEY)
    page.keyboard.press("Enter")
    connected(page)

    assert page.evaluate("localStorage.length") == 0
    assert page.evaluate("document.cookie") == ""
    assert page.locator("#key-value").input_value() == ""
    page.reload()
    connected(page)
    other = page.context.new_page()
    other.goto(echo.url)
    expect(other.locator("#key")).to_be_visible()


def test_who_has_none_is_asked_once_and_may_come_back(page: Page) -> None:
    page.keyboard.press("Escape")
    expect(page.locator("#connection")).to_contain_text("No key")
    expect(page.locator("#key")).not_to_be_visible()

    page.click("#enter-key")
    page.fill("#key-value", KEY)
    page.keyboard.press("Enter")

    connected(page)
