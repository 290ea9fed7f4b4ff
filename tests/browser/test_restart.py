"""Restart: the page says that the server has gone, and goes on when it is back."""

import re
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.served import save_adapter, serving
from tests.browser.test_now import ask
from tests.browser.watched import Opener, connected
from tests.servers import free_port

MERGED = {"policy": "fcfs-merged"}
LOST = ["Failed to load resource", "ERR_"]


def test_a_page_outlives_its_server(tmp_path: Path, opener: Opener) -> None:
    opener.forgive(LOST)
    save_adapter(tmp_path / "pirate")
    port = free_port()
    with serving(tmp_path, adapters=1, port=port, schedule=MERGED) as server:
        page = connected(opener(server.url))
        ask(server, "pirate")
        expect(page.locator("#turns tbody tr")).to_have_count(1)

    connection = page.locator("#connection")
    expect(connection).to_have_attribute("data-state", "lost")
    expect(connection).to_have_text(re.compile("Trying again"))
    expect(page.locator("#state")).to_have_text("unknown")

    save_adapter(tmp_path / "sql")
    with serving(tmp_path, adapters=2, port=port, schedule=MERGED) as server:
        expect(connection).to_have_text("Connected", timeout=15_000)
        expect(page.locator("#nav-count")).to_have_text("2")
        ask(server, "sql")
        expect(page.locator("#turns tbody tr").first).to_contain_text("sql")
        # What was before is still shown, once.
        expect(page.locator("#turns tbody tr")).to_have_count(2)


def test_a_server_that_never_was_is_waited_for(tmp_path: Path, opener: Opener) -> None:
    opener.forgive(LOST)
    with serving(tmp_path, adapters=0) as server:
        page = opener("about:blank")
        page.route("**/v1/events", lambda route: route.abort())
        page.goto(server.url)
        expect(page.locator("#connection")).to_contain_text("cannot be reached")

        page.unroute("**/v1/events")

        connected(page)
