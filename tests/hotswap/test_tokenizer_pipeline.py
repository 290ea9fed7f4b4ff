"""A tokenizer.json may ask the library for what ends, and for nothing else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, decoders, pre_tokenizers

from hotswap.adapters.adapter_tokenizer import AdapterTokenizers
from hotswap.adapters.file_names import TOKENIZER_FILE
from hotswap.errors import AdapterRefused, StepFailed
from hotswap.tokenizer import Tokenizer
from tests import added, tiny


@pytest.fixture
def tokenizers() -> AdapterTokenizers:
    return AdapterTokenizers(tiny.tokenizer())


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

    assert added.own_tokenizer(tokenizers, tmp_path).encode("<think>") == [added.THINK]


def test_a_step_that_replaces_by_as_much_passes(
    tokenizers: AdapterTokenizers, tmp_path: Path
) -> None:
    other = added.tokenizer()
    backend = other.backend_tokenizer
    backend.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), backend.decoder]
    )
    other.save_pretrained(tmp_path)

    assert added.own_tokenizer(tokenizers, tmp_path).encode("<think>") == [added.THINK]


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
