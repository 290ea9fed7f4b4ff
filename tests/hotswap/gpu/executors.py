"""GPU executors of tiny models: Triton and CUDA graphs on a GPU; on a CPU plain torch
and the fake graphs, which assert what a graph would get wrong.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from hotswap.adapters.checkpoint import read
from hotswap.adapters.generation import Generation
from hotswap.model.executor_choice import triton_and_graphs
from hotswap.model.gpu.executor import GpuExecutor
from hotswap.model.gpu.flights import Flight
from hotswap.model.gpu.graphs import GraphBackend
from hotswap.model.gpu.kernel_set import Kernels
from hotswap.model.machine.kernels import Plain
from hotswap.model.network.loaded import Loaded
from hotswap.model.network.rows import BLOCK_TOKENS, Row, own_blocks
from hotswap.sampling_params import SamplingParams
from tests import tiny
from tests.hotswap.gpu import reference_kernels as plain
from tests.hotswap.gpu.fake_graphs import FakeGraphs
from tests.hotswap.gpu.reference_attention import attend
from tests.hotswap.gpu.reference_lora import expand_add, shrink

REFERENCE = Kernels(
    rms_norm=plain.rms_norm,
    silu_mul=plain.silu_mul,
    rotate_and_write=plain.rotate_and_write,
    pending=plain.pending,
    merge=plain.merge,
    attend=attend,
    shrink=shrink,
    expand_add=expand_add,
)
CPU = torch.device("cpu")
PROMPT = [72, 101, 108, 108, 111, 44, 32, 119, 111, 114]


def loaded(
    architecture: str = "llama",
    place: torch.device = CPU,
    *,
    tied: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Loaded:
    model = tiny.model(architecture, tied=tied)
    model.to(place, dtype)  # type: ignore[arg-type]  # hidden behind a decorator
    return Loaded(
        model=model,
        tokenizer=tiny.tokenizer(),
        name=architecture,
        context=512,
        eos=frozenset({tiny.EOS}),
        kernels=Plain(),
    )


def executor_of(
    model: Loaded,
    graphs: FakeGraphs | None = None,
    *,
    slots: int = 1,
    kv_tokens: int = 512,
    budget_bytes: int = 100 << 20,
    max_batch: int = 16,
    prefill_tokens: int = 64,
    kernels: Kernels = REFERENCE,
) -> GpuExecutor:
    """`graphs` and `kernels`: those to use on a CPU."""
    kernels, backend = _parts(model.model.device, graphs or FakeGraphs(), kernels)
    return GpuExecutor(
        model,
        kernels,
        backend,
        slots=slots,
        kv_tokens=kv_tokens,
        budget_bytes=budget_bytes,
        max_batch=max_batch,
        prefill_tokens=prefill_tokens,
    )


def _parts(
    place: torch.device, fake: FakeGraphs, kernels: Kernels
) -> tuple[Kernels, GraphBackend]:
    if place.type == "cuda":
        return triton_and_graphs(place)
    return fake.kernels(kernels), fake


def scattered(job: int, tokens: int, kv_tokens: int = 512) -> "array[int]":
    """As `own_blocks`, but no two of them are neighbours."""
    blocks = kv_tokens // BLOCK_TOKENS
    return array("i", [5 * block % blocks for block in own_blocks(job, tokens)])


def adapters(
    folder: Path, executor: GpuExecutor, count: int, architecture: str = "llama"
) -> list[Generation]:
    """Of different ranks and targets, which change the logits a lot."""
    found = []
    for number in range(count):
        path = tiny.save_adapter(
            folder / f"{architecture}-{number}",
            architecture,
            seed=number,
            strength=1.0,
            r=2 ** (number % 6),
            target_modules=tiny.TARGETS[architecture][number % 2 :],
        )
        found.append(read(path, executor.layout))
    return found


@dataclass
class Client:
    """Runs jobs one step after another, as an engine does. `ahead`: the next step is
    launched before the last one has landed."""

    executor: GpuExecutor
    mixed: bool = False
    ahead: bool = False

    def answers(
        self,
        jobs: Sequence[tuple[Sequence[int], Generation | None]],
        tokens: int = 4,
        *,
        params: SamplingParams | None = None,
    ) -> list[list[int]]:
        """What each prompt is answered, `tokens` of each, all in one batch."""
        texts = [list(prompt) for prompt, _ in jobs]
        room = max(map(len, texts)) + tokens
        for job in range(len(jobs)):
            sampling = params or SamplingParams(temperature=0)
            self.executor.open(job, sampling)
        flights = []
        for step in range(tokens):
            rows = []
            for job, (prompt, generation) in enumerate(jobs):
                new: Sequence[int] | None = prompt
                if step:
                    new = None if self.ahead else texts[job][-1:]
                rows.append(
                    Row(
                        job=job,
                        tokens=new,
                        position=len(prompt) + step - 1 if step else 0,
                        generation=generation,
                        wants_logits=True,
                        blocks=scattered(job, room, self.executor.kv_tokens),
                    )
                )
            flights.append(self.executor.launch(rows, mixed=self.mixed))
            if not self.ahead or step:
                self._land(flights.pop(0), texts)
        for flight in flights:
            self._land(flight, texts)
        for job in range(len(jobs)):
            self.executor.close(job)
        return [text[-tokens:] for text in texts]

    def _land(self, flight: Flight, texts: list[list[int]]) -> None:
        for text, sample in zip(texts, self.executor.land(flight), strict=True):
            assert sample is not None
            text.append(sample.token)
