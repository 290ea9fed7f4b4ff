"""EagerExecutor: a loaded model ready to serve - weights, KV and forward pass."""

from collections.abc import Sequence
from functools import partial

import torch

from hotswap.adapters.generation import Generation, bytes_of
from hotswap.adapters.layout import hollowed
from hotswap.model.eager.eviction import evict_golden
from hotswap.model.eager.forward_choice import ChosenForward, choose_forward
from hotswap.model.machine.budget import Demand, in_blocks, plan_memory
from hotswap.model.machine.device import Device, device_of, free_host_bytes
from hotswap.model.machine.gpu_budget import plan_gpu_memory
from hotswap.model.machine.pinned import pinned
from hotswap.model.network.adapter_layout import adapter_layout
from hotswap.model.network.grammar_masks import GrammarMasks
from hotswap.model.network.loaded import Loaded
from hotswap.model.network.prompt_scores import told
from hotswap.model.network.rows import BLOCK_TOKENS, Row, Sample
from hotswap.model.network.sampling import sample
from hotswap.model.network.sampling_rows import Samplers
from hotswap.model.weights.mergeable import head_path
from hotswap.model.weights.other_parameters import other_parameters
from hotswap.model.weights.slots import Swappable
from hotswap.model.weights.weights import Weights
from hotswap.sampling_params import SamplingParams


class EagerExecutor:
    """Owned by the engine thread. None means what suits the budget and the device.

    `max_batch`, `prefill_tokens`: of a step. A step is over when `launch` returns: no
    other is launched before it has landed.
    """

    launches_ahead = False
    block_tokens = BLOCK_TOKENS
    mixes = True

    def __init__(
        self,
        loaded: Loaded,
        *,
        slots: int | None = None,
        kv_tokens: int | None = None,
        budget_bytes: int | None = None,
        max_batch: int | None = None,
        prefill_tokens: int | None = None,
    ) -> None:
        model, device = loaded.model, device_of(loaded.model.device)
        self.max_batch = max_batch or device.max_batch
        self.prefill_tokens = prefill_tokens or device.prefill_tokens
        self.compute_dtype, self.context = loaded.compute_dtype, loaded.context
        self.head = head_path(model)
        # Of the model as it was loaded, before any module of it is replaced
        skeleton, loaded_bytes = hollowed(model), bytes_of(model.parameters())

        chosen = choose_forward(loaded)
        self.dtype = model.dtype
        linears, others = chosen.linears, other_parameters(model, chosen.linears)
        plan = plan_memory if device.is_host else plan_gpu_memory
        self.memory = in_blocks(
            plan(
                _demand(loaded, chosen, device, loaded_bytes),
                budget_bytes or device.budget_bytes(),
                slots=slots,
                kv_tokens=kv_tokens,
            ),
            self.block_tokens,
        )
        if not self.memory.golden_stays:
            evict_golden(linears, model, device)

        swappables: list[Swappable] = [*linears, *others]
        self.layout = adapter_layout(loaded.name, skeleton, linears, others)
        self.weights = Weights(swappables, self.memory.slots, device)
        self.kind, self.kernels = chosen.kind, loaded.kernels.name
        self.kv_tokens = self.memory.kv_tokens
        self._device = device
        self._lora = chosen.lora
        self._forward = chosen.forward(self.kv_tokens)
        self._samplers = Samplers(
            model.device, most_rows=self.max_batch + self.prefill_tokens
        )
        self._grammar_masks = GrammarMasks()

    @property
    def shares_blocks(self) -> bool:
        """Whether what one job has computed into a block serves others, too."""
        return self._forward.shares_blocks

    @property
    def batched_lora_bytes(self) -> int:
        """Memory of the device that adapters take to run mixed."""
        return self._lora.nbytes

    @property
    def stacked(self) -> frozenset[str]:
        return frozenset(self._lora.loaded)

    def open(
        self,
        job: int,
        params: SamplingParams,
        *,
        prompt: Sequence[int] = (),
        ends: frozenset[int] = frozenset(),
    ) -> None:
        """Begin to sample for a job. Its KV is where its rows say."""
        self._samplers.open(job, params, prompt=prompt, ends=ends)

    def close(self, job: int) -> None:
        """Forget how a job samples; unknown jobs never did."""
        self._forward.close(job)
        self._samplers.close(job)

    def launch(self, rows: Sequence[Row], *, mixed: bool) -> list[Sample | None]:
        """One step, from its rows to their samples. Mutates and raises as `forward`."""
        jobs = [row.job for row in rows if row.wants_logits]
        with self._grammar_masks.filled(self._samplers.matchers(jobs)) as mask_of:
            left = self._samplers.score(rows, partial(self.forward, mixed=mixed))
            if not left:
                return []
            logits = self.forward(left, mixed=mixed)
            if not jobs:
                return []
            sampling = self._samplers.rows(jobs)
            sampled = sample(logits, sampling, mask_of(logits))
        return told(sampled.samples(sampling), self._samplers.scored(jobs))

    def land(self, flight: list[Sample | None]) -> list[Sample | None]:
        """What `launch` has made: a sample for each row that wanted logits."""
        return flight

    def forward(self, rows: Sequence[Row], *, mixed: bool) -> torch.Tensor:
        """One step with the weights as they are. Logits [wanting rows, vocab] float32.

        Mutates the KV of the rows' jobs; weights never. The step is over when this
        returns: a clock may be read, weights may be changed. Raises MixFailed before
        anything is computed.
        """
        if mixed:
            self._lora.load(row.generation for row in rows if row.generation)
        logits = self._forward.run(rows, mixed=mixed)
        self._device.finish()
        return logits

    def held(self, generation: Generation) -> Generation:
        """The same, in such host memory as the device copies from. On any thread."""
        return pinned(generation, self._device)

    def forget(self, generation: str) -> None:
        """Drop what is kept of a generation, by its key, that nobody uses any more."""
        self.weights.forget(generation)
        self._lora.forget(generation)


def _demand(
    loaded: Loaded, chosen: ChosenForward, device: Device, loaded_bytes: int
) -> Demand:
    # Most adapters leave the embedding and the norms alone: they are not counted.
    slot_bytes = sum(linear.golden.nbytes for linear in chosen.linears)
    packed_bytes = slot_bytes if loaded.kernels.copies else 0
    return Demand(
        loaded_bytes=loaded_bytes,
        packed_bytes=packed_bytes,
        slot_bytes=slot_bytes,
        kv_token_bytes=chosen.token_bytes,
        context=loaded.context,
        # A CPU's plain kernels compute in the memory that was loaded.
        can_leave=bool(packed_bytes) or not device.is_host,
        host_bytes=None if device.is_host else free_host_bytes() // 2,
    )
