"""Probes: whether an executor computes what transformers computes, shown at load."""

import math

import torch
from transformers import PreTrainedModel

from hotswap.model.network.rows import Row, own_blocks
from hotswap.model.network.upcast import computing_in

KV_TOKENS = 32  # that suffice for them
# Gaps of logits, relative. Each layer rounds, and what it rounds adds up like a random
# walk: measured between two orders of the same sums 1.3 eps sqrt(layers) for 32 layers
# of random weights in bfloat16. A wrong operation is off by tenths and more.
_LEAST = {torch.float32: 1e-4}
_OF_ROUNDING = 4.0


class Probes:
    """A longer and a shorter prompt; `model` is asked now what it makes of them, with
    its weights as they are, computing in `dtype`."""

    def __init__(self, model: PreTrainedModel, dtype: torch.dtype) -> None:
        config = model.config.get_text_config()
        eps = torch.finfo(dtype).eps
        layers = getattr(config, "num_hidden_layers", 1)
        rounding = _OF_ROUNDING * eps * math.sqrt(layers)
        self.tolerance = max(_LEAST.get(dtype, 0.05), rounding)
        vocabulary = config.vocab_size
        # Common tokens: the first ones of a vocabulary are often unused, and what a
        # model makes of those is mostly rounding.
        ids = [vocabulary // 50 * (n + 1) for n in range(9)]
        self.prompts = [ids[:6], ids[6:]]
        with torch.inference_mode(), computing_in(model, dtype):
            self._wanted = [
                model(input_ids=torch.tensor([ids], device=model.device)).logits[0, -1]
                for ids in self.prompts
            ]

    @property
    def steps(self) -> list[list[Row]]:
        """A prompt in one piece, chunks, and decoding rows, all mingled; the last one
        has the logits that tell. The jobs are the prompts by number."""
        plan = [[(0, 0, 2), (1, 0, 1)], [(0, 2, 5), (1, 1, 2)], [(0, 5, 6), (1, 2, 3)]]
        return [
            [
                Row(
                    job=job,
                    tokens=self.prompts[job][start:stop],
                    position=start,
                    generation=None,
                    wants_logits=stop == len(self.prompts[job]),
                    blocks=own_blocks(job, KV_TOKENS // 2),
                )
                for job, start, stop in step
            ]
            for step in plan
        ]

    def gap(self, found: torch.Tensor) -> float:
        """How far the logits of the last step are from transformers', relative."""
        gaps = [
            (ours - theirs.float()).norm() / theirs.float().norm()
            for ours, theirs in zip(found, self._wanted, strict=True)
        ]
        return float(torch.stack(gaps).max())  # NaN if one is

    def agree(self, found: torch.Tensor) -> bool:
        """Whether they are the same but for rounding."""
        return self.gap(found) <= self.tolerance
