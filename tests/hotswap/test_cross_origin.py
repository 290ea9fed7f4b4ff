"""What a web page may ask of a server on this machine, and what everybody else may."""

from collections.abc import Iterator

import pytest
from litestar.testing import TestClient

from hotswap.api.cross_origin import PLAIN, CrossOrigin
from tests.fake_server import FakeEngine, app_of

OURS, THEIRS = "https://ours.example", "https://evil.example"
COMPLETION = '{"prompt": "abc"}'
FORM, TEXT = "application/x-www-form-urlencoded", "text/plain"
# Method, path and body of requests that do something.
DOING = [
    ("POST", "/v1/completions", COMPLETION),
    ("POST", "/invocations", '{"inputs": "abc"}'),
    ("POST", "/v1/unload_lora_adapter", "{}"),
    ("POST", "/adapters?name=x&src=x", ""),
    ("DELETE", "/adapters/x", ""),
]
MANAGING = [
    ("GET", "/adapters"),
    ("GET", "/v1/adapters"),
    ("GET", "/models"),
    ("GET", "/workflows"),
    ("POST", "/adapters?name=x&src=x"),
    ("DELETE", "/models/tiny/adapters/x"),
    ("POST", "/v1/load_lora_adapter"),
]


def client_of(pages: CrossOrigin) -> TestClient:
    # Without LoRA, management says so once it is admitted.
    return TestClient(app_of(FakeEngine(), pages=pages, is_lora_enabled=False))


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with client_of(PLAIN) as client:
        yield client


@pytest.fixture(scope="module")
def open_to_ours() -> Iterator[TestClient]:
    with client_of(CrossOrigin(hosts=["hotswap.example"], origins=[OURS])) as client:
        yield client


def ask(
    client: TestClient, method: str, path: str, body: str = "", **headers: str
) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if body:
        named.setdefault("content-type", "application/json")
    answer = client.request(method, path, content=body, headers=named)
    if answer.status_code in (403, 415):
        assert "message" in answer.text
    return answer.status_code


PAGES = [
    {"Origin": THEIRS},
    {"Origin": "null"},
    {"Origin": THEIRS, "Sec_Fetch_Site": "same-site"},
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
    {"Origin": "http://[broken", "Host": "[broken"},
]


@pytest.mark.parametrize("kind", ["application/json", FORM, TEXT])
@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_page_of_another_origin_can_make_nothing_happen(
    page: dict[str, str], kind: str, client: TestClient, open_to_ours: TestClient
) -> None:
    for method, path, body in DOING:
        for each in (client, open_to_ours):
            assert ask(each, method, path, body, content_type=kind, **page) == 403


@pytest.mark.parametrize(("method", "path", "body"), DOING)
def test_what_is_no_page_and_pages_that_are_allowed_pass(
    method: str, path: str, body: str, client: TestClient, open_to_ours: TestClient
) -> None:
    host = "127.0.0.1:8080"
    own = {"Host": host, "Origin": f"http://{host}", "Sec_Fetch_Site": "same-origin"}

    assert ask(client, method, path, body) in (200, 400)
    assert ask(client, method, path, body, **own) in (200, 400)
    assert ask(open_to_ours, method, path, body, Origin=OURS) in (200, 400)


@pytest.mark.parametrize(
    ("kind", "curl", "page"),
    [
        ("application/json", 200, 200),
        ("application/json; charset=utf-8", 200, 200),
        ("application/vnd.api+json", 200, 200),
        (FORM, 200, 415),  # curl -d
        ("", 200, 415),
        (TEXT, 415, 415),
        ("multipart/form-data; boundary=x", 415, 415),
        ("text/csv", 415, 415),
    ],
)
def test_a_body_says_that_it_is_json_except_from_curl(
    kind: str, curl: int, page: int, client: TestClient
) -> None:
    own = {"Host": "localhost", "Origin": "http://localhost"}

    assert ask(client, "POST", "/v1/completions", COMPLETION, content_type=kind) == curl
    found = ask(client, "POST", "/v1/completions", COMPLETION, content_type=kind, **own)
    assert found == page


HOSTS = [
    "localhost:8080",
    "127.0.0.1",
    "[::1]:80",
    "10.0.0.7:8080",
    "gpu-box",
    "a.local",
]
HOSTS += ["a:b.c"]  # no port, and no name that a page could have
HOSTS += ["hotswap.default.svc.cluster.local", "app.localhost", "x.internal"]


@pytest.mark.parametrize(("method", "path"), MANAGING)
def test_routes_that_manage_or_list_take_only_a_host_that_is_ours(
    method: str, path: str, client: TestClient, open_to_ours: TestClient
) -> None:
    for host in HOSTS:
        assert ask(client, method, path, Host=host) in (200, 400), host
    for host in ["evil.example", "evil.example:8080", "127.0.0.1.evil.example"]:
        assert ask(client, method, path, Host=host) == 403, host
    assert ask(client, method, path, Host="hotswap.example") == 403
    assert ask(open_to_ours, method, path, Host="hotswap.example:80") in (200, 400)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/completions", COMPLETION),
        ("POST", "/v1/responses", '{"input": "abc"}'),
        ("POST", "/models/tiny/invoke", '{"inputs": "abc"}'),
        ("GET", "/ping", ""),
        ("GET", "/health", ""),
    ],
)
def test_routes_that_generate_and_health_take_any_host(
    method: str, path: str, body: str, client: TestClient
) -> None:
    assert ask(client, method, path, body, Host="llm.company.example") == 200


def test_only_pages_that_are_named_may_read_answers(
    client: TestClient, open_to_ours: TestClient
) -> None:
    def preflight(client: TestClient, origin: str) -> str | None:
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        answer = client.options("/v1/completions", headers=asked)
        origin_told: str | None = answer.headers.get("access-control-allow-origin")
        return origin_told

    assert preflight(client, OURS) is None
    assert preflight(open_to_ours, OURS) == OURS
    assert preflight(open_to_ours, THEIRS) is None
    answer = client.get("/health", headers={"Origin": OURS})
    assert "access-control-allow-origin" not in answer.headers
    answer = open_to_ours.get("/health", headers={"Origin": OURS})
    assert answer.headers["access-control-allow-origin"] == OURS
    assert "x-hotswap-adapter" in answer.headers["access-control-expose-headers"]
