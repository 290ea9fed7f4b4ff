"""Job request: one job to be. A client's request makes one, or several."""

from dataclasses import dataclass

from hotswap.api.prompt import Prompt
from hotswap.sampling_params import SamplingParams


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    prompt: Prompt
    adapter: str  # "" is base
    params: SamplingParams
