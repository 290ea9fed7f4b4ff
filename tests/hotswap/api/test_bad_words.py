"""bad_words: texts become tokens of whoever writes the answer."""

import threading

import pytest
from litestar.testing import TestClient
from tokenizers import Tokenizer as Inner
from tokenizers import decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hotswap.api.shared.bad_words import BadWordsEncoding, in_tokens
from hotswap.errors import BadRequest
from hotswap.tokenizer import Tokenizer
from tests.fake_server import BODIES, FakeEngine, FakeLibrary
from tests.fakes import PROMPT_TOKEN
from tests.hotswap.api.scripted import BYTES, tokens_of

SPACED = "\u0120"  # how GPT-2's vocabulary writes a space


def words() -> Tokenizer:
    """`cat` and ` cat` are a token each; a dog is three."""
    vocab = {
        letter: n for n, letter in enumerate(["c", "a", "t", "d", "o", "g", SPACED])
    }
    for merged in ("ca", "cat", f"{SPACED}cat"):
        vocab[merged] = len(vocab)
    merges = [("c", "a"), ("ca", "t"), (SPACED, "cat")]
    inner = Inner(models.BPE(vocab=vocab, merges=merges))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=inner)  # type: ignore[no-untyped-call]
    return Tokenizer(fast)


def test_a_word_is_bad_at_the_beginning_and_inside_of_a_text() -> None:
    tokenizer = words()

    assert in_tokens("cat", tokenizer) == [(8,), (9,)]
    assert in_tokens(" cat", tokenizer) == [(8,), (9,)]
    # With a space it is a token more, whose end is the word's that is banned already.
    assert in_tokens("dog", tokenizer) == [(3, 4, 5)]


@pytest.mark.parametrize("word", [" ", "\n ", "\u2003"])
def test_a_word_without_a_token_is_refused(word: str) -> None:
    with pytest.raises(BadRequest) as caught:
        BadWordsEncoding([word], BYTES)()

    assert caught.value.field == "bad_words"


def test_a_word_of_tokens_that_the_model_lacks_is_refused() -> None:
    tokenizer = Tokenizer(words().inner, tokens=9)

    with pytest.raises(BadRequest) as caught:
        in_tokens("cat", tokenizer)

    assert caught.value.field == "bad_words"


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
def test_the_adapters_own_tokenizer_reads_them_beside_the_loop(
    path: str,
    client: TestClient,
    engine: FakeEngine,
    library: FakeLibrary,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: set[str] = set()
    encode = Tokenizer.encode

    def watched(self: Tokenizer, text: str, *, is_whole: bool = False) -> list[int]:
        seen.add(threading.current_thread().name)
        return encode(self, text, is_whole=is_whole)

    monkeypatch.setattr(Tokenizer, "encode", watched)
    library.tokenizers["own"] = engine.tokenizer = BYTES
    said = {"adapter": "own", "bad_words": ["ab", "é"], "n": 2}

    answer = client.post(path, json={**BODIES[path], **said})

    assert answer.status_code == 200, answer.text
    wanted = (tuple(tokens_of("ab")), tuple(tokens_of("é")))
    assert [message.params.bad_words for message in engine.messages] == [wanted] * 2
    assert seen
    assert all(name.startswith("encode") for name in seen)


@pytest.mark.parametrize("count", [1, 64])
def test_the_models_own_tokenizer_reads_few_in_place_and_many_beside(
    count: int, client: TestClient, engine: FakeEngine, encoded: list[tuple[int, bool]]
) -> None:
    body = {"prompt": "x", "bad_words": [f"{n:03}" for n in range(count)]}

    assert client.post("/v1/completions", json=body).status_code == 200

    assert {beside for size, beside in encoded if size > 1} == {count == 64}
    assert len(engine.messages[-1].params.bad_words) == count


def test_without_bad_words_there_are_none(
    client: TestClient, engine: FakeEngine
) -> None:
    client.post("/v1/completions", json={"prompt": "abc", "bad_words": None})

    assert engine.messages[-1].params.bad_words == ()
    assert engine.messages[-1].prompt == (PROMPT_TOKEN,) * 3
