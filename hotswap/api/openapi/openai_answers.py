"""OpenAI answers: completions and chats as they go out whole, with what vLLM adds."""

from typing import Literal, NotRequired, TypedDict

Finish = Literal["stop", "length"]


class TokensDetails(TypedDict):
    cached_tokens: int


class Usage(TypedDict):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: TokensDetails


class PromptLogprob(TypedDict):
    """`rank`: 1 is the likeliest."""

    logprob: float
    rank: int | None
    decoded_token: str


# Of each token of a prompt its own and the likeliest, by id; of the first nothing.
PromptLogprobs = list[dict[str, PromptLogprob] | None]


class CompletionLogprobs(TypedDict):
    """Of a prompt's first token, where it is echoed, nothing is known."""

    text_offset: list[int]
    token_logprobs: list[float | None]
    tokens: list[str]
    top_logprobs: list[dict[str, float] | None]


class CompletionChoice(TypedDict):
    """`stop_reason`: the stop string or token of the request that ended it."""

    index: int
    finish_reason: Finish
    logprobs: CompletionLogprobs | None
    text: str
    stop_reason: str | int | None
    token_ids: NotRequired[list[int]]
    prompt_token_ids: NotRequired[list[int]]
    prompt_logprobs: NotRequired[PromptLogprobs]


class CompletionAnswer(TypedDict):
    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: Usage


class LikelyToken(TypedDict):
    token: str
    logprob: float
    bytes: list[int]


class ScoredToken(LikelyToken):
    top_logprobs: list[LikelyToken]


class ChatLogprobs(TypedDict):
    content: list[ScoredToken]


class CalledWith(TypedDict):
    """`arguments`: JSON, as the model wrote it."""

    name: str
    arguments: str


class AnswerToolCall(TypedDict):
    id: str
    type: Literal["function"]
    function: CalledWith


class AnswerMessage(TypedDict):
    """`content` is null where something else was said. `reasoning` and
    `reasoning_content` are the same."""

    role: Literal["assistant"]
    content: str | None
    tool_calls: NotRequired[list[AnswerToolCall]]
    reasoning: NotRequired[str]
    reasoning_content: NotRequired[str]


class ChatChoice(TypedDict):
    index: int
    finish_reason: Literal[Finish, "tool_calls"]
    logprobs: ChatLogprobs | None
    message: AnswerMessage
    stop_reason: str | int | None
    token_ids: NotRequired[list[int]]


class ChatAnswer(TypedDict):
    """What is told of the prompt stands beside the choices, which share it."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage
    prompt_token_ids: NotRequired[list[int]]
    prompt_logprobs: NotRequired[PromptLogprobs]
