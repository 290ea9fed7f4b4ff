"""VllmExecutor: vLLM's model runner and its workers behind our seam.

Our scheduler decides who runs, and where a job's KV lies; vLLM computes, samples, and
cuts the model over its devices. Its own scheduler is not asked. Turns are merged only:
its LoRA beside the weights is not used.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import vllm
from vllm.v1.core.sched.output import GrammarOutput

from hotswap.adapters.generation import Generation
from hotswap.error_boundary import error_boundary
from hotswap.errors import AdapterRefused, MixFailed
from hotswap.grammar import Matcher
from hotswap.model.network.rows import Row, Sample, Scored
from hotswap.model.vllm.remote_weights import RemoteWeights
from hotswap.model.vllm.requests import Requests, StepRequests
from hotswap.model.vllm.sampling import (
    prompt_scores,
    sample_of,
    scoring_params,
    vllm_params,
)
from hotswap.model.vllm.start import Started
from hotswap.sampling_params import SamplingParams

MERGED_ONLY = "merged only: vLLM computes it"


class VllmExecutor:
    """Owned by the engine thread. A step is over when `launch` returns."""

    launches_ahead = False
    shares_blocks = True
    mixes = False
    batched_lora_bytes = 0
    stacked: frozenset[str] = frozenset()

    def __init__(self, started: Started) -> None:
        self.kind = f"vLLM {vllm.__version__}"
        if started.workers.count > 1:
            self.kind += f" on {started.workers.count} devices"
        self._workers = started.workers
        self.layout, self.head = started.layout, started.head
        self.dtype = self.compute_dtype = started.dtype
        self.kernels, self.device = started.kernels, str(started.device)
        self.context, self.memory = started.context, started.memory
        self.kv_tokens, self.block_tokens = started.memory.kv_tokens, started.block
        self.max_batch = started.max_batch
        self.prefill_tokens = started.prefill_tokens
        self._vocabulary = started.vocabulary
        self.weights = RemoteWeights(
            started.workers,
            started.layout,
            started.tensors,
            builds_ahead=started.workers.count == 1,
        )
        self._tensors = started.tensors
        self._requests = Requests()
        self._params: dict[int, SamplingParams] = {}
        self._matchers: dict[int, Matcher] = {}

    def open(
        self,
        job: int,
        params: SamplingParams,
        *,
        prompt: Sequence[int] = (),
        ends: frozenset[int] = frozenset(),
    ) -> None:
        """Begin to sample for a job, by vLLM's sampler."""
        self._params[job] = params
        if params.grammar is not None:
            self._matchers[job] = params.grammar.matcher()
        self._requests.open(
            job,
            vllm_params(params, ends),
            prompt=prompt,
            scoring=scoring_params(params),
        )

    def close(self, job: int) -> None:
        """Forget it; unknown jobs have nothing."""
        self._params.pop(job, None)
        self._matchers.pop(job, None)
        self._requests.close(job)

    def launch(self, rows: Sequence[Row], *, mixed: bool) -> list[Sample | None]:
        """One step, from its rows to their samples."""
        if mixed:
            for row in rows:
                if row.generation is not None:
                    raise MixFailed(row.generation.key, MERGED_ONLY)
        step = self._requests.step(rows)
        try:
            output = self._computed(step)
        except BaseException:
            self._requests.failed(step)
            raise
        return [self._sample(output, job, step) for job in step.samples]

    def land(self, flight: list[Sample | None]) -> list[Sample | None]:
        """What `launch` has made: a sample for each row that wanted logits."""
        return flight

    def held(self, generation: Generation) -> Generation:
        """As it is served here, which is merged only. On any thread. Raises
        AdapterRefused if there is no place for what it changes."""
        for path in generation.deltas:
            self._check(path, ["weight"])
        checked = set()  # what one layer's module changes, that of the others does
        for path, rewrite in generation.rewrites.items():
            if (name := path.rpartition(".")[2]) not in checked:
                checked.add(name)
                with error_boundary(_unmerged):
                    made = rewrite(self.layout.golden.get(path, {}))
                self._check(path, made)
                _check_shapes(path, self.layout.golden[path], made)
        if not generation.can_merge:
            raise AdapterRefused("merge_loss", f"{generation.note}; {MERGED_ONLY}")
        note = generation.note or MERGED_ONLY
        return replace(generation, fits_mixed=False, note=note)

    def forget(self, generation: str) -> None:
        """Drop what is kept of a generation, by its key, that nobody uses any more."""
        self.weights.forget(generation)

    def _check(self, path: str, names: Iterable[str]) -> None:
        for name in names:
            if f"{path}.{name}" not in self._tensors:
                raise AdapterRefused(
                    "unsupported", f"vLLM has no place for {path}.{name} alone"
                )

    def when_lost(self, tell: Callable[[str], object]) -> None:
        """`tell` is called once, on any thread, when a worker has ended: with why."""
        self._workers.when_lost(tell)

    def _computed(self, step: StepRequests) -> Any:
        """vLLM's ModelRunnerOutput."""
        output = self._workers.execute(step.output)
        if output is not None:
            return output
        try:
            masks = self._masks(step.samples)  # while it computes
        except BaseException:
            with suppress(Exception):  # else it would take no step any more
                self._workers.sample(None)
            raise
        return self._workers.sample(masks)

    def _masks(self, samples: Mapping[int, str]) -> GrammarOutput | None:
        matchers = {
            request: self._matchers[job]
            for job, request in samples.items()
            if job in self._matchers
        }
        if not matchers:
            return None
        words = np.full((len(matchers), -(-self._vocabulary // 32)), -1, np.int32)
        for mask, matcher in zip(words, matchers.values(), strict=True):
            matcher.fill(mask)
        return GrammarOutput(list(matchers), words)

    def _sample(self, output: Any, job: int, step: StepRequests) -> Sample | None:
        params = self._params[job]
        prompt: tuple[Scored, ...] = ()
        if job in step.scores:
            count = params.prompt_logprobs or 0
            prompt = prompt_scores(output, step.scores[job], count)
        sample = sample_of(output, step.samples[job], params.logprobs)
        if sample is None or any(np.isnan(scored.logprob) for scored in prompt):
            return None
        self._requests.sampled(job, sample.token)
        matcher = self._matchers.get(job)
        is_refused = matcher is not None and not matcher.accept(sample.token)
        if prompt or is_refused:
            return Sample(sample.token, sample.scored, prompt, is_refused)
        return sample


def _unmerged(said: str) -> AdapterRefused:
    return AdapterRefused("not_mergeable", f"its merge ends in {said}")


def _check_shapes(
    path: str, golden: Mapping[str, torch.Tensor], made: Mapping[str, torch.Tensor]
) -> None:
    """Raises AdapterRefused for a vocabulary that has grown: vLLM's logits have not."""
    for name, tensor in made.items():
        if tensor.shape != golden[name].shape:
            raise AdapterRefused(
                "unsupported",
                f"{path}.{name} is {list(tensor.shape)}: vLLM's stays as large as "
                f"{list(golden[name].shape)}",
            )
