"""Chat output: a model's text -> reasoning, text of the answer, calls of tools.

    special tokens out -> reasoning apart -> calls apart

Each holds back what may be the beginning of a marker, so that the deltas joined are the
same however the text was cut into pieces.
"""

from hotswap.api.openai.deltas import CallDelta, Delta
from hotswap.api.openai.markers import Remover
from hotswap.api.openai.reasoning import CLOSING, OPENING, ReasoningParser
from hotswap.api.openai.tool_calling import ToolCalling
from hotswap.api.openai.tool_parsers.choice import named, of_template
from hotswap.api.openai.tool_parsers.forced import ForcedFunction
from hotswap.api.openai.tool_parsers.json_calls import JsonCalls
from hotswap.api.openai.tool_parsers.tool_parser import ToolParser
from hotswap.errors import BadRequest
from hotswap.tokenizer import Tokenizer

__all__ = ["CallDelta", "ChatOutput", "Delta", "OutputReader"]


class ChatOutput:
    """One answer. Not thread-safe."""

    def __init__(
        self,
        *,
        removed: tuple[str, ...] = (),
        reasoning: ReasoningParser | None = None,
        tells_reasoning: bool = True,
        parser: ToolParser | None = None,
        is_parallel: bool = True,
        is_forced: bool = False,
    ) -> None:
        """`removed`: special tokens that are no part of the text. `is_parallel`: if
        not, only the first call is told. `is_forced`: a grammar makes the calls, and
        what is no call is one that was cut off."""
        self._removed = Remover(removed)
        self._reasoning = reasoning
        self._tells_reasoning = tells_reasoning
        self._parser = parser
        self._is_parallel = is_parallel
        self._is_forced = is_forced

    @property
    def calls_tools(self) -> bool:
        """Whether a call has begun."""
        return self._parser is not None and self._parser.calls > 0

    def push(self, text: str, *, is_last: bool) -> list[Delta]:
        """What became certain with this piece, in order; with the last one all has."""
        deltas = []
        text = self._removed.push(text, is_last=is_last)
        if self._reasoning is not None:
            thought, text = self._reasoning.push(text, is_last=is_last)
            if thought and self._tells_reasoning:
                deltas.append(Delta(reasoning=thought))
        if self._parser is None:
            return [*deltas, Delta(content=text)] if text else deltas
        deltas += filter(self._is_told, self._parser.push(text, is_last=is_last))
        return deltas

    def _is_told(self, delta: Delta) -> bool:
        if delta.call is None:
            return not (self._is_forced and self.calls_tools)
        return self._is_parallel or delta.call.index == 0


class OutputReader:
    """How the answers of one request are read; it makes a `ChatOutput` of each.

    `sees` is told the template while the prompt is encoded (`Conversation.sees`).
    """

    def __init__(
        self,
        calling: ToolCalling,
        *,
        tool_parser: str | None,
        reasoning_parser: str | None,
        tells_reasoning: bool = True,
        skips_special: bool = True,
    ) -> None:
        """`tool_parser`, `reasoning_parser`: what the sidecar or the server says, None
        for nothing; an answer that a grammar makes is not to have the second.
        `skips_special`: whether the client wants no special tokens in the text."""
        self.calling = calling
        self._named = named(tool_parser) if tool_parser else None
        self._parser = self._named
        self._reasoning = reasoning_parser
        self._tells_reasoning = tells_reasoning
        self._skips_special = skips_special

    @property
    def reads_markers(self) -> bool:
        """Whether it needs the text with its special tokens: markers may be some."""
        return self.calling.mode == "auto" or self._reasoning is not None

    @property
    def tools_text(self) -> str | None:
        """Of `TemplateOptions`."""
        return self.calling.text(self._named)

    def sees(self, template: str) -> None:
        """Raises BadRequest if it says nothing of how calls are written, and has to."""
        self._parser = self._named or of_template(template)
        if self.calling.mode != "auto" or self._parser is not None:
            return
        why = (
            "does not say how calls of tools are written, in a form that is known here"
        )
        if "tools" not in template:
            why = "does not show `tools` to the model"
        raise BadRequest(
            f"this chat template {why}: force the call by `tool_choice`, or have the "
            "operator name a `tool_parser`",
            "tools",
        )

    def output(self, tokenizer: Tokenizer, prompt: str) -> ChatOutput:
        """For one answer. `prompt`: the text that the model was given."""
        reasoning = None
        if self._reasoning is not None:
            reasoning = ReasoningParser(self._reasoning, prompt)
        parser = self._make_parser()
        removed: tuple[str, ...] = ()
        if self.reads_markers and self._skips_special:
            kept = {OPENING, CLOSING} if reasoning else set()
            if parser is not None:
                kept |= {*parser.openings, *parser.closings, *parser.markers}
            removed = tuple(t for t in tokenizer.special_texts if t not in kept)
        return ChatOutput(
            removed=removed,
            reasoning=reasoning,
            tells_reasoning=self._tells_reasoning,
            parser=parser,
            is_parallel=self.calling.is_parallel,
            is_forced=self.calling.mode in ("required", "function"),
        )

    def _make_parser(self) -> ToolParser | None:
        match self.calling.mode:
            case "none":
                return None
            case "auto":
                assert self._parser is not None, "it has seen no template"
                return self._parser(self.calling.names)
            case "required":
                return JsonCalls(self.calling.names, ids_of=self._parser)
            case "function":
                one = frozenset({self.calling.name})
                return ForcedFunction(one, ids_of=self._parser)
