"""Bad input is answered by an error of the route's shape that names the place."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.servers import Live, wait_until

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
DJL = ["/invocations", "/predictions/tiny", "/models/tiny/invoke"]
HEADER = "X-Amzn-SageMaker-Adapter-Identifier"
GREEDY = {"max_tokens": 12, "temperature": 0}
GOOD: dict[str, dict[str, Any]] = {
    COMPLETIONS: {"prompt": "hi", **GREEDY},
    CHAT: {"messages": [{"role": "user", "content": "hi"}], **GREEDY},
    **{path: {"inputs": "hi", "parameters": {"max_new_tokens": 4}} for path in DJL},
}


@pytest.fixture(scope="module")
def client(live: Live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def good_text(client: httpx.Client) -> str:
    return good(client)


@pytest.fixture(autouse=True)
def serves_afterwards(client: httpx.Client, good_text: str) -> Iterator[None]:
    """Whatever a test sent: the next good request is answered, and no job is left."""
    yield
    assert good(client) == good_text
    wait_until(lambda: client.get("/v1/status").json()["live"] == 0)
    assert client.get("/v1/status").json()["waiting"] == 0


def good(client: httpx.Client, **fields: Any) -> str:
    """The text of a good request."""
    response = client.post(COMPLETIONS, json={**GOOD[COMPLETIONS], **fields})
    assert response.status_code == 200, response.text
    assert response.headers["x-request-id"]
    return str(response.json()["choices"][0]["text"])


def check(response: httpx.Response, status: int, *named: str) -> dict[str, Any]:
    """An error of the route's shape; its message names all that is asked for."""
    assert response.status_code == status, response.text
    assert response.headers["x-request-id"]
    assert response.headers["content-type"].startswith("application/json")
    assert "Traceback" not in response.text
    body: dict[str, Any] = response.json()
    is_openai = response.request.url.path.startswith("/v1")
    error: dict[str, Any] = body["error"] if is_openai else body
    assert set(error) == {"code", "type", "message", "param" if is_openai else "error"}
    assert error["code"] == status
    assert all(word in error["message"] for word in named), error
    return error


def root(param: str) -> str:
    """`prompt[0]` is in `prompt`."""
    return param.partition("[")[0].partition(".")[0]


@pytest.mark.parametrize(
    ("extra", "param"),
    [
        ({"adapter": "nope"}, "adapter"),
        ({"adapters": "nope"}, "adapters"),
        ({"adapters": ["nope"]}, "adapters"),
        ({"model": "nope"}, "model"),
        ({"model": "tiny:nope"}, "model"),
        ({"adapter": "nope", "stream": True}, "adapter"),
    ],
)
@pytest.mark.parametrize("path", GOOD)
def test_an_unknown_adapter_in_the_body_is_named(
    path: str, extra: dict[str, Any], param: str, client: httpx.Client
) -> None:
    response = client.post(path, json={**GOOD[path], **extra})

    if path in DJL:
        check(response, 424, "`nope`")
    else:
        assert check(response, 404, "`nope`")["param"] == param


@pytest.mark.parametrize("name", [HEADER, HEADER.lower(), HEADER.upper()])
@pytest.mark.parametrize("path", GOOD)
def test_the_header_in_any_letter_case_and_then_the_query_win_over_the_body(
    path: str, name: str, client: httpx.Client
) -> None:
    body = {**GOOD[path], "adapter": "a1"}

    unknown = client.post(path, json=body, headers={name: "nope"})
    query = client.post(path, json=body, params={"adapter": "nope"})
    known = client.post(path + "?adapter=nope", json=body, headers={name: "a2"})

    check(unknown, 424 if path in DJL else 404, "`nope`")
    check(query, 424 if path in DJL else 404, "`nope`")
    assert known.status_code == 200
    assert known.headers["x-hotswap-adapter"] == "a2"


def test_one_unknown_adapter_of_several_refuses_all(client: httpx.Client) -> None:
    body = {**GOOD[COMPLETIONS], "prompt": ["a", "b"], "adapters": ["a1", "nope"]}

    check(client.post(COMPLETIONS, json=body), 404, "`nope`")


@pytest.mark.parametrize("path", ["/predictions/nope", "/models/nope/invoke"])
def test_another_model_in_the_path_is_named(path: str, client: httpx.Client) -> None:
    check(client.post(path, json=GOOD["/invocations"]), 404, "nope")


