"""DJL's own test of adapters over HTTP, call by call, against a handler of the same
form (`ModelServerTest.java` of djl-serving, from testAdapterMissing to its end).

There an adapter's files are the handler's business, here they are looked at: `src` and
`myBuiltinAdapter` are folders of adapters.
"""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.live.handlers import handled, served

MODEL = "adaptecho"
ECHO = Path(__file__).parent.parent / "hotswap" / "handler" / "echo_model.py"
BODY = "testPredictAdapter"
PREDICT = f"/predictions/{MODEL}?adapter=adaptable"
REGISTER = "/adapters?name=adaptable&src=src&echooption=opt"


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[httpx.Client]:
    server = {"served_model_names": [MODEL]}
    adapters = ("myBuiltinAdapter", "src")
    with handled(tmp_path, ECHO.read_text(), adapters, server=server) as client:
        yield client


def say(
    client: httpx.Client, path: str, body: str = BODY, **headers: str
) -> httpx.Response:
    return client.post(
        path, content=body, headers={"content-type": "text/plain"} | headers
    )


def status(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["status"]


@pytest.mark.parametrize("prefix", ["/models/adaptecho", ""])
def test_an_adapter_is_registered_asked_updated_and_unregistered(
    echo: httpx.Client, prefix: str
) -> None:
    one = f"{prefix}/adapters/adaptable"
    missing = say(echo, PREDICT)
    registered = echo.post(prefix + REGISTER)
    described = echo.get(one).json()
    updated = echo.post(f"{one}/update?pin=true")
    pinned = echo.get(one).json()
    answers = [
        say(echo, PREDICT).text,
        say(echo, f"/predictions/{MODEL}?adapter=myBuiltinAdapter").text,
        say(echo, f"/invocations?model_name={MODEL}&adapter=adaptable").text,
        say(echo, f"/models/{MODEL}/invoke?adapter=adaptable").text,
        say(echo, "/invocations").text,
    ]
    listed = served(echo)
    unregistered = echo.delete(one)

    assert missing.status_code == 424
    assert status(registered) == (200, "Adapter adaptable registered")
    told = {"name": "adaptable", "src": "src", "preload": True, "pin": False}
    assert described == told
    assert status(updated) == (200, "Adapter adaptable updated")
    assert pinned == told | {"pin": True}
    assert answers == [
        f"adaptableopt{BODY}",
        f"myBuiltinAdapter{BODY}",
        f"adaptableopt{BODY}",
        f"adaptableopt{BODY}",
        BODY,
    ]
    assert "adaptable" in listed
    assert status(unregistered) == (200, "Adapter adaptable unregistered")
    assert "adaptable" not in served(echo)
    assert say(echo, PREDICT).status_code == 424


def test_a_request_cannot_name_the_function_that_is_called(echo: httpx.Client) -> None:
    attributes = {"X-Amzn-SageMaker-Custom-Attributes": "handler=register_adapter"}

    said = say(echo, PREDICT, handler="register_adapter", name="evil", src="evil")
    hidden = say(echo, "/invocations", **attributes)

    assert said.status_code == hidden.status_code == 400
    assert "can't be overridden" in said.json()["message"]


def test_a_name_is_registered_once(echo: httpx.Client) -> None:
    assert echo.post(REGISTER).status_code == 200
    assert echo.post(REGISTER).status_code == 409


def test_what_is_not_there_is_not_found(echo: httpx.Client) -> None:
    other, unknown = "/models/invalid_model/adapters", "/adapters/invalid_adapter"
    answers = [
        echo.post(f"{other}?name=adaptable&echooption=opt"),
        echo.post(f"{other}/adaptable/update?src=src1"),
        echo.get(other),
        echo.get(f"{other}/adaptable"),
        echo.delete(f"{other}/adaptable"),
        echo.post(f"{unknown}/update?src=src"),
        echo.get(unknown),
        echo.delete(unknown),
    ]

    assert [answer.status_code for answer in answers] == [404] * 8


@pytest.mark.parametrize(("option", "code"), [("error", 424), ("oom", 507)])
def test_a_handler_that_raises_changes_nothing(
    echo: httpx.Client, option: str, code: int
) -> None:
    refused = echo.post(f"/adapters?name=adaptable2&src=src&{option}=true")
    echo.post(REGISTER)
    update = f"/adapters/adaptable/update?src=src&pin=true&{option}=true"
    unchanged = echo.post(update)

    assert refused.status_code == unchanged.status_code == code
    assert "adaptable2" not in served(echo)
    assert echo.get("/adapters/adaptable").json()["pin"] is False
    assert say(echo, PREDICT).text == f"adaptableopt{BODY}"


def test_workflows_name_the_adapter_for_the_handler(echo: httpx.Client) -> None:
    for name, options in (("a1", {"echooption": "weo"}), ("a2", {})):
        adapter = {"model": "m", "src": "src", "options": options}
        body = {
            "name": f"the_{name}",
            "models": {"m": f"file:/some/{MODEL}"},
            "configs": {"adapters": {name: adapter}},
            "workflow": {"out": ["adapter", name, "in"]},
        }
        assert echo.post("/workflows", json=body).status_code == 200
    template = echo.post(
        f"/workflows?template=adapter&adapter=a&url=src&model=resources/{MODEL}"
    )

    assert say(echo, "/predictions/the_a1", "testAWP").text == "a1weotestAWP"
    assert say(echo, "/predictions/the_a2", "testAWP").text == "a2testAWP"
    assert template.json() == {"status": 'Workflow "a" registered.'}
    other = say(echo, "/predictions/the_a1?adapter=a2")
    assert other.status_code == 400, "the endpoint is another adapter's"
