"""Refusals: requests that were turned away, counted by the kind of error.

Whoever refuses raises an error of the one tree, be it the engine, the library or a
route, and each that reaches a client passes here once. What is not counted: a failure
of the server's own (500), and a client that has left.
"""

from collections import Counter
from collections.abc import Callable

from litestar import Request, Response

from hotswap.api import error_responses
from hotswap.api.shared.http_status import STATUS
from hotswap.errors import HotswapError

_NO_REFUSAL = (499, 500)
# All that there can be: a counter that begins with 1 shows no rise.
REASONS = sorted(e.__name__ for e, code in STATUS.items() if code not in _NO_REFUSAL)

Handler = Callable[[Request, HotswapError], Response]


def counted(refusals: Counter[str]) -> Handler:
    """`error_responses.known_error`, which counts in `refusals`."""

    def known_error(request: Request, error: HotswapError) -> Response:
        answer = error_responses.known_error(request, error)
        if answer.status_code not in _NO_REFUSAL:
            refusals[type(error).__name__] += 1
        return answer

    return known_error
