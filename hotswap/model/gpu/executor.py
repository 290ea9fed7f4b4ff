"""GpuExecutor: a loaded model ready to serve on a GPU.

    launch: rows -> forward pass -> samples, all on the device; one copy comes back
    land:   wait for that copy

Until it has landed the next step may be launched: the tokens that this one samples stay
on the device, where the next one finds them. Not yet run on a GPU.
"""

import logging
import time
from collections.abc import Sequence
from functools import partial

import torch

from hotswap.adapters.generation import Generation, bytes_of
from hotswap.adapters.layout import hollowed
from hotswap.errors import DeviceFull
from hotswap.model.eager.eviction import evict_golden
from hotswap.model.gpu.buckets import room_for
from hotswap.model.gpu.flights import Flight, Flights
from hotswap.model.gpu.forward import GpuForward
from hotswap.model.gpu.graphs import GraphBackend
from hotswap.model.gpu.kernel_set import Kernels
from hotswap.model.gpu.lora_parts import fitting_parts
from hotswap.model.gpu.memory_demand import memory_demand
from hotswap.model.gpu.operations import GpuOperations
from hotswap.model.machine.budget import in_blocks
from hotswap.model.machine.device import device_of
from hotswap.model.machine.gpu_budget import plan_gpu_memory
from hotswap.model.machine.pinned import pinned
from hotswap.model.network.adapter_layout import adapter_layout
from hotswap.model.network.grammar_masks import GrammarMasks
from hotswap.model.network.llama import Llama
from hotswap.model.network.loaded import Loaded
from hotswap.model.network.rows import BLOCK_TOKENS, Row, Sample
from hotswap.model.network.sampling import sample
from hotswap.model.network.sampling_rows import Samplers
from hotswap.model.weights.mergeable import head_path
from hotswap.model.weights.other_parameters import other_parameters
from hotswap.model.weights.weights import Weights
from hotswap.sampling_params import SamplingParams

log = logging.getLogger(__name__)


