"""Fixtures: a browser, and pages of it in which nothing may go wrong unnoticed.

Without Chromium the tests are skipped, and say so.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import found, launched
from tests.browser.served import save_adapter, serving
from tests.browser.watched import Opener
from tests.servers import Live


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A browser takes seconds to start."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("slow")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """For a module, and no longer: while Playwright runs, its event loop is in the way
    of asynchronous tests."""
    if found() is None:
        pytest.skip("no Chromium here (apt-get install chromium): no test of the page")
    with launched() as browser:
        yield browser


@pytest.fixture
def opener(browser: Browser) -> Iterator[Opener]:
    """Opens pages, each of a person of its own. At the end: no script error, nothing
    that the policy forbids, no request to elsewhere."""
    opener = Opener(browser)
    yield opener
    opener.close_all()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three adapters, and one that lacks its weights."""
    root = tmp_path_factory.mktemp("adapters")
    for name in ("orders", "pirate", "sql"):
        save_adapter(root / name)
    save_adapter(root / "torn", weights=None)
    return root


@pytest.fixture(scope="module")
def echo(directory: Path) -> Iterator[Live]:
    """The server without a model, with those four."""
    merged = {"policy": "fcfs-merged"}
    with serving(directory, adapters=4, schedule=merged) as server:
        yield server
