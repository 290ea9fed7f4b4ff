"""Many: a thousand adapters are shown, searched and sorted in a moment."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.served import save_adapter, serving
from tests.browser.watched import Opener, connected
from tests.servers import Live

MANY = 1000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    root = tmp_path_factory.mktemp("adapters")
    for number in range(MANY):
        save_adapter(root / f"adapter-{number}")
    with serving(root, adapters=MANY) as server:
        yield server


def busy_ms(page: Page, act: str) -> float:
    """How long the page's own thread is busy with it, layout included."""
    return float(
        page.evaluate(
            """(act) => {
              const begun = performance.now();
              if (act === "sort") document.querySelector("th .sort").click();
              else {
                const field = document.getElementById("search");
                field.value = act;
                field.dispatchEvent(new Event("input"));
              }
              document.body.offsetHeight;
              return performance.now() - begun;
            }""",
            act,
        )
    )


def test_a_thousand_are_shown_searched_and_sorted_in_slices(
    server: Live, opener: Opener
) -> None:
    page = connected(opener(f"{server.url}/#adapters"))
    expect(page.locator("#found")).to_have_text("1,000 adapters")
    rows = page.locator("#adapter-table tbody tr")
    expect(rows).to_have_count(100)

    # Each of them twice: a busy machine may disturb one.
    sorted_ms = min(busy_ms(page, "sort") for _ in range(3))
    expect(rows.first).to_contain_text("adapter-999")  # as numbers, not as letters
    found_ms = min(busy_ms(page, text) for text in ("77", "7", "77"))
    expect(page.locator("#found")).to_have_text("19 adapters of 1,000")

    assert sorted_ms < 250
    assert found_ms < 250


def test_more_are_shown_when_they_are_asked_for(server: Live, opener: Opener) -> None:
    page = connected(opener(f"{server.url}/#adapters"))
    page.get_by_role("button", name="Show 100 more of 1000").click()

    rows = page.locator("#adapter-table tbody tr")
    expect(rows).to_have_count(200)
    expect(rows.nth(100).get_by_role("button")).to_be_focused()
