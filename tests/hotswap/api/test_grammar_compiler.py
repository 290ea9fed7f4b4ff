"""Grammars are compiled beside the event loop: once for all who ask, within bounds."""

import asyncio
import gc
import sys
import threading
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from hotswap.api.shared import grammar_compiler
from hotswap.api.shared.grammar_compiler import MOST_SOURCE, GrammarCompiler
from hotswap.api.shared.grammar_spec import GrammarSpec
from hotswap.errors import BadRequest, Overloaded
from hotswap.sampling_params import SamplingParams
from hotswap.tokenizer import Tokenizer
from tests import tiny
from tests.fakes import LoudTokenizer

NAME = "tests.a_library_of_grammars"
PLAIN = SamplingParams()


@dataclass
class FakeLibrary:
    """Stands for the module that imports the real one. `gate`: whom it lets through."""

    compiled: list[str] = field(default_factory=list)
    vocabularies: int = 0
    gate: threading.Semaphore | None = None
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def vocabulary(self, tokenizer: Tokenizer, ends: set[int], where: str) -> Any:
        self.vocabularies += 1
        return types.SimpleNamespace(
            ends=ends, is_special=lambda token: token > 100, where=where
        )

    def grammar(self, vocabulary: Any, kind: str, source: str, where: str) -> Any:
        self.begun.release()
        if self.gate is not None:
            assert self.gate.acquire(timeout=10)
        self.compiled.append(source)
        if source == "bad":
            raise BadRequest("it is bad", where)
        return types.SimpleNamespace(source=source, vocabulary=vocabulary)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLibrary]:
    library = FakeLibrary()
    module: Any = types.ModuleType(NAME)
    module.Vocabulary, module.CompiledGrammar = library.vocabulary, library.grammar
    monkeypatch.setitem(sys.modules, NAME, module)
    yield library
    if library.gate is not None:
        library.gate.release(1000)


@pytest.fixture
def compiler(library: FakeLibrary) -> Iterator[GrammarCompiler]:
    compiler = GrammarCompiler(LoudTokenizer(), {1}, library=NAME, deadline_s=5)
    yield compiler
    compiler.close()


def spec(source: str, kind: Any = "json_schema") -> GrammarSpec:
    return GrammarSpec(kind, source, "field")


async def source_of(compiler: GrammarCompiler, source: str) -> Any:
    params = await compiler.applied(spec(source), PLAIN, None)
    made: Any = params.grammar
    return made.source


async def test_what_many_ask_for_is_compiled_once_and_kept(
    compiler: GrammarCompiler, library: FakeLibrary
) -> None:
    asked = [source_of(compiler, each) for each in ("a", "b", "a", "a")]

    assert await asyncio.gather(*asked) == ["a", "b", "a", "a"]
    assert await source_of(compiler, "b") == "b"
    assert sorted(library.compiled) == ["a", "b"]
    assert library.vocabularies == 1


async def test_those_asked_for_last_are_kept(
    compiler: GrammarCompiler, library: FakeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grammar_compiler, "_MOST_KEPT", 2)
    for each in ("a", "b", "a", "c", "a", "b"):
        await source_of(compiler, each)

    assert library.compiled == ["a", "b", "c", "b"]


@pytest.mark.parametrize(("tokens", "made"), [(260, 0), (49_152, 1)])
def test_a_vocabulary_that_takes_long_is_made_before_anybody_asks(
    tokens: int, made: int, library: FakeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tokenizer, "tokens", tokens)
    compiler = GrammarCompiler(LoudTokenizer(), {1}, library=NAME)

    compiler.prepare()

    compiler._threads.shutdown(wait=True)
    assert library.vocabularies == made


async def test_what_failed_is_told_and_not_kept(
    compiler: GrammarCompiler, library: FakeLibrary
) -> None:
    for _ in range(2):
        with pytest.raises(BadRequest, match="it is bad") as caught:
            await source_of(compiler, "bad")
        assert caught.value.field == "field"

    assert library.compiled == ["bad", "bad"]


