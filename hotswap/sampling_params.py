"""Sampling parameters: how one sequence is to be generated.

Made once, of a request's body and its adapter's sidecar. The same value travels from
there to the engine's sequence: nobody on the way copies a field, so none is lost.
Knows no HTTP and no scheduler.
"""

from dataclasses import dataclass

from hotswap.errors import PromptTooLong
from hotswap.grammar import Grammar


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    max_tokens: int | None = None  # of the answer; None is as many as fit
    min_tokens: int = 0  # before that many, no token that ends it is sampled
    temperature: float = 1.0  # 0 is greedy
    top_p: float = 1.0
    top_k: int = 0  # 0 and -1 are all tokens
    min_p: float = 0.0  # of the likeliest token's probability
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    allowed_tokens: frozenset[int] | None = None
    bad_words: tuple[tuple[int, ...], ...] = ()  # each in tokens
    grammar: Grammar | None = None
    seed: int | None = None  # None is another answer each time
    logprobs: int | None = None  # so many likeliest besides each token's own
    prompt_logprobs: int | None = None  # the same of the prompt's
    stop: tuple[str, ...] = ()
    stop_tokens: frozenset[int] = frozenset()
    includes_stop: bool = False  # whether the text keeps what stopped it
    skips_special: bool = True  # whether the text leaves special tokens out
    ignore_eos: bool = False
    priority: int = 0  # lower is served earlier
    deadline_s: float | None = None  # for the first token, from its submission
    cache_salt: str | None = None  # KV is shared with those of the same one only

    def answer_tokens(self, prompt_tokens: int, limit: int, field: str) -> int:
        """Most tokens of the answer to a prompt of so many: both fit into `limit`.

        Raises PromptTooLong, naming the prompt's `field`.
        """
        room = limit - prompt_tokens
        wanted = room if self.max_tokens is None else self.max_tokens
        least = 0 if self.max_tokens == 0 else 1
        if not least <= wanted <= room:
            raise PromptTooLong(prompt_tokens, max(wanted, 1), limit, field)
        return wanted
