"""Job request: one job to be. A client's request makes one, or several."""

from dataclasses import dataclass, replace

from hotswap.api.shared.grammar_spec import GrammarSpec
from hotswap.api.shared.prompt import Prompt
from hotswap.sampling_params import SamplingParams


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """`grammar`, `bad_words`: as the client says them; submission puts what the
    adapter's tokenizer makes of them into `params`."""

    prompt: Prompt
    adapter: str  # "" is base
    params: SamplingParams
    grammar: GrammarSpec | None = None
    bad_words: tuple[str, ...] = ()


def numbered(params: SamplingParams, number: int) -> SamplingParams:
    """Of a copy of one prompt: copies must differ, and differ alike on every call."""
    if params.seed is None:
        return params
    return replace(params, seed=params.seed + number)