async def test_a_slow_one_blocks_neither_the_loop_nor_another(
    compiler: GrammarCompiler, library: FakeLibrary
) -> None:
    gate = library.gate = threading.Semaphore(0)
    slow = asyncio.ensure_future(source_of(compiler, "slow"))
    await asyncio.to_thread(library.begun.acquire)
    library.gate = None

    assert await source_of(compiler, "quick") == "quick"
    assert not slow.done()
    gate.release()
    assert await slow == "slow"


async def test_who_leaves_takes_it_from_nobody(
    compiler: GrammarCompiler, library: FakeLibrary
) -> None:
    gate = library.gate = threading.Semaphore(0)
    leaves = asyncio.ensure_future(source_of(compiler, "a"))
    stays = asyncio.ensure_future(source_of(compiler, "a"))
    await asyncio.to_thread(library.begun.acquire)
    leaves.cancel()
    gate.release()

    assert await stays == "a"


async def test_one_that_takes_too_long_is_refused(library: FakeLibrary) -> None:
    library.gate = threading.Semaphore(0)
    compiler = GrammarCompiler(LoudTokenizer(), {1}, library=NAME, deadline_s=0.05)

    with pytest.raises(BadRequest, match="more than 0"):
        await source_of(compiler, "a")
    compiler.close()


async def test_who_waits_behind_too_many_is_told_to_come_again(
    library: FakeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grammar_compiler, "_MOST_WAITING", 3)
    library.gate = threading.Semaphore(0)
    compiler = GrammarCompiler(LoudTokenizer(), {1}, library=NAME, deadline_s=0.05)

    for source, told in (("a", BadRequest), ("b", BadRequest), ("c", Overloaded)):
        with pytest.raises(told):
            await source_of(compiler, source)
    with pytest.raises(Overloaded, match="too many grammars"):
        await source_of(compiler, "d")
    assert library.compiled == []
    compiler.close()


async def test_a_source_that_is_too_long_is_refused_unread(
    compiler: GrammarCompiler, library: FakeLibrary
) -> None:
    with pytest.raises(BadRequest, match="characters"):
        await source_of(compiler, " " * (MOST_SOURCE + 1))
    assert library.compiled == []


async def test_each_tokenizer_has_its_own_and_takes_it_along(
    compiler: GrammarCompiler, library: FakeLibrary
) -> None:
    own = LoudTokenizer()
    theirs: Any = (await compiler.applied(spec("a"), PLAIN, own)).grammar
    assert await source_of(compiler, "a") == "a"
    assert library.compiled == ["a", "a"]

    assert theirs.vocabulary.ends == {1} | own.eos
    del own
    gc.collect()
    await source_of(compiler, "b")
    assert len(compiler._kept) == 2
    assert len(compiler._vocabularies) == 1


async def test_stops_that_would_cut_a_schema_are_left_out_or_refused(
    compiler: GrammarCompiler,
) -> None:
    folder = SamplingParams(stop=("#",), stop_tokens=frozenset({101}))
    assert (await compiler.applied(spec("a"), folder, None)).stop == ()
    kept = await compiler.applied(spec("a", "regex"), folder, None)
    assert kept.stop == ("#",)

    cutting = SamplingParams(stop_tokens=frozenset({7}))
    await compiler.applied(spec("a", "regex"), cutting, None)
    with pytest.raises(BadRequest, match="token 7 would cut") as caught:
        await compiler.applied(spec("a"), cutting, None)
    assert caught.value.field == "stop_token_ids"


async def test_without_the_library_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    monkeypatch.delitem(sys.modules, "hotswap.llguidance_grammar", raising=False)
    compiler = GrammarCompiler(Tokenizer(tiny.tokenizer()), {tiny.EOS})

    with pytest.raises(BadRequest, match=r"pip install 'hotswap\[structured\]'"):
        await compiler.applied(spec("{}"), PLAIN, None)
    compiler.close()
