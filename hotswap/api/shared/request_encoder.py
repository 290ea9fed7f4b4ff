"""Request encoder: what tokenizers make of a request, beside the event loop.

Prompts to tokens, bad words to tokens, a grammar to its matchers: each in the tokenizer
of the adapter that is to answer.
"""

import asyncio
from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from hotswap.adapters.composition import is_written_as_sum, parse
from hotswap.adapters.sum_parts import common_tokenizer
from hotswap.api.shared.bad_words import BadWordsEncoding
from hotswap.api.shared.encoder_pool import EncoderPool, Encoding
from hotswap.api.shared.grammar_compiler import GrammarCompiler
from hotswap.api.shared.job_request import JobRequest
from hotswap.api.shared.prompt import Prompt
from hotswap.api.shared.tokenizer_work import TokenizerWork
from hotswap.errors import BadSum
from hotswap.library.library import Library
from hotswap.sampling_params import SamplingParams
from hotswap.tokenizer import Tokenizer

# Characters of one request that are encoded in place: up to 10 ms. A hop to a thread
# costs a short prompt more than its encoding.
_IN_PLACE = 4_000
_Made = TypeVar("_Made")


class RequestEncoder:
    """Used on the event loop. `close` ends its threads."""

    def __init__(
        self, library: Library, tokenizer: Tokenizer, *, eos: Set[int], limit: int
    ) -> None:
        """`tokenizer`, `eos`: the model's, and the tokens that end its texts. `limit`:
        most tokens of a prompt and its answer."""
        self._library = library
        self._tokenizer = tokenizer
        self._limit = limit
        self._encoders = EncoderPool()
        self._grammars = GrammarCompiler(tokenizer, eos)

    def prepare(self) -> None:
        """Do beforehand what the first request would wait for, on a thread."""
        self._grammars.prepare()

    def close(self) -> None:
        self._encoders.close()
        self._grammars.close()

    async def ask(
        self, adapter: str, do: Callable[[Tokenizer], _Made], size: int
    ) -> _Made:
        """What `do` makes, on a thread, of the tokenizer that the adapter's prompts are
        read by; `size`: about its work in characters. Raises what `do` raises, and
        Overloaded."""
        own = await self._own_tokenizer(adapter)
        whose = adapter if own is not None else ""
        work = TokenizerWork(do, own or self._tokenizer, size, whose)
        await self._encoders.run(f"adapter {adapter}" if whose else "", [work])
        return work.made

    async def encode(self, requests: Sequence[JobRequest]) -> list[Tokenizer | None]:
        """Make the tokens of each prompt; by whom, None is the model's tokenizer.

        The event loop encodes what is short and the model's own; the rest is done
        beside it.
        """
        tokenizers, left = [], _IN_PLACE
        by_lane: dict[str, list[Encoding]] = {}
        seen: set[Prompt] = set()
        for request in requests:
            prompt, adapter = request.prompt, request.adapter
            own = await self._own_tokenizer(adapter)
            tokenizers.append(own)
            if prompt in seen:  # a copy's
                continue
            seen.add(prompt)
            one = Encoding(prompt, own or self._tokenizer, self._limit, adapter)
            if not one.is_needed:
                continue
            if prompt.brings_template:  # they hold up each other, and nobody else
                by_lane.setdefault("templates of requests", []).append(one)
            elif own is not None or prompt.is_templated:
                by_lane.setdefault(f"adapter {adapter}", []).append(one)
            elif one.size <= left:
                left -= one.size
                one()
            else:
                by_lane.setdefault("", []).append(one)
        for lane, several in by_lane.items():
            await self._encoders.run(lane, several)
        return tokenizers

    async def params(
        self, request: JobRequest, own: Tokenizer | None
    ) -> SamplingParams:
        """With what the tokenizer makes of the request's texts."""
        params = request.params
        if request.bad_words:
            words = BadWordsEncoding(request.bad_words, own or self._tokenizer)
            if own is None and words.size <= _IN_PLACE // 16:  # once for each copy
                words()
            else:
                lane = f"adapter {request.adapter}" if own is not None else ""
                await self._encoders.run(lane, [words])
            params = replace(params, bad_words=words.tokens)
        if request.grammar is None:
            return params
        return await self._grammars.applied(request.grammar, params, own)

    async def _own_tokenizer(self, adapter: str) -> Tokenizer | None:
        """What the adapter's prompts are encoded with; None is the model's. Of a sum of
        adapters with other tokens than the model's it is refused in the engine."""
        if (written := self._library.sums.get(adapter)) is None:
            written = adapter if is_written_as_sum(adapter) else None
        if written is not None and adapter not in self._library.tokenizers:
            parts = [name for name, _ in parse(written).parts]
            own = {name: await self._tokenizer_of(name) for name in parts}
            with suppress(BadSum):
                return common_tokenizer(own)
            return None
        return await self._tokenizer_of(adapter)

    async def _tokenizer_of(self, adapter: str) -> Tokenizer | None:
        tokenizers = self._library.tokenizers
        if adapter in tokenizers and tokenizers[adapter] is None:
            await asyncio.wrap_future(self._library.learn(adapter))
            tokenizers = self._library.tokenizers
        return tokenizers.get(adapter)
