"""A folder's own tokenizer: taken if it differs, as data; refused if it is broken."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from hotswap.adapters.adapter_tokenizer import AdapterTokenizers
from hotswap.adapters.checkpoint import read
from hotswap.adapters.file_names import TOKENIZER_FILE
from hotswap.adapters.layout import Layout
from hotswap.errors import AdapterRefused, BadRequest
from tests import added, tiny
from tests.hotswap.test_parity import make_runner

pytestmark = pytest.mark.filterwarnings("ignore")  # PEFT's, while it makes adapters


@pytest.fixture(scope="module")
def layout() -> Layout:
    return make_runner("llama").layout


@pytest.fixture
def tokenizers() -> AdapterTokenizers:
    return AdapterTokenizers(tiny.tokenizer())


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

    first = added.own_tokenizer(tokenizers, tmp_path / "a")

    assert added.own_tokenizer(tokenizers, tmp_path / "b") is first
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

    found = added.own_tokenizer(tokenizers, tmp_path, tiny.VOCAB)

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

    found = added.own_tokenizer(tokenizers, tmp_path, tiny.VOCAB)

    assert found.eos == set(other("<x>").input_ids)


def test_without_a_template_of_its_own_the_models_is_used(
    tokenizers: AdapterTokenizers, tmp_path: Path
) -> None:
    silent = added.tokenizer()
    silent.chat_template = None
    silent.save_pretrained(tmp_path)

    found = added.own_tokenizer(tokenizers, tmp_path)

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


def short() -> OSError:
    return OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def wrapped() -> OSError:
    """As transformers says it."""
    error = OSError("Can't load tokenizer")
    error.__cause__ = short()
    return error


@pytest.mark.parametrize(
    ("said", "is_passing"),
    [
        (short(), True),
        (wrapped(), True),
        (Exception("Too many open files (os error 24)"), True),
        (OSError("Can't load tokenizer"), False),
        (FileNotFoundError(errno.ENOENT, "No such file", "vocab.json"), False),
    ],
    ids=repr,
)
def test_one_that_could_not_be_loaded_for_want_of_descriptors_is_read_again(
    said: Exception,
    is_passing: bool,
    tokenizers: AdapterTokenizers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise said

    added.tokenizer().save_pretrained(tmp_path)
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", fail)

    with pytest.raises(AdapterRefused, match=TOKENIZER_FILE) as refused:
        tokenizers.of(tmp_path, added.GROWN)

    assert refused.value.code == "bad_tokenizer"
    assert refused.value.is_passing is is_passing


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
