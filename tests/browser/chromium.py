"""Chromium: Debian's, driven by Playwright, which brings no browser of its own here."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

_NAMES = ("chromium", "chromium-browser")


def found() -> str | None:
    """The browser of this machine; None if it has none."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def launched() -> Iterator[Browser]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=found(),
            # Containers have a small /dev/shm; root gets no sandbox.
            args=["--disable-dev-shm-usage", "--disable-gpu"],
            chromium_sandbox=os.getuid() != 0,
        )
        try:
            yield browser
        finally:
            browser.close()
