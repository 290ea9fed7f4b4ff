"""SageMaker's headers, and DJL's: what clients and hosting say beside the body.

Those that name an adapter are `selection`'s. Of the others, those that are here ask for
what this server has not, and an answer without it would be another: they are refused
but for the values that change nothing. `Inference-Id` and `Prefix-Aware-Id` change no
answer, and `Custom-Attributes` are opaque as far as they name no adapter.
"""

from collections.abc import Mapping

from litestar import Request

from hotswap.errors import BadRequest

VARIANT = "AllTraffic"  # what SageMaker's library calls the only one
PREFIX = "X-Amzn-SageMaker-"
_LATER = "no answer is kept to be fetched later"
# Of each header the values that change nothing, and why there are no others.
_REFUSED: Mapping[str, tuple[tuple[str, ...], str]] = {
    f"{PREFIX}Target-Variant": ((VARIANT,), f"the only variant is {VARIANT}"),
    f"{PREFIX}Target-Container-Hostname": ((), "there is one container"),
    f"{PREFIX}Enable-Explanations": (("`false`",), "there is no explainer"),
    f"{PREFIX}Session-Id": ((), "stateful sessions not enabled"),  # DJL's words
    "x-synchronous": (("true",), _LATER),
    "x-starting-token": ((), _LATER),
    "model_version": ((), "the model has no versions"),
}


def check_headers(request: Request) -> None:
    """Raises BadRequest for a header that asks for what is not here."""
    for name, (neutral, why) in _REFUSED.items():
        said = request.headers.get(name)
        if said is not None and said not in neutral:
            raise BadRequest(f"{why}: the header `{name}` is not supported", name)


def accepted(request: Request) -> str:
    """What the client wants to read: to a stream SageMaker has a header of its own."""
    headers = request.headers
    return headers.get(f"{PREFIX}Accept") or headers.get("accept") or ""
