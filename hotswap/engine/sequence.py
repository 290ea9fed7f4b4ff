"""Sequence: the engine's side of a job - its tokens, its text, when it ends."""

from hotswap.adapters.generation import Generation
from hotswap.engine.messages import Submit
from hotswap.engine.text import Detokenizer, StopStrings
from hotswap.engine.ticket import Finish, Piece
from hotswap.model.network.rows import Sample
from hotswap.tokenizer import Tokenizer
from scheduler import Job, Mode


class Sequence:
    """Owned by the engine thread. `generation` is leased until the job leaves."""

    def __init__(
        self,
        job: Job,
        message: Submit,
        generation: Generation | None,
        tokenizer: Tokenizer,
        eos: frozenset[int],
    ) -> None:
        self.job = job
        self.ticket = message.ticket
        self.generation = generation
        self.params = message.params
        self.has_kv = False
        self.prompt = message.prompt
        self._tokens = list(message.prompt)
        self._eos = frozenset() if message.params.ignore_eos else eos
        self._text = Detokenizer(tokenizer)
        self._stops = StopStrings(message.params.stop)

    @property
    def ends(self) -> frozenset[int]:
        """The tokens that end its answer."""
        return self._eos | self.params.stop_tokens

    def tokens_for(self, count: int) -> tuple[list[int] | None, int]:
        """The next `count` tokens to compute, and the position of the first. None: it
        is one that is still in the air."""
        job = self.job
        start = job.prefilled
        if not job.is_prefilling:
            start = job.prompt_tokens + job.generated - 1
        return self._tokens[start : start + count] or None, start

    def push(self, sample: Sample, mode: Mode) -> Piece:
        """Take a sampled token; the piece says what it means to the client."""
        self._tokens.append(sample.token)
        finish: Finish | None = None
        is_stop = sample.token in self.params.stop_tokens
        if is_stop or sample.token in self._eos:
            text = self._stops_with(self._text.flush())
            finish = "stop" if is_stop else "eos"
        else:
            text, met = self._stops.push(self._text.push(sample.token))
            if met:
                finish = "stop"
            elif len(self._tokens) >= self.job.kv_tokens:
                text += self._stops_with(self._text.flush())
                finish = "length"
        return Piece(
            token=sample.token,
            text=text,
            mode=mode,
            scored=sample.scored,
            prompt=sample.prompt,
            finish=finish,
        )

    def _stops_with(self, rest: str) -> str:
        text, met = self._stops.push(rest)
        return text if met else text + self._stops.flush()
