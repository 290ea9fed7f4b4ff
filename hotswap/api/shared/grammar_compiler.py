"""Grammar compiler: from what a request wants to what its sampler follows.

On threads of its own, beside the event loop and the engine: a schema takes from a
millisecond to a few seconds, and the first one of a tokenizer half a second more. What
was compiled is kept, and what many ask for at once is compiled once. The library is
loaded by name: a server without it serves everything else.
"""

import asyncio
import importlib
import threading
import weakref
from collections import OrderedDict
from collections.abc import Set
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from hotswap.api.shared.grammar_spec import GrammarSpec
from hotswap.errors import BadRequest, Overloaded
from hotswap.grammar import Grammar
from hotswap.sampling_params import SamplingParams
from hotswap.tokenizer import Tokenizer

_LIBRARY = "hotswap.llguidance_grammar"
MISSING = "structured output needs llguidance: pip install 'hotswap[structured]'"
MOST_SOURCE = 1 << 18  # characters
_DEADLINE_S = 10.0
_FEW = 1 << 10  # tokens of a small vocabulary
_THREADS = 2
_MOST_WAITING = 64
_MOST_KEPT = 64  # a schema takes about 100 kB, a hostile one up to 50 MB

_Key = tuple["weakref.ref[Tokenizer]", GrammarSpec]


class GrammarCompiler:
    """`applied` on the event loop; `close` from any thread."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        eos: Set[int],
        *,
        library: str = _LIBRARY,
        deadline_s: float = _DEADLINE_S,
    ) -> None:
        """`tokenizer`, `eos`: the model's, and the tokens that end its texts."""
        self._tokenizer = tokenizer
        self._eos = eos
        self._library = library
        self._deadline_s = deadline_s
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="compile")
        # Of each tokenizer that is still there what the library makes of it
        self._vocabularies: weakref.WeakKeyDictionary[Tokenizer, Any] = (
            weakref.WeakKeyDictionary()
        )
        self._lock = threading.Lock()  # of the vocabularies, on the threads
        self._kept: OrderedDict[_Key, Future[Grammar]] = OrderedDict()

    def close(self) -> None:
        """Begin no more. What is in hand ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def prepare(self) -> None:
        """Make the model's vocabulary on a thread, which holds every other thread up
        for half a second: better before the first request. A small one is made in a
        moment, when somebody asks for it."""
        if self._tokenizer.tokens > _FEW:
            self._threads.submit(self._vocabulary, self._tokenizer, "")

    async def applied(
        self, spec: GrammarSpec, params: SamplingParams, own: Tokenizer | None
    ) -> SamplingParams:
        """`params` with the grammar, in an adapter's `own` tokenizer; None is the
        model's. Of a folder's stop strings none is left that would cut the answer.

        Raises BadRequest with the library's reason; Overloaded if too many wait.
        """
        tokenizer = own or self._tokenizer
        grammar = await self._compiled(spec, tokenizer)
        if spec.is_whole:
            for token in params.stop_tokens:
                if not self._vocabularies[tokenizer].is_special(token):
                    raise BadRequest(
                        f"`stop_token_ids` contradicts `{spec.field}`: token {token} "
                        "would cut the answer, which ends by itself",
                        "stop_token_ids",
                    )
            return replace(params, grammar=grammar, stop=())
        return replace(params, grammar=grammar)

    async def _compiled(self, spec: GrammarSpec, tokenizer: Tokenizer) -> Grammar:
        if len(spec.source) > MOST_SOURCE:
            raise BadRequest(
                f"`{spec.field}` has more than {MOST_SOURCE} characters", spec.field
            )
        work = self._work(spec, tokenizer)
        try:
            async with asyncio.timeout(self._deadline_s):
                # Somebody else may wait for the same.
                return await asyncio.shield(asyncio.wrap_future(work))
        except TimeoutError:
            if work.running():
                raise BadRequest(
                    f"`{spec.field}` takes more than {self._deadline_s:g} s to compile",
                    spec.field,
                ) from None
            raise _overloaded() from None

    def _work(self, spec: GrammarSpec, tokenizer: Tokenizer) -> "Future[Grammar]":
        key = (weakref.ref(tokenizer), spec)
        found = self._kept.get(key)
        if found is None:
            waiting = sum(not work.done() for work in self._kept.values())
            if waiting >= _MOST_WAITING:
                raise _overloaded()
            found = self._threads.submit(self._compile, spec, tokenizer)
            self._kept[key] = found
        self._kept.move_to_end(key)
        self._tidy()
        return found

    def _tidy(self) -> None:
        """Keep what waits, and of the rest those asked for last: none that failed, none
        whose tokenizer has gone."""
        done = [key for key, work in self._kept.items() if work.done()]
        for at, key in enumerate(reversed(done)):
            if at >= _MOST_KEPT or key[0]() is None or _failed(self._kept[key]):
                del self._kept[key]

    def _compile(self, spec: GrammarSpec, tokenizer: Tokenizer) -> Grammar:
        """On a thread."""
        vocabulary = self._vocabulary(tokenizer, spec.field)
        made: Grammar = self._module(spec.field).CompiledGrammar(
            vocabulary, spec.kind, spec.source, spec.field
        )
        return made

    def _vocabulary(self, tokenizer: Tokenizer, field: str) -> Any:
        with self._lock:
            found = self._vocabularies.get(tokenizer)
            if found is None:
                ends = self._eos | tokenizer.eos  # as the engine ends its answers
                found = self._module(field).Vocabulary(tokenizer, ends, field)
                self._vocabularies[tokenizer] = found
            return found

    def _module(self, field: str) -> Any:
        try:
            return importlib.import_module(self._library)
        except ModuleNotFoundError:
            raise BadRequest(f"`{field}`: {MISSING}", field) from None


def _failed(work: "Future[Grammar]") -> bool:
    try:
        return work.exception() is not None
    except CancelledError:
        return True


def _overloaded() -> Overloaded:
    return Overloaded("too many grammars wait to be compiled", 1.0)
