"""A model that is named by a URL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hotswap.errors import StartFailed
from hotswap.model import model_path
from hotswap.sources import fetcher as fetcher_module
from hotswap.sources import model_source
from hotswap.sources.location import parse
from hotswap.sources.model_source import check_place, fetched_model
from tests.hotswap.sources.memory_remote import MemoryRemote

URL = "s3://bucket/models/tiny"
FILES = {"config.json": b"{}", "model.safetensors": b"w" * 500, "model.bin": b"x"}


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[MemoryRemote]:
    remote = MemoryRemote()
    remote.there["models/tiny"] = FILES
    monkeypatch.setattr(fetcher_module, "remote_for", lambda scheme, **_: remote)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fetched_model.cache_clear()
    yield remote
    fetched_model.cache_clear()


def test_it_is_fetched_once_in_a_process(remote: MemoryRemote) -> None:
    held = fetched_model(URL, 1 << 20)

    assert {f.name for f in held.folder.iterdir()} == {
        "config.json",
        "model.safetensors",
    }
    assert fetched_model(URL, 1 << 20) is held


def test_the_next_start_asks_and_fetches_nothing(remote: MemoryRemote) -> None:
    fetched_model(URL, 1 << 20)
    fetched_model.cache_clear()
    fetched_model(URL, 1 << 20)

    assert len(remote.read_of) == 2


def test_what_was_fetched_serves_when_its_place_is_away(remote: MemoryRemote) -> None:
    one = fetched_model(URL, 1 << 20).digest
    fetched_model.cache_clear()
    remote.is_away = True

    assert fetched_model(URL, 1 << 20).digest == one


@pytest.mark.parametrize(
    ("url", "cache_bytes", "said"),
    [
        (URL, 100, r"source_cache_gb"),
        ("s3://bucket/no", 1 << 20, "there is nothing"),
        ("s3://", 1 << 20, "no URL"),
        ("https://user:secret@host/x.tar.gz", 1 << 20, "no URL"),
    ],
)
def test_what_cannot_be_had_ends_the_start_in_one_line(
    remote: MemoryRemote, url: str, cache_bytes: int, said: str
) -> None:
    with pytest.raises(StartFailed, match=said) as failed:
        fetched_model(url, cache_bytes)

    assert "\n" not in str(failed.value)
    assert "secret" not in str(failed.value)


def test_a_place_that_is_away_at_the_first_start_ends_it(remote: MemoryRemote) -> None:
    remote.is_away = True

    with pytest.raises(StartFailed, match="nothing answers"):
        fetched_model(URL, 1 << 20)


def test_a_url_is_no_hub_id_and_one_that_is_wrong_is_refused_at_a_glance() -> None:
    assert not model_path.is_hub_id("hf://org/name")
    model_path.check("hf://org/name@v1")
    with pytest.raises(StartFailed, match="no URL as this server reads them"):
        model_path.check("hf://name")


def test_a_directory_that_will_not_be_had_ends_the_first_start(
    remote: MemoryRemote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = parse("s3://bucket/adapters")
    monkeypatch.setattr(model_source, "remote_for", lambda scheme, allowed: remote)
    check_place(place, tmp_path)
    remote.is_away = True
    check_place(place, tmp_path)
    remote.is_closed = True

    with pytest.raises(StartFailed, match="adapters directory s3://bucket/adapters"):
        check_place(place, tmp_path)
    (tmp_path / "one").symlink_to(tmp_path)
    check_place(place, tmp_path)
