"""Log-probabilities of tokens, in OpenAI's shapes and in vLLM's.

They are of the model's raw logits. A token that is a part of a character is written as
OpenAI writes it, by its bytes: two of them are told apart, which U+FFFD would not do.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hotswap.engine.ticket import Piece
from hotswap.model.network.rows import Scored
from hotswap.tokenizer import Tokenizer

_LEAST = -9999.0  # OpenAI's and vLLM's, where JSON has no infinity


def of_chat(
    pieces: Sequence[Piece], tokenizer: Tokenizer, *, top: int = 0, as_ids: bool = False
) -> dict[str, Any] | None:
    """OpenAI's `logprobs` of a chat's choice, of pieces that follow each other; None if
    none was scored. `top`: so many likeliest at each place. `as_ids`: vLLM's
    `return_tokens_as_token_ids`, tokens as `token_id:N`."""

    def told(token: int, logprob: float) -> dict[str, Any]:
        return {
            "token": token_name(token, tokenizer, as_ids=as_ids),
            "logprob": max(logprob, _LEAST),
            "bytes": list(tokenizer.token_bytes(token)),
        }

    content = [
        {
            **told(scored.token, scored.logprob),
            "top_logprobs": [told(*one) for one in scored.top[:top]],
        }
        for piece in pieces
        if (scored := piece.scored) is not None
    ]
    return {"content": content} if content else None


def of_completion(
    tokens: Sequence[tuple[int, Scored | None]],
    offsets: Sequence[int],
    tokenizer: Tokenizer,
    *,
    top: int = 0,
    as_ids: bool = False,
) -> dict[str, Any]:
    """OpenAI's `logprobs` of a completion's choice. `tokens`: with their scores; a
    prompt's first has none. `offsets`: where each begins in the choice's text. As in
    vLLM, a token itself stands in `top_logprobs` beside the `top` likeliest."""

    def name(token: int) -> str:
        return token_name(token, tokenizer, as_ids=as_ids, mark="bytes:")

    def likeliest(scored: Scored) -> Mapping[str, float]:
        found: dict[str, float] = {}
        for token, logprob in (*scored.top[:top], (scored.token, scored.logprob)):
            found.setdefault(name(token), max(logprob, _LEAST))
        return found

    scores = [scored for _, scored in tokens]
    return {
        "text_offset": list(offsets),
        "token_logprobs": [each and max(each.logprob, _LEAST) for each in scores],
        "tokens": [name(token) for token, _ in tokens],
        "top_logprobs": [each and likeliest(each) for each in scores],
    }


def of_prompt(
    scores: Sequence[Scored], tokenizer: Tokenizer, *, top: int = 0
) -> list[dict[str, Any] | None]:
    """vLLM's `prompt_logprobs`: of each token its own and the `top` likeliest, by id.
    Before the first there is nothing to tell it by."""

    def told(token: int, logprob: float, rank: int) -> dict[str, Any]:
        text = tokenizer.token_text(token)
        kept = max(logprob, _LEAST)
        return {"logprob": kept, "rank": rank or None, "decoded_token": text}

    found: list[dict[str, Any] | None] = [None]
    for scored in scores:
        own = {str(scored.token): told(scored.token, scored.logprob, scored.rank)}
        for rank, (token, logprob) in enumerate(scored.top[:top], 1):
            own.setdefault(str(token), told(token, logprob, rank))
        found.append(own)
    return found


def token_name(
    token: int, tokenizer: Tokenizer, *, as_ids: bool, mark: str = ""
) -> str:
    """How a token is told: its text, or, after `mark`, what it has of a character, as
    `\\xe2\\x98`."""
    if as_ids:
        return f"token_id:{token}"
    raw = tokenizer.token_bytes(token)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return mark + "".join(f"\\x{byte:02x}" for byte in raw)
