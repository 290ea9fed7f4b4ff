"""What a grammar costs a step: `python -m benchmarks.grammar_steps`.

The demo model decodes in batches on the CPU, in turns without a grammar and with one: a
JSON object, whose strings allow nearly every token, and a schema of a few properties.
All rows of a batch have the same, each at its own place in it.

Told: median milliseconds of a step on the CPU, of all threads, and the ratio to the
step without.

Hides: the engine and HTTP; grammars were compiled before.
"""

import json
import statistics
import time

from benchmarks.demo_model import load_model
from hotswap.grammar import Grammar
from hotswap.llguidance_grammar import CompiledGrammar, Vocabulary
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.network.rows import Row, own_blocks
from hotswap.sampling_params import SamplingParams
from hotswap.tokenizer import Tokenizer

BATCHES = (1, 16)
STEPS = 20
ROUNDS = 2
PROMPT = tuple(range(100, 140))
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "size": {"type": "integer"},
    },
    "required": ["name", "tags", "size"],
}


def steps(runner: EagerExecutor, grammar: Grammar | None, batch: int) -> list[float]:
    """Milliseconds of each step after the prompts. An answer that ends goes on."""
    params = SamplingParams(temperature=1, top_p=0.9, seed=1, grammar=grammar)
    last: dict[int, int] = {}
    took = []
    for job in range(batch):
        runner.open(job, params)
    for step in range(STEPS + 1):
        rows = [
            Row(
                job=job,
                tokens=[last[job]] if step else PROMPT,
                position=len(PROMPT) + step - 1 if step else 0,
                generation=None,
                wants_logits=True,
                blocks=own_blocks(job, len(PROMPT) + STEPS + 1),
            )
            for job in range(batch)
        ]
        begun = time.process_time()
        samples = runner.land(runner.launch(rows, mixed=False))
        took.append(1e3 * (time.process_time() - begun))
        last = {job: found.token if found else 0 for job, found in enumerate(samples)}
    for job in range(batch):
        runner.close(job)
    return took[1:]


def main() -> None:
    loaded = load_model()
    runner = EagerExecutor(loaded, slots=1, kv_tokens=4096)
    vocabulary = Vocabulary(Tokenizer(loaded.tokenizer), loaded.eos, "")
    kinds: dict[str, Grammar | None] = {
        "none": None,
        "json_object": CompiledGrammar(vocabulary, "json_object", "", ""),
        "schema": CompiledGrammar(vocabulary, "json_schema", json.dumps(SCHEMA), ""),
    }
    found = []
    for batch in BATCHES:
        took: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(ROUNDS):
            for name, grammar in kinds.items():
                took[name] += steps(runner, grammar, batch)
        middle = {name: statistics.median(each) for name, each in took.items()}
        for name, each in middle.items():
            print(f"{batch:3} {name:12} {each:8.1f} ms  {each / middle['none']:.3f}")
        found.append({"batch": batch, "ms": middle})
    print(json.dumps(found))


if __name__ == "__main__":
    main()
