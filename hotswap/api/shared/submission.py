"""Submission: from prompts to jobs that the engine has accepted.

Prompts are encoded, each in its adapter's tokenizer, and posted. One whose adapter has
got another tokenizer meanwhile is refused by the engine, encoded and posted again.
"""

from collections.abc import Callable, Sequence, Set
from typing import TypeVar

from litestar.di import NamedDependency

from hotswap.adapters.sidecar import NOTHING
from hotswap.api.shared.job_request import JobRequest
from hotswap.api.shared.request_context import key_name
from hotswap.api.shared.request_encoder import RequestEncoder
from hotswap.api.shared.request_record import note_jobs
from hotswap.api.shared.running import Running
from hotswap.engine.engine import Engine
from hotswap.engine.messages import Submit
from hotswap.engine.ticket import Ticket
from hotswap.errors import (
    BadRequest,
    BadSum,
    OtherTokenizer,
    Overloaded,
    UnknownAdapter,
    UnknownModel,
)
from hotswap.library.hooks import Hooks
from hotswap.library.library import Library
from hotswap.sampling_params import SamplingParams
from hotswap.tokenizer import Tokenizer
from scheduler import BASE

_Made = TypeVar("_Made")
_ATTEMPTS = 8  # to encode a prompt for an adapter that is replaced all the time
# Log-probabilities of prompts that one request may ask for: each is kept to its end.
MOST_SCORES = 1 << 21


class Submitter:
    """Used on the event loop. `close` ends its threads."""

    def __init__(
        self,
        engine: Engine,
        library: Library,
        tokenizer: Tokenizer,
        hooks: Hooks,
        *,
        eos: Set[int],
        max_waiting: int,
        most_jobs: int,
        keeps_texts: bool = False,
    ) -> None:
        """`tokenizer`, `eos`: the model's, and the tokens that end its texts.
        `max_waiting`: most jobs that wait, `most_jobs`: of one request. `keeps_texts`:
        of answers, for the log."""
        self._engine = engine
        self._library = library
        self._tokenizer = tokenizer
        self._hooks = hooks
        self._max_waiting = max_waiting
        self._most_jobs = most_jobs
        self._keeps_texts = keeps_texts
        self._encoder = RequestEncoder(library, tokenizer, eos=eos, limit=engine.limit)

    def prepare(self) -> None:
        """Do beforehand what the first request would wait for, on a thread."""
        self._encoder.prepare()

    def close(self) -> None:
        self._encoder.close()

    def check_room(self, jobs: int, field: str) -> None:
        """Whether so many jobs of one request may wait, before any of them is made.

        Raises Overloaded, and BadRequest for more than one request may have.
        """
        if jobs > self._most_jobs:
            raise BadRequest(
                f"`{field}` asks for {jobs} answers: one request may have at most "
                f"{self._most_jobs} (`limits.jobs_per_request`)",
                field,
            )
        status = self._engine.status
        if status.waiting + jobs > self._max_waiting:
            raise Overloaded(
                f"the queue is full: {status.waiting} of at most {self._max_waiting} "
                f"jobs wait already, and this request asks for {jobs} "
                "(`schedule.max_waiting`)",
                status.queue_s,
            )

    async def submit(self, requests: Sequence[JobRequest], selected_by: str) -> Running:
        """Post all and wait until all are accepted, or raise and leave none behind.

        `selected_by` names the adapter's field in errors.
        """
        note_jobs(requests)
        tickets: list[Ticket] = []
        changes = [await self._hooks.change(each.adapter or BASE) for each in requests]
        tokenizers = await self._encoder.encode(requests)
        _check_scores(requests)
        written = list(zip(requests, tokenizers, strict=True))
        params = [await self._encoder.params(request, own) for request, own in written]
        try:
            for (request, own), each in zip(written, params, strict=True):
                tickets.append(self._post(request, each, own))
            for index, request in enumerate(requests):
                for _ in range(_ATTEMPTS):
                    if await _is_accepted(tickets[index], request, selected_by):
                        break
                    (own,) = await self._encoder.encode([request])
                    tokenizers[index] = own
                    params[index] = await self._encoder.params(request, own)
                    tickets[index] = self._post(request, params[index], own)
                else:
                    raise OtherTokenizer(request.adapter)
        except BaseException:
            for ticket in tickets:
                ticket.close()
            raise
        used = [own or self._tokenizer for own in tokenizers]
        running = Running(
            requests, tickets, changes, used, keeps_texts=self._keeps_texts
        )
        note_jobs(requests, running)
        return running

    async def ask(
        self, adapter: str, do: Callable[[Tokenizer], _Made], size: int
    ) -> _Made:
        """As `RequestEncoder.ask`."""
        return await self._encoder.ask(adapter, do, size)

    def _post(
        self, request: JobRequest, params: SamplingParams, own: Tokenizer | None
    ) -> Ticket:
        prompt, tokenizer = request.prompt, own or self._tokenizer
        tokenizer.check(params.stop_tokens, "stop_token_ids")
        tokenizer.check([token for token, _ in params.logit_bias], "logit_bias")
        tokenizer.check(params.allowed_tokens or (), "allowed_token_ids")
        # As the engine does, but by the client's field, and before it has to wait.
        params.answer_tokens(len(prompt.tokens), self._engine.limit, prompt.field)
        ticket = self._engine.open_ticket()
        self._engine.post(
            Submit(
                ticket=ticket,
                adapter=request.adapter,
                prompt=prompt.tokens,
                params=params,
                weight=self._library.sidecars.get(request.adapter, NOTHING).weight,
                tokenizer=own,
                key_name=key_name.get(),
            )
        )
        return ticket


def _check_scores(requests: Sequence[JobRequest]) -> None:
    asked = [(len(r.prompt.tokens), r.params.prompt_logprobs) for r in requests]
    if (
        sum(tokens * (1 + top) for tokens, top in asked if top is not None)
        > MOST_SCORES
    ):
        raise BadRequest(
            f"more than {MOST_SCORES} log-probabilities of prompts in one request",
            requests[0].prompt.field,
        )


async def _is_accepted(ticket: Ticket, request: JobRequest, selected_by: str) -> bool:
    """False: its prompt has to be encoded again. Raises the engine's error."""
    try:
        await ticket.accepted()
    except OtherTokenizer:
        return False
    except UnknownAdapter as error:
        error.field = selected_by
        if selected_by == "model":
            raise UnknownModel(error.adapter, error.reason) from None
        raise
    except BadSum as error:
        error.field = selected_by
        raise
    return True


# How a route says that it submits; `app` provides it under this name.
InjectedSubmitter = NamedDependency[Submitter]
