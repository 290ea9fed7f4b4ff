"""How far merged and mixed logits part in bfloat16: `python -m benchmarks.agreement`.

In float32 both modes agree to 1e-4 (a test). In bfloat16 a merged weight is rounded and
an adapter beside it is not, so their logits differ a little. For each demo adapter,
over held-out prompts and the wanted answers, teacher-forced: the gap at a token as a
share of its logits' norm, beside the gap to the bare model, and how often the greedy
token is the same. The worst token may lie far off: at the second token of a prompt this
model is so ill-conditioned that PEFT's own bfloat16 merge parts from float32 as far.
Hides: nothing random, one run is all.
"""

import json

import torch

from benchmarks.demo_model import load_model
from hotswap.adapters.checkpoint import read
from hotswap.adapters.generation import Generation
from hotswap.demo.__main__ import ADAPTERS
from hotswap.demo.tasks import TASKS
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.network.rows import Row, own_blocks
from hotswap.sampling_params import SamplingParams

EXAMPLES = 8


def logits(
    runner: EagerExecutor, ids: list[int], generation: Generation | None, *, mixed: bool
) -> torch.Tensor:
    """[tokens, vocab]: after every token of `ids`, one decoding step each."""
    runner.weights.activate(None if mixed else generation)
    runner.open(1, SamplingParams())
    found = []
    for position, token in enumerate(ids):
        row = Row(
            job=1,
            tokens=[token],
            position=position,
            generation=generation,
            wants_logits=True,
            blocks=own_blocks(0, len(ids)),
        )
        found.append(runner.forward([row], mixed=mixed)[0])
    runner.close(1)
    return torch.stack(found)


def main() -> None:
    loaded = load_model("bfloat16")
    runner = EagerExecutor(loaded, slots=1, kv_tokens=512)
    results: dict[str, float] = {}
    print("| adapter | gap of the modes: median | worst | to the base | same token |")
    print("|---|---|---|---|---|")
    for name, task in TASKS.items():
        generation = read(ADAPTERS / name, runner.layout)
        gaps, effects, same = [], [], []
        for example in task.examples(EXAMPLES, held_out=True):
            ids = list(loaded.tokenizer(example.prompt + example.answer).input_ids)
            merged = logits(runner, ids, generation, mixed=False)
            mixed = logits(runner, ids, generation, mixed=True)
            bare = logits(runner, ids, None, mixed=False)
            size = merged.norm(dim=-1)
            gaps.append((merged - mixed).norm(dim=-1) / size)
            effects.append((merged - bare).norm(dim=-1) / size)
            same.append((merged.argmax(-1) == mixed.argmax(-1)).float())
        gap, effect = torch.cat(gaps), torch.cat(effects)
        figures = [float(x) for x in (gap.median(), gap.max(), effect.median())]
        share = float(torch.cat(same).mean())
        cells = [f"{figure:.1%}" for figure in (*figures, share)]
        print(f"| {name} | {' | '.join(cells)} |")
        results[f"{name}_gap"] = round(figures[0], 4)
        results[f"{name}_worst"] = round(figures[1], 4)
        results[f"{name}_same"] = round(share, 4)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
