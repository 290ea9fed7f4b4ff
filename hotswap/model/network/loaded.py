"""Loaded: a model as it was loaded, before anything of it is replaced."""

from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hotswap.model.machine.kernels import Kernels


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """`context`: how many tokens the model was made for. `eos`: ids that end text.
    `kernels`: those that the model's products are the fastest with."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    context: int
    eos: frozenset[int]
    kernels: Kernels

    @property
    def compute_dtype(self) -> torch.dtype:
        """Of activations, KV and logits. The weights' own, or float32 where they are
        widened."""
        return torch.float32 if self.kernels.widens else self.model.dtype


def mixes_jobs(model: PreTrainedModel) -> bool:
    """Whether a batch is computed by its longest job: rotary frequencies that depend on
    it would mix the jobs."""
    rope = getattr(model.config.get_text_config(), "rope_parameters", None)
    return isinstance(rope, dict) and rope.get("rope_type") in ("dynamic", "longrope")
