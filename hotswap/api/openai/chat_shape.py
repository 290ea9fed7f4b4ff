"""Chat shape: the choices of chat completions, whole and streamed."""

from collections.abc import Sequence
from typing import Any

from hotswap.api.openai.chat_output import CallDelta, ChatOutput, Delta, OutputReader
from hotswap.api.openai.logprobs import of_chat
from hotswap.api.openai.schemas import OpenAIBody
from hotswap.api.openai.shape import ResponseShape, choice
from hotswap.api.shared.prompt import Prompt
from hotswap.api.shared.running import Answer
from hotswap.engine.ticket import Finish, Piece


class ChatShape(ResponseShape):
    prefix = "chatcmpl-"
    kind = "chat.completion"
    chunk_kind = "chat.completion.chunk"

    def __init__(
        self, body: OpenAIBody, model: str, *, reader: OutputReader, prompt: Prompt
    ) -> None:
        """`reader`: of what the jobs that answer `prompt` say."""
        super().__init__(body, model)
        self._reader, self._prompt = reader, prompt
        self._outputs: dict[int, ChatOutput] = {}

    def choice(self, index: int, answer: Answer) -> dict[str, Any]:
        output = self._output(index)
        deltas = output.push(answer.text, is_last=True)
        said = {"message": {"role": "assistant", **_message(deltas)}}
        return choice(
            index, answer.finish, {**said, **self._end(output, answer.finish)}
        )

    def delta(self, index: int, piece: Piece, *, first: bool) -> dict[str, Any] | None:
        output = self._output(index)
        deltas = output.push(piece.text, is_last=piece.finish is not None)
        if not (deltas or piece.finish or first):
            return None
        said = _delta(deltas)
        if first:
            said = {"role": "assistant", "content": "", **said}
        elif not said:
            said = {"content": ""} if not output.calls_tools else {}
        end = self._end(output, piece.finish)
        return choice(index, piece.finish, {"delta": said, **end})

    def logprobs(self, job: int, pieces: Sequence[Piece]) -> dict[str, Any] | None:
        return of_chat(
            pieces,
            self.running.tokenizers[job],
            top=self._asked.top or 0,
            as_ids=self._asked.return_tokens_as_token_ids,
        )

    def _output(self, index: int) -> ChatOutput:
        """Of the answer of that index."""
        if index not in self._outputs:
            tokenizer = self.running.tokenizers[index]
            output = self._reader.output(tokenizer, self._prompt.text)
            self._outputs[index] = output
        return self._outputs[index]

    def _end(self, output: ChatOutput, finish: Finish | None) -> dict[str, Any]:
        """An answer that calls is one that was not cut off. A function that was named
        is no news: OpenAI calls that a stop."""
        is_news = self._reader.calling.mode in ("auto", "required")
        is_whole = finish in ("eos", "stop")
        if output.calls_tools and is_whole and is_news:
            return {"finish_reason": "tool_calls"}
        return {}


def _message(deltas: Sequence[Delta]) -> dict[str, Any]:
    """All of an answer. Without a text it is null where something else was said."""
    content = "".join(delta.content for delta in deltas)
    calls = _calls(deltas)
    reasoning = _reasoning(deltas)
    for call in calls:
        del call["index"]
    said = {"tool_calls": calls} if calls else {}
    is_other = bool(calls or reasoning)
    return {"content": content or (None if is_other else ""), **reasoning, **said}


def _delta(deltas: Sequence[Delta]) -> dict[str, Any]:
    """What one event adds; a field with nothing to add is not there."""
    content = "".join(delta.content for delta in deltas)
    calls = _calls(deltas)
    return {
        **({"content": content} if content else {}),
        **_reasoning(deltas),
        **({"tool_calls": calls} if calls else {}),
    }


def _reasoning(deltas: Sequence[Delta]) -> dict[str, str]:
    """By vLLM's name, and by the one that it had before and others have."""
    said = "".join(delta.reasoning for delta in deltas)
    return {"reasoning": said, "reasoning_content": said} if said else {}


def _calls(deltas: Sequence[Delta]) -> list[dict[str, Any]]:
    """Each call once, with what the deltas add to it."""
    calls: dict[int, CallDelta] = {}
    for delta in deltas:
        if delta.call is not None:
            known = calls.setdefault(delta.call.index, CallDelta(delta.call.index))
            known.id += delta.call.id
            known.name += delta.call.name
            known.arguments += delta.call.arguments
    return [_call(call) for call in calls.values()]


def _call(call: CallDelta) -> dict[str, Any]:
    """Only the first event of a call says what it is."""
    if not call.id:
        return {"index": call.index, "function": {"arguments": call.arguments}}
    return {
        "index": call.index,
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
