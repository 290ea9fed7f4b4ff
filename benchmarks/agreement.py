"""How far merged and mixed logits part in bfloat16: `python -m benchmarks.agreement`.

In float32 both modes agree to 1e-4 (a test). In bfloat16 a merged weight is rounded and
an adapter beside it is not, so their logits differ a little. For each demo adapter,
over held-out prompts and the wanted answers, teacher-forced: the gap as a share of the
logits' norm, beside the gap to the bare model, and how often the greedy token is the
same. Hides: nothing random, one run is all.
"""

import json
import math

import torch

from benchmarks.demo_model import load_model
from hotswap.adapters.checkpoint import read
from hotswap.adapters.deltas import Generation
from hotswap.demo.__main__ import ADAPTERS
from hotswap.demo.tasks import TASKS
from hotswap.model.rows import Row
from hotswap.model.runner import Runner

EXAMPLES = 8


def logits(
    runner: Runner, ids: list[int], generation: Generation | None, *, mixed: bool
) -> torch.Tensor:
    """[tokens, vocab]: after every token of `ids`, one decoding step each."""
    runner.weights.activate(None if mixed else generation)
    runner.open(1, len(ids))
    found = []
    for position, token in enumerate(ids):
        row = Row(
            job=1,
            tokens=[token],
            position=position,
            generation=generation,
            wants_logits=True,
        )
        found.append(runner.run([row], mixed=mixed)[0])
    runner.close(1)
    return torch.stack(found)


def main() -> None:
    loaded = load_model()
    runner = Runner(loaded, slots=1, kv_tokens=512)
    results: dict[str, float] = {}
    print("| adapter | gap of the modes | gap to the base | same greedy token |")
    print("|---|---|---|---|")
    for name, task in TASKS.items():
        generation = read(ADAPTERS / name, runner.layout)
        apart = same = tokens = 0.0
        changed = norm = 0.0
        for example in task.examples(EXAMPLES, held_out=True):
            ids = list(loaded.tokenizer(example.prompt + example.answer).input_ids)
            merged = logits(runner, ids, generation, mixed=False)
            mixed = logits(runner, ids, generation, mixed=True)
            bare = logits(runner, ids, None, mixed=False)
            apart += float((merged - mixed).square().sum())
            changed += float((merged - bare).square().sum())
            norm += float(merged.square().sum())
            same += float((merged.argmax(-1) == mixed.argmax(-1)).sum())
            tokens += len(ids)
        gap, effect = math.sqrt(apart / norm), math.sqrt(changed / norm)
        print(f"| {name} | {gap:.2%} | {effect:.0%} | {same / tokens:.1%} |")
        results[f"{name}_gap"] = round(gap, 4)
        results[f"{name}_same"] = round(same / tokens, 4)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
