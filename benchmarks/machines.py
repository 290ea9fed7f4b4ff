"""Cost tables for the simulator: what steps and swaps take on some machine.

`this` is measured: the state of a calibration, kept in `machine.json` (how it was made
stands in the file). `h100` is computed, not measured: a 7B model in bf16 on an H100 by
the break-even model of the project's notes, with lean kernels beside the weights.
"""

import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from scheduler import Costs, Mode, StepShape
from scheduler.simulate import CostTable

STATE = Path(__file__).parent / "machine.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """A decoder on one device: bytes against bandwidth, operations against rate."""

    weight_bytes: float  # all that a step reads
    parameters: float
    targeted_bytes: float  # of the modules that adapters change
    factor_bytes: float  # of A and B, for each rank
    kv_bytes: float  # of one token of context
    bandwidth: float  # bytes per second
    flops: float  # operations per second
    beside_s: float  # launches of a mixed step
    beside_share: float  # operations beside the weights, of those of the weights
    flip_s: float

    def step_s(self, shape: StepShape) -> float:
        decoding = max(shape.sequences - (shape.prefill_tokens > 0), 0)
        rows = decoding + shape.prefill_tokens
        compute = 2 * self.parameters * rows / self.flops
        seconds = max(self.weight_bytes / self.bandwidth, compute)
        seconds += self.kv_bytes * shape.context_tokens / self.bandwidth
        if shape.mode is Mode.MIXED and shape.adapters:
            seconds += self.beside_s + self.beside_share * compute
            seconds += self.factor_bytes * shape.ranks / self.bandwidth
        return seconds

    def swap_s(self, *, warm: bool, rank: int = 0) -> float:
        if warm:
            return self.flip_s
        update = (
            self.targeted_bytes * rank / self.flops
        )  # 2 P r operations, P / 2 bytes
        return self.flip_s + max(2 * self.targeted_bytes / self.bandwidth, update)


H100 = Roofline(
    weight_bytes=13.2e9,
    parameters=6.6e9,
    targeted_bytes=12.96e9,
    factor_bytes=5.0e6,
    kv_bytes=524288.0,
    bandwidth=3.0e12,
    flops=500e12,
    beside_s=2.5e-3,
    beside_share=0.1,
    flip_s=1e-4,
)


def machine(name: str) -> CostTable:
    if name == "h100":
        return H100
    return Costs.restored(json.loads(STATE.read_text())["state"])


def taught(table: CostTable) -> Costs:
    """What a calibration would have learned of the table: a few steps of each kind."""
    costs = Costs()
    for warm in (True, False):
        costs.learn_swap(warm=warm, seconds=table.swap_s(warm=warm, rank=16), rank=16)
    for mode, n, adapters, prefill, context in product(
        Mode, (1, 8, 16), (1, 4), (0, 256), (0, 100)
    ):
        if adapters <= n:
            shape = StepShape(mode, n, adapters, 16 * adapters, prefill, context * n)
            costs.learn_step(shape, table.step_s(shape))
    return costs
