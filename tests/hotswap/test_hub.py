"""A model of the hub is asked for once, and answered in one line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hotswap.errors import StartFailed
from hotswap.model import hub
from hotswap.model.hub import is_on_hub
from hotswap.model.load import load


class Hub:
    """Answers as it was told, and counts."""

    def __init__(self) -> None:
        self.asked = 0
        self.raises: Exception | None = None

    def model_info(self, _: str, *, timeout: float) -> None:
        assert timeout <= 10
        self.asked += 1
        if self.raises:
            raise self.raises


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    answering = Hub()
    monkeypatch.setattr(hub, "HfApi", lambda: answering)
    is_on_hub.cache_clear()
    yield answering
    is_on_hub.cache_clear()


def cached(monkeypatch: pytest.MonkeyPatch, file: str | None) -> None:
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_: file)


@pytest.mark.parametrize(
    "raised", [ConnectionError("no route"), TimeoutError(), ValueError("404\nmore")]
)
def test_an_unknown_id_is_asked_for_once_and_refused_in_one_line(
    raised: Exception, asked: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached(monkeypatch, None)
    asked.raises = raised

    with pytest.raises(StartFailed) as failed:
        load("nobody/nothing", None, "cpu")

    assert asked.asked == 1
    assert "nobody/nothing" in str(failed.value)
    assert "\n" not in str(failed.value)


def test_without_the_hub_the_cached_copy_is_served_and_nothing_else_is_asked(
    asked: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached(monkeypatch, "config.json")
    asked.raises = ConnectionError("no route")
    seen: list[Any] = []

    def from_cache(source: str, **settings: Any) -> None:
        seen.append((source, settings["local_files_only"]))
        raise OSError("not all of it")

    monkeypatch.setattr("hotswap.model.load.AutoTokenizer.from_pretrained", from_cache)

    with pytest.raises(StartFailed, match="not all of it"):
        load("some/model", None, "cpu")

    assert seen == [("some/model", True)]
    assert asked.asked == 1


def test_a_model_is_asked_for_once_in_a_process(asked: Hub) -> None:
    assert is_on_hub("some/model")
    assert is_on_hub("some/model")

    assert asked.asked == 1


def test_a_snapshot_of_the_hubs_cache_has_the_name_of_its_model(
    tmp_path: Path, model_folder: Path
) -> None:
    snapshots = tmp_path / "models--some-org--Tiny-1B" / "snapshots"
    snapshots.mkdir(parents=True)
    (snapshots / "0123abc").symlink_to(model_folder)
    (tmp_path / "link").symlink_to(model_folder)

    names = [
        load(str(path), "float32", "cpu").name
        for path in (snapshots / "0123abc", tmp_path / "link", model_folder)
    ]

    assert names == ["Tiny-1B", "link", model_folder.name]
