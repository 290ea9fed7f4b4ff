"""Sequence: the engine's side of a job - its tokens, its text, when it ends."""

from collections.abc import Sequence as Tokens

from hotswap.adapters.generation import Generation
from hotswap.engine.block_hashes import BlockHashes
from hotswap.engine.job_times import JobTimes
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
        *,
        times: JobTimes,
        hash_block_tokens: int | None = None,
    ) -> None:
        """`hash_block_tokens`: of a block that others may find; None: of none."""
        self.job = job
        self.ticket = message.ticket
        self.adapter = message.adapter
        self.times = times
        self.generation = generation
        self.params = message.params
        self.is_sampling = False  # from its first step on, sent back or not
        self.prompt = message.prompt
        self._tokens = list(message.prompt)
        if hash_block_tokens is not None:
            job.block_hashes = BlockHashes(
                self._tokens,
                hash_block_tokens,
                generation=job.generation,
                cache_salt=message.params.cache_salt,
            )
        self._eos = frozenset() if message.params.ignore_eos else eos
        params = message.params
        self._text = Detokenizer(tokenizer, skips_special=params.skips_special)
        self._stops = StopStrings(params.stop, keeps=params.includes_stop)

    @property
    def ends(self) -> frozenset[int]:
        """The tokens that end its answer."""
        return self._eos | self.params.stop_tokens

    def tokens_for(self, count: int) -> tuple[list[int] | None, int]:
        """The next `count` tokens to compute, and the position of the first: of its
        prompt, and what it has generated since. None: it is one that is still in the
        air, of a job that goes on decoding. Whoever is sent back comes again when its
        last token has landed."""
        start = self.job.computed
        return self._tokens[start : start + count] or None, start

    def has_landed(self, tokens: int) -> bool:
        """Whether so many of its prompt and its answer are known."""
        return len(self._tokens) >= tokens

    def targets_for(self, count: int) -> Tokens[int]:
        """The prompt's tokens behind the next `count`, where they are to be scored:
        once, which is before the first sample."""
        job = self.job
        if self.params.prompt_logprobs is None or job.generated:
            return ()
        start = job.computed + 1
        return self.prompt[start : start + count]

    def push(self, sample: Sample, mode: Mode) -> Piece:
        """Take a sampled token; the piece says what it means to the client."""
        if self.params.max_tokens == 0:  # only the prompt was to be computed
            return Piece(
                token=None,
                text="",
                mode=mode,
                prompt=sample.prompt,
                finish="length",
                cached_tokens=self.job.cached_tokens,
            )
        self._tokens.append(sample.token)
        text, finish = self._text_and_finish(sample.token)
        stop: str | int | None = self._stops.met
        if finish == "stop" and stop is None:
            stop = sample.token
        return Piece(
            token=sample.token,
            text=text,
            mode=mode,
            scored=sample.scored,
            prompt=sample.prompt,
            finish=finish,
            stop_reason=stop,
            cached_tokens=self.job.cached_tokens,
        )

    def _text_and_finish(self, token: int) -> tuple[str, Finish | None]:
        is_stop = token in self.params.stop_tokens
        if is_stop or token in self._eos:
            rest = self._text.push(token) if self.params.includes_stop else ""
            text = self._stops_with(rest + self._text.flush())
            return text, "stop" if is_stop or self._stops.met else "eos"
        text = self._stops.push(self._text.push(token))
        if self._stops.met:
            return text, "stop"
        if len(self._tokens) >= self.job.most_tokens:
            text += self._stops_with(self._text.flush())
            return text, "stop" if self._stops.met else "length"
        return text, None

    def _stops_with(self, rest: str) -> str:
        """The last of the text, and what was held back."""
        text = self._stops.push(rest)
        return text if self._stops.met else text + self._stops.flush()
