"""Every answer of a random model that ends by itself fits its schema, by a validator
that nobody here wrote: on both executors, merged and mixed, greedy and sampled."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from hotswap.adapters.generation import Generation
from hotswap.adapters.origin import Origin
from hotswap.adapters.store import Store
from hotswap.engine.engine import Engine
from hotswap.engine.messages import Adopt, Submit
from hotswap.engine.ticket import Finish
from hotswap.grammar import Grammar
from hotswap.llguidance_grammar import CompiledGrammar, Vocabulary
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.executor_choice import ModelExecutor
from hotswap.sampling_params import SamplingParams
from hotswap.tokenizer import Tokenizer
from scheduler import POLICIES
from tests import tiny
from tests.engines import small_scheduler
from tests.hotswap.gpu.executors import PROMPT, adapters, executor_of, loaded
from tests.schemas import suite, validator

TOKENIZER = Tokenizer(tiny.tokenizer())
VOCABULARY = Vocabulary(TOKENIZER, frozenset({tiny.EOS}), "field")
MOST = 80  # tokens of an answer
SAMPLED = SamplingParams(max_tokens=MOST, temperature=1, top_p=0.95, seed=3)
GREEDY = SamplingParams(max_tokens=MOST, temperature=0)
# A random model rambles: it is drawn to what closes, and away from blanks.
_CLOSING = dict.fromkeys(TOKENIZER.encode('"}]'), 4.0)
_BLANK = dict.fromkeys(TOKENIZER.encode(" \n\r\t\\"), -20.0)
BIAS = tuple((_CLOSING | _BLANK | {tiny.EOS: 8.0}).items())


@dataclass(frozen=True)
class Ended:
    text: str
    tokens: tuple[int, ...]
    finish: Finish | None
    modes: frozenset[str]


@pytest.fixture(scope="module")
def executors(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, ModelExecutor], list[Generation]]:
    """On a CPU; the adapters' tensors are the same for both."""
    gpu = executor_of(loaded(), slots=2, kv_tokens=1000, max_batch=4)
    eager = EagerExecutor(loaded(), slots=2, kv_tokens=1000)
    folder: Path = tmp_path_factory.mktemp("adapters")
    return {"eager": eager, "gpu": gpu}, adapters(folder, gpu, 2)


def compiled(schema: dict[str, Any]) -> Grammar:
    return CompiledGrammar(VOCABULARY, "json_schema", json.dumps(schema), "field")


async def answers(
    executor: ModelExecutor,
    generations: Sequence[Generation],
    asked: Sequence[tuple[str, SamplingParams]],
    policy: str = "affinity",
) -> list[Ended]:
    """What the adapters named answer, four at a time."""
    scheduler = small_scheduler(POLICIES[policy](), block_tokens=executor.block_tokens)
    engine = Engine(
        executor,
        scheduler,
        Store(),
        TOKENIZER,
        eos=frozenset({tiny.EOS}),
        context=500,
        prefix_cache=False,
        fetch=lambda name: None,
        compose=lambda order: None,
    )
    for name, generation in zip("ab", generations, strict=True):
        engine.post(Adopt(name, generation, Origin(src=name)))
    engine.start()
    try:
        return list(await asyncio.gather(*[ended(engine, *one) for one in asked]))
    finally:
        await asyncio.to_thread(engine.stop, 10)
        scheduler.check()


async def ended(engine: Engine, adapter: str, params: SamplingParams) -> Ended:
    ticket = engine.open_ticket()
    prompt = tuple(PROMPT)
    engine.post(Submit(ticket=ticket, adapter=adapter, prompt=prompt, params=params))
    try:
        await ticket.accepted()
        pieces = [piece async for piece in ticket.pieces()]
    finally:
        ticket.close()
    return Ended(
        "".join(piece.text for piece in pieces),
        tuple(piece.token for piece in pieces if piece.token is not None),
        pieces[-1].finish,
        frozenset(piece.mode.value for piece in pieces),
    )


