"""The front around Ray's proxy: bodies go on as they came, answers are one server's."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hotswap.ray import front
from hotswap.ray.front import NAMED, App, Front, Message, Receive, Send
from tests.asgi import Client

PATH = "/v1/completions"
BODY = b'{"model": "pirate", "prompt": "Hello"}'


class Proxy:
    """Ray's: what it got, and what it says. `says`: of the request's id."""

    def __init__(self, says: Callable[[bytes], Sequence[Message]]) -> None:
        self._says = says
        self.scope: Message = {}
        self.body = b""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.scope = scope
        while True:
            message = await receive()
            self.body += message.get("body", b"")
            if not message.get("more_body"):
                break
        for message in self._says(dict(scope["headers"])[b"x-request-id"]):
            await send(message)


def start(kind: bytes, *ids: bytes, code: int = 200) -> Message:
    headers = [(b"content-type", kind), *((b"x-request-id", one) for one in ids)]
    return {"type": "http.response.start", "status": code, "headers": headers}


def part(body: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


def whole(own: bytes) -> Sequence[Message]:
    """A replica's answer, with Ray's id behind its own."""
    return [start(b"application/json", own, own), part(b"{}", more=False)]


async def asked(proxy: App, client: Client) -> list[Message]:
    return (await client.ask(Front(proxy))).sent


async def test_a_body_in_parts_is_read_for_its_name_and_goes_on_as_it_came() -> None:
    proxy, client = Proxy(whole), Client(PATH)
    for byte in BODY[:-1]:
        client.send(bytes([byte]), more=True)

    await asked(proxy, client.send(BODY[-1:]))

    assert (proxy.scope[NAMED], proxy.body) == ("pirate", BODY)


async def test_a_body_that_does_not_end_is_handed_on_without_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(front, "_PATIENCE_S", 0.05)
    proxy, client = Proxy(whole), Client(PATH).send(BODY[:9], more=True)
    asking = asyncio.create_task(asked(proxy, client))
    while not proxy.scope:
        await asyncio.sleep(0)

    client.send(BODY[9:])
    await asking

    assert (proxy.scope[NAMED], proxy.body) == ("", BODY)


async def test_a_body_too_large_to_be_looked_at_is_handed_on_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(front, "_MOST_BYTES", 8)
    proxy, client = Proxy(whole), Client(PATH).send(BODY[:9], more=True)

    await asked(proxy, client.send(BODY[9:]))

    assert (proxy.scope[NAMED], proxy.body) == ("", BODY)


@pytest.mark.parametrize("given", [b"mine", b"", b"not\xff", b"x" * 129])
async def test_an_answer_has_one_id_the_clients_if_it_can_be(given: bytes) -> None:
    client = Client(PATH, headers={"x-request-id": given} if given else {})

    begun, _ = await asked(Proxy(whole), client.send(BODY))

    (told,) = [v for k, v in begun["headers"] if k == b"x-request-id"]
    assert (told == given) == (given == b"mine")


def error(sent: list[Message], path: str) -> tuple[int, str]:
    body = json.loads(b"".join(m.get("body", b"") for m in sent[1:]))
    said = body["error"]["message"] if path == PATH else body["message"]
    return sent[0]["status"], said


@pytest.mark.parametrize("path", [PATH, "/invocations"])
async def test_a_replica_that_dies_before_it_answers_is_an_error_of_the_route(
    path: str,
) -> None:
    sent = await asked(Proxy(lambda own: []), Client(path).send(BODY))

    code, said = error(sent, path)
    assert code == 503
    assert "ended before it was done" in said
    assert dict(sent[0]["headers"])[b"retry-after"] == b"1"


async def test_what_ray_answers_itself_is_an_error_of_the_route() -> None:
    def says(own: bytes) -> Sequence[Message]:
        return [start(b"text/plain", own, code=404), part(b"no route", more=False)]

    code, said = error(await asked(Proxy(says), Client(PATH).send(BODY)), PATH)

    assert code == 503
    assert "no route" in said


def cut(kind: bytes) -> Proxy:
    def says(own: bytes) -> Sequence[Message]:
        return [start(kind, own, own), part(b"data: {}\n\n", more=True)]

    return Proxy(says)


async def test_a_stream_that_is_cut_ends_with_an_event_that_says_so() -> None:
    sent = await asked(
        cut(b"text/event-stream; charset=utf-8"), Client(PATH).send(BODY)
    )

    last = sent[-1]
    assert not last.get("more_body")
    told: dict[str, Any] = json.loads(last["body"].removeprefix(b"data: "))
    assert "ended before it was done" in told["error"]["message"]


@pytest.mark.parametrize("kind", [b"application/json", b"application/jsonlines"])
async def test_another_answer_that_is_cut_is_left_open_for_the_proxy_to_close(
    kind: bytes,
) -> None:
    sent = await asked(cut(kind), Client(PATH).send(BODY))

    assert len(sent) == 2
    assert sent[-1]["more_body"]
