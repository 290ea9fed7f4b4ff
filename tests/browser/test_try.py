"""Try: one prompt on several adapters side by side, and what ran."""

import re

from playwright.sync_api import Page, expect

from tests.browser.watched import Opener, connected
from tests.servers import Live


def choose(page: Page, *names: str) -> None:
    for name in names:
        page.fill("#candidate", name)
        page.keyboard.press("Enter")


def test_answers_stand_side_by_side_with_what_ran(echo: Live, opener: Opener) -> None:
    page = connected(opener(f"{echo.url}/#try"))
    choose(page, "pirate", "sql")
    page.fill("#prompt", "abcdef")
    page.fill("#most", "4")
    page.click("#run")

    expect(page.locator("#try-state")).to_have_text("3 of 3 have answered.")
    cards = page.locator(".answer")
    expect(cards.locator("pre")).to_have_text(["abcd"] * 3)
    with echo.client() as client:
        generation = client.get("/v1/adapters/sql").json()["generation"]
    sql = page.get_by_role("article", name="sql")
    expect(sql).to_contain_text(generation)
    expect(sql).to_contain_text(re.compile(r"Mode\s*(merged|mixed)"))
    expect(sql).to_contain_text(re.compile(r"First token\s*[\d.]+ (s|ms|µs)"))
    expect(sql).to_contain_text(re.compile(r"Tokens\s*4"))
    expect(sql).to_contain_text(re.compile(r"Ended\s*length"))


def test_one_that_is_refused_says_why_and_the_others_answer(
    echo: Live, opener: Opener
) -> None:
    opener.forgive(["Failed to load resource"])
    page = connected(opener(f"{echo.url}/#try"))
    choose(page, "torn")
    page.fill("#prompt", "abc")
    page.click("#run")

    expect(page.locator("#try-state")).to_have_text("1 of 2 have answered.")
    torn = page.get_by_role("article", name="torn")
    expect(torn.get_by_role("alert")).to_contain_text("adapter_model.safetensors")
    expect(page.get_by_role("article", name="base").locator("pre")).to_have_text("abc")


def test_it_can_be_stopped(echo: Live, opener: Opener) -> None:
    page = connected(opener(f"{echo.url}/#try"))
    page.fill("#prompt", "x" * 16_000)
    page.fill("#most", "16000")
    page.click("#run")
    expect(page.locator(".answer pre")).to_have_text(re.compile("^x+$"))

    page.click("#stop")

    expect(page.get_by_role("article", name="base")).to_contain_text("stopped")
    expect(page.locator("#stop")).to_be_disabled()


def test_who_to_ask_is_offered_added_and_taken_away(echo: Live, opener: Opener) -> None:
    page = connected(opener(f"{echo.url}/#try"))
    page.fill("#candidate", "ir")
    offered = page.locator("#candidates option")
    expect(offered).to_have_count(1)
    assert offered.first.get_attribute("value") == "pirate"
    choose(page, "pirate", "pirate")
    expect(page.locator("#chosen li")).to_have_count(2)

    page.get_by_role("button", name="Do not ask base").click()

    expect(page.locator("#chosen li")).to_have_count(1)
