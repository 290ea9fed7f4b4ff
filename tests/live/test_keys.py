"""Keys at a real server: every way in that is none, and what stays as it was."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import AuthenticationError, OpenAI, PermissionDeniedError

from tests.live.locked import Header, Locked, behind_another, locked
from tests.servers import wait_until

COMPLETION = {"prompt": "abc", "max_tokens": 1}
UNLOAD = {"lora_name": "pirate"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    with locked(tmp_path_factory.mktemp("locked")) as made:
        yield made


def shown(server: Locked, text: str) -> list[Header]:
    """Headers as they are written below: API and ADMIN stand for the keys."""
    text = text.replace("ADMIN", server.admin).replace("API", server.api)
    lines = [line.partition(": ") for line in text.split("\n") if line]
    return [(name, value) for name, _, value in lines]


# What is shown, and how an inference and a managing route answer it.
SHOWN = {
    "nothing": ("", 401, 401),
    "an API key": ("Authorization: Bearer API", 200, 403),
    "an admin key": ("Authorization: Bearer ADMIN", 200, 200),
    "a scheme in any case": ("authorization: bEARER API", 200, 403),
    "two spaces": ("Authorization: Bearer  API", 200, 403),
    "no scheme": ("Authorization: API", 401, 401),
    "another scheme": ("Authorization: Basic API", 401, 401),
    "a scheme without a key": ("Authorization: Bearer", 401, 401),
    "an empty key": ("Authorization: Bearer ", 401, 401),
    "an empty header": ("Authorization: ", 401, 401),
    "a key in quotes": ('Authorization: Bearer "API"', 401, 401),
    "a key and more": ("Authorization: Bearer API x", 401, 401),
    "two keys in one": ("Authorization: Bearer API, Bearer ADMIN", 401, 401),
    "a longer key": ("Authorization: Bearer ADMINx", 401, 401),
    "the beginning of one": ("Authorization: Bearer hotswap-admin-", 401, 401),
    "a key in capitals": ("Authorization: BEARER HOTSWAP-X", 401, 401),
    "the name of a key": ("Authorization: Bearer admin", 401, 401),
    "a tab": ("Authorization: Bearer\tADMIN", 401, 401),
    "letters beyond ASCII": ("Authorization: Bearer schlüssel-für-alle", 401, 401),
    "full-width letters": ("Authorization: \uff22\uff45arer ADMIN", 401, 401),
    "two headers, both good": (
        "Authorization: Bearer ADMIN\nAuthorization: Bearer ADMIN",
        401,
        401,
    ),
    "a good header behind a bad one": (
        "Authorization: Bearer x\nAuthorization: Bearer ADMIN",
        401,
        401,
    ),
    "a large key": ("Authorization: Bearer " + "x" * 16_000, 401, 401),
    "peers' headers": ("x-api-key: ADMIN\napi-key: ADMIN", 401, 401),
    "a proxy's": ("Proxy-Authorization: Bearer ADMIN", 401, 401),
    "another header's name": ("Authorization_: Bearer ADMIN", 401, 401),
    "a cookie": ("Cookie: Authorization=Bearer ADMIN; key=ADMIN", 401, 401),
    "that it comes from here": ("X-Forwarded-For: 127.0.0.1", 401, 401),
    "another method's name": ("X-HTTP-Method-Override: GET", 401, 401),
}


@pytest.mark.parametrize(("text", "infers", "manages"), SHOWN.values(), ids=list(SHOWN))
def test_what_is_shown_is_a_key_or_is_not(
    text: str, infers: int, manages: int, server: Locked
) -> None:
    before, headers = server.state(), shown(server, text)

    for method, path, body, expected in (
        ("POST", "/v1/completions", COMPLETION, infers),
        ("POST", "/invocations", {"inputs": "abc"}, infers),
        ("POST", "/generate", {"inputs": "abc"}, infers),
        ("GET", "/v1/models", None, infers),
        ("GET", "/v1/status", None, manages),
        ("GET", "/adapters", None, manages),
        ("GET", "/metrics", None, manages),
    ):
        code, told = server.raw(method, path, headers, body)
        assert code == expected, (path, told)
        assert server.api not in told
        assert server.admin not in told
    if manages != 200:
        for path, body in (
            ("/v1/unload_lora_adapter", UNLOAD),
            ("/adapters?name=new&src=pirate", None),
            ("/workflows?template=adapter&adapter=pirate", None),
        ):
            assert server.raw("POST", path, headers, body)[0] == manages
        assert server.raw("DELETE", "/adapters/pirate", headers)[0] == manages
        assert server.state() == before


@pytest.mark.parametrize("name", ["key", "api_key", "API_KEY", "access_token"])
@pytest.mark.parametrize("path", ["/v1/models", "/adapters", "/health", "/schema"])
def test_a_key_in_the_query_is_refused_and_not_repeated(
    name: str, path: str, server: Locked
) -> None:
    answer = server.get(f"{path}?{name}={server.admin}", server.admin)

    assert answer.status_code == 400
    assert "logs" in answer.text
    assert "Authorization: Bearer KEY" in answer.text
    assert server.admin not in answer.text


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/completions", ("error", "type", "AuthenticationError")),
        ("/invocations", ("type", "UnrecognizedClientException")),
        ("/generate", ("error_type", "validation")),
        ("/v1/load_lora_adapter", ("error", "type", "AuthenticationError")),
    ],
)
def test_a_refusal_has_the_shape_of_its_family_and_says_how(
    path: str, kind: tuple[str, ...], server: Locked
) -> None:
    for key, why in (("", ""), ("x" * 20, ', error="invalid_token"')):
        answer = server.ask("POST", path, key, json={})
        found: Any = answer.json()
        for place in kind[:-1]:
            found = found[place]

        assert answer.status_code == 401
        assert found == kind[-1]
        assert answer.headers["www-authenticate"] == f'Bearer realm="hotswap"{why}'
        assert "x" * 20 not in answer.text


def test_probes_and_the_description_take_no_key_and_mind_none(server: Locked) -> None:
    for path in ("/health", "/health/live", "/health/ready", "/ping", "/schema"):
        for header in ("", "Authorization: Basic eDp5", "Authorization: Bearer x"):
            assert server.raw("GET", path, shown(server, header))[0] == 200


def test_the_description_says_which_key_opens_what(server: Locked) -> None:
    document = server.get("/schema/openapi.json").json()

    schemes = document["components"]["securitySchemes"]
    assert {name: each["scheme"] for name, each in schemes.items()} == {
        "api_key": "bearer",
        "admin_key": "bearer",
    }
    asked = document["paths"]
    assert asked["/v1/completions"]["post"]["security"][0] == {"api_key": []}
    assert asked["/v1/status"]["get"]["security"] == [{"admin_key": []}]
    assert asked["/health"]["get"]["security"] == []


def test_openais_client_shows_its_key_and_knows_the_errors(server: Locked) -> None:
    url = f"{server.live.url}/v1"

    good = OpenAI(base_url=url, api_key=server.api)
    assert "pirate" in [card.id for card in good.models.list()]
    assert good.completions.create(model="pirate", **COMPLETION).choices  # type: ignore[call-overload]
    with pytest.raises(AuthenticationError, match="not one of this server's"):
        OpenAI(base_url=url, api_key="sk-wrong").models.list()
    with pytest.raises(PermissionDeniedError, match="admin key"):
        good.get("/status", cast_to=object)


def test_a_key_comes_and_goes_while_the_server_runs(server: Locked) -> None:
    path = server.files / "api.jsonl"
    before = path.read_text()

    secret = server.added("new")
    path.write_text(before)

    wait_until(lambda: server.get("/v1/models", secret).status_code == 401)
    assert server.get("/v1/models", server.api).status_code == 200


def test_a_broken_file_keeps_the_keys_and_health_says_so_to_admins(
    server: Locked,
) -> None:
    path = server.files / "api.jsonl"
    before = path.read_text()
    path.write_text("{")

    def trouble(key: str) -> str:
        return " ".join(server.get("/health", key).json()["trouble"])

    wait_until(lambda: "keys" in trouble(server.admin))
    assert trouble("") == trouble(server.api) == "there is some: an admin key is told"
    assert b"there is some" in behind_another(server, "/v1/models", "/health")
    assert server.get("/v1/models", server.api).status_code == 200

    path.write_text(before)
    wait_until(lambda: not trouble(server.admin))


def test_a_key_that_asks_too_often_is_told_when_to_come_again(server: Locked) -> None:
    before = (server.files / "api.jsonl").read_text()
    secret = server.added("slow", per_minute=2)  # has asked once

    codes = [
        server.ask("POST", path, secret, json=body)
        for path, body in (("/v1/completions", COMPLETION), ("/invocations", {}))
    ]
    for answer in codes[1:]:
        assert answer.status_code == 429
        assert 20 <= int(answer.headers["retry-after"]) <= 30
    assert codes[0].status_code == 200
    assert server.get("/health", secret).status_code == 200
    assert server.get("/v1/models", server.api).status_code == 200
    (server.files / "api.jsonl").write_text(before)


def test_no_log_has_a_key(server: Locked, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for key in (server.api, server.admin, "wrong-key-of-a-client"):
            server.get("/v1/models", key)
            server.get(f"/v1/models?key={key}", key)
            server.ask("POST", "/v1/unload_lora_adapter", key, json={})

    # uvicorn's log of accesses has queries, and is off; pytest listens all the same.
    assert not server.live.server.config.access_log
    others = ("http", "uvicorn.access")
    ours = [r.getMessage() for r in caplog.records if not r.name.startswith(others)]
    assert ours, "middleware logs every answer"
    for key in (server.api, server.admin, "wrong-key-of-a-client"):
        assert key not in "\n".join(ours)


def test_metrics_may_be_open(tmp_path: Path) -> None:
    with locked(tmp_path, metrics_need_no_key=True) as server:
        assert server.get("/metrics").status_code == 200
        assert server.get("/v1/status").status_code == 401
