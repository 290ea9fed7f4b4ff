"""What is fetched is kept by its content, within a limit, as long as it is used."""

import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hotswap.errors import AdapterRefused, NoRoom
from hotswap.sources.cache_users import Held
from hotswap.sources.content_cache import ContentCache

NEVER = threading.Event()


@pytest.fixture
def cache(tmp_path: Path) -> ContentCache:
    return ContentCache(tmp_path / "cache", 1000)


def fetched(cache: ContentCache, key: str, size: int = 300, used: int = 0) -> Held:
    """A folder of one file. `used`: when, in seconds."""
    with cache.partial(key, size, NEVER) as folder:
        (folder / "adapter_config.json").write_bytes(key.encode().ljust(size))
        held = cache.take(folder)
    os.utime(held.folder, (used, used))
    return held


def test_the_same_files_are_one_folder(cache: ContentCache) -> None:
    one, two = fetched(cache, "a"), fetched(cache, "a")

    assert one.folder == two.folder
    assert one.digest == one.folder.name
    assert list(cache.contents.iterdir()) == [one.folder]


def test_the_least_recently_used_leaves_first(cache: ContentCache) -> None:
    digests = [fetched(cache, key, used=n).digest for n, key in enumerate("abc")]
    gc.collect()
    assert cache.find(digests[0]) is not None  # used now

    gc.collect()
    fetched(cache, "d")

    here = [cache.find(digest) is not None for digest in digests]
    assert here == [True, False, True]


def test_what_is_in_use_stays_and_the_next_is_told_so(cache: ContentCache) -> None:
    held = [fetched(cache, key) for key in "abc"]

    with pytest.raises(NoRoom, match="source_cache_gb"):
        fetched(cache, "d")
    assert all(each.folder.is_dir() for each in held)

    del held[0]
    gc.collect()
    assert fetched(cache, "d").folder.is_dir()


def test_what_another_process_uses_stays_until_that_ends(
    cache: ContentCache, tmp_path: Path
) -> None:
    digest = fetched(cache, "a").digest
    gc.collect()
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from hotswap.sources.content_cache import ContentCache\n"
        "held = ContentCache(Path(sys.argv[1]), 1000).find(sys.argv[2])\n"
        "print(held.folder, flush=True)\nsys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "cache"), digest]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as other:
        assert other.stdout
        assert digest in other.stdout.readline().decode()
        keep = fetched(cache, "b", 600)
        with pytest.raises(NoRoom):
            fetched(cache, "c", 200)
        other.kill()  # it gives nothing back itself

    assert fetched(cache, "c", 200).folder.is_dir()
    assert cache.find(digest) is None
    assert keep.folder.is_dir()


def test_what_is_announced_has_its_room_before_it_comes(cache: ContentCache) -> None:
    with cache.partial("a", 600, NEVER), pytest.raises(NoRoom):  # noqa: SIM117
        with cache.partial("b", 600, NEVER):
            raise AssertionError("there was no room")


def test_a_partial_folder_is_no_content_and_is_found_again(
    cache: ContentCache,
) -> None:
    with cache.partial("a", 100, NEVER) as folder:
        (folder / "x.json").write_text("{")
    with cache.partial("a", 100, NEVER) as folder:
        assert (folder / "x.json").read_text() == "{"

    assert not cache.contents.exists()


def test_an_old_partial_folder_leaves_for_others(cache: ContentCache) -> None:
    with cache.partial("a", 900, NEVER) as folder:
        (folder / "x.json").write_bytes(bytes(900))

    fetched(cache, "b", 900)

    assert not folder.exists()


def test_who_waits_for_a_folder_that_another_fetches_can_be_stopped(
    cache: ContentCache,
) -> None:
    stop = threading.Event()
    stop.set()

    with cache.partial("a", 1, NEVER), pytest.raises(AdapterRefused):  # noqa: SIM117
        with cache.partial("a", 1, stop):
            raise AssertionError("two have it")


def test_what_a_location_stood_for_is_recalled(cache: ContentCache) -> None:
    assert cache.recall("s3://a/b") is None
    cache.note("s3://a/b", "listing", "content")

    assert cache.recall("s3://a/b") == ("listing", "content")
