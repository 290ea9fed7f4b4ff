"""Which names and which folders an adapter may have."""

import os
from pathlib import Path

import pytest

from hotswap.adapters.file_names import WEIGHTS_FILE
from hotswap.errors import BadRequest, SourceForbidden, SourceUnsupported
from hotswap.library.adapter_sources import Sources
from tests.hotswap.library.desk import Desk, make


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("", "empty"),
        ("a/b", "path segment"),
        ("..", "path segment"),
        (".hidden", "path segment"),
        ("line\nbreak", "path segment"),
        ("x" * 4001, "4001 characters"),
        ("\u00e4" * 667, "4002 characters"),
    ],
)
def test_a_name_that_cannot_be_is_refused(desk: Desk, name: str, found: str) -> None:
    with pytest.raises(BadRequest, match=found):
        desk.register(name, "stock/a")

    assert desk.told() == []


@pytest.mark.parametrize(
    "src", ["s3://bucket/a", "https://host/a", "file:///etc", "hf://org/a"]
)
def test_a_url_is_no_source(desk: Desk, src: str) -> None:
    with pytest.raises(SourceUnsupported):
        desk.register("one", src)


@pytest.mark.parametrize(
    "src", ["../outside", "/etc", "stock/../../outside", "leak", "//[half", "a\0b"]
)
def test_a_folder_outside_the_roots_is_forbidden(desk: Desk, src: str) -> None:
    make(desk.directory.parent / "outside", "a")
    (desk.directory / "leak").symlink_to(desk.directory.parent / "outside")

    with pytest.raises(SourceForbidden):
        desk.register("one", src)

    assert desk.told() == []


def test_a_file_that_is_a_link_out_of_the_roots_is_forbidden(desk: Desk) -> None:
    secret = desk.directory.parent / "secret"
    secret.write_text("a")
    folder = make(desk.directory / "sly", "a")
    (folder / WEIGHTS_FILE).unlink()
    (folder / WEIGHTS_FILE).symlink_to(secret)

    with pytest.raises(SourceForbidden):
        desk.register("one", "sly")
    assert desk.find("sly") is False
    assert desk.told()[0][:2] == ("refuse", "sly")


def test_a_refusal_for_its_place_names_the_setting(desk: Desk) -> None:
    with pytest.raises(SourceForbidden, match=r"`roots` under \[adapters\]"):
        desk.register("one", "/etc")


def test_a_root_whose_link_is_flipped_is_followed(tmp_path: Path) -> None:
    for release in "12":
        make(tmp_path / release / "one", "a")
    (tmp_path / "now").symlink_to("1")
    sources = Sources([tmp_path / "now"])
    sources.check(tmp_path / "now" / "one", "one")

    (tmp_path / "flip").symlink_to("2")
    os.replace(tmp_path / "flip", tmp_path / "now")

    sources.check(tmp_path / "now" / "one", "one")
    with pytest.raises(SourceForbidden):
        sources.check(tmp_path / "1" / "one", "one")
