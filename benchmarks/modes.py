"""Step time of golden, merged and mixed decoding: `python -m benchmarks.modes`.

Decode steps over 1 and 16 sequences at a context of about 100 tokens, rank-16 adapters
on all linear modules of SmolLM2-135M; beside them PEFT on transformers'
own model and cache, with one adapter (`set_adapter`) and with several in a batch
(`adapter_names`). Contenders take turns of a few steps within one run and medians are
compared, because absolute times move by a third on a shared machine. Hides: prefill,
sampling, HTTP, scheduling, and what it costs to bring an adapter in: a mixture is
steady when it is measured.
"""

import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import DynamicCache

from benchmarks.demo_model import adapters, load_model, model_for_others
from hotswap.adapters.generation import Generation
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.network.rows import Row, own_blocks
from hotswap.sampling_params import SamplingParams

CONTEXT = 100
ROUNDS = 8
STEPS = 5  # of one contender in a round; the first is not counted
SETTLE = 20  # steps after which a mixture counts as steady: its stacks are packed
MIXES = (1, 2, 4, 8, 16)
PEFT_ADAPTERS = 8


def rows_of(sequences: int, own: Sequence[Generation | None]) -> list[Row]:
    return [
        Row(
            job=job,
            tokens=[5],
            position=CONTEXT,
            generation=own[job % len(own)],
            wants_logits=True,
            blocks=own_blocks(job, CONTEXT + 1),
        )
        for job in range(sequences)
    ]


def timed(step: Callable[[], object]) -> list[float]:
    """Milliseconds of each step but the first."""
    times = []
    for _ in range(STEPS):
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1e3)
    return times[1:]


class Ours:
    def __init__(self) -> None:
        self.runner = EagerExecutor(
            load_model(), slots=1, kv_tokens=16 * (CONTEXT + 16)
        )
        self.made = adapters(self.runner, 16, rank=16)

    def open(self, sequences: int) -> None:
        for job in range(sequences):
            self.runner.open(job, SamplingParams())
            fill = Row(
                job=job,
                tokens=[5] * CONTEXT,
                position=0,
                generation=None,
                wants_logits=False,
                blocks=own_blocks(job, CONTEXT + 1),
            )
            self.runner.forward([fill], mixed=False)

    def close(self, sequences: int) -> None:
        for job in range(sequences):
            self.runner.close(job)

    def contenders(self, sequences: int) -> dict[str, Callable[[], list[float]]]:
        def unmixed(own: Generation | None) -> list[float]:
            self.runner.weights.activate(own)
            rows = rows_of(sequences, [own])
            return timed(lambda: self.runner.forward(rows, mixed=False))

        def mixed(count: int) -> list[float]:
            self.runner.weights.activate(None)
            for generation in self.made[count:]:
                self.runner.forget(generation.key)  # nobody else beside this batch
            rows = rows_of(sequences, self.made[:count])
            for _ in range(SETTLE):
                self.runner.forward(rows, mixed=True)
            return timed(lambda: self.runner.forward(rows, mixed=True))

        found = {
            "golden": lambda: unmixed(None),
            "merged": lambda: unmixed(self.made[0]),
        }
        for count in MIXES:
            if count <= sequences:
                found[f"mixed {count}"] = partial(mixed, count)
        return found


class Peft:
    def __init__(self) -> None:
        config = LoraConfig(r=16, target_modules="all-linear", init_lora_weights=False)
        model = get_peft_model(model_for_others(), config, adapter_name="a0")
        assert isinstance(model, PeftModel)
        for number in range(1, PEFT_ADAPTERS):
            model.add_adapter(f"a{number}", config)
        self.model = model.eval()

    @torch.inference_mode()
    def contenders(self, sequences: int) -> dict[str, Callable[[], list[float]]]:
        cache = DynamicCache()
        ids = torch.full((sequences, CONTEXT), 5)
        with self.model.disable_adapter():
            self.model(input_ids=ids, past_key_values=cache, logits_to_keep=1)
        one = torch.full((sequences, 1), 5)

        @torch.inference_mode()
        def run(**names: list[str]) -> list[float]:
            def step() -> None:
                self.model(input_ids=one, past_key_values=cache, **names)
                cache.crop(-1)

            self.model.set_adapter("a0")
            return timed(step)

        names = [f"a{n % PEFT_ADAPTERS}" for n in range(sequences)]
        found: dict[str, Callable[[], list[float]]] = {"PEFT set_adapter": run}
        if sequences > 1:
            found[f"PEFT adapter_names {PEFT_ADAPTERS}"] = partial(
                run, adapter_names=names
            )
        return found


def main() -> None:
    ours, peft = Ours(), Peft()
    results: dict[str, float] = {}
    for sequences in (1, 16):
        ours.open(sequences)
        contenders = ours.contenders(sequences) | peft.contenders(sequences)
        times: defaultdict[str, list[float]] = defaultdict(list)
        for _ in range(ROUNDS):
            for name, contender in contenders.items():
                times[name] += contender()
        ours.close(sequences)
        golden = statistics.median(times["golden"])
        print(f"\n| {sequences} sequences | ms | tokens/s | / golden |")
        print("|---|---|---|---|")
        for name in contenders:
            median = statistics.median(times[name])
            speed, ratio = 1e3 * sequences / median, median / golden
            print(f"| {name} | {median:.1f} | {speed:.0f} | {ratio:.2f} |")
            results[f"{name}, n {sequences}"] = round(ratio, 3)
            results[f"{name}, n {sequences}, ms"] = round(median, 2)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