def check(schema: dict[str, Any], grammar: Grammar, answer: Ended) -> None:
    """It fits if it is whole, and else it is the beginning of what would."""
    if answer.finish != "length":
        validator(schema).validate(json.loads(answer.text))
    matcher = grammar.matcher()
    assert all(matcher.accept(token) for token in answer.tokens)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "params", "every"),
    [("eager", GREEDY, 1), ("eager", SAMPLED, 1), ("gpu", SAMPLED, 4)],
    ids=["greedy", "sampled", "gpu"],
)
async def test_every_answer_that_ends_fits_its_schema_of_the_suite(
    executors: tuple[dict[str, ModelExecutor], list[Generation]],
    kind: str,
    params: SamplingParams,
    every: int,
) -> None:
    made, generations = executors
    schemas = [case["schema"] for case in suite()[::every]]
    grammars = [compiled(schema) for schema in schemas]
    asked = [
        ("ab"[n % 3 : n % 3 + 1], replace(params, grammar=grammar, logit_bias=BIAS))
        for n, grammar in enumerate(grammars)
    ]

    found = await answers(made[kind], generations, asked)

    for schema, grammar, answer in zip(schemas, grammars, found, strict=True):
        check(schema, grammar, answer)
    whole = sum(answer.finish == "eos" for answer in found)
    assert whole >= 0.7 * len(found)  # a greedy one may say the same for ever
    assert {mode for answer in found for mode in answer.modes} == {"merged", "mixed"}


@pytest.mark.parametrize("policy", ["fcfs-mixed", "fcfs-merged"])
@pytest.mark.parametrize("kind", ["eager", "gpu"])
async def test_two_grammars_and_none_in_one_step_do_not_meet(
    executors: tuple[dict[str, ModelExecutor], list[Generation]],
    kind: str,
    policy: str,
) -> None:
    made, generations = executors
    one = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 4}
    other = {"enum": ["first", "second"]}
    params = [
        replace(SAMPLED, grammar=compiled(one)),
        replace(GREEDY, grammar=compiled(other), max_tokens=12),
        replace(SAMPLED, max_tokens=12),
    ]
    asked = [(name, each) for name in ("", "a") for each in params]

    together = await answers(made[kind], generations, asked, policy)
    alone = [
        (await answers(made[kind], generations, [each], policy))[0] for each in asked
    ]

    assert [answer.tokens for answer in together] == [each.tokens for each in alone]
    for answer in (together[1], together[4]):
        assert answer.finish == "eos"
        validator(other).validate(json.loads(answer.text))


@pytest.mark.parametrize("kind", ["eager", "gpu"])
async def test_what_other_parameters_forbid_gives_way_to_the_grammar(
    executors: tuple[dict[str, ModelExecutor], list[Generation]], kind: str
) -> None:
    made, generations = executors
    grammar = compiled({"const": [1, 2]})
    comma = TOKENIZER.encode(",")[0]
    forbidding = replace(
        SAMPLED,
        grammar=grammar,
        min_tokens=60,
        bad_words=((comma,),),
        allowed_tokens=frozenset({5}),
        logit_bias=((tiny.EOS, 100.0), *_BLANK.items()),
    )

    (found,) = await answers(made[kind], generations, [("", forbidding)])

    assert json.loads(found.text) == [1, 2]
    assert found.finish == "eos"


class Broken:
    """A matcher that meets a limit after three tokens."""

    def __init__(self) -> None:
        self.left = 3

    def matcher(self) -> "Broken":
        return Broken()

    def fill(self, mask: Any) -> None:
        mask[:] = -1 if self.left else 0

    def accept(self, token: int) -> bool:
        self.left -= 1
        return self.left >= 0


@pytest.mark.parametrize("kind", ["eager", "gpu"])
async def test_a_grammar_that_meets_a_limit_fails_its_job_alone(
    executors: tuple[dict[str, ModelExecutor], list[Generation]], kind: str
) -> None:
    made, generations = executors
    asked = [("", replace(SAMPLED, grammar=Broken())), ("", replace(SAMPLED, seed=9))]

    with pytest.raises(Exception, match="too dear to follow"):
        await answers(made[kind], generations, asked[:1])
    (fine,) = await answers(made[kind], generations, asked[1:])
    assert fine.tokens
