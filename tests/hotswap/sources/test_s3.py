"""Adapters from S3, by its real client against a real S3 API that has its bad days."""

from collections.abc import Callable

import pytest

from hotswap.errors import AdapterRefused
from hotswap.sources.fetcher import Fetcher
from hotswap.sources.location import parse
from hotswap.sources.remote import remote_for
from tests.local_s3 import ENVIRONMENT, LocalS3

WEIGHTS = "adapter_model.safetensors"
FILES = {
    "adapter_config.json": b"{}",
    WEIGHTS: bytes(range(256)) * 40,
    "optimizer.pt": b"a pickle",
    "checkpoint-1/adapter_config.json": b"old",
}
URL = parse("s3://bucket/adapters/one")


@pytest.fixture
def fetcher(s3: LocalS3, fetcher_on: Callable[..., Fetcher]) -> Fetcher:
    s3.put("adapters/one", FILES)
    return fetcher_on()


def test_a_folder_is_fetched(fetcher: Fetcher) -> None:
    held = fetcher.fetch(URL)

    assert {file.name for file in held.folder.iterdir()} == {
        "adapter_config.json",
        WEIGHTS,
    }
    assert (held.folder / WEIGHTS).read_bytes() == FILES[WEIGHTS]


def test_what_is_here_is_listed_and_not_fetched(fetcher: Fetcher, s3: LocalS3) -> None:
    one = fetcher.fetch(URL)
    s3.asked.clear()
    two = fetcher.fetch(URL)

    assert two.folder == one.folder
    assert not s3.asked_for(WEIGHTS)


def test_a_changed_file_is_another_content(fetcher: Fetcher, s3: LocalS3) -> None:
    one = fetcher.fetch(URL)
    s3.put("adapters/one", {WEIGHTS: b"new"})

    assert fetcher.fetch(URL).digest != one.digest


def test_one_that_stops_is_taken_up_where_it_was(fetcher: Fetcher, s3: LocalS3) -> None:
    s3.faults.silent[f"/one/{WEIGHTS}"] = [2048, 3072]

    held = fetcher.fetch(URL)

    assert (held.folder / WEIGHTS).read_bytes() == FILES[WEIGHTS]
    assert s3.asked_for(f"/one/{WEIGHTS}") == ["", "bytes=2048-", "bytes=5120-"]


def test_one_that_breaks_off_is_whole_in_the_end(fetcher: Fetcher, s3: LocalS3) -> None:
    s3.faults.cuts[f"/one/{WEIGHTS}"] = [2048, 3072]

    held = fetcher.fetch(URL)

    assert (held.folder / WEIGHTS).read_bytes() == FILES[WEIGHTS]


def test_one_that_falls_silent_is_not_waited_for(fetcher: Fetcher, s3: LocalS3) -> None:
    s3.faults.silent[f"/one/{WEIGHTS}"] = [1024] * 9

    with pytest.raises(AdapterRefused) as refused:
        fetcher.fetch(URL)

    assert (refused.value.code, refused.value.is_passing) == ("source_away", True)


def test_one_that_changes_while_it_is_fetched_is_not_mixed(
    fetcher: Fetcher, s3: LocalS3
) -> None:
    """The first half is of one content: the rest must be, too."""
    s3.faults.cuts[f"/one/{WEIGHTS}"] = [2048]
    forwarded = s3.answer

    def changing(method: str, path: str, headers: object) -> object:
        if WEIGHTS in path and len(s3.asked_for(f"/one/{WEIGHTS}")) == 2:
            s3.put("adapters/one", {WEIGHTS: bytes(256) * 40})
        return forwarded(method, path, headers)  # type: ignore[arg-type]

    s3.answer = changing  # type: ignore[assignment]
    try:
        with pytest.raises(AdapterRefused) as refused:
            fetcher.fetch(URL)
    finally:
        s3.answer = forwarded

    assert (refused.value.code, refused.value.is_passing) == ("changing", True)
    held = fetcher.fetch(URL)
    assert (held.folder / WEIGHTS).read_bytes() == bytes(256) * 40


@pytest.mark.parametrize("where", ["list-type", WEIGHTS])
@pytest.mark.parametrize(
    ("status", "said"),
    [(403, ("source_denied", False)), (503, ("source_away", True))],
)
def test_what_s3_refuses_is_said_without_credentials(
    fetcher: Fetcher,
    s3: LocalS3,
    where: str,
    status: int,
    said: tuple[str, bool],
) -> None:
    s3.faults.statuses[where] = status

    with pytest.raises(AdapterRefused) as refused:
        fetcher.fetch(URL)

    assert (refused.value.code, refused.value.is_passing) == said
    assert "s3://bucket/adapters/one" in str(refused.value)
    assert ENVIRONMENT["AWS_ACCESS_KEY_ID"] not in str(refused.value)


@pytest.mark.parametrize("url", ["s3://bucket/adapters/no", "s3://no-such-bucket/one"])
def test_what_is_not_there_is_said(fetcher: Fetcher, url: str) -> None:
    with pytest.raises(AdapterRefused) as refused:
        fetcher.fetch(parse(url))

    assert refused.value.code == "no_source"


def test_without_credentials_nothing_is_tried(
    s3: LocalS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)

    with pytest.raises(AdapterRefused, match="no credentials") as refused:
        remote_for("s3", ()).files(URL)

    assert refused.value.code == "source_denied"


def test_ten_gigabytes_that_are_listed_are_not_begun(
    fetcher: Fetcher, s3: LocalS3
) -> None:
    def huge(path: str, body: bytes) -> bytes:
        size = f"<Size>{len(FILES[WEIGHTS])}</Size>".encode()
        return body.replace(size, b"<Size>10737418240</Size>")

    s3.faults.rewrite = huge

    with pytest.raises(AdapterRefused, match="source_max_gb") as refused:
        fetcher.fetch(URL)

    assert refused.value.code == "too_large"
    assert not s3.asked_for(f"/one/{WEIGHTS}")


def test_more_than_was_listed_is_not_written(fetcher: Fetcher, s3: LocalS3) -> None:
    def more(path: str, body: bytes) -> bytes:
        return body + bytes(5000) if path.partition("?")[0].endswith(WEIGHTS) else body

    s3.faults.rewrite = more

    with pytest.raises(AdapterRefused, match="announced") as refused:
        fetcher.fetch(URL)

    assert refused.value.code == "too_large"


def test_the_folders_of_a_place_are_listed(fetcher: Fetcher, s3: LocalS3) -> None:
    s3.put("adapters/two", {"adapter_config.json": b"{}"})
    s3.put("adapters", {"a-file.json": b"{}"})

    found = fetcher.folders(parse("s3://bucket/adapters"))

    assert {name: {f.name for f in files} for name, files in found.items()} == {
        "one": {"adapter_config.json", WEIGHTS, "optimizer.pt"},
        "two": {"adapter_config.json"},
    }
