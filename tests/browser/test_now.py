"""Now: what runs and why, who waits, what is held and what it costs."""

import re

from playwright.sync_api import Page, expect

from tests.browser.watched import Opener, connected
from tests.servers import Live


def ask(server: Live, adapter: str, tokens: int = 5) -> None:
    body = {"prompt": "Hello there", "adapter": adapter, "max_tokens": tokens}
    with server.client() as client:
        assert client.post("/v1/completions", json=body).status_code == 200


def test_it_says_what_is_merged_and_that_nothing_runs(
    echo: Live, opener: Opener
) -> None:
    page = connected(opener(echo.url))
    ask(echo, "pirate")

    expect(page.locator("#state")).to_have_text("idle")
    expect(page.locator("#state-of")).to_contain_text("pirate")
    expect(page.locator("#model")).to_have_text("echo")


def test_a_turn_is_told_with_its_reason_in_words(echo: Live, opener: Opener) -> None:
    page = connected(opener(echo.url))
    ask(echo, "sql", tokens=7)

    newest = page.locator("#turns tbody tr").first
    expect(newest).to_contain_text("sql")
    expect(newest.locator("td").nth(1)).to_have_text(re.compile("merged|mixed"))
    expect(newest.locator("td").nth(4)).to_have_text("7")
    why = newest.locator("td").last
    expect(why).to_have_text(re.compile(r"^[A-Z].*\.$"))
    raw = why.locator("span").get_attribute("title")
    assert raw
    assert raw != why.inner_text(), "the scheduler's own words"


def test_figures_slots_and_costs_are_those_of_the_status(
    echo: Live, opener: Opener
) -> None:
    ask(echo, "orders")
    page = connected(opener(echo.url))
    with echo.client() as client:
        status = client.get("/v1/status").json()

    figures = page.locator("#figures")
    for label in ("First token, median", "Between tokens, median", "Jobs that wait"):
        expect(figures).to_contain_text(label)
    expect(figures).to_contain_text(f"0 of {status['kv_tokens']:,} tokens")
    expect(figures.locator("dd.value").nth(1)).to_have_text(re.compile(r"\d (s|ms|.s)"))
    held = page.locator("#slots tbody")
    for generation in status["warm"]:
        expect(held).to_contain_text(generation)
    expect(page.locator("#slots tr", has_text="computes now")).to_contain_text("orders")
    assert page.locator("#costs tbody tr").count() == len(status["costs"])
    expect(page.locator("#cost-error")).to_have_text(re.compile("off by less than"))


def test_the_picture_has_each_turn_and_says_it_in_words(
    echo: Live, opener: Opener
) -> None:
    page = connected(opener(echo.url))
    for adapter in ("sql", "pirate"):
        ask(echo, adapter)
    expect(page.locator("#turns tbody tr").first).to_contain_text("pirate")

    expect(page.locator("#legend")).to_contain_text("pirate")
    page.focus("#picture")
    page.keyboard.press("End")
    expect(page.locator("#turn-detail")).to_contain_text("pirate: ")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#turn-detail")).to_contain_text("sql: ")
    assert painted(page) > 20, "lanes, axis and turns"


def painted(page: Page) -> int:
    """How many different colours the canvas has."""
    return int(
        page.evaluate(
            """() => {
              const canvas = document.getElementById("canvas");
              const { width, height } = canvas;
              const paint = canvas.getContext("2d");
              const all = paint.getImageData(0, 0, width, height).data;
              return new Set(new Uint32Array(all.buffer)).size;
            }"""
        )
    )


def test_who_reads_slowly_can_hold_it_still(echo: Live, opener: Opener) -> None:
    page = connected(opener(echo.url))
    ask(echo, "pirate")
    expect(page.locator("#turns tbody tr").first).to_contain_text("pirate")

    page.click("#pause")
    ask(echo, "sql", tokens=3)
    told = page.locator("#turns tbody").inner_text()
    expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
    assert page.locator("#turns tbody").inner_text() == told
    page.click("#pause")

    expect(page.locator("#turns tbody tr").first).to_contain_text("sql")
