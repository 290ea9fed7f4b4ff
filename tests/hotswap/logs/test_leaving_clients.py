"""The record of a request whose client leaves; who it was, by the name of its key."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hotswap.api.shared.request_context import key_name
from hotswap.api.shared.request_record import RequestRecord
from hotswap.engine.messages import Submit
from hotswap.engine.ticket import Accepted, Piece
from scheduler import Mode
from tests.asgi import Client
from tests.fake_server import FakeEngine, app_of

JSON = {"content-type": b"application/json"}


@dataclass
class Observed:
    """What was told, as an observer."""

    records: list[RequestRecord] = field(default_factory=list)

    def __call__(self, record: RequestRecord) -> None:
        self.records.append(record)

    def close(self) -> None: ...


@dataclass
class SlowEngine(FakeEngine):
    """Says this and no more; tells `asked` that it did."""

    said: Sequence[str] = ()
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    def post(self, message: Submit) -> None:
        message.ticket.deliver(Accepted("g"))
        for text in self.said:
            message.ticket.deliver(Piece(token=2, text=text, mode=Mode.MERGED))
        self.asked.set()


def client_of(**body: Any) -> Client:
    whole = {"prompt": "abc", **body}
    return Client("/v1/completions", headers=JSON).send(json.dumps(whole).encode())


async def test_one_that_leaves_while_it_waits_is_cancelled() -> None:
    told, engine = Observed(), SlowEngine()
    client = client_of()

    asking = asyncio.create_task(client.ask(app_of(engine, observers=[told])))
    await engine.asked.wait()
    client.incoming.put_nowait({"type": "http.disconnect"})
    await asyncio.wait_for(asking, 10)

    (record,) = told.records
    assert (record.end, record.code) == ("cancelled", 499)
    assert record.running is not None
    assert (record.running.generated, record.first_token_s) == (0, None)


async def test_one_that_leaves_its_stream_is_cancelled_with_what_it_had_got() -> None:
    told, engine = Observed(), SlowEngine(said="xy")
    client = client_of(stream=True)

    asking = asyncio.create_task(client.ask(app_of(engine, observers=[told])))
    async with asyncio.timeout(10):
        while len(client.sent) < 3:  # the head, and two events
            await asyncio.sleep(0)
        client.incoming.put_nowait({"type": "http.disconnect"})
        await asking

    (record,) = told.records
    assert (record.end, record.code, record.finish) == ("cancelled", 200, "")
    assert record.running is not None
    assert record.running.generated == 2
    assert record.first_token_s is not None


async def test_one_that_leaves_amid_its_body_is_cancelled_too() -> None:
    told = Observed()
    client = Client("/v1/completions", headers=JSON).send(b"{", more=True)
    client.incoming.put_nowait({"type": "http.disconnect"})

    await client.ask(app_of(FakeEngine(), observers=[told]))

    (record,) = told.records
    assert (record.end, record.code, record.running) == ("cancelled", 499, None)


@dataclass
class NamingEngine(FakeEngine):
    """Who asks is known when the request comes to it."""

    def post(self, message: Submit) -> None:
        key_name.set("team-a")
        super().post(message)


async def test_the_name_of_the_key_is_known() -> None:
    told = Observed()

    await client_of().ask(app_of(NamingEngine(), observers=[told]))

    assert [record.key_name for record in told.records] == ["team-a"]
