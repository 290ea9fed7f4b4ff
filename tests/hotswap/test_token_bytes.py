"""The bytes of single tokens: joined they are the text, in every kind of vocabulary."""

from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given
from tokenizers import Tokenizer as Inner
from tokenizers import decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hotswap.tokenizer import Tokenizer
from tests import tiny


def sentencepiece() -> PreTrainedTokenizerFast:
    """As Llama 2's: marks for spaces, a byte where there is no piece."""
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", "a", "é"]
    vocab = {piece: number for number, piece in enumerate(pieces)}
    inner = Inner(
        models.BPE(vocab, [], byte_fallback=True, unk_token="<unk>", fuse_unk=True)
    )
    inner.normalizer = normalizers.Replace(" ", "\u2581")
    inner.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return _fast(inner)


def wordpiece() -> PreTrainedTokenizerFast:
    vocab = {"[UNK]": 0, "sh": 1, "##ip": 2}
    inner = Inner(models.WordPiece(vocab, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.decoder = decoders.WordPiece()
    return _fast(inner)


def _fast(inner: Inner) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=inner, eos_token="<eos>"
    )


KINDS = {"byte level": Tokenizer(tiny.tokenizer()), "marks": Tokenizer(sentencepiece())}


@pytest.mark.parametrize("kind", KINDS)
@given(text=st.text(min_size=1).filter(lambda text: "\u2581" not in text))
def test_the_bytes_of_a_texts_tokens_are_the_text(kind: str, text: str) -> None:
    tokenizer = KINDS[kind]

    tokens = tokenizer.inner(text, add_special_tokens=False).input_ids

    assert b"".join(map(tokenizer.token_bytes, tokens)) == text.encode()


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_a_character_has_its_byte_and_no_text(kind: str) -> None:
    tokenizer = KINDS[kind]
    tokens = tokenizer.inner("☠", add_special_tokens=False).input_ids

    assert [tokenizer.token_bytes(token) for token in tokens] == [
        b"\xe2",
        b"\x98",
        b"\xa0",
    ]
    assert {tokenizer.token_text(token) for token in tokens} == {"\ufffd"}


def test_added_tokens_are_what_they_are_called_and_an_unknown_id_is_nothing() -> None:
    tokenizer = KINDS["byte level"]

    names = {token: tokenizer.token_text(token) for token in (256, 257, 258, 300)}

    assert names == {256: "<bos>", 257: "<eos>", 258: "<x>", 300: ""}
    assert [token for token in names if tokenizer.is_special(token)] == [256, 257]


def test_a_vocabulary_of_another_kind_is_asked_for_the_token_alone() -> None:
    tokenizer = Tokenizer(wordpiece())

    assert [tokenizer.token_text(token) for token in (1, 2)] == ["sh", "##ip"]


def test_a_saved_tokenizer_has_the_same_bytes(tmp_path: Path) -> None:
    sentencepiece().save_pretrained(tmp_path)
    read = Tokenizer(PreTrainedTokenizerFast.from_pretrained(tmp_path))

    assert all(read.token_bytes(n) == KINDS["marks"].token_bytes(n) for n in range(260))
