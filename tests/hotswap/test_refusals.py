"""Every error that can reach a client has a code in both tables."""

import json

import pytest
from litestar.testing import RequestFactory

from hotswap.api import refusals
from hotswap.api.refusals import DJL_STATUS, STATUS
from hotswap.errors import (
    AdapterRefused,
    ClientError,
    HotswapError,
    StartFailed,
    StillLoading,
)

NEVER_SENT = {HotswapError, ClientError, StartFailed}


def tree(root: type[HotswapError]) -> set[type[HotswapError]]:
    return {root}.union(*(tree(child) for child in root.__subclasses__()))


def test_every_error_has_a_code() -> None:
    assert set(STATUS) == tree(HotswapError) - NEVER_SENT
    assert set(DJL_STATUS) == set(STATUS)


def test_an_error_of_the_request_is_never_the_servers() -> None:
    for kind in tree(ClientError) - NEVER_SENT:
        assert 400 <= STATUS[kind] < 500
        assert 400 <= DJL_STATUS[kind] < 500


@pytest.mark.parametrize("path", ["/v1/completions", "/invocations"])
def test_an_adapter_that_is_being_read_is_to_be_asked_again_soon(path: str) -> None:
    request = RequestFactory().post(path)

    answer = refusals.ours(request, StillLoading("pirate"))

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "`pirate` is being read" in json.dumps(answer.content)


@pytest.mark.parametrize("path", ["/v1/load_lora_adapter", "/adapters"])
def test_files_that_cannot_be_read_just_now_are_to_be_asked_for_again(
    path: str,
) -> None:
    request = RequestFactory().post(path)
    passing = AdapterRefused("no_config", "too many open files", is_passing=True)

    answer = refusals.ours(request, passing)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert refusals.ours(request, AdapterRefused("x", "y")).status_code in (422, 424)
