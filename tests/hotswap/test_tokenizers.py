"""A folder's own tokenizer: taken if it differs, as data; refused if it is broken."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, decoders, pre_tokenizers
from transformers import AutoTokenizer

from hotswap.adapters.adapter_tokenizer import TOKENIZER_FILE, AdapterTokenizers
from hotswap.adapters.checkpoint import read
from hotswap.adapters.layout import Layout
from hotswap.adapters.sidecar import SIDECAR_FILE
from hotswap.errors import AdapterRefused, BadRequest, StepFailed
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


def own(
    tokenizers: AdapterTokenizers, folder: Path, tokens: int = added.GROWN
) -> Tokenizer:
    found = tokenizers.of(folder, tokens)
    assert found is not None
    return found


def test_a_folder_without_one_speaks_as_the_model(
    tokenizers: AdapterTokenizers, tmp_path: Path
) -> None:
    (tmp_path / "tokenizer_config.json").write_text("{}")

    assert tokenizers.of(tmp_path, added.GROWN) is None


def test_the_models_own_is_the_models_however_it_was_saved(
    tokenizers: AdapterTokenizers, tmp_path: Path
) -> None:
    saved = tiny.tokenizer()
    # What a trainer does to it for its batches
    saved("a", truncation=True, max_length=7, padding="max_length")
    saved.padding_side = "left"
    saved.save_pretrained(tmp_path)
    assert '"max_length": 7' in (tmp_path / TOKENIZER_FILE).read_text()

    assert tokenizers.of(tmp_path, tiny.VOCAB) is None
    # The model may have been saved by that trainer, too.
    model = AutoTokenizer.from_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    assert AdapterTokenizers(model).of(tmp_path, tiny.VOCAB) is None


def test_folders_with_the_same_files_share_one(
    tokenizers: AdapterTokenizers, tmp_path: Path
) -> None:
    added.tokenizer().save_pretrained(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")

    first = own(tokenizers, tmp_path / "a")

    assert own(tokenizers, tmp_path / "b") is first
    assert first.encode("<think>") == [added.THINK]
    assert first.eos == {added.STOP}


def test_another_template_alone_shares_the_models_vocabulary(
    tokenizers: AdapterTokenizers, tmp_path: Path
) -> None:
    model = tiny.tokenizer()
    tokenizers = AdapterTokenizers(model)
    other = tiny.tokenizer()
    other.chat_template = "{{ messages[0]['content'] }}!"
    other.save_pretrained(tmp_path)

    found = own(tokenizers, tmp_path, tiny.VOCAB)

    messages = [{"role": "user", "content": "hi"}]
    assert found.render(messages) == "hi!"
    assert found.inner.backend_tokenizer is model.backend_tokenizer
    assert model.chat_template == tiny.tokenizer().chat_template


def test_another_eos_alone_is_another_tokenizer(
    tokenizers: AdapterTokenizers, tmp_path: Path
) -> None:
    other = tiny.tokenizer()
    other.eos_token = "<x>"
    other.save_pretrained(tmp_path)

    found = own(tokenizers, tmp_path, tiny.VOCAB)

    assert found.eos == set(other("<x>").input_ids)


def test_without_a_template_of_its_own_the_models_is_used(
    tokenizers: AdapterTokenizers, tmp_path: Path
) -> None:
    silent = added.tokenizer()
    silent.chat_template = None
    silent.save_pretrained(tmp_path)

    found = own(tokenizers, tmp_path)

    messages = [{"role": "user", "content": "<think>"}]
    tokens = found.encode(found.render(messages), is_whole=True)
    assert added.THINK in tokens
    assert found.decode(tokens).startswith("user:<think>\nassistant:")


def test_tokens_without_weights_are_refused_and_warned_of(
    layout: Layout, tokenizers: AdapterTokenizers, tmp_path: Path
) -> None:
    tiny.save_adapter(tmp_path, "llama", 1)
    added.tokenizer().save_pretrained(tmp_path)

    generation = read(tmp_path, layout, tokenizers=tokenizers)

    (warning,) = generation.warnings
    assert "2 tokens for which there are no weights" in warning
    assert generation.tokenizer is not None
    generation.tokenizer.check(generation.tokenizer.encode("a<x>"), "prompt")
    with pytest.raises(BadRequest, match="no token 260") as refused:
        generation.tokenizer.check(generation.tokenizer.encode("a<think>"), "prompt")
    assert refused.value.field == "prompt"


def test_the_same_weights_in_other_tokens_are_another_generation(
    layout: Layout, tokenizers: AdapterTokenizers, tmp_path: Path
) -> None:
    tiny.save_adapter(tmp_path, "llama", 1)
    before = read(tmp_path, layout, tokenizers=tokenizers)
    tiny.tokenizer().save_pretrained(tmp_path)
    same = read(tmp_path, layout, tokenizers=tokenizers)
    added.tokenizer().save_pretrained(tmp_path)
    other = read(tmp_path, layout, tokenizers=tokenizers)

    assert same.key == before.key
    assert same.tokenizer is None
    assert other.key != before.key
    assert other.scaled(2.0).tokenizer is other.tokenizer is not None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"model": 1}', b"\xff\x00"])
def test_a_broken_one_refuses_the_adapter(
    content: bytes, layout: Layout, tokenizers: AdapterTokenizers, tmp_path: Path
) -> None:
    tiny.save_adapter(tmp_path, "llama", 1)
    added.tokenizer().save_pretrained(tmp_path)
    (tmp_path / TOKENIZER_FILE).write_bytes(content)

    with pytest.raises(AdapterRefused, match=TOKENIZER_FILE) as refused:
        read(tmp_path, layout, tokenizers=tokenizers)

    assert refused.value.code == "bad_tokenizer"


def test_code_in_the_folder_is_never_run(
    tokenizers: AdapterTokenizers, tmp_path: Path
) -> None:
    added.tokenizer().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config["auto_map"] = {"AutoTokenizer": [None, "own.Own"]}
    config["tokenizer_class"] = "Own"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    trace = tmp_path / "trace"
    (tmp_path / "own.py").write_text(f"open({str(trace)!r}, 'w').close()")

    with pytest.raises(AdapterRefused) as refused:
        tokenizers.of(tmp_path, added.GROWN)

    assert refused.value.code == "bad_tokenizer"
    assert not trace.exists()


CATASTROPHE = {"Regex": "(a|aa)+$"}
Change = Callable[[dict[str, Any]], object]


def replace(pattern: dict[str, str], content: str = "") -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def split(pattern: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "Split",
        "pattern": pattern,
        "behavior": "Isolated",
        "invert": False,
    }


HOSTILE: dict[str, Change] = {
    "decoder": lambda t: t.update(
        decoder={
            "type": "Sequence",
            "decoders": [t["decoder"], replace(CATASTROPHE)],
        }
    ),
    "normalizer": lambda t: t.update(normalizer=replace(CATASTROPHE)),
    "nested": lambda t: t.update(
        normalizer={
            "type": "Sequence",
            "normalizers": [{"type": "NFC"}, replace(CATASTROPHE)],
        }
    ),
    "pre_tokenizer": lambda t: t.update(pre_tokenizer=split(CATASTROPHE)),
    "unknown special token": lambda t: t["post_processor"].update(
        single=[
            {"SpecialToken": {"id": "[NOPE]", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ]
    ),
    "a text grows": lambda t: t.update(
        decoder={
            "type": "Sequence",
            "decoders": [t["decoder"], *[replace({"String": "a"}, "aa")] * 40],
        }
    ),
    "too much is added": lambda t: t.update(
        normalizer={"type": "Prepend", "prepend": "x" * 1000}
    ),
    "many steps": lambda t: t.update(
        normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}] * 1000}
    ),
    "a huge token": lambda t: t["added_tokens"][-1].update(content="x" * 10_000),
    "another kind": lambda t: t["model"].update(type="WordLevel"),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=list(HOSTILE))
def test_a_tokenizer_that_could_stop_a_thread_refuses_its_adapter(
    change: Change, tokenizers: AdapterTokenizers, tmp_path: Path
) -> None:
    added.tokenizer().save_pretrained(tmp_path)
    file = tmp_path / TOKENIZER_FILE
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))

    with pytest.raises(AdapterRefused, match=TOKENIZER_FILE) as refused:
        tokenizers.of(tmp_path, added.GROWN)

    assert refused.value.code == "bad_tokenizer"


def test_the_models_own_regular_expressions_pass_however_they_were_saved(
    tmp_path: Path,
) -> None:
    def patterned(made: Any) -> Any:
        backend = made.backend_tokenizer
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(r"\p{N}{1,3}|\s+(?!\S)"), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        return made

    tokenizers = AdapterTokenizers(patterned(tiny.tokenizer()))
    patterned(added.tokenizer()).save_pretrained(tmp_path)
    file = tmp_path / TOKENIZER_FILE
    content = json.loads(file.read_text())
    # As another version writes it: indented otherwise, less of what is the default
    content["pre_tokenizer"]["pretokenizers"][0].pop("invert", None)
    content["pre_tokenizer"]["pretokenizers"][0]["invert"] = False
    file.write_text(json.dumps(content, indent=7, sort_keys=True))

    assert own(tokenizers, tmp_path).encode("<think>") == [added.THINK]


def test_a_step_that_replaces_by_as_much_passes(
    tokenizers: AdapterTokenizers, tmp_path: Path
) -> None:
    other = added.tokenizer()
    backend = other.backend_tokenizer
    backend.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), backend.decoder]
    )
    other.save_pretrained(tmp_path)

    assert own(tokenizers, tmp_path).encode("<think>") == [added.THINK]


def test_a_panic_of_the_library_is_an_error_of_that_text() -> None:
    panicking = tiny.tokenizer()
    backend = panicking.backend_tokenizer
    backend.decoder = decoders.Sequence(
        [backend.decoder, decoders.Replace(Regex("(a|aa)+$"), "")]
    )
    tokenizer = Tokenizer(panicking)
    ids = tokenizer.encode("a" * 60 + "b")

    with pytest.raises(StepFailed, match="PanicException"):
        tokenizer.decode(ids)
    assert tokenizer.decode(tokenizer.encode("bcd")) == "bcd"


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

    found = own(tokenizers, tmp_path, tiny.VOCAB)

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
