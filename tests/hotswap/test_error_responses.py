"""Every error that can reach a client has a code, in every family of routes."""

import json

import pytest
from litestar.testing import TestClient

from hotswap.api import error_responses
from hotswap.api.djl import shape as djl_shape
from hotswap.api.shared.http_status import STATUS
from hotswap.api.tgi import shape as tgi_shape
from hotswap.errors import (
    AdapterExists,
    AdapterRefused,
    ClientError,
    CommandFailed,
    HotswapError,
    NoRenderer,
    StartFailed,
    StillLoading,
)
from tests.asgi import posted
from tests.fake_server import FakeEngine, app_of

NEVER_SENT = {HotswapError, ClientError, StartFailed, CommandFailed}


def tree(root: type[HotswapError]) -> set[type[HotswapError]]:
    return {root}.union(*(tree(child) for child in root.__subclasses__()))


def test_every_error_has_a_code() -> None:
    assert set(STATUS) == tree(HotswapError) - NEVER_SENT
    for changed in (djl_shape.STATUS, tgi_shape.STATUS):
        assert changed.keys() <= STATUS.keys()


def test_an_error_of_the_request_is_never_the_servers() -> None:
    for kind in tree(ClientError) - NEVER_SENT:
        assert 400 <= STATUS[kind] < 500
        assert 400 <= djl_shape.STATUS.get(kind, 400) < 500
        assert 400 <= tgi_shape.STATUS.get(kind, 400) < 500


@pytest.mark.parametrize("path", ["/v1/completions", "/invocations"])
def test_an_adapter_that_is_being_read_is_to_be_asked_again_soon(path: str) -> None:
    request = posted(path)

    answer = error_responses.known_error(request, StillLoading("pirate"))

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "`pirate` is being read" in json.dumps(answer.content)


@pytest.mark.parametrize("path", ["/v1/load_lora_adapter", "/adapters"])
def test_files_that_cannot_be_read_just_now_are_to_be_asked_for_again(
    path: str,
) -> None:
    request = posted(path)
    passing = AdapterRefused("no_config", "too many open files", is_passing=True)

    answer = error_responses.known_error(request, passing)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert error_responses.known_error(
        request, AdapterRefused("x", "y")
    ).status_code in (422, 424)


def test_djls_routes_tell_a_taken_name_in_djls_words() -> None:
    answer = {
        path: str(error_responses.known_error(request, AdapterExists("a")).content)
        for path in ("/adapters", "/v1/adapters")
        for request in [posted(path)]
    }

    assert "a already exists. If you want to replace it" in answer["/adapters"]
    assert "replace" not in answer["/v1/adapters"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/invocations"])
def test_a_template_that_no_process_can_render_now_is_to_be_asked_for_again(
    path: str,
) -> None:
    answer = error_responses.known_error(posted(path), NoRenderer())

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/embeddings", "/v1/audio/transcriptions", "/v1/images/generations"),
        *("/v1/rerank", "/rerank", "/score", "/pooling", "/classify", "/embed"),
    ],
)
def test_what_wider_servers_do_is_a_404_that_says_what_this_one_does(path: str) -> None:
    with TestClient(app_of(FakeEngine())) as client:
        answer = client.post(path, json={"model": "tiny", "input": "abc"})

    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (404, "NotFoundError")
    assert "hotswap generates text" in error["message"]
    assert "/v1/chat/completions" in error["message"]
