"""What a hub refuses, promises too much of, or sends elsewhere."""

import pytest

from hotswap.errors import AdapterRefused
from hotswap.sources.fetcher import Fetcher
from hotswap.sources.location import parse
from tests.faulty_http import Faulty
from tests.hotswap.sources.hub_adapter import FILES, URL, WEIGHTS
from tests.local_hub import LocalHub


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, ("source_denied", False)),
        (403, ("source_denied", False)),
        (404, ("no_source", False)),
        (429, ("source_away", True)),
        (503, ("source_away", True)),
    ],
)
@pytest.mark.parametrize("where", ["/api/models", f"/{WEIGHTS}"])
def test_what_a_hub_refuses_is_said(
    fetcher: Fetcher,
    hub_server: Faulty,
    status: int,
    said: tuple[str, bool],
    where: str,
) -> None:
    hub_server.faults.statuses[where] = status

    with pytest.raises(AdapterRefused) as refused:
        fetcher.fetch(URL)

    assert (refused.value.code, refused.value.is_passing) == said
    assert "hf://org/name" in str(refused.value)


@pytest.mark.parametrize(
    "url", ["hf://no/name", "hf://org/name@no", "hf://org/name/no"]
)
def test_what_is_not_there_is_said(fetcher: Fetcher, url: str) -> None:
    with pytest.raises(AdapterRefused) as refused:
        fetcher.fetch(parse(url))

    assert refused.value.code == "no_source"


def test_ten_gigabytes_that_are_announced_are_not_begun(
    fetcher: Fetcher, hub: LocalHub, hub_server: Faulty
) -> None:
    hub.announced[WEIGHTS] = 10 * 2**30

    with pytest.raises(AdapterRefused, match=r"source_max_gb") as refused:
        fetcher.fetch(URL)

    assert refused.value.code == "too_large"
    assert hub_server.asked_for("/resolve/") == []


def test_more_than_was_announced_is_not_written(
    fetcher: Fetcher, hub: LocalHub
) -> None:
    hub.announced[WEIGHTS] = 5000

    with pytest.raises(AdapterRefused, match="announced") as refused:
        fetcher.fetch(URL)

    assert refused.value.code == "too_large"
    partials = fetcher.cache.contents.parent / "partial"
    assert all(f.stat().st_size <= 5000 for f in partials.rglob(f"*{WEIGHTS}"))


def test_content_that_is_not_what_its_digest_says_is_not_taken(
    fetcher: Fetcher, hub_server: Faulty
) -> None:
    def other(path: str, body: bytes) -> bytes:
        return body[::-1] if path.endswith(WEIGHTS) else body

    hub_server.faults.rewrite = other

    with pytest.raises(AdapterRefused) as refused:
        fetcher.fetch(URL)

    assert refused.value.code == "changing"
    assert fetcher.kept(URL) is None


def test_the_token_goes_to_the_hub_and_to_nobody_it_redirects_to(
    fetcher: Fetcher,
    hub: LocalHub,
    hub_server: Faulty,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.token = "hf_secret"
    fetcher.fetch(URL)
    assert hub_server.sent[-1]["authorization"] == "Bearer hf_secret"

    hub.elsewhere = "http://127.0.0.1:9"
    hub.put("org/name", {**FILES, "tokenizer.model": b"new"})
    with pytest.raises(
        AdapterRefused, match=r"leads to http://127\.0\.0\.1:9"
    ) as refused:
        fetcher.fetch(URL)

    assert refused.value.code == "source_denied"
    assert "hf_secret" not in str(refused.value)
