"""A server whose model says what a test wants, in pieces of any size.

The templates are written for these tests, each in the form of a published family: with
the markers and the words by which theirs are known.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import openai
import pytest
from litestar.testing import TestClient
from openai.types.chat import ChatCompletionMessageToolCall

from hotswap.api.shared.job_request import JobRequest
from hotswap.api.shared.submission import Submitter
from hotswap.engine.messages import Submit
from hotswap.engine.ticket import Accepted, Finish, Piece
from hotswap.tokenizer import Tokenizer
from scheduler import Mode
from tests import tiny
from tests.fake_server import FakeEngine, FakeLibrary, app_of

_END = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
IGNORES = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
    "{% endfor %}" + _END
)
HERMES = (
    "{% if tools %}<|im_start|>system\n# Tools\n{% for t in tools %}{{ t | tojson }}\n"
    "{% endfor %}Write a call as <tool_call>\n"
    '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
    "<|im_end|>\n{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.content is defined %}{{ m.content }}{% endif %}"
    "{% for c in m.tool_calls or [] %}\n<tool_call>\n"
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}'
    "}\n</tool_call>{% endfor %}<|im_end|>\n{% endfor %}" + _END + "{% if thinks %}"
    "<think>\n{% elif thinks is false %}<think>\n\n</think>\n\n{% endif %}"
)
LLAMA3 = (
    "{% if tools %}Environment: ipython\nRespond in the format "
    '{"name": function name, "parameters": dictionary of argument name and its value}.'
    "\n{% for t in tools %}{{ t | tojson(indent=4) }}\n{% endfor %}{% endif %}"
    "{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{% if m.tool_calls %}"
    '{"name": "{{ m.tool_calls[0].function.name }}", '
    '"parameters": {{ m.tool_calls[0].function.arguments | tojson }}}'
    "{% else %}{{ m.content | trim }}{% endif %}<|eot_id|>{% endfor %}"
)
MISTRAL = (
    "{% if tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}"
    "{% for m in messages %}{% if m.tool_calls %}[TOOL_CALLS]["
    "{% for c in m.tool_calls %}{% if c.id | length != 9 %}"
    "{{ raise_exception('an id has nine characters') }}{% endif %}"
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}'
    ', "id": "{{ c.id }}"}{% endfor %}]{% elif m.role == "tool" %}[TOOL_RESULTS]'
    "{{ m.content }}[/TOOL_RESULTS]{% else %}[INST]{{ m.content }}[/INST]{% endif %}"
    "{% endfor %}"
)
JSON = (
    '{% if tools %}Answer with {"name": ..., "arguments": ...}.\n'
    "{{ tools | tojson }}\n{% endif %}" + IGNORES
)
UNKNOWN = "{% if tools %}<function={{ tools | tojson }}>{% endif %}" + IGNORES

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
TIME: dict[str, Any] = {"type": "function", "function": {"name": "get_time"}}
TOOLS = [WEATHER, TIME]
USER: dict[str, Any] = {"role": "user", "content": "How is Rome?"}


@dataclass
class SpeakingEngine(FakeEngine):
    """Says `text` to everybody, in pieces of `size` characters."""

    text: str = "hi"
    size: int = 3
    finish: Finish = "eos"
    limit: int = 1 << 20
    messages: list[Submit] = field(default_factory=list)

    def post(self, message: Submit) -> None:
        self.messages.append(message)
        message.ticket.deliver(Accepted("g"))
        pieces = [
            self.text[start : start + self.size]
            for start in range(0, len(self.text), self.size)
        ]
        for piece in pieces:
            message.ticket.deliver(Piece(token=2, text=piece, mode=Mode.MERGED))
        message.ticket.deliver(
            Piece(token=2, text="", mode=Mode.MERGED, finish=self.finish)
        )

    @property
    def prompt(self) -> str:
        """What the last job was given."""
        return str(tiny.tokenizer().decode(list(self.messages[-1].prompt)))


@dataclass
class Speaking:
    engine: SpeakingEngine
    library: FakeLibrary
    http: TestClient
    client: openai.OpenAI

    def says(self, text: str, *, size: int = 3, finish: Finish = "eos") -> None:
        self.engine.text, self.engine.size, self.engine.finish = text, size, finish

    def error(self, **body: Any) -> dict[str, Any]:
        """What a body is refused with."""
        said = {"messages": [USER], **body}
        answer = self.http.post("/v1/chat/completions", json=said)
        assert answer.status_code == 400, answer.text
        error: dict[str, Any] = answer.json()["error"]
        return error

    def submitted(
        self, monkeypatch: pytest.MonkeyPatch, seen: list[JobRequest]
    ) -> Callable[..., None]:
        """What posts a body; the requests that it makes are put into `seen`."""
        submit = Submitter.submit

        async def noted(own: Submitter, several: Sequence[JobRequest], by: str) -> Any:
            seen.extend(several)
            return await submit(own, several, by)

        def post(**body: Any) -> None:
            said = {"messages": [USER], **body}
            self.http.post("/v1/chat/completions", json=said)

        monkeypatch.setattr(Submitter, "submit", noted)
        return post


@contextmanager
def speaking(
    template: str, *, special: Sequence[str] = (), **state: Any
) -> Iterator[Speaking]:
    """A model with this template, some of whose tokens are special. `state`: of the
    server."""
    inner = tiny.tokenizer()
    inner.add_tokens(list(special), special_tokens=True)
    inner.chat_template = template
    engine, library = SpeakingEngine(), FakeLibrary()
    app = app_of(engine, library, tokenizer=Tokenizer(inner), **state)
    with TestClient(app) as http:
        url = f"{http.base_url}/v1"
        transport: Any = http  # it is an httpx.Client
        client = openai.OpenAI(base_url=url, api_key="x", http_client=transport)
        yield Speaking(engine, library, http, client)


def create(server: Speaking, **fields: Any) -> Any:
    body = {"model": "tiny", "messages": [USER], "tools": TOOLS, **fields}
    return server.client.chat.completions.create(**body)


def calls_of(message: Any) -> list[tuple[str, str]]:
    calls = message.tool_calls or []
    assert all(isinstance(each, ChatCompletionMessageToolCall) for each in calls)
    assert len({each.id for each in calls}) == len(calls)
    return [(each.function.name, each.function.arguments) for each in calls]
