"""EchoExecutor: an executor without weights, which says what it was told.

An answer is the last thing that a user says in the prompt (ChatML), or else the prompt
itself, and then the token that ends it. Where a grammar, a ban or `min_tokens` allows
no such token, one that is allowed is said: an answer that fits a grammar ends soon.
"""

from array import array
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from itertools import islice

from hotswap.adapters.generation import Generation
from hotswap.echo.vocabulary import Vocabulary
from hotswap.grammar import Matcher
from hotswap.model.network.rows import Row, Sample, Scored
from hotswap.sampling_params import SamplingParams
from scheduler import BASE, Swap

_UNLIKELY = -100.0  # of what it would not say


@dataclass(slots=True)
class EchoWeights:
    """Everything is warm: nothing has to be built."""

    pinned: frozenset[str] = frozenset()
    resident: str = BASE
    known: set[str] = field(default_factory=lambda: {BASE})
    builds_ahead: bool = False

    @property
    def warm(self) -> frozenset[str]:
        return frozenset(self.known)

    def activate(self, generation: Generation | None) -> Swap | None:
        key = BASE if generation is None else generation.key
        if key == self.resident:
            return None
        is_warm = key in self.known
        self.known.add(key)
        self.resident = key
        return Swap(warm=is_warm, seconds=0.0)

    def build_ahead(self, generation: Generation, budget_s: float) -> float | None:
        return None


@dataclass(slots=True)
class _Job:
    params: SamplingParams
    said: tuple[int, ...]  # what it is to say
    ends: frozenset[int]
    matcher: Matcher | None
    sampled: int = 0
    scores: list[Scored] = field(default_factory=list)


class EchoExecutor:
    """Owned by the engine thread. A step is over when `launch` returns."""

    kind = "echo"
    launches_ahead = False
    block_tokens = 16
    shares_blocks = True  # there is nothing in them
    batched_lora_bytes = 0
    stacked: frozenset[str] = frozenset()

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.weights = EchoWeights()
        self._vocab = len(vocabulary)
        self._all: Set[int] = frozenset(range(self._vocab))
        self._start, self._end = vocabulary.start, vocabulary.end
        self._newline = vocabulary.id_of("\n")
        # What ends something soon, where a grammar asks for it; best first.
        self._easy = [self._end, *map(vocabulary.id_of, '"}]0')]
        self._jobs: dict[int, _Job] = {}

    def open(
        self,
        job: int,
        params: SamplingParams,
        *,
        prompt: Sequence[int] = (),
        ends: frozenset[int] = frozenset(),
    ) -> None:
        matcher = None if params.grammar is None else params.grammar.matcher()
        self._jobs[job] = _Job(params, self._told(prompt), ends, matcher)

    def close(self, job: int) -> None:
        self._jobs.pop(job, None)

    def forget(self, generation: str) -> None:
        self.weights.known.discard(generation)
        if self.weights.resident == generation:
            self.weights.resident = BASE

    def launch(self, rows: Sequence[Row], *, mixed: bool) -> list[Sample | None]:
        samples: list[Sample | None] = []
        for row in rows:
            job = self._jobs[row.job]
            top = job.params.prompt_logprobs or 0
            if row.targets:  # anew, if it was sent back
                del job.scores[row.position :]
            job.scores += [self._scored(target, top) for target in row.targets]
            if row.wants_logits:
                samples.append(self._sample(job))
        return samples

    def land(self, flight: list[Sample | None]) -> list[Sample | None]:
        return flight

    def _told(self, prompt: Sequence[int]) -> tuple[int, ...]:
        """The last message before the answer, in ChatML; else all of the prompt."""
        marks = [n for n, token in enumerate(prompt) if token == self._start]
        # ... <|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n
        if len(marks) < 2:
            return tuple(prompt)
        message = list(prompt[marks[-2] + 1 : marks[-1]])
        if self._newline in message:  # behind the role
            del message[: message.index(self._newline) + 1]
        if self._end in message:
            del message[message.index(self._end) :]
        return tuple(message)

    def _sample(self, job: _Job) -> Sample:
        wanted = self._end
        if job.sampled < len(job.said):
            wanted = job.said[job.sampled]
        elif job.params.ignore_eos and job.said:
            wanted = job.said[job.sampled % len(job.said)]
        token, allowed = wanted, self._allowed(job)
        if token not in allowed:
            easy = (each for each in self._easy if each in allowed)
            token = next(easy, min(allowed, default=token))
        if job.matcher is not None and token not in job.ends:
            job.matcher.accept(token)
        job.sampled += 1
        prompt, job.scores = tuple(job.scores), []
        asked = job.params.logprobs
        scored = None if asked is None else self._scored(token, asked)
        return Sample(token, scored, prompt)

    def _allowed(self, job: _Job) -> Set[int]:
        """As models are sampled: a ban that would leave no token is passed over."""
        params, allowed = job.params, self._all
        if job.matcher is not None:
            words = array("i", bytes(4 * -(-self._vocab // 32)))
            job.matcher.fill(words)
            octets = words.tobytes()
            allowed = {n for n in self._all if octets[n // 8] >> n % 8 & 1}
        if params.allowed_tokens is not None:
            allowed = allowed & params.allowed_tokens or allowed
        if job.sampled < params.min_tokens:
            allowed = allowed - job.ends or allowed
        return allowed

    def _scored(self, token: int, top: int) -> Scored:
        """It is sure of what it says."""
        others = (n for n in range(self._vocab) if n != token)
        rest = ((each, _UNLIKELY) for each in islice(others, max(0, top - 1)))
        return Scored(token, 0.0, 1, ((token, 0.0), *rest) if top else ())
