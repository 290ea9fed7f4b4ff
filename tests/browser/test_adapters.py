"""Adapters: all that is known of each, and what can be done, each asked for first."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.served import save_adapter, serving
from tests.browser.watched import Opener, connected
from tests.servers import Live


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "adapters"
    for name in ("pirate", "sql"):
        save_adapter(root / name)
    save_adapter(root / "torn", weights=None)
    return root


@pytest.fixture
def server(folder: Path, tmp_path: Path) -> Iterator[Live]:
    (tmp_path / "more").mkdir()
    roots = {"roots": [str(tmp_path / "more")]}
    with serving(folder, adapters=3, adapter_settings=roots) as server:
        yield server


@pytest.fixture
def page(server: Live, opener: Opener) -> Page:
    page = connected(opener(f"{server.url}/#adapters"))
    expect(page.locator("#adapter-table tbody tr")).to_have_count(3)
    return page


def states(server: Live) -> dict[str, str]:
    with server.client() as client:
        rows = client.get("/v1/adapters").json()["data"]
    return {row["name"]: row["state"] for row in rows}


def row(page: Page, name: str) -> dict[str, object]:
    found: dict[str, object] = page.request.get(
        f"{page.url.partition('#')[0]}v1/adapters/{name}"
    ).json()
    return found


def open_detail(page: Page, name: str) -> None:
    page.locator("#adapter-table").get_by_role("button", name=name).click()
    expect(page.locator("#detail")).to_be_visible()


def test_a_row_tells_what_the_server_knows(page: Page) -> None:
    line = page.locator("#adapter-table tbody tr", has_text="pirate")

    expect(line).to_contain_text("ready")
    expect(line).to_contain_text("merged and mixed")
    expect(line).to_contain_text("host memory")
    expect(line).to_contain_text(str(row(page, "pirate")["generation"]))


def test_an_error_is_told_with_its_remedy(page: Page) -> None:
    open_detail(page, "torn")

    detail = page.locator("#detail")
    expect(detail).to_contain_text("It is not served.")
    expect(detail).to_contain_text("adapter_model.safetensors is missing")
    expect(detail).to_contain_text("What to do: Copy the whole folder")


def test_searching_and_sorting_show_what_was_asked_for(page: Page) -> None:
    names = page.locator("#adapter-table tbody tr .name")
    page.get_by_role("button", name="Adapter", exact=True).click()
    expect(names).to_have_text(["torn", "sql", "pirate"])

    page.fill("#search", "IRA")
    expect(names).to_have_text(["pirate"])
    expect(page.locator("#found")).to_have_text("1 adapter of 3")
    page.fill("#search", "")
    page.select_option("#state-filter", "failed")
    expect(names).to_have_text(["torn"])


def test_pinning_and_unpinning_ask_only_before_the_loss(page: Page) -> None:
    open_detail(page, "pirate")
    page.get_by_role("button", name="Pin", exact=True).click()
    expect(page.locator("#detail")).to_contain_text("never leaves host memory")
    assert row(page, "pirate")["pinned"] is True

    page.get_by_role("button", name="Unpin", exact=True).click()
    expect(page.locator("#confirm")).to_be_visible()
    page.keyboard.press("Escape")
    assert row(page, "pirate")["pinned"] is True
    page.get_by_role("button", name="Unpin", exact=True).click()
    page.locator("#confirm-yes").click()
    expect(page.locator("#detail")).to_contain_text("read when it came")
    assert row(page, "pirate")["pinned"] is False


def test_unloading_asks_first_and_cancel_does_nothing(page: Page, server: Live) -> None:
    open_detail(page, "sql")
    page.get_by_role("button", name="Unload").click()
    expect(page.locator("#confirm button[value=no]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#confirm")).not_to_be_visible()
    assert "sql" in states(server)

    page.get_by_role("button", name="Unload").click()
    page.locator("#confirm-yes").click()
    expect(page.locator("#notices")).to_contain_text("sql is unloaded")
    expect(page.locator("#adapter-table tbody tr")).to_have_count(2)
    assert "sql" not in states(server)


def test_a_folder_is_validated_and_loaded(
    page: Page, server: Live, tmp_path: Path
) -> None:
    source = save_adapter(tmp_path / "more" / "poet")
    page.click("#open-load")
    page.fill("#folder-src", str(source))
    page.click("#folder-check")
    expect(page.locator("#folder-result")).to_contain_text("It can be served.")
    assert "poet" not in states(server)

    page.fill("#folder-name", "poet")
    page.click("#folder-load")
    expect(page.locator("#notices")).to_contain_text("added successfully")
    expect(page.locator("#adapter-table tbody tr")).to_have_count(4)
    assert states(server)["poet"] == "ready"


def test_what_a_name_stands_for_is_replaced_only_when_told_so(
    page: Page, server: Live, tmp_path: Path
) -> None:
    source = save_adapter(tmp_path / "more" / "other", weights=b"others")
    before = row(page, "pirate")["generation"]
    page.click("#open-load")
    page.fill("#folder-src", str(source))
    page.fill("#folder-name", "pirate")
    page.click("#folder-load")
    expect(page.locator("#confirm")).to_contain_text(str(before))
    page.keyboard.press("Escape")
    expect(page.locator("#confirm")).not_to_be_visible()
    assert row(page, "pirate")["generation"] == before

    page.click("#folder-load")
    page.locator("#confirm-yes").click()
    expect(page.locator("#notices")).to_contain_text("added successfully")
    assert row(page, "pirate")["generation"] != before


def test_what_the_server_refuses_is_told_in_its_words(
    page: Page, opener: Opener
) -> None:
    opener.forgive(["Failed to load resource"])  # the browser's word for a 4xx
    page.click("#open-validate")
    page.fill("#folder-src", "/etc")
    page.click("#folder-check")
    expect(page.locator("#folder-result .bad")).to_contain_text("lies outside")

    page.fill("#folder-src", "torn")
    page.click("#folder-check")
    expect(page.locator("#folder-result")).to_contain_text("It would be refused")
    expect(page.locator("#folder-result")).to_contain_text("What to do: ")
