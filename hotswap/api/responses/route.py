"""/v1/responses: OpenAI's newer route that answers a conversation, without a memory."""

from collections.abc import AsyncIterator

from litestar import Request, Response, post
from litestar.response import Stream

from hotswap.api.openai.answering import requests_of
from hotswap.api.openai.chat_turn import turn_of
from hotswap.api.openai.shape import ran
from hotswap.api.responses.chat_request import chat_of, renamed
from hotswap.api.responses.response_shape import ResponsesShape, sent
from hotswap.api.responses.schemas import Responses
from hotswap.api.shared.request_body import read_body
from hotswap.api.shared.request_record import GENERATES, note_error
from hotswap.api.shared.running import Running, collect, primed
from hotswap.api.shared.selection import Selection
from hotswap.api.shared.server_state import Injected, ServerState
from hotswap.api.shared.submission import InjectedSubmitter, Submitter
from hotswap.errors import ClientError


@post("/v1/responses", status_code=200, opt=GENERATES)
async def responses(
    request: Request, server: Injected, submitter: InjectedSubmitter
) -> Response:
    """Answer a conversation as a chat does, in items."""
    body, selection = await read_body(request, server, Responses)
    submitter.check_room(1, "input")
    try:
        running, shape = await _begun(server, submitter, body, selection)
    except ClientError as error:
        raise renamed(error) from None
    if body.stream:
        chunks = await primed(running, _stream(running, shape))
        return Stream(chunks, media_type="text/event-stream", headers=running.headers())
    (answer,) = await collect(request, running)
    for piece in answer.tokens:
        for _ in shape.events(piece):
            pass  # `whole` is what they add up to
    return Response(shape.whole, headers=running.headers())


async def _begun(
    server: ServerState, submitter: Submitter, body: Responses, selection: Selection
) -> tuple[Running, ResponsesShape]:
    """Errors are in a chat's words."""
    (adapter,) = selection.for_inputs(1)
    chat = chat_of(body)
    turn = turn_of(chat, server.sidecar(adapter), "input")
    requests = requests_of(server, chat, [turn.prompt], [adapter], turn.grammar)
    running = await submitter.submit(requests, selection.field)
    output = turn.reader.output(running.tokenizers[0], turn.prompt.text)
    model = ran(server, requests, body.model)
    return running, ResponsesShape(body, model, requests[0].params, running, output)


async def _stream(running: Running, shape: ResponsesShape) -> AsyncIterator[bytes]:
    """Server-sent events; no [DONE] follows the last one."""
    try:
        async for _, piece in running.pieces():
            chunk = b"".join(sent(event) for event in shape.events(piece))
            if chunk:
                yield chunk
    except Exception as error:
        note_error(error)
        if not shape.has_begun:
            raise  # its status has not gone out
        yield sent(shape.failed(str(error)))
    finally:
        running.close()


ROUTES = [responses]
