"""The middleware: bodies have limits of time and size, answers are counted."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from litestar import Litestar, Request, get, post
from litestar.params import FromQuery
from litestar.response import Stream

from hotswap.api import error_responses
from hotswap.api.middleware import Middleware
from hotswap.api.request_bodies import BodyLimits
from hotswap.api.shared.http_errors import ClientGone
from hotswap.errors import HotswapError, Overloaded
from tests.asgi import Client

MB = 1 << 20
ROOMY = {"body_bytes": 100 * MB, "all_bodies_bytes": 100 * MB, "body_s": 60.0}


@post("/take")
async def take(request: Request) -> str:
    return str(len(await request.body()))


@get("/stream")
async def stream() -> Stream:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0.001)

    return Stream(endless())


@get("/busy")
async def busy(seconds: FromQuery[float]) -> str:
    raise Overloaded("too many jobs wait", retry_after_s=seconds)


@get("/gone")
async def gone() -> str:
    raise ClientGone


def application(**limits: Any) -> tuple[Litestar, Counter[int]]:
    answers: Counter[int] = Counter()
    app = Litestar(
        [take, stream, busy, gone],
        exception_handlers={
            HotswapError: error_responses.known_error,
            Exception: error_responses.unexpected_error,
        },
        request_max_body_size=None,
        logging_config=None,
    )
    bodies = BodyLimits(**{**ROOMY, **limits})
    app.asgi_handler = Middleware(app.asgi_handler, answers, bodies)
    return app, answers


async def test_a_body_that_does_not_come_in_time_is_refused_whatever_came_of_it() -> (
    None
):
    app, answers = application(body_s=0.05)

    silent = await Client("/take").ask(app)
    half = await Client("/take").send(b"half", more=True).ask(app)
    whole = await Client("/take").send(b"half", more=True).send(b"way").ask(app)

    assert (silent.code, half.code, whole.code) == (408, 408, 201)
    assert b"within 0.05 s" in half.body
    assert whole.body == b"7"
    assert answers == {408: 2, 201: 1}


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate, gzip", b"br"])
async def test_a_body_in_an_encoding_is_refused_by_its_name(encoding: bytes) -> None:
    app, answers = application()
    headers = {"content-encoding": encoding}

    packed = await Client("/take", headers=headers).send(b"\x1f\x8b").ask(app)
    none = await Client("/take", headers=headers).send(b"").ask(app)
    plain = (
        await Client("/take", headers={"content-encoding": b"identity"})
        .send(b"{}")
        .ask(app)
    )

    assert packed.code == 415
    assert encoding in packed.body
    assert (none.code, plain.code) == (201, 201)
    assert answers == {415: 1, 201: 2}


async def test_a_client_that_leaves_amid_its_body_is_not_the_servers_error() -> None:
    app, answers = application()
    client = Client("/take").send(b"half", more=True)
    client.incoming.put_nowait({"type": "http.disconnect"})

    await client.ask(app)

    assert answers == {499: 1}


@pytest.mark.parametrize("end", ["the client leaves", "nothing more comes"])
async def test_a_stream_that_has_begun_ends_quietly_if_the_body_never_came(
    end: str, caplog: pytest.LogCaptureFixture
) -> None:
    app, answers = application(body_s=0.05)
    client = Client("/stream", "GET")
    if end == "the client leaves":
        client.incoming.put_nowait({"type": "http.disconnect"})

    await asyncio.wait_for(client.ask(app), 10)

    assert answers == {200: 1}
    assert not [r for r in caplog.records if r.exc_info]


async def test_of_too_many_unfinished_bytes_the_largest_body_gives_way() -> None:
    app, _ = application(all_bodies_bytes=10 * MB)
    halves = [Client("/take").send(b"x" * size * MB, more=True) for size in (4, 5)]
    waiting = [asyncio.create_task(half.ask(app)) for half in halves]
    await asyncio.sleep(0)

    small = Client("/take").send(b"y" * MB, more=True).send(b"y" * MB, more=True)
    others = asyncio.create_task(small.ask(app))
    (first,), _ = await asyncio.wait(
        [*waiting, others], return_when=asyncio.FIRST_COMPLETED
    )
    small.send(b"y")
    halves[0].send(b"x")
    await asyncio.gather(*waiting, others)

    assert first is waiting[1]
    assert [each.code for each in halves] == [201, 429]
    assert halves[1].header("retry-after") == "1"
    assert (small.code, small.body) == (201, b"%d" % (2 * MB + 1))


async def test_unfinished_bodies_that_ended_hold_nothing_any_more() -> None:
    app, _ = application(all_bodies_bytes=3 * MB, body_s=0.05)
    for _ in range(5):
        await Client("/take").send(b"x" * 2 * MB, more=True).ask(app)

    found = await Client("/take").send(b"x" * 2 * MB, more=True).send(b"").ask(app)

    assert found.code == 201


@pytest.mark.parametrize("path", ["/busy?seconds=1", "/stream", "/nowhere"])
async def test_head_is_get_without_the_body_and_ends_even_a_stream(path: str) -> None:
    app, answers = application()

    head = await asyncio.wait_for(Client(path, "HEAD").send(b"").ask(app), 10)

    codes = {"/busy?seconds=1": 429, "/stream": 200, "/nowhere": 500}
    assert head.code == codes[path]
    assert head.body == b""
    assert head.sent[-1]["more_body"] is False
    assert answers[head.code] == 1


GOOD = [b"mine", b"a" * 128, b"0f-._~:/?#[]@!$&'()*+,;=%"]
BAD = [
    b"",
    b"a" * 129,
    b"a" * 100_000,
    b"a b",
    b"a\tb",
    b"\x00",
    b"caf\xe9",
    b"\x1b[31m",
]


@pytest.mark.parametrize("given", [*GOOD, *BAD], ids=lambda given: repr(given)[:24])
async def test_a_request_id_comes_back_if_it_is_short_and_printable_else_a_new_one(
    given: bytes,
) -> None:
    app, _ = application()
    headers = {"x-request-id": given}

    found = await Client("/busy?seconds=1", "GET", headers).send(b"").ask(app)

    name = found.header("x-request-id")
    assert (name == given.decode("latin-1")) is (given in GOOD)
    assert len(name) in (32, len(given))
    assert name.isascii()
    assert name.isprintable()


@pytest.mark.parametrize(
    ("seconds", "header"), [(0.01, "1"), (1.0, "1"), (1.2, "2"), (90, "90")]
)
async def test_429_says_when_to_come_again_in_whole_seconds(
    seconds: float, header: str
) -> None:
    app, _ = application()
    path = f"/busy?seconds={seconds}"

    found = await Client(path, "GET").send(b"").ask(app)

    assert (found.code, found.header("retry-after")) == (429, header)


async def test_every_answer_is_one_line_at_debug_level_also_when_the_client_has_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app, answers = application()
    with caplog.at_level(logging.DEBUG, "hotswap"):
        await Client("/gone\n\x1b[31m", "GET").send(b"").ask(app)
        await Client("/gone", "GET").send(b"").ask(app)
    assert answers[499] == 1
    lines = [
        r.getMessage() for r in caplog.records if r.name == "hotswap.api.middleware"
    ]
    assert len(lines) == 2
    assert " 499 " in lines[1]
    assert all("\n" not in line and "\x1b" not in line for line in lines)
    left = [r for r in caplog.records if "has left" in r.getMessage()]
    assert [(r.levelno, r.exc_info) for r in left] == [(logging.DEBUG, None)]
