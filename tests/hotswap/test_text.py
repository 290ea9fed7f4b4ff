"""Text streams exactly as it is returned whole; nothing comes out broken."""

import random
from typing import Any

import pytest

from hotswap.engine.text import Detokenizer, StopStrings
from hotswap.errors import BadRequest
from hotswap.tokenizer import Tokenizer
from tests import tiny

TEXTS = [
    "plain ascii",
    "naïve café, Größe",
    "日本語のテキスト",
    "emoji 👩‍👩‍👧‍👦 and 🏴󠁧󠁢󠁳󠁣󠁴󠁿 flags",
    " leading and trailing ",
    "line\nbreaks\n\n\tand tabs",
    "a real \ufffd replacement character",
    "",
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(tiny.tokenizer())


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_join_to_the_whole_text(tokenizer: Tokenizer, text: str) -> None:
    detokenizer = Detokenizer(tokenizer)
    ids = tokenizer.encode(text)

    pieces = [detokenizer.push(token) for token in ids] + [detokenizer.flush()]

    assert "".join(pieces) == text


@pytest.mark.parametrize("text", [t for t in TEXTS if "\ufffd" not in t])
def test_no_piece_holds_half_a_character(tokenizer: Tokenizer, text: str) -> None:
    detokenizer = Detokenizer(tokenizer)

    pieces = [detokenizer.push(token) for token in tokenizer.encode(text)]

    assert not any("\ufffd" in piece for piece in pieces)


def test_a_character_cut_off_by_the_end_is_shown_as_broken(
    tokenizer: Tokenizer,
) -> None:
    detokenizer = Detokenizer(tokenizer)
    first, *_ = tokenizer.encode("é")

    streamed = detokenizer.push(first)

    assert streamed == ""
    assert detokenizer.flush() == "\ufffd"


def test_random_bytes_stream_as_they_decode_whole(tokenizer: Tokenizer) -> None:
    rng = random.Random(0)
    for _ in range(200):
        ids = [rng.randrange(256) for _ in range(rng.randrange(1, 30))]
        detokenizer = Detokenizer(tokenizer)

        text = "".join(detokenizer.push(i) for i in ids) + detokenizer.flush()

        assert text == tokenizer.decode(ids)


def test_special_tokens_are_not_text(tokenizer: Tokenizer) -> None:
    detokenizer = Detokenizer(tokenizer)
    ids = [*tokenizer.encode("a"), tiny.EOS, *tokenizer.encode("b")]

    text = "".join(detokenizer.push(i) for i in ids) + detokenizer.flush()

    assert text == "ab"


@pytest.mark.parametrize("keeps", [False, True], ids=["before", "behind"])
@pytest.mark.parametrize("seed", range(20))
def test_stop_strings_cut_a_stream_where_they_cut_the_whole(
    seed: int, keeps: bool
) -> None:
    rng = random.Random(seed)
    text = "".join(rng.choice("ab") for _ in range(40))
    stops = [
        "".join(rng.choice("ab") for _ in range(rng.randrange(1, 6))) for _ in "xy"
    ]
    found = [(text.find(s) + len(s), text.find(s)) for s in stops if s in text]
    stream = StopStrings(stops, keeps=keeps)

    got, rest = "", text
    while rest and stream.met is None:
        size = rng.randrange(1, 4)
        got, rest = got + stream.push(rest[:size]), rest[size:]
    if stream.met is None:
        got += stream.flush()

    assert (stream.met is not None) == bool(found)
    if not found:
        assert got == text
        return
    end, start = min(found)
    assert stream.met == text[start:end]
    assert got == text[: end if keeps else start]


def test_the_beginning_of_a_stop_string_is_held_back_until_it_is_none() -> None:
    stream = StopStrings(["###"])

    assert stream.push("a##") == "a"
    assert stream.push("b") == "##b"
    assert stream.push("##") == ""
    assert stream.flush() == "##"


def test_a_model_without_a_template_says_which_route_to_use() -> None:
    bare = tiny.tokenizer()
    bare.chat_template = None

    with pytest.raises(BadRequest, match="/v1/completions"):
        Tokenizer(bare).render([{"role": "user", "content": "hi"}])


def test_a_template_that_fails_is_the_clients_error() -> None:
    strict = tiny.tokenizer()
    strict.chat_template = "{{ raise_exception('roles must alternate') }}"

    with pytest.raises(BadRequest, match="roles must alternate"):
        Tokenizer(strict).render([{"role": "user", "content": "hi"}])


@pytest.mark.parametrize(
    ("template", "role"),
    [
        ("{{ messages[0]['role'] }}", "system"),
        ("{{ messages[0]['role'] }}{# a developer's #}", "developer"),
    ],
)
def test_a_developer_is_the_system_of_a_template_that_does_not_know_one(
    template: str, role: str
) -> None:
    tokenizer = Tokenizer(tiny.tokenizer())
    messages = [{"role": "developer", "content": "be brief"}]

    for own in (template, None):
        tokenizer.inner.chat_template = template
        assert tokenizer.render(messages, own) == role
    assert messages == [{"role": "developer", "content": "be brief"}]


def test_a_long_stop_string_costs_a_character_no_more_than_a_short_one() -> None:
    """Steps of looking, not seconds: each looks at one character of the string."""
    looked = 0

    class Counted(str):
        def __getitem__(self, index: Any) -> str:
            nonlocal looked
            looked += 1
            return super().__getitem__(index)

    stops = [Counted("a" * 999 + end) for end in "bcdefgh"]
    stream = StopStrings(stops)
    text = ("a" * 998 + "x") * 5
    looked = 0

    for character in text:
        stream.push(character)

    assert looked < 4 * len(stops) * len(text)
