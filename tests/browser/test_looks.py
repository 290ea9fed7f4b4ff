"""Looks: every part fits its window from 360 px on, in both themes; the screenshots."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.screenshots import DOCS, MOST_BYTES, at_work, take_all
from tests.browser.watched import Opener, Theme, connected
from tests.servers import Live


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with at_work(tmp_path_factory.mktemp("adapters")) as server:
        yield server


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


@pytest.mark.parametrize("width", [360, 768, 980, 1920])
@pytest.mark.parametrize("part", ["now", "adapters", "try"])
def test_nothing_is_wider_than_the_window(
    server: Live, opener: Opener, part: str, width: int
) -> None:
    page = connected(opener(f"{server.url}/#{part}", width=width))
    expect(page.locator(f"#{part}")).to_be_visible()

    assert overflow(page) <= 0


def test_a_dialog_fits_a_narrow_window(server: Live, opener: Opener) -> None:
    page = connected(opener(f"{server.url}/#adapters", width=360, height=640))
    page.locator("#adapter-table tbody .link").first.click()

    box = page.locator("#detail").bounding_box()

    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360
    assert box["height"] <= 640
    assert overflow(page) <= 0


@pytest.mark.parametrize(("theme", "is_dark"), [("light", False), ("dark", True)])
def test_the_theme_is_the_person_s_own(
    server: Live, opener: Opener, theme: Theme, is_dark: bool
) -> None:
    page = connected(opener(server.url, theme=theme))

    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    levels = [int(part) for part in ground.strip("rgb()").split(",")]

    assert (sum(levels) < 3 * 64) is is_dark
    assert (sum(levels) > 3 * 192) is not is_dark


def test_screenshots_are_made_and_small(
    server: Live, opener: Opener, tmp_path: Path
) -> None:
    for made in take_all(opener, server, tmp_path, turns=20):
        assert 5_000 < made.stat().st_size < MOST_BYTES
        assert (DOCS / made.name).stat().st_size < MOST_BYTES
