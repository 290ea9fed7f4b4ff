"""Adapters from a hub that is slow, breaks off, changes, refuses and exaggerates."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from huggingface_hub import constants

from hotswap.errors import AdapterRefused
from hotswap.sources.fetcher import Fetcher
from hotswap.sources.location import parse
from tests.faulty_http import Faulty
from tests.hotswap.sources.hub_adapter import FILES, TAKEN, URL, WEIGHTS
from tests.local_hub import LocalHub


def test_data_is_fetched_and_code_and_pickles_are_not(fetcher: Fetcher) -> None:
    held = fetcher.fetch(URL)

    assert {file.name for file in held.folder.iterdir()} == TAKEN
    assert (held.folder / WEIGHTS).read_bytes() == FILES[WEIGHTS]
    assert held.folder.name == held.digest


def test_what_is_here_is_not_fetched_again(
    fetcher: Fetcher, hub_server: Faulty
) -> None:
    one = fetcher.fetch(URL)
    asked = len(hub_server.asked)
    two = fetcher.fetch(URL)

    assert two.folder == one.folder
    assert len(hub_server.asked) == asked + 1  # what the revision is now


def test_other_content_under_the_same_name_is_another_folder(
    fetcher: Fetcher, hub: LocalHub
) -> None:
    one = fetcher.fetch(URL)
    hub.put("org/name", {**FILES, WEIGHTS: b"new"})
    two = fetcher.fetch(URL)

    assert two.digest != one.digest
    assert (two.folder / WEIGHTS).read_bytes() == b"new"
    assert (one.folder / WEIGHTS).read_bytes() == FILES[WEIGHTS]


def test_a_revision_and_a_folder_in_it_are_fetched(
    fetcher: Fetcher, hub: LocalHub
) -> None:
    hub.put("org/name", {"sub/adapter_config.json": b"{}", "other": b""}, "v1")

    held = fetcher.fetch(parse("hf://org/name@v1/sub"))

    assert [file.name for file in held.folder.iterdir()] == ["adapter_config.json"]


def test_a_connection_that_breaks_off_is_taken_up_where_it_was(
    fetcher: Fetcher, hub_server: Faulty
) -> None:
    hub_server.faults.cuts[f"/{WEIGHTS}"] = [2048, 3072]

    held = fetcher.fetch(URL)

    assert (held.folder / WEIGHTS).read_bytes() == FILES[WEIGHTS]
    assert hub_server.asked_for(f"/{WEIGHTS}") == ["", "bytes=2048-", "bytes=5120-"]


def test_one_that_gives_up_leaves_what_has_come_for_the_next(
    fetcher: Fetcher, hub_server: Faulty
) -> None:
    hub_server.faults.cuts[f"/{WEIGHTS}"] = [1024, *[0] * 9]
    with pytest.raises(AdapterRefused) as refused:
        fetcher.fetch(URL)
    assert refused.value.is_passing
    hub_server.faults.cuts.clear()
    hub_server.asked.clear()

    held = fetcher.fetch(URL)

    assert hub_server.asked_for(f"/{WEIGHTS}") == ["bytes=1024-"]
    assert hub_server.asked_for("/adapter_config.json") == []
    assert (held.folder / WEIGHTS).read_bytes() == FILES[WEIGHTS]


def test_a_server_without_ranges_costs_more_and_gives_the_same(
    fetcher: Fetcher, hub_server: Faulty
) -> None:
    hub_server.faults.cuts[f"/{WEIGHTS}"] = [2048]
    hub_server.faults.no_ranges = True

    held = fetcher.fetch(URL)

    assert (held.folder / WEIGHTS).read_bytes() == FILES[WEIGHTS]


def test_a_server_that_falls_silent_is_waited_for_no_longer_than_its_time(
    fetcher: Fetcher, hub_server: Faulty
) -> None:
    hub_server.faults.silent[f"/{WEIGHTS}"] = [0] * 9

    with pytest.raises(AdapterRefused, match="does not answer") as refused:
        fetcher.fetch(URL)

    assert refused.value.is_passing


def test_offline_nothing_is_asked(
    fetcher: Fetcher, hub_server: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = fetcher.fetch(URL)
    asked = len(hub_server.asked)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    with pytest.raises(AdapterRefused, match="HF_HUB_OFFLINE"):
        fetcher.fetch(URL)

    assert len(hub_server.asked) == asked
    found = fetcher.kept(URL)
    assert found is not None
    assert found.digest == kept.digest


def test_a_fetch_that_nobody_wants_ends(fetcher: Fetcher, hub_server: Faulty) -> None:
    hub_server.faults.silent[f"/{WEIGHTS}"] = [4096] * 9
    stop = threading.Event()

    with ThreadPoolExecutor(1) as pool:
        fetched = pool.submit(fetcher.fetch, URL, stop)
        assert hub_server.reached.wait(10)
        stop.set()
        with pytest.raises(AdapterRefused, match="not fetched any more"):
            fetched.result(10)


def test_two_at_once_fetch_once(fetcher: Fetcher, hub_server: Faulty) -> None:
    with ThreadPoolExecutor(4) as pool:
        held = [f.result(20) for f in [pool.submit(fetcher.fetch, URL) for _ in "abcd"]]

    assert len({each.digest for each in held}) == 1
    assert len(hub_server.asked_for(f"/{WEIGHTS}")) == 1
