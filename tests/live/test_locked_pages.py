"""A web page and a server with keys: what a browser sends, and what comes of it."""

from collections.abc import Iterator

import httpx
import pytest

from tests.live.locked import Locked, locked

OURS, THEIRS = "https://ours.example", "https://evil.example"
UNLOAD = {"lora_name": "pirate"}
DOING = [
    ("POST", "/v1/unload_lora_adapter", UNLOAD),
    ("DELETE", "/adapters/pirate", None),
    ("POST", "/v1/adapters/pirate/unpin", None),
    ("POST", "/v1/completions", {"prompt": "abc"}),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    with locked(tmp_path_factory.mktemp("locked"), cors_origins=[OURS]) as made:
        yield made


def ask(
    server: Locked, method: str, path: str, body: object = None, **said: str
) -> httpx.Response:
    headers = {name.replace("_", "-"): value for name, value in said.items()}
    with server.live.client() as client:
        return client.request(method, path, json=body, headers=headers)


@pytest.mark.parametrize(("method", "path", "body"), DOING)
def test_a_page_of_another_origin_makes_nothing_happen_even_with_a_key(
    method: str, path: str, body: object, server: Locked
) -> None:
    before = server.state()

    for origin, site in (
        (THEIRS, "cross-site"),
        ("null", "cross-site"),
        ("http://localhost:1", "same-site"),
        (
            server.live.url.replace("http:", "https:").replace("127.", "126."),
            "same-site",
        ),
    ):
        page = {"Origin": origin, "Sec_Fetch_Site": site}
        admin = {"Authorization": f"Bearer {server.admin}"}
        assert ask(server, method, path, body, **page).status_code == 401
        assert ask(server, method, path, body, **page, **admin).status_code == 403

    assert server.state() == before


def test_our_own_page_works_with_a_key_and_asks_for_one_without(server: Locked) -> None:
    page = {"Origin": server.live.url, "Sec_Fetch_Site": "same-origin"}
    admin = {"Authorization": f"Bearer {server.admin}"}

    for method, path in (
        ("GET", "/v1/status"),
        ("GET", "/v1/adapters"),
        ("POST", "/v1/adapters/sql/pin"),
        ("POST", "/v1/adapters/sql/unpin"),
    ):
        assert ask(server, method, path, **page).status_code == 401
        assert ask(server, method, path, **page, **admin).status_code == 200
    with server.live.client() as client:
        headers = {**{"Origin": server.live.url}, **admin}
        with client.stream("GET", "/v1/events", headers=headers) as events:
            assert next(events.iter_lines()) == "event: adapter"


def test_a_page_that_is_named_asks_with_a_key_and_reads_the_answer(
    server: Locked,
) -> None:
    asked = {
        "Access_Control_Request_Method": "POST",
        "Access_Control_Request_Headers": "authorization,content-type",
    }
    preflight = ask(server, "OPTIONS", "/v1/completions", Origin=OURS, **asked)
    key = {"Authorization": f"Bearer {server.api}"}
    page = {"Origin": OURS, "Sec_Fetch_Site": "cross-site"}
    body = {"prompt": "abc", "max_tokens": 1}
    good = ask(server, "POST", "/v1/completions", body, **page, **key)
    wrong = ask(server, "POST", "/v1/completions", body, **page)

    # `*` would not do: the standard wants this one by name.
    allowed = preflight.headers["access-control-allow-headers"].lower().split(", ")
    assert "authorization" in allowed
    assert "*" not in allowed
    assert "access-control-allow-credentials" not in preflight.headers
    for answer, code in ((preflight, 204), (good, 200), (wrong, 401)):
        assert answer.status_code == code
        assert answer.headers["access-control-allow-origin"] == OURS


def test_a_preflight_of_any_other_page_fails(server: Locked) -> None:
    for origin in (THEIRS, "null", f"{OURS}.evil.example", "https://ours.example:444"):
        asked = {"Access_Control_Request_Method": "DELETE"}
        answer = ask(server, "OPTIONS", "/adapters/pirate", Origin=origin, **asked)

        assert answer.status_code == 400
        assert answer.headers.get("access-control-allow-origin") is None


def test_a_name_that_a_page_can_have_reaches_no_managing_route_with_a_key(
    server: Locked,
) -> None:
    admin = {"Authorization": f"Bearer {server.admin}"}

    for host in ("evil.example", "127.0.0.1.evil.example:8080"):
        page = {"Host": host, "Origin": f"http://{host}"}
        assert ask(server, "GET", "/v1/status", **page, **admin).status_code == 403
        assert (
            ask(server, "DELETE", "/adapters/sql", **page, **admin).status_code == 403
        )
