"""Roofline: what steps and swaps of a decoder should take on a GPU. Computed.

Nothing here was measured with our code. The model is the roofline (Williams, Waterman,
Patterson 2009): bytes against bandwidth, operations against rate, and what does not
overlap with either. Constants of the card are a card's own figures, as noted; those of
the models follow from their shapes; `wanted` ones are chosen so that steps take what
the project wants of them (the project's notes on GPUs), and are what a visit to a card
is to confirm or correct.
"""

from dataclasses import dataclass

from scheduler import Mode, StepShape

BANDWIDTH = 3.0e12  # bytes/s; measured on an H100: a copy, read and written
FLOPS = 798e12  # measured on it: a product of 8192-cubes in bfloat16
MERGE_BANDWIDTH = 2.6e12  # wanted of the merge kernel: golden read, a slot written
UPLOAD = 50e9  # bytes/s from pinned memory; PCIe 5 x16 has 64e9
FLIP_S = 50e-6  # wanted of a warm swap
BESIDE_PROMPTS = 0.4  # of a prompt's time; SGLang's LoRA, by its own roadmap: 0.4-0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """One model on the card. Bytes are of bfloat16."""

    weight_bytes: float  # all that a step reads
    targeted_bytes: float  # of the modules that adapters change: all linear ones
    factor_bytes: float  # of A and B on all linear modules, for each rank
    kv_bytes: float  # of one token of context
    graph_s: float  # wanted: a replayed graph's kernels, as they start and end
    row_s: float  # wanted: norms, activations and sampling, for each sequence
    beside_s: float  # wanted: shrink and expand of each layer, as they start and end
    beside_row_s: float  # wanted: the same for each sequence
    prompt_flops: float  # wanted, operations/s of a chunk of 2,048: half of FLOPS

    def step_s(self, shape: StepShape) -> float:
        """Seconds of one step of decoding rows, prompt tokens, or both."""
        decoding = max(shape.sequences - (shape.prefill_tokens > 0), 0)
        # Two operations for each parameter, which has two bytes.
        prompts = self.targeted_bytes * shape.prefill_tokens / self.prompt_flops
        products = self.weight_bytes * decoding / FLOPS + prompts
        seconds = max(self.weight_bytes / BANDWIDTH, products)
        seconds += self.kv_bytes * shape.context_tokens / BANDWIDTH
        seconds += self.graph_s + self.row_s * decoding
        if shape.mode is Mode.MIXED and shape.adapters:
            seconds += self.beside_s + self.beside_row_s * decoding
            seconds += self.factor_bytes * shape.ranks / BANDWIDTH
            seconds += BESIDE_PROMPTS * prompts
        return seconds

    def swap_s(self, *, warm: bool, rank: int = 0) -> float:
        """Seconds to make another slot resident: `warm` if it is built. Else its
        factors are uploaded, and the slot is written anew from golden."""
        if warm:
            return FLIP_S
        merge = 2 * self.targeted_bytes / MERGE_BANDWIDTH
        return FLIP_S + self.factor_bytes * rank / UPLOAD + merge


COMPUTED = {
    # 16 layers of 2048 -> 2048 + 2 x 512, 8192; 128,256 tokens, tied; 8 heads of 64
    "h100-1b": Roofline(
        weight_bytes=2.47e9,
        targeted_bytes=1.95e9,
        factor_bytes=1.41e6,
        kv_bytes=32_768.0,
        graph_s=0.47e-3,
        row_s=1.9e-6,
        beside_s=0.36e-3,
        beside_row_s=6.2e-6,
        prompt_flops=310e12,
    ),
    # 32 layers of 4096 -> 4096 + 2 x 1024, 14336; 128,256 tokens; 8 heads of 128
    "h100-8b": Roofline(
        weight_bytes=15.0e9,
        targeted_bytes=13.96e9,
        factor_bytes=5.24e6,
        kv_bytes=131_072.0,
        graph_s=0.86e-3,
        row_s=5.5e-6,
        beside_s=1.2e-3,
        beside_row_s=15.6e-6,
        prompt_flops=360e12,
    ),
}
