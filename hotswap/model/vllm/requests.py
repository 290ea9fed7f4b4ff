"""Requests: rows of a step as vLLM's model runner takes them.

The runner keeps a request's tokens, blocks and random numbers, and leaves out of a step
whom the step leaves out: that is how a job is parked. So of each step it is told which
requests are new, which go on and with which further blocks, and which have ended: a
`SchedulerOutput`, as vLLM's own scheduler writes it.

A job's request begins with the row that gives its first token: what was computed before
lies in its blocks, as if it had been found in a prefix cache. Rows before that are
requests of their own, of one step each, and what they sample is dropped. So a job that
is sent back keeps its request, and computes its tokens again beside it; and a seed's
random numbers are not touched (vLLM's runner rewinds them after a part of a prompt,
which a CPU's cannot).
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from vllm.sampling_params import SamplingParams
from vllm.v1.core.sched.output import (
    CachedRequestData,
    NewRequestData,
    SchedulerOutput,
)

from hotswap.model.network.rows import Row

_GREEDY = SamplingParams(temperature=0, max_tokens=1, detokenize=False)
_NULL_BLOCKS = 1  # vLLM keeps its first block for itself


@dataclass(slots=True)
class _Request:
    """One that the runner knows. `blocks`: as it was told of them."""

    id: str
    blocks: list[int]


@dataclass(slots=True)
class _Job:
    """`tokens`: its prompt, and what it has sampled. `scores`: the request that scores
    its prompt, where it asks for that, from its first row to its first token."""

    params: SamplingParams
    scoring: SamplingParams | None
    tokens: list[int]
    sampled: int = 0
    request: _Request | None = None
    scores: _Request | None = None


@dataclass(slots=True)
class StepRequests:
    """A step as the runner is told of it. By job, in the order of the rows: `samples`,
    the requests whose tokens are wanted; `scores`, those that have scored a prompt with
    this step."""

    output: SchedulerOutput
    samples: dict[int, str] = field(default_factory=dict)
    scores: dict[int, str] = field(default_factory=dict)


class Requests:
    """Of the open jobs. Owned by the engine thread."""

    def __init__(self) -> None:
        self._jobs: dict[int, _Job] = {}
        self._ended: set[str] = set()  # that the runner has not been told of
        self._made = 0

    def open(
        self,
        job: int,
        params: SamplingParams,
        *,
        prompt: Sequence[int],
        scoring: SamplingParams | None,
    ) -> None:
        """`scoring`: how its prompt is scored, if it is."""
        self._jobs[job] = _Job(params, scoring, list(prompt))

    def close(self, job: int) -> None:
        """Unknown jobs have nothing."""
        known = self._jobs.pop(job, None)
        for request in (known.request, known.scores) if known else ():
            if request is not None:
                self._ended.add(request.id)

    def sampled(self, job: int, token: int) -> None:
        """What the runner has sampled for a job, which may have been closed since."""
        known = self._jobs.get(job)
        if known is not None:
            known.tokens.append(token)
            known.sampled += 1

    def step(self, rows: Sequence[Row]) -> StepRequests:
        """Of a step whose rows' tokens are all known."""
        step = StepRequests(SchedulerOutput.make_empty())
        step.output.finished_req_ids, self._ended = self._ended, set()
        for row in rows:
            self._add(row, step)
        scheduled = step.output.num_scheduled_tokens
        step.output.total_num_scheduled_tokens = sum(scheduled.values())
        return step

    def failed(self, step: StepRequests) -> None:
        """It raised: whether the runner has heard who ended is not known."""
        self._ended |= step.output.finished_req_ids

    def _add(self, row: Row, step: StepRequests) -> None:
        job, tokens = self._jobs[row.job], list(row.known)
        begin, end = row.position, row.position + len(tokens)
        if len(job.tokens) < end:  # nobody said what its prompt is
            job.tokens += [0] * (begin - len(job.tokens))
            job.tokens[begin:] = tokens
        if job.scoring is not None and (row.targets or job.scores is not None):
            job.scores = self._go_on(job.scores, row, step, begin, job.scoring)
        if row.wants_logits:
            if job.scores is not None:
                step.scores[row.job] = job.scores.id
                self._ended.add(job.scores.id)
                job.scores, begin = None, end - 1  # it has computed what is before
            job.request = self._go_on(job.request, row, step, begin, job.params)
            step.samples[row.job] = job.request.id
        elif job.scores is None:
            self._ended.add(self._go_on(None, row, step, begin, _GREEDY).id)

    def _go_on(
        self,
        request: _Request | None,
        row: Row,
        step: StepRequests,
        begin: int,
        params: SamplingParams,
    ) -> _Request:
        """Compute the row's tokens from the one at `begin` on: add the request to the
        step, as new if there is none; the request."""
        output, blocks, job = step.output, _blocks(row.blocks), self._jobs[row.job]
        if request is None:
            self._made += 1
            request = _Request(f"{row.job}-{self._made}", blocks)
            end = row.position + len(row.known)
            prompt = job.tokens[:end] if params is _GREEDY else job.tokens.copy()
            output.scheduled_new_reqs.append(
                NewRequestData(
                    req_id=request.id,
                    prompt_token_ids=prompt,
                    mm_features=[],
                    sampling_params=params,
                    pooling_params=None,
                    block_ids=(blocks.copy(),),
                    num_computed_tokens=begin,
                    lora_request=None,
                )
            )
        else:
            _tell(output.scheduled_cached_reqs, request, blocks, begin, job.sampled)
        output.num_scheduled_tokens[request.id] = row.position + len(row.known) - begin
        return request


def _tell(
    cached: CachedRequestData,
    request: _Request,
    blocks: list[int],
    position: int,
    outputs: int,
) -> None:
    """That it goes on, and with which blocks. Mutates both."""
    told = len(request.blocks)
    cached.req_ids.append(request.id)
    if blocks[:told] == request.blocks:
        more = blocks[told:]
        cached.new_block_ids.append((more,) if more else None)
    else:  # it was sent back: it lies elsewhere
        cached.resumed_req_ids.add(request.id)
        cached.new_block_ids.append((blocks.copy(),))
    request.blocks = blocks
    cached.num_computed_tokens.append(position)
    cached.num_output_tokens.append(outputs)


def _blocks(blocks: "array[int]") -> list[int]:
    return [block + _NULL_BLOCKS for block in blocks]
