"""Swap time, and what is left of the base after many: `python -m benchmarks.swap`.

Cold and warm swaps by rank against PEFT's `merge_adapter` and `unmerge_adapter` on the
same model (SmolLM2-135M, all linear modules), alternating, medians; then the drift of
the base in bfloat16 after 1,000 cycles of each, PEFT's on two layers. Hides: reading an
adapter from disk.
"""

import json
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from peft import LoraConfig, get_peft_model

from benchmarks.demo_model import adapters, load_model, model_for_others
from hotswap.model.eager.executor import EagerExecutor

ROUNDS = 10
CYCLES = 1000


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1e3


def main() -> None:
    runner = EagerExecutor(load_model(), slots=1, kv_tokens=64)
    results: dict[str, float] = {}
    print("| rank | cold ms | warm ms | PEFT merge + unmerge ms |\n|---|---|---|---|")
    for rank in (8, 16, 64):
        one = adapters(runner, 1, rank)[0]
        config = LoraConfig(
            r=rank, target_modules="all-linear", init_lora_weights=False
        )
        peft = get_peft_model(model_for_others(), config)
        cold, warm, theirs = [], [], []
        for _ in range(ROUNDS):
            runner.forget(one.key)
            cold.append(timed(partial(runner.weights.activate, one)))
            runner.weights.activate(None)
            warm.append(timed(partial(runner.weights.activate, one)))
            theirs.append(timed(peft.merge_adapter) + timed(peft.unmerge_adapter))
        figures = [statistics.median(x) for x in (cold, warm, theirs)]
        print(f"| {rank} | {figures[0]:.1f} | {figures[1]:.2f} | {figures[2]:.1f} |")
        results[f"cold_r{rank}_ms"], results[f"warm_r{rank}_ms"] = figures[:2]
        results[f"peft_r{rank}_ms"] = figures[2]
    before = runner.weights.checksum()
    made = adapters(runner, 8, rank=16)
    for cycle in range(CYCLES):
        runner.weights.activate(made[cycle % len(made)])
    runner.weights.activate(None)
    results["golden_bytes_changed"] = float(runner.weights.checksum() != before)
    results["peft_weights_changed_percent"] = round(_peft_drift(), 1)
    print(
        f"\nAfter {CYCLES} cycles: "
        f"golden changed: {bool(results['golden_bytes_changed'])}; "
        f"PEFT's base weights changed: {results['peft_weights_changed_percent']} %"
    )
    print(json.dumps(results))


def _peft_drift() -> float:
    """Per cent of the base's targeted weights that differ after merging cycles."""
    torch.manual_seed(0)
    config = LoraConfig(
        r=16,
        target_modules=[f"{name}_proj" for name in "q k v o gate up down".split()],
        layers_to_transform=[0, 1],
        init_lora_weights=False,
    )
    peft = get_peft_model(load_model("bfloat16").model, config)
    layers = [m.base_layer.weight for m in peft.modules() if hasattr(m, "base_layer")]
    before = [weight.clone() for weight in layers]
    for _ in range(CYCLES):
        peft.merge_adapter()
        peft.unmerge_adapter()
    changed: int = sum(
        int((now != then).sum()) for now, then in zip(layers, before, strict=True)
    )
    whole: int = sum(weight.numel() for weight in layers)
    return 100 * changed / whole


if __name__ == "__main__":
    main()
