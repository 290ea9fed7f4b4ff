"""Jobs whose KV lies in the blocks that a test says, and what transformers makes of
them on a cache of its own."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

import torch
from peft import PeftModel
from transformers import DynamicCache, PreTrainedModel

from hotswap.adapters.generation import Generation
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.network.rows import Row

BLOCKS = 64  # that `make_runner` has
TEXT = [(7 * n) % 250 + 3 for n in range(400)]


def scattered(
    count: int, seed: int = 0, of: Iterable[int] = range(BLOCKS)
) -> list[int]:
    """So many blocks, hardly any of them neighbours."""
    return Random(seed).sample(list(of), count)


@dataclass
class Job:
    """Computes its prompt from `start` on, in chunks that end at `cuts`, and then
    greedily a token at a time."""

    number: int
    prompt: Sequence[int]
    table: Sequence[int]
    cuts: Sequence[int] = ()
    start: int = 0
    generation: Generation | None = None
    logits: list[torch.Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tokens = list(self.prompt)
        self.send_back(self.table, self.start, self.cuts)

    def send_back(
        self, table: Sequence[int], start: int = 0, cuts: Sequence[int] = ()
    ) -> None:
        """It computes all its tokens again from `start` on, elsewhere."""
        self.table = table
        edges = {start, *(c for c in cuts if c > start), len(self.tokens)}
        self._chunks = list(pairwise(sorted(edges)))

    def row(self) -> Row:
        """Its part of the next step."""
        end = len(self.tokens)
        start, stop = self._chunks.pop(0) if self._chunks else (end - 1, end)
        return Row(
            job=self.number,
            tokens=self.tokens[start:stop],
            position=start,
            generation=self.generation,
            wants_logits=stop == end,
            blocks=array("i", self.table),
        )

    def take(self, logits: torch.Tensor) -> None:
        self.logits.append(logits)
        self.tokens.append(int(logits.argmax()))


def run(
    runner: EagerExecutor, jobs: Sequence[Job], steps: int, *, mixed: bool = False
) -> None:
    """So many steps, all jobs in each."""
    by_number = {job.number: job for job in jobs}
    for _ in range(steps):
        rows = [job.row() for job in jobs]
        found = iter(runner.forward(rows, mixed=mixed))
        for row in rows:
            if row.wants_logits:
                by_number[row.job].take(next(found))


@torch.inference_mode()
def check(job: Job, model: PreTrainedModel | PeftModel) -> None:
    """Each of its logits and tokens is transformers' own."""
    cache = DynamicCache(config=model.config)
    ids, said = list(job.prompt), []
    for _ in job.logits:
        given = torch.tensor([ids])
        found = model(input_ids=given, past_key_values=cache, use_cache=True)
        said.append(found.logits[0, -1])
        ids = [int(said[-1].argmax())]
    torch.testing.assert_close(
        torch.stack(job.logits), torch.stack(said), atol=1e-4, rtol=1e-4
    )
    best = [int(logits.argmax()) for logits in said]
    assert job.tokens[len(job.prompt) :] == best
