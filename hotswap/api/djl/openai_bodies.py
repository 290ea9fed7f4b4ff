"""OpenAI's bodies on DJL's routes, as LMI takes them: `messages`, or `prompt`.

They are answered in OpenAI's shape. A stream is JSON lines, as LMI sends it: the same
objects as OpenAI's events, without their frame. Who accepts events gets events.
"""

from collections.abc import AsyncIterator

import msgspec
from litestar import Request, Response
from litestar.response import Stream
from msgspec import UNSET, Raw, Struct, UnsetType

from hotswap.api.djl.sagemaker_headers import accepted
from hotswap.api.openai.chat import answer_chat
from hotswap.api.openai.completions import answer_completion
from hotswap.api.shared.djl_errors import InputRefused
from hotswap.api.shared.server_state import ServerState
from hotswap.api.shared.submission import Submitter

EVENTS = "text/event-stream"
LINES = "application/jsonlines"
_NULL = Raw(b"null")
_Said = Raw | UnsetType


class _Kinds(Struct, frozen=True, kw_only=True):
    """What a body may be about; LMI looks at them in this order."""

    prompt: _Said = UNSET
    inputs: _Said = UNSET
    messages: _Said = UNSET


_DECODER = msgspec.json.Decoder(_Kinds)


async def answer_openai(
    request: Request, server: ServerState, submitter: Submitter, endpoint: str | None
) -> Response | None:
    """The answer to a body of OpenAI's; None: it is DJL's own. `endpoint` as in
    `read_body`. Raises InputRefused for a body that is none of them."""
    kind = _kind(await request.body()) or _unsaid(server)
    if kind == "inputs":
        return None
    ask = answer_chat if kind == "messages" else answer_completion
    answer = await ask(request, server, submitter, endpoint)
    if not isinstance(answer, Stream) or EVENTS in accepted(request):
        return answer
    return Stream(
        _lines(answer.iterator),  # type: ignore[arg-type]  # of `answering`
        media_type=LINES,
        headers=answer.headers,
    )


def _kind(raw: bytes) -> str | None:
    """The field that says what is asked, None if there is none. A body that cannot be
    read is DJL's, which then says why."""
    try:
        found = _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "inputs"
    said = {field: getattr(found, field) for field in _Kinds.__struct_fields__}
    asked = [field for field, value in said.items() if value not in (UNSET, _NULL)]
    return asked[0] if asked else None


def _unsaid(server: ServerState) -> str:
    """What a body asks for that does not say it: a hook will say."""
    if server.hooks.can_preprocess:
        return "inputs"
    raise InputRefused("invalid payload. must contain prompt, inputs, or messages")


async def _lines(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for event in events:
        line = event.removeprefix(b"data: ").strip()
        if line != b"[DONE]":
            yield line + b"\n"
