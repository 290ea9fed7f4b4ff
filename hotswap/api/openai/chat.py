"""/v1/chat/completions: OpenAI's route that answers a conversation."""

from collections.abc import Sequence

from litestar import Request, Response, post

from hotswap.api.openai.answering import generate
from hotswap.api.openai.chat_schemas import Chat, ChatMessage
from hotswap.api.openai.chat_shape import ChatShape
from hotswap.api.shared.prompt import Conversation, Prompt
from hotswap.api.shared.request_body import read_body
from hotswap.api.shared.server_state import Injected, ServerState
from hotswap.api.shared.submission import InjectedSubmitter


@post("/v1/chat/completions", status_code=200)
async def chat_completions(
    request: Request, server: Injected, submitter: InjectedSubmitter
) -> Response:
    """Answer a conversation in the adapter's template, or the model's own."""
    body, selection = await read_body(request, server, Chat)
    submitter.check_room(body.copies, "n")
    (adapter,) = selection.for_inputs(1)
    options = body.prompt_options(server.sidecar(adapter))
    prompt = Prompt(conversation(server, body.messages, adapter), "messages", **options)
    return await generate(
        request,
        server,
        submitter,
        body=body,
        prompts=[prompt],
        selection=selection,
        shape=ChatShape,
    )


def conversation(
    server: ServerState, messages: Sequence[ChatMessage], adapter: str
) -> Conversation:
    """In the adapter's template, or the model's own."""
    told = [{"role": m.role, "content": _content(m)} for m in messages]
    return Conversation(told, server.sidecar(adapter).chat_template)


def _content(message: ChatMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    return "".join(part.text for part in message.content)


ROUTES = [chat_completions]