class GpuExecutor:
    """Owned by the engine thread. None means what suits the budget and the device."""

    kind = "llama on graphs"
    kernels = "Triton's and cuBLAS"
    launches_ahead = True
    block_tokens = BLOCK_TOKENS
    mixes = True
    shares_blocks = True

    def __init__(
        self,
        loaded: Loaded,
        kernels: Kernels,
        backend: GraphBackend,
        *,
        slots: int | None = None,
        kv_tokens: int | None = None,
        budget_bytes: int | None = None,
        max_batch: int | None = None,
        prefill_tokens: int | None = None,
    ) -> None:
        model, device = loaded.model, device_of(loaded.model.device)
        self.dtype = self.compute_dtype = model.dtype
        self.context = loaded.context
        self.head = head_path(model)
        self.max_batch = max_batch or device.max_batch
        self.prefill_tokens = prefill_tokens or device.prefill_tokens
        skeleton, loaded_bytes = hollowed(model), bytes_of(model.parameters())
        operations = GpuOperations(
            kernels,
            model.model.rotary_emb,
            model.model.embed_tokens.weight,
            loaded.context,
        )
        network = Llama(model, operations)
        linears = operations.linears
        others = other_parameters(model, linears)
        plan = plan_gpu_memory(
            memory_demand(loaded, operations, device, loaded_bytes),
            budget_bytes or device.budget_bytes(),
            slots=slots,
            kv_tokens=kv_tokens,
        )
        self.memory = in_blocks(plan, self.block_tokens)
        self.kv_tokens = self.memory.kv_tokens
        if not self.memory.golden_stays:
            evict_golden(linears, model, device)

        self.layout = adapter_layout(loaded.name, skeleton, linears, others)
        self.weights = Weights([*linears, *others], self.memory.slots, device)
        self._device = device
        self._pool = operations.mix(self.memory.lora_pages, device)
        operations.allocate(self.kv_tokens)
        self._flights = Flights(device, model.device, room_for(self.max_batch))
        self._forward = GpuForward(
            network,
            operations,
            self._pool,
            backend,
            device,
            max_tokens=self.max_batch + self.prefill_tokens,
            sampled=self._flights.tokens,
            context=loaded.context,
        )
        most_rows = self._forward.sequences
        self._samplers = Samplers(model.device, most_rows=most_rows)
        self._grammar_masks = GrammarMasks()
        self._sampled_at: dict[int, int] = {}  # by job: where among its samples
        self._told: set[str] = set()

    @property
    def batched_lora_bytes(self) -> int:
        """Memory of the device that adapters take to run mixed: always the same."""
        return self._pool.nbytes

    @property
    def stacked(self) -> frozenset[str]:
        return frozenset(self._pool.loaded)

    @property
    def graphs(self) -> tuple[int, int]:
        """How many were captured, and how many could not be: those steps run eager."""
        return self._forward.graphs

    def warm_up(self) -> None:
        """Capture the graphs of golden and of each slot. Before the first job."""
        begun_s = time.perf_counter()
        bare = [
            Generation(key=f"warm-up-{n}", deltas={}) for n in range(self.memory.slots)
        ]
        for generation in (None, *bare):
            self.weights.activate(generation)
            memory_id = self.weights.memory_id
            assert memory_id is not None
            self._forward.warm_up(memory_id, mixed=False)
            if generation is None:
                self._forward.warm_up(memory_id, mixed=True)
        self.weights.activate(None)
        for generation in bare:
            self.weights.forget(generation.key)
        seconds = time.perf_counter() - begun_s
        captured, eager = self.graphs
        told = "captured graphs=%d failed=%d seconds=%.1f"
        log.log(
            logging.WARNING if eager else logging.INFO, told, captured, eager, seconds
        )

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
        """Forget how a job samples; unknown jobs never did. A flight that still writes
        its blocks of KV is done before any that is launched later: whoever has them
        next finds what he has written himself, or what was whole before."""
        self._samplers.close(job)

    def launch(self, rows: Sequence[Row], *, mixed: bool) -> Flight:
        """One step with the weights as they are. Mutates the KV of the rows' jobs;
        weights never. Raises MixFailed before anything of that adapter is computed,
        DeviceFull where the device is out of memory."""
        try:
            return self._launch(rows, mixed=mixed)
        except torch.OutOfMemoryError as error:
            log.warning("out of memory: %s", str(error).splitlines()[0])
        # Not above: the exception holds what the step had allocated.
        torch.cuda.empty_cache()
        raise DeviceFull(
            f"the device has no memory left for a step of {len(rows)} jobs"
        )

    def land(self, flight: Flight) -> list[Sample | None]:
        """A sample for each row that wanted logits, in order; None: not finite."""
        return flight.land()

    def forward(self, rows: Sequence[Row], *, mixed: bool) -> torch.Tensor:
        """Logits [rows that want them, vocab] float32 of one step, which is over."""
        logits = self._logits(rows, mixed=mixed).clone()
        self._device.finish()
        return logits

    def held(self, generation: Generation) -> Generation:
        """The same, in such host memory as the device copies from. On any thread."""
        return pinned(generation, self._device)

    def forget(self, generation: str) -> None:
        """Drop what is kept of a generation, by its key, that nobody uses any more."""
        self.weights.forget(generation)
        self._pool.forget(generation)
        self._told.discard(generation)

    @torch.inference_mode()
    def _launch(self, rows: Sequence[Row], *, mixed: bool) -> Flight:
        jobs = [row.job for row in rows if row.wants_logits]
        with self._grammar_masks.filled(self._samplers.matchers(jobs)) as mask_of:
            left = self._samplers.score(rows, partial(self._logits, mixed=mixed))
            logits = self._logits(left, mixed=mixed) if left else None
            sampling = self._samplers.rows(jobs)
            self._sampled_at = {}  # until all of it is there
            sampled = None
            if logits is not None and jobs:
                sampled = sample(logits, sampling, mask_of(logits))
        flight = self._flights.launch(sampled, sampling, self._samplers.scored(jobs))
        self._sampled_at = {job: place for place, job in enumerate(jobs)}
        return flight

    def _logits(self, rows: Sequence[Row], *, mixed: bool) -> torch.Tensor:
        """[rows that want them, vocab], good until the next step."""
        if not mixed:
            return self._pass(rows, mixed=False)
        parts = fitting_parts(rows, self._pool)
        if len(parts) == 1:
            return self._pass(rows, mixed=True)
        found, wanting = [], []
        for part in parts:
            theirs = [rows[n] for n in part]
            found.append(self._pass(theirs, mixed=True).clone())
            wanting += [n for n in part if rows[n].wants_logits]
        order = torch.tensor(wanting, device=found[0].device).argsort()
        return torch.cat(found)[order]

    def _pass(self, rows: Sequence[Row], *, mixed: bool) -> torch.Tensor:
        if mixed:
            self._pool.load(row.generation for row in rows if row.generation)
        memory_id, key = self.weights.memory_id, self.weights.resident
        if memory_id is None and key not in self._told:
            self._told.add(key)
            what = "it changes a shape, a norm or an embedding"
            log.info("generation %s runs without graphs: %s", key, what)
        return self._forward.run(
            rows,
            self._sampled_at,
            mixed=mixed,
            memory_id=memory_id,
        )
