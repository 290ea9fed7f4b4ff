"""Keyboard and screen reader: everything by keys; roles and names as axe-core asks."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.watched import Opener, Theme, connected
from tests.servers import Live


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until it has the focus; each stop on the way is to be seen."""
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            """(wanted) => {
              const box = document.activeElement.getBoundingClientRect();
              if (!box.width || !box.height) return "unseen";
              return document.activeElement.matches(wanted);
            }""",
            selector,
        )
        assert focused != "unseen"
        if focused:
            return
    raise AssertionError(f"no way to {selector}")


def test_an_adapter_is_pinned_by_keys_alone(echo: Live, opener: Opener) -> None:
    page = connected(opener(echo.url))
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    tab_to(page, 'nav a[href="#adapters"]')
    page.keyboard.press("Enter")
    expect(page.locator("#adapters-title")).to_be_focused()
    tab_to(page, "#search")
    page.keyboard.type("pirate")
    tab_to(page, "tbody .link")
    page.keyboard.press("Enter")
    expect(page.locator("#detail-title")).to_be_focused()
    tab_to(page, '[data-action="Pin"]')
    page.keyboard.press("Enter")
    expect(page.locator("#detail")).to_contain_text("never leaves host memory")
    tab_to(page, '[data-action="Unpin"]')
    page.keyboard.press("Enter")
    tab_to(page, "#confirm-yes")
    page.keyboard.press("Enter")
    expect(page.locator("#detail")).to_contain_text("read when it came")

    page.keyboard.press("Escape")

    expect(page.locator("tbody .link").first).to_be_focused()


def test_a_prompt_is_tried_by_keys_alone(echo: Live, opener: Opener) -> None:
    page = connected(opener(f"{echo.url}/#try"))
    tab_to(page, "#prompt")
    page.keyboard.type("abc")
    tab_to(page, "#candidate")
    page.keyboard.type("sql")
    page.keyboard.press("Enter")
    tab_to(page, "#run")
    page.keyboard.press("Enter")

    expect(page.locator("#try-state")).to_have_text("2 of 2 have answered.")


def violations(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [
        {"rule": each["id"], "where": [node["html"] for node in each["nodes"]]}
        for each in found
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("part", ["now", "adapters", "try"])
def test_axe_finds_nothing_to_mend(
    echo: Live, opener: Opener, part: str, theme: Theme
) -> None:
    page = connected(opener(f"{echo.url}/#{part}", theme=theme))
    if part == "try":
        page.fill("#prompt", "abc")
        page.click("#run")
        expect(page.locator("#try-state")).to_contain_text("have answered")

    assert violations(page) == []


@pytest.mark.parametrize(
    "dialog", ["#open-load", "#adapter-table tbody .link >> nth=3"]
)
def test_axe_finds_nothing_to_mend_in_dialogs(
    echo: Live, opener: Opener, dialog: str
) -> None:
    page = connected(opener(f"{echo.url}/#adapters"))
    page.click(dialog)

    assert violations(page) == []
