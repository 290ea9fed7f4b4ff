"""/v1/chat/completions: OpenAI's route that answers a conversation."""

from functools import partial

from litestar import Request, Response, post

from hotswap.adapters.sidecar import Sidecar
from hotswap.api.openai.answering import generate
from hotswap.api.openai.chat_messages import templated
from hotswap.api.openai.chat_output import OutputReader
from hotswap.api.openai.chat_schemas import Chat
from hotswap.api.openai.chat_shape import ChatShape
from hotswap.api.openai.structured import grammar_of
from hotswap.api.openai.tool_schemas import check_tools
from hotswap.api.shared.grammar_spec import GrammarSpec
from hotswap.api.shared.prompt import Conversation, Prompt
from hotswap.api.shared.request_body import read_body
from hotswap.api.shared.server_state import Injected
from hotswap.api.shared.submission import InjectedSubmitter
from hotswap.errors import BadRequest
from hotswap.template_options import RESERVED, TemplateOptions


@post("/v1/chat/completions", status_code=200)
async def chat_completions(
    request: Request, server: Injected, submitter: InjectedSubmitter
) -> Response:
    """Answer a conversation in the adapter's template, or the model's own."""
    body, selection = await read_body(request, server, Chat)
    submitter.check_room(body.copies, "n")
    (adapter,) = selection.for_inputs(1)
    check_tools(body.tools or [], body.tool_choice)
    sidecar, grammar = server.sidecar(adapter), _grammar(body)
    reader = OutputReader(
        body.calling,
        tool_parser=sidecar.tool_parser,
        reasoning_parser=None if grammar else sidecar.reasoning_parser,
        tells_reasoning=body.include_reasoning,
        skips_special=body.skip_special_tokens,
    )
    prompt = Prompt(
        _conversation(body, sidecar, reader), "messages", **body.prompt_options(sidecar)
    )
    return await generate(
        request,
        server,
        submitter,
        body=body,
        prompts=[prompt],
        selection=selection,
        grammar=grammar,
        shape=partial(ChatShape, reader=reader, prompt=prompt),
    )


def _grammar(body: Chat) -> GrammarSpec | None:
    """What the answer has to match. Raises BadRequest."""
    called, said = body.calling.grammar(), grammar_of(body)
    if called and said:
        raise BadRequest(
            f"`{said.field}` contradicts `tool_choice`, which forces a call", said.field
        )
    return called or said


def _conversation(body: Chat, sidecar: Sidecar, reader: OutputReader) -> Conversation:
    return Conversation(
        templated(body.messages),
        body.chat_template or sidecar.chat_template,
        _options(body, reader),
        is_own=body.chat_template is not None,
        sees=reader.sees,
    )


def _options(body: Chat, reader: OutputReader) -> TemplateOptions:
    """Raises BadRequest for what contradicts itself, or is no template's to read."""
    continues = body.continue_final_message
    if continues and body.add_generation_prompt:
        raise BadRequest(
            "`continue_final_message` and `add_generation_prompt` exclude each other",
            "continue_final_message",
        )
    variables = body.chat_template_kwargs or {}
    for name in variables:
        if name in RESERVED:
            raise BadRequest(
                f"`chat_template_kwargs.{name}`: the server sets it",
                f"chat_template_kwargs.{name}",
            )
    generates = body.add_generation_prompt
    if generates is None:
        generates = not continues
    tools = [tool.told() for tool in body.calling.tools]
    return TemplateOptions(
        tools=tools or None,
        documents=body.documents or None,
        add_generation_prompt=generates,
        continue_final_message=continues,
        variables=variables,
        tools_text=reader.tools_text,
    )


ROUTES = [chat_completions]
