"""/v1/chat/completions: OpenAI's route that answers a conversation."""

from functools import partial

from litestar import Request, Response, post

from hotswap.api.openai.answering import generate
from hotswap.api.openai.chat_schemas import Chat
from hotswap.api.openai.chat_shape import ChatShape
from hotswap.api.openai.chat_turn import turn_of
from hotswap.api.shared.request_body import read_body
from hotswap.api.shared.request_record import GENERATES
from hotswap.api.shared.server_state import Injected, ServerState
from hotswap.api.shared.submission import InjectedSubmitter, Submitter


@post("/v1/chat/completions", status_code=200, opt=GENERATES)
async def chat_completions(
    request: Request, server: Injected, submitter: InjectedSubmitter
) -> Response:
    """Answer a conversation in the adapter's template, or the model's own."""
    return await answer_chat(request, server, submitter)


async def answer_chat(
    request: Request,
    server: ServerState,
    submitter: Submitter,
    endpoint: str | None = None,
) -> Response:
    """Of a request that has OpenAI's body. `endpoint` as in `read_body`."""
    body, selection = await read_body(request, server, Chat, endpoint)
    submitter.check_room(body.copies, "n")
    (adapter,) = selection.for_inputs(1)
    turn = turn_of(body, server.sidecar(adapter))
    return await generate(
        request,
        server,
        submitter,
        body=body,
        prompts=[turn.prompt],
        selection=selection,
        grammar=turn.grammar,
        shape=partial(ChatShape, reader=turn.reader, prompt=turn.prompt),
    )


ROUTES = [chat_completions]
