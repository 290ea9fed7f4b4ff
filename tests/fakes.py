"""Fakes for the engine: a model whose every token tells which weights computed it."""

import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch

from hotswap.adapters.generation import Delta, Generation
from hotswap.errors import MixFailed
from hotswap.model.network.rows import Row, Sample, Scored
from hotswap.sampling_params import SamplingParams
from hotswap.template_options import PLAIN, TemplateOptions
from hotswap.tokenizer import Tokenizer
from scheduler import BASE
from tests.fake_blocks import FakeBlocks, FakeFlight
from tests.fake_weights import FakeWeights

LETTERS = "abcdefghijklmnopqrstuvwxyz"
EOS = 0
VOCAB = 2 + len(LETTERS) + 10
PROMPT_TOKEN = 1


def generation(key: str, tokenizer: Tokenizer | None = None) -> Generation:
    """A generation whose tokens are the letter `key`."""
    delta = Delta(a=torch.ones(1, 1), b=torch.ones(1, 1), scale=1.0)
    return Generation(key=key, deltas={"layer": delta}, tokenizer=tokenizer)


class FakeExecutor:
    """Its text is the key of the weights that ran and the position, in turn: `a3a4a5`.

    Merged rows show the resident, mixed rows their own adapter: a wrong swap, a wrong
    segment or a lost position shows as wrong text. `finish_after` tokens end a text.
    `block_tokens`: of blocks that jobs share; None: they share none.
    This one computes when a step is launched.
    """

    launches_ahead = False
    batched_lora_bytes, stacked = 0, frozenset[str]()

    def __init__(
        self, finish_after: int = 1000, *, block_tokens: int | None = None
    ) -> None:
        self.block_tokens, self.shares_blocks = block_tokens or 1, bool(block_tokens)
        self.blocks = FakeBlocks(self.block_tokens, are_shared=self.shares_blocks)
        self.weights = FakeWeights()
        self.opened: set[int] = set()
        self.seen: dict[int, int] = {}  # tokens computed or launched for each open job
        self.params: dict[int, SamplingParams] = {}
        self.prompts: dict[int, tuple[int, ...]] = {}
        self.scores: dict[int, list[Scored]] = {}  # of prompts, not told yet
        self.told: dict[tuple[int, int], int] = {}  # landed: job, position -> token
        self.forgotten: list[str] = []
        self.finish_after = finish_after
        self.fail_next: BaseException | None = None  # what the next step raises
        self.unmixable: set[str] = set()
        self.spoilt: set[str] = set()  # generations whose logits are no numbers
        self.batches: list[list[int]] = []
        self.gate: threading.Semaphore | None = None  # one release lets one step go
        self.in_air: list[FakeFlight] = []

    def open(
        self,
        job: int,
        params: SamplingParams,
        *,
        prompt: Sequence[int] = (),
        ends: frozenset[int] = frozenset(),
    ) -> None:
        assert job not in self.opened, "opened twice"
        self.opened.add(job)
        self.seen[job], self.params[job] = 0, params
        self.prompts[job], self.scores[job] = tuple(prompt), []

    def close(self, job: int) -> None:
        self.opened.remove(job)
        del self.seen[job]
        self.scores.pop(job, None)

    def forget(self, generation: str) -> None:
        self.forgotten.append(generation)

    def launch(self, rows: Sequence[Row], *, mixed: bool) -> FakeFlight:
        flight = self._checked(rows, mixed=mixed)
        self._compute(flight)
        return flight

    def land(self, flight: FakeFlight) -> list[Sample | None]:
        return [self._sample(*said, flight.scored[said[0]]) for said in flight.said]

    def _compute(self, flight: FakeFlight) -> None:
        """The step itself: where a device takes time, and may fail."""
        if self.gate is not None:
            assert self.gate.acquire(timeout=10), "the test forgot a step"
        if self.fail_next is not None:
            error, self.fail_next = self.fail_next, None
            self.blocks.spoil(flight.written)
            raise error
        self.batches.append(flight.jobs)
        self.blocks.compute(flight.written, self._token)

    def _checked(self, rows: Sequence[Row], *, mixed: bool) -> FakeFlight:
        for row in rows:
            if mixed and row.generation and row.generation.key in self.unmixable:
                raise MixFailed(row.generation.key, "injected")
        said, scored, written = [], {}, []
        for row in rows:
            self._check_tokens(row)
            key = row.generation.key if row.generation else BASE
            assert self.weights.resident == (BASE if mixed else key), "wrong weights"
            by = (key, self.params[row.job].cache_salt)
            written.append(self.blocks.row(row, self.seen[row.job], by))
            self.seen[row.job] = written[-1].stop
            self._check_targets(row, key)
            if row.wants_logits:
                said.append((row.job, key, self.seen[row.job]))
                scored[row.job] = self.scores.pop(row.job, [])
        return FakeFlight([row.job for row in rows], said, scored, written)

    def _token(self, job: int, position: int) -> int | None:
        prompt = self.prompts[job]
        is_given = position < len(prompt)
        return prompt[position] if is_given else self.told.get((job, position))

    def _check_tokens(self, row: Row) -> None:
        """A row has the tokens that its job was told; None if the flight before it is
        to tell them."""
        pending = {(job, at) for each in self.in_air for job, _, at in each.said}
        assert (row.tokens is None) == ((row.job, row.position) in pending)
        for position, token in enumerate(row.tokens or (), row.position):
            assert token == self._token(row.job, position)

    def _check_targets(self, row: Row, key: str) -> None:
        """Those behind its tokens, all of the prompt; their scores tell the weights."""
        if not row.targets:
            return
        params, prompt = self.params[row.job], self.prompts[row.job]
        assert params.prompt_logprobs is not None, "nobody asked for scores"
        first = row.position + 1
        assert tuple(row.targets) == prompt[first : first + len(row.known)]
        top = tuple((n, -1.0 - n) for n in range(params.prompt_logprobs))
        rank = 1 + LETTERS.index(key[0])
        self.scores[row.job] += [
            Scored(token, -float(place), rank, top)
            for place, token in enumerate(row.targets, first)
        ]

    def _sample(
        self, job: int, key: str, position: int, prompt: Sequence[Scored]
    ) -> Sample | None:
        if key in self.spoilt:
            return None
        token = 2 + LETTERS.index(key[0])
        if position % 2:
            token = 2 + len(LETTERS) + position % 10
        if position >= self.finish_after:
            token = EOS
        self.told[job, position] = token
        is_asked = self.params[job].logprobs is not None
        return Sample(token, Scored(token, 0.0) if is_asked else None, tuple(prompt))


