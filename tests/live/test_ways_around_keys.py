"""Ways around keys at a real server: none leads anywhere, and nothing has changed."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.live.locked import Locked, behind_another, locked

UNLOAD = {"lora_name": "pirate"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    with locked(tmp_path_factory.mktemp("locked")) as made:
        yield made


def test_every_route_without_a_key_and_with_a_lesser_one_changes_nothing(
    server: Locked,
) -> None:
    document = server.get("/schema/openapi.json").json()
    before = server.state()
    codes: dict[str, set[int]] = {"": set(), server.api: set()}

    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            names = [p["name"] for p in operation.get("parameters", ())]
            values = {n: "echo" if n == "model" else "pirate" for n in names}
            where = path.format(**{**values, "rest": "update"})
            opened_by = [name for one in operation["security"] for name in one]
            for key, found in codes.items():
                if not opened_by or (key and "api_key" in opened_by):
                    continue  # it may
                answer = server.ask(method, where, key, json=UNLOAD)
                found.add(answer.status_code)
                assert answer.headers["www-authenticate"].startswith("Bearer")

    assert codes == {"": {401}, server.api: {403}}
    assert server.state() == before


PATHS = [
    *("/v1/adapters/", "//v1/adapters", "/v1//adapters", "/V1/ADAPTERS"),
    *("/v1/./adapters", "/v1/x/../adapters", "/health/../v1/adapters"),
    *("/v1/%61dapters", "/v1%2fadapters", "/%76%31/adapters", "/v1/adapters%00"),
    *("/v1/adapters;x", "/v1/adapters?x", "/v1/adapters#x", "/v1/adapters%20"),
    *("/schema/ui/../../v1/adapters", "/schema/ui/%2e%2e/%2e%2e/v1/adapters"),
    *("/health/%2e%2e/v1/adapters", "http://x/v1/adapters", "/v1/adapters/%2e"),
    *("/ping/../adapters", "/models/echo/adapters/", "/adapters//", "/v1/status/"),
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "PUT", "TRACE"])
def test_no_way_of_writing_a_path_leads_around_the_guard(
    method: str, path: str, server: Locked
) -> None:
    for key in ("", server.api):
        code, told = server.raw(method, path, [("Authorization", f"Bearer {key}")])

        assert code in (400, 401, 403, 404, 405), told
        assert "pirate" not in told


@pytest.mark.parametrize("method", ["OPTIONS", "PROPFIND", "get", "CONNECT", "X"])
def test_odd_methods_tell_and_change_nothing(method: str, server: Locked) -> None:
    before = server.state()

    for path in ("/v1/adapters", "/v1/unload_lora_adapter", "/adapters/pirate"):
        code, told = server.raw(method, path, [])
        assert code in (204, 400, 401, 404, 405), (path, told)
        assert "pirate" not in told
    assert server.state() == before


# What HTTP lets into a header: neither ends nor begins a line.
_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=300)


@settings(max_examples=20, deadline=None)
@given(st.one_of(_TEXT, _TEXT.map("Bearer {}".format), _TEXT.map("Basic {}".format)))
def test_whatever_a_header_says_is_no_key(server: Locked, text: str) -> None:
    for method, path in (("GET", "/v1/models"), ("DELETE", "/adapters/pirate")):
        code, told = server.raw(method, path, [("Authorization", text)])

        assert code in (400, 401), told  # 400: it is no HTTP


@pytest.mark.parametrize("size", [1_000, 60_000, 70_000, 1_000_000])
def test_a_header_of_any_size_is_no_key_and_others_go_on(
    size: int, server: Locked
) -> None:
    try:
        code, _ = server.raw("GET", "/v1/models", [("Authorization", "x" * size)])
    except (BrokenPipeError, ConnectionResetError):
        code = 400  # hung up before all was sent

    assert code in ((401,) if size < 64_000 else (400, 401))
    assert server.get("/v1/models", server.api).status_code == 200


def test_a_request_does_not_inherit_the_key_of_the_one_before_on_its_connection(
    server: Locked,
) -> None:
    for path in ("/v1/models", "/v1/status", "/metrics", "/adapters"):
        assert behind_another(server, path, path).startswith(b"401")
