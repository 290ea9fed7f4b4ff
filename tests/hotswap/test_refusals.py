"""Every error that can reach a client has a code in both tables."""

from hotswap.api.refusals import DJL_STATUS, STATUS
from hotswap.errors import ClientError, HotswapError, StartFailed

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
