"""Generation request: one job to be. A client's request makes one, or several."""

from dataclasses import dataclass

from hotswap.api.prompt import Prompt
from hotswap.engine.params import GenerationParams


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    prompt: Prompt
    adapter: str  # "" is base
    params: GenerationParams
