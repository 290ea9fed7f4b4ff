"""A handler of coroutines in DJL's form: its answers, its faults, what it hears."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.live.handlers import do, handled
from tests.servers import wait_until

COROUTINES = """
import asyncio, json, sys, time
from djl_python import Output
from hotswap.handler import agenerate, generate

async def register_adapter(inputs):
    await asyncio.sleep(0)
    return Output(409, "not this one") if inputs.get_property("name") == "bad" else None

async def parts():
    for n in range(3):
        await asyncio.sleep(0)
        said = {"data": f"{n}\\n", "last": n == 2}
        yield Output().add_property("Content-Type", "application/jsonlines").add(
            Output.binary_encode(said))

async def handle(inputs):
    if inputs.is_empty():
        return None
    said = inputs.get_as_json()
    what = said.pop("do")
    if what == "parts":
        return parts()
    if what == "encoded":
        return Output().add(Output.binary_encode({"data": "{}", "last": True}))
    if what == "block":
        time.sleep(30)
    if what == "loop":
        while True:
            pass
    if what == "wait":
        await asyncio.sleep(30)
    if what == "exit":
        sys.exit(3)
    if what == "stops":
        return Output().add(generate("abc"))
    both = await asyncio.gather(agenerate("a"), agenerate("b", adapter="pirate"))
    return Output().add(both)
"""


@pytest.fixture(scope="module")
def coroutines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    work = tmp_path_factory.mktemp("coroutines")
    with handled(work, COROUTINES, hooks={"call_s": 1.0}) as client:
        yield client


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("both", [{"generated_text": "a"}, {"generated_text": "b"}]),
        ("encoded", {}),
    ],
)
def test_a_coroutine_answers(coroutines: httpx.Client, what: str, body: Any) -> None:
    assert do(coroutines, what).json() == body


def test_a_coroutines_parts_are_streamed(coroutines: httpx.Client) -> None:
    answer = do(coroutines, "parts")

    assert answer.text == "0\n1\n2\n"
    assert answer.headers["content-type"] == "application/jsonlines"


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("wait", "within 1 s"),
        # What hangs in C is given up by an exception that no tracer may see.
        pytest.param("block", "within 1 s", marks=pytest.mark.alone),
        ("loop", "within 1 s"),
        ("exit", "3"),
        ("stops", "agenerate"),
    ],
)
def test_a_coroutines_fault_stays_with_its_request(
    coroutines: httpx.Client, what: str, message: str
) -> None:
    refused = do(coroutines, what)

    assert (refused.status_code, message in refused.json()["error"]) == (424, True)
    wait_until(lambda: do(coroutines, "encoded").status_code == 200)


def test_a_coroutine_is_told_of_adapters_and_may_refuse(
    coroutines: httpx.Client,
) -> None:
    good = coroutines.post("/adapters?name=good&src=pirate")
    bad = coroutines.post("/adapters?name=bad&src=pirate")

    assert good.json()["status"] == "Adapter good registered"
    assert (bad.status_code, bad.json()["message"]) == (424, "not this one")
