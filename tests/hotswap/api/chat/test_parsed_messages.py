"""What OpenAI's libraries add to what they parse, and send back as it is."""

from typing import Any

from hotswap.api.openai.chat_messages import templated
from hotswap.api.openai.chat_schemas import Chat
from hotswap.api.shared.schemas import convert

FUNCTION: dict[str, Any] = {"name": "f", "arguments": "{}"}
PARSED = {"a": 1}


def test_it_is_passed_over_and_no_template_sees_it() -> None:
    def seen(function: dict[str, Any], **more: Any) -> Any:
        call = {"id": "c", "type": "function", "function": function}
        message = {"role": "assistant", "content": "{}", "tool_calls": [call], **more}
        return templated(convert({"messages": [message]}, Chat).messages)

    parsed = FUNCTION | {"parsed_arguments": PARSED}
    assert seen(parsed, parsed=PARSED) == seen(FUNCTION)