SHARED: dict[str, list[Any]] = {
    "max_tokens": [-1, 0, 1.5, "four", True, 2**24 + 1, 10**30],
    "temperature": [-0.1, 101, 1e300, "hot"],
    "top_p": [-1, 0, 1.01, "all"],
    "top_k": [-2, 1.5, 10**30],
    "n": [-1, 0, 65, 10**30],
    "seed": [1.5, 10**30, -(10**30), "luck"],
    "stop_token_ids": [[-1], ["a"], 3, [260]],
    "adapters": [["a1", "a1"], 5, [5]],
    "adapter": [5, ["a1"]],
    "model": [5],
    "stop": ["", [""], 3, ["x"] * 17],
    "stream": ["yes"],
    "stream_options": [3, {"include_usage": 3}],
    "adaptor": ["a1"],
    "logit_bias": [{"1": 101}, {"x": 1}, {"260": 1}, {"1": 1e300}],
}
PROMPTS: list[Any] = ["", [], [""], ["a", ""], [[]], None, 5, {}, ["a", 1], [True]]
PROMPTS += ["x" * 509]
TOKENS = [[-1], [260], [10**30], [[1], [260]]]
CONTENTS = [5, "x" * 600, [{"type": "image_url"}]]
BAD: dict[str, dict[str, list[Any]]] = {
    COMPLETIONS: {
        **SHARED,
        "prompt": PROMPTS + TOKENS,
        "logprobs": [-1, 21, True],
        "suffix": ["x"],
        "best_of": [0, 65],
    },
    CHAT: {
        **SHARED,
        "messages": [[], None, "hi", ["hi"], [{}], [{"role": ""}]]
        + [[{"role": "user", "content": content}] for content in CONTENTS],
        "max_completion_tokens": [-1, 0, 10**30],
        "tools": [[{}], 5],
        "response_format": [{"type": "json_schema"}, {"type": "xml"}, "json"],
        "functions": [[{}]],
    },
}
VALUES = [
    pytest.param(path, field, value, id=f"{path} {field} {str(value)[:20]}")
    for path, fields in BAD.items()
    for field, values in fields.items()
    for value in values
]


@pytest.mark.parametrize(("path", "field", "value"), VALUES)
def test_a_bad_value_is_refused_and_its_field_is_the_param(
    path: str, field: str, value: object, client: httpx.Client
) -> None:
    response = client.post(path, json={**GOOD[path], field: value})

    error = check(response, 400)
    assert root(error["param"]) == field


DJL_BAD: list[tuple[int, str, Any]] = [
    *((424, "inputs", value) for value in ("", [], ["a", ""], 5, None)),
    *((424, "adapters", value) for value in (["a1", "a1"], 5)),
    *((400, "inputs", "x" * 600), (400, "stream", "yes")),
    *((400, "adaptor", "a1"), (400, "parameters", 5)),
]
PARAMETERS = [("max_new_tokens", 0), ("top_p", 2), ("stop", "x"), ("beams", 1)]


@pytest.mark.parametrize("path", DJL)
def test_a_bad_value_is_refused_by_name_in_the_shape_of_djl(
    path: str, client: httpx.Client
) -> None:
    bad = [(code, {field: value}, field) for code, field, value in DJL_BAD]
    bad += [(400, {"parameters": {key: v}}, key) for key, v in PARAMETERS]

    for code, fields, named in bad:
        response = client.post(path, json={"inputs": "a", **fields})

        check(response, code, named)


MALFORMED = {
    "empty": b"",
    "truncated": b'{"prompt": ',
    "NaN": b'{"prompt": "a", "temperature": NaN}',
    "invalid UTF-8": b'{"prompt": "\xff\xfe"}',
    "deep array": b"[" * 100_000,
    "half a surrogate": b'{"prompt": "\\ud800"}',
    "array": b"[1]",
    "deep field": b'{"prompt": "a", "metadata": ' + b'{"a":' * 100_000,
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=list(MALFORMED))
@pytest.mark.parametrize("path", [COMPLETIONS, CHAT, DJL[0]])
def test_a_body_that_is_no_json_object_is_refused(
    path: str, content: bytes, client: httpx.Client
) -> None:
    response = client.post(path, content=content)

    code = 424 if path in DJL else 400
    assert check(response, code)["message"] not in ("", "body: 'data'")


@pytest.mark.parametrize("temperature", [1e-300, 1e-40, 1e-6])
def test_a_tiny_temperature_is_greedy(
    temperature: float, client: httpx.Client, good_text: str
) -> None:
    assert good(client, temperature=temperature, seed=7) == good_text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/nope", 404),
        ("GET", "/v1/adapters/nope", 404),
        ("GET", COMPLETIONS, 405),
        ("DELETE", CHAT, 405),
        ("POST", "/v1/models", 405),
        *(("GET", path, 405) for path in DJL),
    ],
)
def test_an_unknown_route_or_method_is_an_error_in_the_shape_of_its_route(
    method: str, path: str, status: int, client: httpx.Client
) -> None:
    check(client.request(method, path), status)


def test_a_clients_request_id_comes_back_with_an_error(client: httpx.Client) -> None:
    response = client.post(COMPLETIONS, json={}, headers={"x-request-id": "mine"})

    assert response.headers["x-request-id"] == "mine"
