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
    """What it costs the page's own thread, layout included; in milliseconds of CPU, so
    that what else the machine does counts for nothing."""
    tools = page.context.new_cdp_session(page)
    tools.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent_s() -> float:
        told = tools.send("Performance.getMetrics")["metrics"]
        return next(float(x["value"]) for x in told if x["name"] == "TaskDuration")

    before = spent_s()
    page.evaluate(
        """(act) => {
          if (act === "sort") document.querySelector("th .sort").click();
          else {
            const field = document.getElementById("search");
            field.value = act;
            field.dispatchEvent(new Event("input"));
          }
          document.body.offsetHeight;
        }""",
        act,
    )
    spent = 1000 * (spent_s() - before)
    tools.detach()
    return spent


def test_a_thousand_are_shown_searched_and_sorted_in_slices(
    server: Live, opener: Opener
) -> None:
    page = connected(opener(f"{server.url}/#adapters"))
    expect(page.locator("#found")).to_have_text("1,000 adapters")
    rows = page.locator("#adapter-table tbody tr")
    expect(rows).to_have_count(100)

    # The least of some: news may come meanwhile.
    sorted_ms = min(busy_ms(page, "sort") for _ in range(3))
    expect(rows.first).to_contain_text("adapter-999")  # as numbers, not as letters
    found_ms = min(
        busy_ms(page, text) for text in ("adapter-77", "adapter-7", "adapter-77")
    )
    expect(page.locator("#found")).to_have_text("11 adapters of 1,000")

    assert 0 < sorted_ms < 250
    assert 0 < found_ms < 250


def test_more_are_shown_when_they_are_asked_for(server: Live, opener: Opener) -> None:
    page = connected(opener(f"{server.url}/#adapters"))
    page.get_by_role("button", name="Show 100 more of 1000").click()

    rows = page.locator("#adapter-table tbody tr")
    expect(rows).to_have_count(200)
    expect(rows.nth(100).get_by_role("button")).to_be_focused()
