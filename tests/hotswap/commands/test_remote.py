"""What a command is answered by a server, or by none, is one clear line."""

import importlib
import json
from collections.abc import Iterator

import pytest

from hotswap.commands import remote
from hotswap.commands.remote import Remote
from hotswap.errors import CommandFailed
from tests.http_fake import FakeHttp, answering
from tests.servers import free_port


@pytest.fixture
def fake() -> Iterator[FakeHttp]:
    with answering() as server:
        yield server


def failure(url: str, key: str = "") -> str:
    with pytest.raises(CommandFailed) as failed:
        Remote(url, key).ask("GET", "/v1/status")
    said = str(failed.value)
    assert "\n" not in said
    return said


def test_the_key_goes_as_a_bearer_and_the_body_as_json(fake: FakeHttp) -> None:
    Remote(fake.url + "/", "hs-1").ask("POST", "/v1/x", {"a": 1})
    Remote(fake.url.removeprefix("http://"), "").ask("DELETE", "/v1/y")

    (method, path, headers, body), second = fake.seen
    assert (method, path, json.loads(body)) == ("POST", "/v1/x", {"a": 1})
    assert headers["authorization"] == "Bearer hs-1"
    assert headers["content-type"] == "application/json"
    assert second[0] == "DELETE"
    assert "authorization" not in second[2]


def test_no_server_is_said(fake: FakeHttp) -> None:
    url = f"http://127.0.0.1:{free_port()}"

    assert failure(url) == f"no server at {url}: Connection refused"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "an admin key\\nis needed"}}', "an admin key\\nis"),
        (b'{"message": "DJL says no"}', "DJL says no"),
        (b'{"error": "TGI says no"}', "TGI says no"),
        (b"<html>\x1b[31mno</html>", "<html>\\x1b[31mno</html>"),
        (b"\xff" * 100_000, "(100000 characters)"),
    ],
)
def test_what_the_server_says_is_told_with_its_code(
    body: bytes, said: str, fake: FakeHttp
) -> None:
    fake.answer = (401, {}, body)

    found = failure(fake.url)

    assert found.startswith(f"{fake.url}: 401 ")
    assert said in found
    assert len(found) < 1200


def test_the_key_follows_no_redirect(fake: FakeHttp) -> None:
    fake.answer = (302, {"location": f"http://127.0.0.1:{free_port()}/"}, b"moved")

    assert "302" in failure(fake.url, "hs-secret")
    assert len(fake.seen) == 1


def test_a_proxy_of_the_environment_is_not_asked(
    fake: FakeHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")

    module = importlib.reload(remote)  # it is read when the module is loaded

    assert module.Remote(fake.url, "").ask("GET", "/") == {}


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "http://", "ftp://x", "http://["]
)
def test_a_url_of_something_else_is_refused(url: str) -> None:
    assert failure(url).startswith("--url ")


def test_a_key_that_no_header_can_hold_is_refused(fake: FakeHttp) -> None:
    assert failure(fake.url, "a\r\nX-Other: b").startswith(fake.url)
    assert not fake.seen
