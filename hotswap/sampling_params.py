"""Sampling parameters: how one sequence is to be generated.

Made once, of a request's body and its adapter's sidecar. The same value travels from
there to the engine's sequence: nobody on the way copies a field, so none is lost.
Knows no HTTP and no scheduler.
"""

from dataclasses import dataclass

from hotswap.errors import PromptTooLong


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    max_tokens: int | None = None  # of the answer; None is as many as fit
    temperature: float = 1.0  # 0 is greedy
    top_p: float = 1.0
    top_k: int = 0  # 0 and -1 are all tokens
    seed: int | None = None  # None is another answer each time
    logprobs: bool = False  # whether each token's is computed
    stop: tuple[str, ...] = ()
    stop_tokens: frozenset[int] = frozenset()
    ignore_eos: bool = False
    priority: int = 0  # lower is served earlier
    deadline_s: float | None = None  # for the first token, from its submission

    def answer_tokens(self, prompt_tokens: int, limit: int, field: str) -> int:
        """Most tokens of the answer to a prompt of so many: both fit into `limit`.

        Raises PromptTooLong, naming the prompt's `field`.
        """
        room = limit - prompt_tokens
        wanted = room if self.max_tokens is None else self.max_tokens
        if not 1 <= wanted <= room:
            raise PromptTooLong(prompt_tokens, max(wanted, 1), limit, field)
        return wanted
