"""Chat turn: what the body of a chat comes to before anything is submitted: a prompt,
how its answers are read, and what they have to match."""

from dataclasses import dataclass

from hotswap.adapters.sidecar import Sidecar
from hotswap.api.openai.chat_messages import templated
from hotswap.api.openai.chat_output import OutputReader
from hotswap.api.openai.chat_schemas import Chat
from hotswap.api.openai.structured import grammar_of
from hotswap.api.openai.tool_schemas import check_tools
from hotswap.api.shared.grammar_spec import GrammarSpec
from hotswap.api.shared.prompt import Conversation, Prompt
from hotswap.errors import BadRequest
from hotswap.template_options import RESERVED, TemplateOptions


@dataclass(frozen=True, slots=True)
class ChatTurn:
    prompt: Prompt
    reader: OutputReader
    grammar: GrammarSpec | None


def turn_of(body: Chat, sidecar: Sidecar, field: str = "messages") -> ChatTurn:
    """`sidecar`: the adapter's, with the server's parsers filled in. `field`: the
    body's, of the conversation. Raises BadRequest."""
    check_tools(body.tools or [], body.tool_choice)
    grammar = _grammar(body)
    reader = OutputReader(
        body.calling,
        tool_parser=sidecar.tool_parser,
        reasoning_parser=None if grammar else sidecar.reasoning_parser,
        tells_reasoning=body.include_reasoning,
        skips_special=body.skip_special_tokens,
    )
    conversation = _conversation(body, sidecar, reader)
    prompt = Prompt(conversation, field, **body.prompt_options(sidecar))
    return ChatTurn(prompt, reader, grammar)


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
