"""Cost tables for the simulator: what steps and swaps take on some machine.

`this` is measured: the state of a calibration, kept in `machine.json` (how it was made
stands in the file). `h100-1b` and `h100-8b`, Llama 3.2 1B and Llama 3.1 8B in bfloat16
on an 80 GB H100, are computed in `benchmarks.roofline`, until a visit to such a card
has left a file of the same form, `h100-1b.json` or `h100-8b.json`, beside
`machine.json`: then that one is used. `source` says which it is.
"""

import json
from itertools import product
from pathlib import Path

from benchmarks.roofline import COMPUTED
from scheduler import Costs, Mode, StepShape
from scheduler.simulate import CostTable

FOLDER = Path(__file__).parent
FILES = {"this": "machine.json"} | {name: f"{name}.json" for name in COMPUTED}
PARTS = 16  # of the largest batch: a calibration has steps of one and of a few such


def machine(name: str, folder: Path = FOLDER) -> CostTable:
    """The measured table, or else the computed one. Raises KeyError for other names."""
    file = folder / FILES[name]
    if name in COMPUTED and not file.exists():
        return COMPUTED[name]
    return Costs.restored(json.loads(file.read_text())["state"])


def source(name: str, folder: Path = FOLDER) -> str:
    """Where its figures come from, for people."""
    file = folder / FILES[name]
    if not file.exists():
        return f"{name}: computed, not measured"
    return f"{name}: measured, {json.loads(file.read_text())['how']}"


def taught(
    table: CostTable, *, max_batch: int = 16, prefill_tokens: int = 256
) -> Costs:
    """What a calibration would have learned of the table: a few steps of each kind, up
    to the largest batch and prompt."""
    costs = Costs()
    for warm in (True, False):
        costs.learn_swap(warm=warm, seconds=table.swap_s(warm=warm, rank=16), rank=16)
    sizes = sorted({1, max_batch // 2, max_batch})
    contexts = (0, 100) if max_batch <= PARTS else (0, 512)
    adapters = (1, 4) if max_batch <= PARTS else (1, 4, 16)
    for mode, n, some, prefill, context in product(
        Mode, sizes, adapters, (0, prefill_tokens), contexts
    ):
        if some <= n:
            shape = StepShape(mode, n, some, 16 * some, prefill, context * n)
            costs.learn_step(shape, table.step_s(shape))
    return costs
