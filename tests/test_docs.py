"""README and docs: what they link to, name and list is there; what is there is listed.

Their commands are run in `tests/live/test_commands.py`.
"""

import json
from pathlib import Path

import pytest

from hotswap.adapters.origin import Origin
from hotswap.adapters.sidecar import Sidecar, read_sidecar
from hotswap.api.application import PARTS
from hotswap.errors import Vetoed
from hotswap.handler import djl_handler
from hotswap.handler.runner import Runner
from hotswap.library import hooks
from tests.pages import (
    PAGES,
    ROOT,
    blocks,
    broken_links,
    missing_modules,
    missing_names,
)
from tests.peer_fields import bodies

assert PARTS  # it has imported every body
API = (ROOT / "docs" / "api.md").read_text()
ADAPTERS = (ROOT / "docs" / "adapters.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_json_block_is_json(page: Path) -> None:
    for block in blocks(page):
        if block.language == "json":
            json.loads(block.text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert not broken_links(page)


def test_every_file_and_function_that_a_page_names_is_there() -> None:
    assert not missing_names(PAGES)


def test_every_module_that_a_page_runs_is_there() -> None:
    assert not missing_modules(PAGES)


def test_a_name_that_is_not_there_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`tests/pages.py: blocks` `tests/pages.py:Block.answer` `tests/live/`\n"
        "`tests/pages.py: bocks` `tests/pages.py:Block.reply` `tests/leave/`"
    )

    wrong = [line.partition(": ")[2] for line in missing_names([page])]

    assert wrong == [
        "tests/pages.py: bocks",
        "tests/pages.py: Block.reply",
        "tests/leave/",
    ]


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# `GET /here`: one\n[a](#get-here-one) [b](#two) [c](page.md) [d](no.md#x)\n"
    )

    assert broken_links(page) == ["#two", "no.md#x"]


def test_every_field_of_every_body_is_on_the_page_of_the_api() -> None:
    missing = {
        f"{body.__name__}.{field}"
        for body in bodies()
        for field in body.__struct_encode_fields__
        if f"`{field}`" not in API
    }

    assert not missing


def test_every_field_that_is_not_supported_is_on_the_page_of_the_api() -> None:
    missing = {
        f"{body.__name__}.{field}"
        for body in bodies()
        for field in body.foreign
        if f"`{field}`" not in API
    }

    assert not missing


def test_every_key_of_a_sidecar_is_on_the_page_of_adapters() -> None:
    missing = [key for key in Sidecar.__struct_fields__ if f"`{key}`" not in ADAPTERS]

    assert not missing


def test_the_sidecar_that_is_shown_can_be_read(tmp_path: Path) -> None:
    page = ROOT / "docs" / "adapters.md"
    (shown,) = [block.text for block in blocks(page) if block.language == "toml"]
    (tmp_path / "hotswap.toml").write_text(shown)

    assert read_sidecar(tmp_path).weight == 2.0


def test_the_handler_that_is_shown_can_be_loaded(tmp_path: Path) -> None:
    page = ROOT / "docs" / "handler.md"
    (shown,) = [block.text for block in blocks(page) if block.language == "python"]
    module = tmp_path / "model.py"
    module.write_text(shown)

    shown_handler = djl_handler.load(
        str(module), adapters=None, runner=Runner(), properties={}
    )

    shown_handler.initialise()
    origin = Origin(src="x")
    assert shown_handler.tell("register_adapter", "a", origin).result(10) == (
        "Adapter a is welcome"
    )
    with pytest.raises(Vetoed, match="lower case"):
        shown_handler.tell("register_adapter", "A", origin).result(10)


def test_the_hooks_that_are_shown_can_be_loaded(tmp_path: Path) -> None:
    page = ROOT / "docs" / "adapters.md"
    (shown,) = [block.text for block in blocks(page) if block.language == "python"]
    module = tmp_path / "hooks.py"
    module.write_text(shown)

    change = hooks.load(str(module), None).postprocess("pirate")

    assert change is not None
    assert change("Ahoy", True) == "AHOY"
