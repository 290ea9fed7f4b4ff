"""Contradictions: fields of one body that cannot all be meant, or not be done together.

What contradicts what its adapter's sidecar says is the request's affair, too: the
request could say otherwise.
"""

from hotswap.api.openai.chat_schemas import Chat
from hotswap.api.openai.schemas import Completion, OpenAIBody
from hotswap.errors import BadRequest
from hotswap.sampling_params import SamplingParams


def check(body: OpenAIBody) -> None:
    """Raises BadRequest, naming the field that has to go."""
    _check_stream(body)
    _check_prompt(body)
    if isinstance(body, Completion):
        _check_best_of(body)
    if isinstance(body, Chat) and body.top_logprobs and not body.logprobs:
        raise _refused("top_logprobs", "needs `logprobs`")
    if not (body.skip_special_tokens or body.spaces_between_special_tokens):
        raise _refused(
            "spaces_between_special_tokens",
            "false is not supported where `skip_special_tokens` is false",
        )


def check_params(body: OpenAIBody, params: SamplingParams) -> None:
    """The same for what is known with the adapter."""
    most = params.max_tokens
    if most is not None and params.min_tokens > most:
        raise _refused("min_tokens", f"is more than the answer may have, {most}")
    if most == 0 and not body.echoes and body.prompt_logprobs is None:
        raise _refused(
            body.answer_field, "may be 0 only with `echo` or `prompt_logprobs`"
        )


def _check_stream(body: OpenAIBody) -> None:
    options = body.stream_options
    if options.continuous_usage_stats and not options.include_usage:
        raise _refused("stream_options.continuous_usage_stats", "needs `include_usage`")
    if options.include_usage and not body.stream:
        raise _refused("stream_options", "needs `stream`")
    if body.stream and body.prompt_logprobs is not None:
        raise _refused("prompt_logprobs", "cannot be streamed: ask for `echo`")


def _check_prompt(body: OpenAIBody) -> None:
    if body.truncate_prompt_tokens == 0:
        raise _refused("truncate_prompt_tokens", "leaves nothing of the prompt")
    if body.truncation_side is not None and body.truncate_prompt_tokens is None:
        raise _refused("truncation_side", "needs `truncate_prompt_tokens`")


def _check_best_of(body: Completion) -> None:
    if body.best_of is not None and body.best_of < (body.n or 1):
        raise _refused("best_of", f"is less than `n`, {body.n or 1}")
    if body.chooses and body.stream:
        raise _refused(
            "best_of", "cannot be streamed: the best one is known at the end"
        )


def _refused(field: str, why: str) -> BadRequest:
    return BadRequest(f"`{field}` {why}", field)
