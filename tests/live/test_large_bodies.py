"""Bodies that ask for too much: nobody else waits for them."""

from collections.abc import Iterator

import pytest

from tests import tiny
from tests.live.lag import LAG_S, lag_while, lasting
from tests.servers import Live

pytestmark = [pytest.mark.slow, pytest.mark.alone]
COMPLETIONS, CHAT, DJL = "/v1/completions", "/v1/chat/completions", "/invocations"
LONGEST = 1000  # characters of a token that the model has


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Its model has a long token: only then is a long text not refused unread."""
    model = tiny.save_model(tmp_path_factory.mktemp("model") / "tiny")
    spoken = tiny.tokenizer()
    spoken.add_tokens(["~" * LONGEST])
    spoken.save_pretrained(model)
    with lasting(model, tmp_path_factory.mktemp("none")) as live:
        yield live


def numbered(count: int) -> bytes:
    return b",".join(b'"%d":1' % number for number in range(count))


def message(content: str, count: int = 1) -> bytes:
    one = b'{"role":"user","content":"%s"}' % content.encode()
    return b'{"messages":[%s]}' % b",".join([one] * count)


BODIES: dict[str, tuple[str, bytes]] = {
    "many prompts, many copies": (
        COMPLETIONS,
        b'{"prompt":[%s],"n":64}' % b",".join([b"[5]"] * 5000),
    ),
    "many texts": (COMPLETIONS, b'{"prompt":[%s]}' % b",".join([b'"a"'] * 5000)),
    "many inputs": (DJL, b'{"inputs":[%s]}' % b",".join([b'"a"'] * 5000)),
    "as many as may wait": (
        COMPLETIONS,
        b'{"prompt":[%s],"max_tokens":1000}' % b",".join([b'"a b"'] * 1000),
    ),
    "as many as are answered": (
        COMPLETIONS,
        b'{"prompt":[%s],"max_tokens":1}' % b",".join([b'"a b"'] * 1000),
    ),
    "copies with long stops": (
        COMPLETIONS,
        b'{"prompt":"a","n":64,"max_tokens":8,"stop":[%s]}'
        % b",".join(b'"%s%d"' % (b"a" * 990, end) for end in range(16)),
    ),
    "many adapters": (
        DJL,
        b'{"inputs":"a","adapters":[%s]}' % b",".join([b'"x"'] * 1_000_000),
    ),
    "many lists": (COMPLETIONS, b'{"prompt":[%s]}' % b",".join([b"[]"] * 3_000_000)),
    "fewer lists": (COMPLETIONS, b'{"prompt":[%s]}' % b",".join([b"[5]"] * 65_000)),
    "a large object": (
        COMPLETIONS,
        b'{"prompt":"a","logit_bias":{%s}}' % numbered(65_000),
    ),
    "many tokens": (COMPLETIONS, b'{"prompt":[%s]}' % b",".join([b"5"] * 65_000)),
    "many ends": (
        COMPLETIONS,
        b'{"prompt":"a","n":64,"stop_token_ids":[%s]}' % b",".join([b"5"] * 65_000),
    ),
    "9 MB": (COMPLETIONS, b'{"prompt":"%s"}' % (b"ab " * 3_000_000)),
    "9 MB of one word": (DJL, b'{"inputs":"%s"}' % (b"ab" * 4_500_000)),
    "500 KB": (COMPLETIONS, b'{"prompt":"%s"}' % (b"ab " * 160_000)),
    "500 KB of one word": (DJL, b'{"inputs":"%s"}' % (b"ab" * 250_000)),
    "long texts": (
        COMPLETIONS,
        b'{"prompt":[%s]}' % b",".join([b'"%s"' % (b"ab " * 1000)] * 200),
    ),
    "a conversation of 9 MB": (CHAT, message("ab " * 3_000_000)),
    "a conversation of 500 KB": (CHAT, message("ab " * 160_000)),
    "a long conversation": (CHAT, message("", 60_000)),
}


@pytest.mark.parametrize("name", BODIES)
def test_nobody_waits_for_a_body_that_asks_for_too_much(
    name: str, server: Live
) -> None:
    path, body = BODIES[name]

    def post() -> None:
        with server.client() as client:
            answer = client.post(path, content=body)
            statuses.add(answer.status_code)

    statuses: set[int] = set()
    # A busy machine makes somebody wait now and then, the body would always.
    assert any(lag_while(server, post) < LAG_S for _ in range(3))
    is_answered = "answered" in name or "stops" in name
    assert statuses <= ({200} if is_answered else {400, 424})