class AheadExecutor(FakeExecutor):
    """One that launches ahead: it computes, and fails, when a flight lands."""

    launches_ahead = True

    def __init__(
        self, finish_after: int = 1000, *, block_tokens: int | None = None
    ) -> None:
        super().__init__(finish_after, block_tokens=block_tokens)
        self.weights.in_air = self.in_air
        self.fail_launch: BaseException | None = None  # what the next launch raises

    def launch(self, rows: Sequence[Row], *, mixed: bool) -> FakeFlight:
        assert len(self.in_air) <= 1, "two are in the air already"
        if self.fail_launch is not None:
            error, self.fail_launch = self.fail_launch, None
            raise error
        flight = self._checked(rows, mixed=mixed)
        self.in_air.append(flight)
        return flight

    def land(self, flight: FakeFlight) -> list[Sample | None]:
        assert flight is self.in_air[0], "flights land in the order of launches"
        try:
            self._compute(flight)
        finally:
            del self.in_air[0]
        return super().land(flight)


class FakeTokenizer(Tokenizer):
    """One character for each token; every character of a prompt is one token."""

    longest = 8
    written = ""  # the text of its chat template
    special_texts = ()

    def __init__(self) -> None:
        pass

    def encode(self, text: str, *, is_whole: bool = False) -> list[int]:
        return [PROMPT_TOKEN] * len(text)

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        template: str | None = None,
        options: TemplateOptions = PLAIN,
    ) -> str:
        return "".join(message.get("content") or "" for message in messages)

    def template_for(self, options: TemplateOptions) -> str:
        return self.written

    def check(self, ids: Collection[int], field: str) -> None: ...

    def decode(self, ids: Sequence[int], *, skips_special: bool = True) -> str:
        return "".join(("", "?", *LETTERS, *"0123456789")[i] for i in ids)

    def token_bytes(self, token: int) -> bytes:
        return self.decode([token]).encode()

    def is_special(self, token: int) -> bool:
        return token == EOS


class LoudTokenizer(FakeTokenizer):
    """The same in capitals; the digit 9 ends a text."""

    @property
    def eos(self) -> frozenset[int]:
        return frozenset({VOCAB - 1})

    def decode(self, ids: Sequence[int], *, skips_special: bool = True) -> str:
        return super().decode(ids).upper()


def expected(key: str, prompt: int, tokens: int) -> str:
    """What FakeModel says for an adapter after a prompt of so many tokens."""
    return "".join(
        str(p % 10) if p % 2 else key[0] for p in range(prompt, prompt + tokens)
    )


class Panic(BaseException):
    """As what Rust's panics become: no Exception."""
