"""Adapters that clients register by a URL."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hotswap.errors import (
    AdapterRefused,
    BadRequest,
    SourceForbidden,
    SourceUnsupported,
    UnknownAdapter,
)
from hotswap.library.adapter_sources import Sources, shown
from hotswap.library.journal import JOURNAL_FILE
from hotswap.library.orders import Update
from hotswap.library.remote_sources import RemoteSources
from hotswap.sources.content_cache import ContentCache
from hotswap.sources.fetcher import Fetcher
from tests.hotswap.library.desk import Desk
from tests.hotswap.library.place import Place

ONE = "s3://bucket/adapters/one"


@pytest.fixture
def place() -> Iterator[Place]:
    place = Place()
    place.put("adapters/one", "k1")
    yield place
    place.gate.set()


@pytest.fixture
def far(desk: Desk, place: Place, tmp_path: Path) -> Desk:
    """A desk that may fetch from `s3://bucket/adapters/*`."""
    allow(desk, place, tmp_path, ["s3://bucket/adapters/*", "https://host/*"])
    return desk


def allow(desk: Desk, place: Place, tmp_path: Path, allowed: Sequence[str]) -> None:
    desk.library.stop()
    cache = ContentCache(tmp_path / "cache", 1 << 20)
    fetcher = Fetcher(
        cache,
        most_bytes=1 << 20,
        key="adapters.source_max_gb",
        make_remote=lambda scheme: place,
    )
    desk.remote = RemoteSources(fetcher, allowed)
    desk.sources = Sources([desk.directory], cache.contents)
    desk.open()


def test_one_is_fetched_and_served(far: Desk) -> None:
    assert far.register("one", ONE) == "k1"

    assert far.told() == [("adopt", "one", "k1")]


@pytest.mark.parametrize(
    "src", [ONE, "hf://org/name", "https://host/x.tar.gz?Signature=s3cret"]
)
def test_without_the_setting_nothing_is_and_the_answer_names_it(
    desk: Desk, src: str
) -> None:
    with pytest.raises(SourceUnsupported, match=r"`sources` under \[adapters\]") as no:
        desk.register("one", src)

    assert "s3cret" not in str(no.value)


@pytest.mark.parametrize(
    "src", ["s3://bucket/other/one", "s3://other/adapters/one", "hf://org/name"]
)
def test_what_the_setting_does_not_name_is_forbidden(
    far: Desk, place: Place, src: str
) -> None:
    with pytest.raises(SourceForbidden, match=r"`sources` under \[adapters\]"):
        far.register("one", src)

    assert place.read_of == []


@pytest.mark.parametrize("src", ["gs://bucket/one", "file:///etc"])
def test_other_urls_are_not_supported_ever(far: Desk, src: str) -> None:
    with pytest.raises(SourceUnsupported):
        far.register("one", src)


def test_what_is_no_url_of_its_kind_is_the_clients_error(far: Desk) -> None:
    with pytest.raises(BadRequest) as refused:
        far.register("one", "s3://key:secret@bucket/adapters/one")

    assert refused.value.field == "src"
    assert "secret" not in str(refused.value)


def test_what_is_no_adapter_is_refused_lazy_or_not(far: Desk, place: Place) -> None:
    place.there["adapters/two"] = {"config.json": b"{}"}

    for preload in (True, False):
        with pytest.raises(AdapterRefused) as refused:
            far.register("two", "s3://bucket/adapters/two", preload=preload)
        assert refused.value.code == "no_config"


def test_changed_content_is_a_new_generation_when_it_is_registered_again(
    far: Desk, place: Place
) -> None:
    far.register("one", ONE)
    place.put("adapters/one", "k2")

    assert far.register("one", ONE, replace=True) == "k2"


def test_an_update_that_names_the_source_looks_at_it_again(
    far: Desk, place: Place
) -> None:
    far.register("one", ONE)
    place.put("adapters/one", "k2")
    far.told()

    far.library.update(Update(name="one", alias="x")).result(10)
    assert far.told() == [("amend", "one", None)]
    far.library.update(Update(name="one", src=ONE)).result(10)
    assert far.told() == [("adopt", "one", "k2")]
    with pytest.raises(BadRequest, match="not supported"):
        far.library.update(Update(name="one", src=f"{ONE}-2")).result(10)


def test_it_comes_back_after_a_restart_as_it_was_without_the_network(
    far: Desk, place: Place
) -> None:
    far.register("one", ONE)
    far.library.stop()
    place.is_away = True
    place.put("adapters/one", "k2")

    far.open()

    assert far.told() == [("adopt", "one", "k1")]


def test_one_that_the_cache_has_lost_waits_for_the_network(
    far: Desk, place: Place, tmp_path: Path
) -> None:
    far.register("one", ONE)
    far.library.stop()
    (tmp_path / "cache").rename(tmp_path / "lost")
    place.is_away = True

    far.open()
    assert far.told() == [("adopt", "one", None)]
    place.is_away = False
    far.library.learn("one").result(10)

    assert far.told() == [("adopt", "one", "k1")]


def test_one_that_is_allowed_no_more_does_not_come_back(
    far: Desk, place: Place, tmp_path: Path
) -> None:
    far.register("one", ONE)

    allow(far, place, tmp_path, ["s3://other/*"])

    (told,) = far.told()
    assert told[:2] == ("refuse", "one")
    assert "`sources`" in str(told[2])


def test_a_slow_one_holds_up_no_other(far: Desk, place: Place) -> None:
    place.slow = "one"
    slow = far.ask("one", ONE)
    assert place.begun.wait(10)
    place.put("adapters/two", "k2")

    assert far.register("two", "s3://bucket/adapters/two") == "k2"
    assert far.register("three", "stock/a") == "a"
    assert not slow.done()
    place.gate.set()
    assert slow.result(10).generation == "k1"


def test_many_slow_ones_hold_up_no_folder(far: Desk, place: Place) -> None:
    place.slow = "slow"
    for number in range(9):
        place.put(f"adapters/{number}slow", f"k{number}")
    slow = [far.ask(f"s{n}", f"s3://bucket/adapters/{n}slow") for n in range(9)]
    assert place.begun.wait(10)

    assert far.register("a", "stock/a") == "a"

    place.gate.set()
    assert [each.result(10).generation for each in slow] == [f"k{n}" for n in range(9)]


def test_to_unregister_the_name_ends_what_is_fetched_for_it(
    far: Desk, place: Place
) -> None:
    place.slow = "one"
    asked = far.ask("one", ONE)
    assert place.begun.wait(10)
    gone = far.library.unregister("one")
    place.gate.set()

    with pytest.raises(AdapterRefused) as refused:
        asked.result(10)
    assert refused.value.code == "cancelled"
    with pytest.raises(UnknownAdapter):
        gone.result(10)


def test_no_signature_is_kept_or_shown(
    far: Desk, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.there["one.tar.gz"] = place.there["adapters/one"]
    far.register("one", "https://host/one.tar.gz?X-Amz-Signature=s3cret")

    assert "s3cret" not in (far.directory / JOURNAL_FILE).read_text()
    assert shown("https://host/one.tar.gz", None, show_paths=False) == (
        "https://host/one.tar.gz"
    )


def test_no_client_names_the_cache_as_a_folder(far: Desk, tmp_path: Path) -> None:
    far.register("one", ONE)
    (content,) = (tmp_path / "cache" / "content").iterdir()

    with pytest.raises(SourceForbidden):
        far.register("two", str(content))
