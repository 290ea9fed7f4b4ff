"""The page's files: what they are, what they may do, and how a browser keeps them."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hotswap import config
from hotswap.echo import app
from tests.pages import ROOT
from tests.servers import Live

FILES = sorted((ROOT / "hotswap" / "page").iterdir())
PATHS = ["/", *(f"/page/{file.name}" for file in FILES)]


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    told = config.load(None, {"model": {"path": "echo"}})
    with Live(app.build(told)) as live, live.client() as client:
        yield client


@pytest.mark.parametrize("path", PATHS)
def test_every_file_comes_with_its_type_and_the_policy(
    client: httpx.Client, path: str
) -> None:
    answer = client.get(path)

    assert answer.status_code == 200
    kinds = {"css": "text/css", "js": "text/javascript"}
    kind = kinds.get(path.rpartition(".")[2], "text/html")
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    policy = answer.headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/", "/page/app.js"])
def test_what_a_browser_has_is_not_sent_again(client: httpx.Client, path: str) -> None:
    first = client.get(path)
    tag = first.headers["etag"]

    for said in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = client.get(path, headers={"if-none-match": said})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    assert first.headers["cache-control"] == "no-cache"
    other = client.get(path, headers={"if-none-match": '"other"'})
    assert other.content == first.content


@pytest.mark.parametrize(
    "name", ["nothing.js", "..%2Fapp.py", "index.html%00", "%2e%2e"]
)
def test_there_are_no_other_files(client: httpx.Client, name: str) -> None:
    assert client.get(f"/page/{name}").status_code == 404


def test_tgi_s_route_at_the_same_address_is_still_there(client: httpx.Client) -> None:
    answer = client.post("/", json={"inputs": "abc"})

    assert answer.json()[0]["generated_text"] == "abc"


def test_the_page_names_no_other_host_and_has_nothing_inline() -> None:
    """And every file that one of them loads is there."""
    names = {file.name for file in FILES}
    for file in FILES:
        text = file.read_text()
        outside = set(re.findall(r"https?://[^\s'\"]+", text))
        assert outside <= {"http://www.w3.org/2000/svg"}, file.name
        assert set(re.findall(r'from "\./([\w.]+)"', text)) <= names
        assert set(re.findall(r'"/page/([\w.]+)"', text)) <= names
    page = (ROOT / "hotswap" / "page" / "index.html").read_text()
    assert not re.findall(r"<style|<script(?![^>]* src=)|\sstyle=|\son\w+=", page)


@pytest.mark.parametrize(
    "file", [f for f in FILES if f.suffix == ".js"], ids=lambda file: file.name
)
def test_no_script_makes_html_or_code_of_text(file: Path) -> None:
    makes = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
    )

    assert not re.findall(makes, file.read_text())


def test_a_file_of_the_page_holds_one_idea() -> None:
    lengths = {file.name: len(file.read_text().splitlines()) for file in FILES}

    assert not {name: n for name, n in lengths.items() if n > 250}


def test_every_refusal_has_a_remedy() -> None:
    said = (ROOT / "docs" / "adapters.md").read_text()
    rows = said.partition("## What is refused")[2].partition("\n## ")[0]
    codes = {
        code
        for line in rows.splitlines()
        if line.startswith("| `")
        for code in re.findall(r"`(\w+)`", line.split("|")[1])
    }

    remedies = (ROOT / "hotswap" / "page" / "remedies.js").read_text()

    assert codes
    assert codes - set(re.findall(r"^  (\w+): ", remedies, re.M)) == set()
