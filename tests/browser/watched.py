"""Watched: pages of the browser, and all that went wrong on them."""

from collections.abc import Iterable
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page

Theme = Literal["light", "dark"]


class Opener:
    """Opens pages. `wrong`: script errors, what the policy forbids, requests to another
    host; `forgive` names what a test brings about itself."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.wrong: list[str] = []
        self.forgiven: list[str] = []

    def __call__(
        self,
        url: str,
        *,
        width: int = 1280,
        height: int = 900,
        theme: Theme = "light",
        **options: Any,
    ) -> Page:
        """A page that has the first news of its server, unless it gets none."""
        context = self._browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=theme,
            reduced_motion="reduce",
            **options,
        )
        context.set_default_timeout(10_000)
        self._contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on(
            "console",
            lambda said: self.wrong.append(said.text) if said.type == "error" else None,
        )
        page.on(
            "request",
            lambda asked: (
                None
                if urlsplit(asked.url).hostname in ("127.0.0.1", None)
                else self.wrong.append(f"a request to {asked.url}")
            ),
        )
        page.goto(url)
        return page

    def forgive(self, texts: Iterable[str]) -> None:
        """What contains one of these is no error in this test."""
        self.forgiven += texts

    def close_all(self) -> None:
        """At the end of a test; asserts that nothing went wrong."""
        for context in self._contexts:
            context.close()
        wrong = [
            said for said in self.wrong if not any(f in said for f in self.forgiven)
        ]
        self._contexts, self.wrong, self.forgiven = [], [], []
        assert not wrong, "\n".join(wrong)


def connected(page: Page) -> Page:
    """When it shows what the server is."""
    page.wait_for_selector('#connection[data-state="connected"]')
    return page
