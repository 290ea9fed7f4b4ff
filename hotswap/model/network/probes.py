"""Probes: whether an executor computes what transformers computes, shown at load."""

import torch
from transformers import PreTrainedModel

from hotswap.model.network.rows import Row

KV_TOKENS = 32  # that suffice for them
_TOLERANCE = {torch.float32: 1e-4}


class Probes:
    """A longer and a shorter prompt; `model` is asked now what it makes of them."""

    def __init__(self, model: PreTrainedModel) -> None:
        vocabulary = model.config.get_text_config().vocab_size
        # Common tokens: the first ones of a vocabulary are often unused, and what a
        # model makes of those is mostly rounding.
        ids = [vocabulary // 50 * (n + 1) for n in range(9)]
        self.prompts = [ids[:6], ids[6:]]
        with torch.inference_mode():
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
                )
                for job, start, stop in step
            ]
            for step in plan
        ]

    def agree(self, found: torch.Tensor) -> bool:
        """Whether the logits of the last step are transformers' but for rounding."""
        tolerance = _TOLERANCE.get(self._wanted[0].dtype, 0.05)
        for ours, theirs in zip(found, self._wanted, strict=True):
            gap = (ours - theirs.float()).norm() / theirs.float().norm()
            if not bool(gap <= tolerance):
                return False
        return True
