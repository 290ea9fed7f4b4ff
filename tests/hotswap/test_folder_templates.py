"""A folder's chat template: taken without a tokenizer, too, and tried at once."""

import json
from pathlib import Path

import pytest

from hotswap.adapters.adapter_tokenizer import AdapterTokenizers
from hotswap.adapters.checkpoint import read
from hotswap.adapters.layout import Layout
from hotswap.adapters.sidecar import SIDECAR_FILE
from hotswap.errors import AdapterRefused
from hotswap.tokenizer import Tokenizer
from tests import added, tiny
from tests.hotswap.test_parity import make_runner

pytestmark = pytest.mark.filterwarnings("ignore")  # PEFT's, while it makes adapters


@pytest.fixture(scope="module")
def layout() -> Layout:
    return make_runner("llama").layout


@pytest.fixture
def tokenizers() -> AdapterTokenizers:
    return AdapterTokenizers(tiny.tokenizer())


MESSAGES = [{"role": "user", "content": "hi"}]
OWN_TEMPLATE = "{{ messages[0]['content'] }}, {{ eos_token }}"
PLACES = {
    "chat_template.jinja": OWN_TEMPLATE,
    "tokenizer_config.json": json.dumps({"chat_template": OWN_TEMPLATE}),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_template_without_a_tokenizer_is_honoured(
    place: str, tokenizers: AdapterTokenizers, tmp_path: Path
) -> None:
    (tmp_path / place).write_text(PLACES[place])

    found = added.own_tokenizer(tokenizers, tmp_path, tiny.VOCAB)

    assert found.render(MESSAGES) == "hi, <eos>"
    assert found.key
    assert found.encode("ab<x>") == Tokenizer(tiny.tokenizer()).encode("ab<x>")


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"x" * (1 << 19), b"{" * 3], ids=["utf", "long", "json"]
)
def test_a_template_that_cannot_be_read_refuses_the_adapter(
    content: bytes, tokenizers: AdapterTokenizers, tmp_path: Path
) -> None:
    is_json = content.startswith(b"{")
    name = "tokenizer_config.json" if is_json else "chat_template.jinja"
    (tmp_path / name).write_bytes(content)

    with pytest.raises(AdapterRefused, match="the chat template"):
        tokenizers.of(tmp_path, tiny.VOCAB)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("chat_template.jinja", "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}"),
        (SIDECAR_FILE, "chat_template = '{% for m in messages %}'"),
        (SIDECAR_FILE, "chat_template = '{{ \"x\" * 99999999999 }}'"),
    ],
)
def test_a_template_that_fails_a_plain_message_is_warned_of_and_the_rest_served(
    name: str,
    content: str,
    layout: Layout,
    tokenizers: AdapterTokenizers,
    tmp_path: Path,
) -> None:
    tiny.save_adapter(tmp_path, "llama", 1)
    (tmp_path / name).write_text(content)

    (warning,) = read(tmp_path, layout, tokenizers=tokenizers).warnings

    assert warning.startswith("a chat of one plain message fails: the chat template")


def test_a_template_that_is_fine_is_not_warned_of(
    layout: Layout, tokenizers: AdapterTokenizers, tmp_path: Path
) -> None:
    tiny.save_adapter(tmp_path, "llama", 1)
    (tmp_path / "chat_template.jinja").write_text(OWN_TEMPLATE)

    assert read(tmp_path, layout, tokenizers=tokenizers).warnings == ()
