"""A key that is limited to adapters sees a server that has no others."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.locked import Locked, locked
from tests.servers import wait_until

COMPLETION = {"prompt": "abc", "max_tokens": 1}
INVOCATION = {"inputs": "abc", "parameters": {"max_new_tokens": 1}}
CHAT = {"messages": [{"role": "user", "content": "abc"}], "max_tokens": 1}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    """With a sum that has a name and an endpoint for each of two adapters."""
    with locked(tmp_path_factory.mktemp("locked")) as made:
        for name, text in (("mix", "pirate+sql"), ("blend", "sql+orders")):
            body = {"name": name, "composition": text}
            answer = made.ask("POST", "/v1/adapters", made.admin, json=body)
            assert answer.status_code == 200, answer.text
        for name in ("sql", "pirate"):
            path = f"/workflows?template=adapter&adapter={name}"
            assert made.ask("POST", path, made.admin).status_code == 200
        yield made


@pytest.fixture(scope="module")
def key(server: Locked) -> str:
    return server.added("shop", adapters=("sql", "orders", "mix", "later"))


Ask = tuple[str, dict[str, Any], dict[str, str]]


def ways(name: str) -> dict[str, Ask]:
    """Every way to name an adapter: route, body, headers."""
    header = {"x-amzn-sagemaker-adapter-identifier": name}
    component = {"x-amzn-sagemaker-inference-component": name}
    target = {"x-amzn-sagemaker-target-model": f"{name}.tar.gz"}
    chat = {**CHAT, "model": name}
    frames = "/endpoints/echo/invocations-response-stream"
    several = {**INVOCATION, "inputs": ["a", "b"]}
    stream = {**COMPLETION, "stream": True}
    return {
        "model": ("/v1/completions", {**COMPLETION, "model": name}, {}),
        "BASE:NAME": ("/v1/completions", {**COMPLETION, "model": f"echo:{name}"}, {}),
        "adapter": ("/v1/chat/completions", {**CHAT, "adapter": name}, {}),
        "adapters": ("/v1/completions", {**COMPLETION, "adapters": name}, {}),
        "a list": ("/invocations", {**several, "adapters": ["sql", name]}, {}),
        "the query": (f"/v1/completions?adapter={name}", COMPLETION, {}),
        "a header": ("/invocations", INVOCATION, header),
        "a component": ("/invocations", INVOCATION, component),
        "a target model": ("/invocations", INVOCATION, target),
        "OpenAI's body": ("/invocations", chat, {}),
        "frames": (frames, INVOCATION | {"adapter": name}, {}),
        "responses": ("/v1/responses", {"input": "abc", "model": name}, {}),
        "TGI": ("/generate", {"inputs": "a", "parameters": {"adapter_id": name}}, {}),
        "a stream": ("/v1/completions", {**stream, "model": name}, {}),
        "tokens": ("/tokenize", {"prompt": "abc", "model": name}, {}),
    }


def ask(server: Locked, key: str, asked: Ask) -> tuple[int, str]:
    path, body, headers = asked
    with server.live.client() as client:
        client.headers["authorization"] = f"Bearer {key}"
        answer = client.post(path, json=body, headers=headers)
    return answer.status_code, answer.text


@pytest.mark.parametrize("way", ways(""))
def test_what_is_allowed_answers_and_all_else_does_not_exist(
    way: str, server: Locked, key: str
) -> None:
    assert ask(server, key, ways("sql")[way])[0] == 200
    told = {}
    for name in ("pirate", "corsair", "nobody", "later"):
        code, text = ask(server, key, ways(name)[way])
        assert code in (404, 424), text
        told[name] = text.replace(name, "NAME")
    # Nobody can tell what is there from what is not.
    assert len(set(told.values())) == 1, told


@pytest.mark.parametrize(
    "way", [w for w in ways("") if w not in ("the query", "tokens")]
)
def test_a_sum_takes_the_right_to_each_of_its_parts(
    way: str, server: Locked, key: str
) -> None:
    for allowed in ("sql*0.5+orders", "mix", "mix*0.5+sql*2", "orders*-1"):
        assert ask(server, key, ways(allowed)[way])[0] == 200, allowed
    for refused in ("sql+pirate", "pirate*0.5", "blend", "sql+corsair*2", "blend+sql"):
        code, text = ask(server, key, ways(refused)[way])
        assert code in (404, 424), text
        assert refused in text


def test_a_sum_that_an_admin_has_asked_for_is_no_back_door(
    server: Locked, key: str
) -> None:
    name = "orders+pirate"  # canonical: known to the server from now on
    assert ask(server, server.admin, ways(name)["model"])[0] == 200

    assert ask(server, key, ways(name)["model"])[0] == 404


def test_loraxs_sums_are_no_back_door(server: Locked, key: str) -> None:
    def merged(*ids: str) -> int:
        merging = {"ids": ids, "weights": [1.0] * len(ids)}
        body = {"inputs": "abc", "parameters": {"merged_adapters": merging}}
        return ask(server, key, ("/generate", body, {}))[0]

    assert merged("sql", "orders") == 200
    assert merged("sql", "pirate") == 424


def test_the_bare_model_is_allowed_by_name_only(server: Locked, key: str) -> None:
    for path, body in (("/v1/completions", COMPLETION), ("/invocations", INVOCATION)):
        code, text = ask(server, key, (path, body, {}))
        assert code == 403
        assert "bare model" in text
    for number, name in enumerate(("base", "echo")):
        own = server.added(f"bare-{number}", adapters=(name,))
        assert ask(server, own, ("/v1/completions", COMPLETION, {}))[0] == 200
        assert ask(server, own, ways("sql")["model"])[0] == 404


def test_lists_have_what_is_allowed(server: Locked, key: str) -> None:
    def ids(key: str) -> set[str]:
        return {card["id"] for card in server.get("/v1/models", key).json()["data"]}

    assert ids(key) == {"sql", "orders", "mix"}
    assert ids(server.api) == {
        *("echo", "sql", "orders", "mix", "blend", "pirate", "corsair")
    }
    for name, code in {
        **dict.fromkeys(("sql", "echo:sql", "mix"), 200),
        **dict.fromkeys(("pirate", "corsair", "echo", "base", "nobody", "a+*"), 404),
    }.items():
        answer = server.get(f"/v1/models/{name}", key)
        assert answer.status_code == code, name


def test_an_endpoint_is_as_its_adapter(server: Locked, key: str) -> None:
    assert ask(server, key, ("/predictions/sql", INVOCATION, {}))[0] == 200
    told = {
        name: ask(server, key, (f"/predictions/{name}", {"no": "body"}, {}))
        for name in ("pirate", "nobody")
    }

    assert {code for code, _ in told.values()} == {404}
    assert told["pirate"][1].replace("pirate", "nobody") == told["nobody"][1]


def test_an_adapter_that_comes_later_can_be_allowed_before(
    server: Locked, key: str
) -> None:
    body = {"lora_name": "later", "lora_path": "pirate"}
    load = "/v1/load_lora_adapter"
    assert server.ask("POST", load, server.admin, json=body).status_code == 200

    wait_until(lambda: ask(server, key, ways("later")["model"])[0] == 200)
    unload = "/v1/unload_lora_adapter"
    server.ask("POST", unload, server.admin, json={"lora_name": "later"})
