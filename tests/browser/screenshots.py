"""Screenshots of the page at work, as docs/page.md shows them.

python -m tests.browser.screenshots     writes them into docs/
"""

import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import httpx
from playwright.sync_api import Page, expect

from hotswap.echo import app
from tests.browser.chromium import launched
from tests.browser.paced import PacedExecutor
from tests.browser.served import save_adapter, serving
from tests.browser.watched import Opener, connected
from tests.servers import NO_TLS, Live, wait_until

DOCS = Path(__file__).parents[2] / "docs"
MOST_BYTES = 150_000
NAMES = ("orders", "pirate", "poet", "sentiment", "sql", "summary")
TEXT = "The quick brown fox jumps over the lazy dog. "


@contextmanager
def at_work(directory: Path) -> Iterator[Live]:
    """A server that some clients keep busy."""
    for name in NAMES:
        save_adapter(directory / name)
    save_adapter(directory / "torn", weights=None)
    with (
        patch.object(app, "EchoExecutor", PacedExecutor),
        serving(directory, adapters=len(NAMES) + 1, memory={"slots": 2}) as server,
        ExitStack() as held,
    ):
        stop = threading.Event()
        crowds = [("sql",) * 6, ("pirate", "sql"), ("orders", "poet", "sentiment")]
        for crowd in crowds:
            client = threading.Thread(target=_ask, args=(server, crowd, stop))
            client.start()
            held.callback(client.join)
        held.callback(stop.set)
        yield server


def _ask(server: Live, adapters: Sequence[str], stop: threading.Event) -> None:
    """One after the other until `stop`, each adapter twice at once."""
    turn = 0
    with httpx.Client(base_url=server.url, timeout=60, verify=NO_TLS) as client:
        while not stop.is_set():
            name = adapters[turn % len(adapters)]
            body = {
                "prompt": [TEXT] * (1 + turn % 4),
                "adapter": name,
                "max_tokens": 20 + 9 * (turn % 5),
                "ignore_eos": True,
            }
            client.post("/v1/completions", json=body)
            turn += 1


def take_all(opener: Opener, server: Live, folder: Path, turns: int) -> list[Path]:
    """Of the server at work, when it has had so many turns."""
    wait_until(lambda: _turns(server) >= turns, limit_s=60)
    made = [
        _now(opener, server, folder / "page-now.png"),
        _adapter(opener, server, folder / "page-adapters.png"),
        _try(opener, server, folder / "page-try.png"),
        _narrow(opener, server, folder / "page-narrow.png"),
    ]
    return made


def _turns(server: Live) -> int:
    with server.client() as client:
        told = client.get("/v1/status").json()["turns"]
    return int(told[-1]["number"]) if told else 0


def _shot(page: Page, place: Path) -> Path:
    page.screenshot(path=place)
    return place


def _now(opener: Opener, server: Live, place: Path) -> Path:
    page = connected(opener(server.url, width=1180, height=1000))
    page.select_option("#span", "30")
    expect(page.locator("#figures dd.value").first).not_to_have_text("\u2013")
    return _shot(page, place)


def _adapter(opener: Opener, server: Live, place: Path) -> Path:
    page = connected(
        opener(f"{server.url}/#adapters", width=1180, height=740, theme="dark")
    )
    page.locator("#adapter-table").get_by_role("button", name="torn").click()
    expect(page.locator("#detail")).to_contain_text("What to do")
    return _shot(page, place)


def _try(opener: Opener, server: Live, place: Path) -> Path:
    page = connected(opener(f"{server.url}/#try", width=1180, height=740))
    page.fill("#prompt", TEXT)
    page.fill("#most", "30")
    for name in ("pirate", "sql"):
        page.fill("#candidate", name)
        page.click("#add")
    page.click("#run")
    expect(page.locator("#try-state")).to_have_text("3 of 3 have answered.")
    return _shot(page, place)


def _narrow(opener: Opener, server: Live, place: Path) -> Path:
    page = connected(opener(server.url, width=360, height=760, theme="dark"))
    page.select_option("#span", "30")
    expect(page.locator("#legend li").first).to_be_visible()
    return _shot(page, place)


def main() -> None:
    root = Path(tempfile.mkdtemp())
    try:
        with launched() as browser, at_work(root) as server:
            opener = Opener(browser)
            take_all(opener, server, DOCS, turns=60)
            opener.close_all()
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
