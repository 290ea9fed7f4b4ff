"""Hostile: what a folder's name or an error says is text wherever it is shown."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from hotswap.adapters.file_names import CONFIG_FILE
from tests.browser.served import save_adapter, serving
from tests.browser.watched import Opener, connected
from tests.servers import Live

SCRIPT = "<img src=x onerror=document.title='owned'>"
TURNED = "evil\u202egnp.exe"
LONG, LONGEST = "n" * 250, "m" * 255  # as a folder may be called
NAMES = [SCRIPT, TURNED, LONG, LONGEST, "__proto__", "\U0001f4a9 <b>"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    root = tmp_path_factory.mktemp("adapters")
    for name in NAMES:
        save_adapter(root / name)
    config = root / "torn" / CONFIG_FILE
    save_adapter(root / "torn")
    config.write_text(json.dumps({"peft": SCRIPT}) + SCRIPT)
    with serving(root, adapters=len(list(root.iterdir()))) as server:
        yield server


def is_harmless(page: Page) -> None:
    """Nothing of it became an element, and the page is as wide as its window."""
    assert page.title() == "hotswap"
    assert page.locator("img, script:not([src])").count() == 0
    wide = "document.documentElement.scrollWidth - innerWidth"
    assert page.evaluate(wide) <= 0


def test_names_are_text_in_the_table_and_in_the_detail(
    server: Live, opener: Opener
) -> None:
    page = connected(opener(f"{server.url}/#adapters"))
    names = page.locator("#adapter-table tbody .name")
    expect(names.filter(has_text=SCRIPT)).to_have_text(SCRIPT)
    # The mark that would turn the rest around is told, not obeyed.
    expect(names.filter(has_text="evil")).to_have_text("evil\u27e8U+202E\u27e9gnp.exe")
    for name in (SCRIPT, LONG, "__proto__"):
        page.locator("#adapter-table").get_by_role("button", name=name).click()
        expect(page.locator("#detail-title")).to_have_text(name)
        is_harmless(page)
        page.keyboard.press("Escape")


def test_names_are_text_where_they_run(server: Live, opener: Opener) -> None:
    page = connected(opener(server.url, width=360))
    for name in (LONGEST, SCRIPT):
        body = {"prompt": "abc", "adapter": name, "max_tokens": 3}
        with server.client() as client:
            assert client.post("/v1/completions", json=body).status_code == 200

    expect(page.locator("#turns tbody tr").first).to_contain_text(SCRIPT)
    expect(page.locator("#legend")).to_contain_text(SCRIPT)
    is_harmless(page)


def test_errors_are_text(server: Live, opener: Opener) -> None:
    opener.forgive(["Failed to load resource"])
    page = connected(opener(f"{server.url}/#adapters"))
    page.click("#open-load")
    page.fill("#folder-src", f"../{SCRIPT}")
    page.fill("#folder-name", "x")
    page.click("#folder-load")

    expect(page.locator("#folder-result .bad")).to_contain_text("<img")
    is_harmless(page)


def test_answers_are_text(server: Live, opener: Opener) -> None:
    page = connected(opener(f"{server.url}/#try"))
    page.fill("#candidate", SCRIPT)
    page.click("#add")
    page.fill("#prompt", SCRIPT)
    page.click("#run")

    expect(page.locator(".answer pre")).to_have_text([SCRIPT, SCRIPT])
    is_harmless(page)


def test_a_script_that_got_in_all_the_same_would_not_run(
    server: Live, opener: Opener
) -> None:
    """The policy, by trying: no HTML from text, no script inside the page, no style."""
    opener.forgive(["Content Security Policy", "Trusted", "404"])
    page = connected(opener(server.url))

    tried = page.evaluate(
        """() => [
          () => { document.body.innerHTML = "<b>x</b>"; },
          () => { document.createElement("img").setAttribute("onerror", "1"); },
          () => { document.createElement("script").text = "1"; },
          () => { setTimeout("1"); },
        ].map((act) => {
          try { act(); return "done"; } catch (error) { return error.name; }
        })"""
    )
    page.evaluate("document.body.setAttribute('style', 'color: rgb(1, 2, 3)')")

    assert tried == ["TypeError"] * 4
    colour = page.evaluate("getComputedStyle(document.body).color")
    assert colour != "rgb(1, 2, 3)"
