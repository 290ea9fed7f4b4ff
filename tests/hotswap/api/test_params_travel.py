"""Every generation parameter reaches the sequence as the request's body said it.

A field that a schema forgets, or that is dropped anywhere on the way, fails here; so
does a new field of `SamplingParams` that this file does not know.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from litestar.testing import TestClient

from hotswap.adapters.sidecar import Sidecar
from hotswap.adapters.store import Store
from hotswap.engine.batch import Batch
from hotswap.engine.latencies import Latencies
from hotswap.engine.message_handler import MessageHandler
from hotswap.engine.messages import Submit
from hotswap.engine.outbox import Outbox
from hotswap.engine.sequence import Sequence
from hotswap.engine.status import Counters
from hotswap.engine.sums import Sums
from hotswap.sampling_params import SamplingParams
from scheduler import POLICIES, Scheduler, SchedulerLimits
from tests.fake_server import BODIES, LIMIT
from tests.fakes import FakeExecutor, FakeTokenizer
from tests.hotswap.api.conftest import Shared

NOW = 1000.0
TEXTS = st.lists(st.text(min_size=1, max_size=5), max_size=4).map(tuple)
SEEDS = st.integers(-(1 << 63), (1 << 63) - 1)
TOKENS = st.integers(0, 99)
TOPS = st.integers(0, 20)
PRIORITIES = st.integers(-(1 << 31), (1 << 31) - 1)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "max_tokens": st.integers(1, 90),
    "temperature": st.floats(0, 100),
    "top_p": st.floats(0, 1, exclude_min=True),
    "top_k": st.integers(-1, 1 << 31),
    "min_tokens": st.just(0) | st.integers(1, 1),
    "min_p": st.floats(0, 1),
    "presence_penalty": st.floats(-2, 2),
    "frequency_penalty": st.floats(-2, 2),
    "repetition_penalty": st.floats(0, 100, exclude_min=True),
    "logit_bias": st.dictionaries(TOKENS, st.floats(-100, 100), max_size=4).map(
        lambda bias: tuple(bias.items())
    ),
    "allowed_tokens": st.frozensets(TOKENS, min_size=1, max_size=4),
    "seed": SEEDS,
    "logprobs": TOPS,
    "prompt_logprobs": TOPS,
    "stop": TEXTS,
    "stop_tokens": st.frozensets(TOKENS, max_size=4),
    "includes_stop": st.booleans(),
    "skips_special": st.booleans(),
    "ignore_eos": st.booleans(),
    "priority": PRIORITIES,
    "deadline_s": st.floats(1e-3, 1e6),
    "cache_salt": st.text(min_size=1, max_size=256),
}
# Words that a body says and a tokenizer makes tokens of: `test_bad_words` has them.
UNSAID = {"bad_words", "grammar"}
# How a family spells what it does not call as we do; None: a body cannot say it.
OPENAI = {
    "stop_tokens": "stop_token_ids",
    "allowed_tokens": "allowed_token_ids",
    "includes_stop": "include_stop_str_in_output",
    "skips_special": "skip_special_tokens",
}
UNSAID_BY_DJL = {
    *("stop_tokens", "logprobs", "prompt_logprobs", "min_tokens", "logit_bias"),
    *("allowed_tokens", "includes_stop", "skips_special", "cache_salt"),
}
DJL = {
    "max_tokens": "max_new_tokens",
    "ignore_eos": "ignore_eos_token",
    **dict.fromkeys(UNSAID_BY_DJL),
}
UNSAID_BY_RESPONSES = {
    *("stop_tokens", "allowed_tokens", "min_tokens", "prompt_logprobs")
}
SPELLINGS: dict[str, Mapping[str, str | None]] = {
    "/v1/completions": OPENAI,
    "/v1/chat/completions": {**OPENAI, "logprobs": "top_logprobs"},
    "/v1/responses": {
        **OPENAI,
        "max_tokens": "max_output_tokens",
        "logprobs": "top_logprobs",
        **dict.fromkeys(UNSAID_BY_RESPONSES),
    },
    "/invocations": DJL,
}
DEFAULTS = {
    "/v1/completions": SamplingParams(max_tokens=16),
    "/v1/chat/completions": SamplingParams(),
    "/v1/responses": SamplingParams(),
    "/invocations": SamplingParams(max_tokens=30, temperature=0, logprobs=0),
}
SIDECAR_SAYS = {
    *("max_tokens", "temperature", "top_p", "top_k", "min_p", "stop", "priority"),
    *("presence_penalty", "frequency_penalty", "repetition_penalty"),
}
SAID = st.fixed_dictionaries({}, optional=VALUES)


def body_of(path: str, said: dict[str, Any], adapter: str) -> dict[str, Any]:
    """The request that says this, as its family spells it."""
    spelled: dict[str, Any] = {
        SPELLINGS[path].get(name, name) or "": (
            list(value) if isinstance(value, tuple | frozenset) else value
        )
        for name, value in said.items()
    }
    if "logit_bias" in spelled:
        spelled["logit_bias"] = {str(n): bias for n, bias in said["logit_bias"]}
    if "top_logprobs" in spelled and path == "/v1/responses":
        spelled["include"] = ["message.output_text.logprobs"]
    elif "top_logprobs" in spelled:
        spelled["logprobs"] = True
    if path == "/invocations":
        spelled = {"parameters": spelled}
    return {**BODIES[path], **spelled, "adapter": adapter}


def sayable(path: str, values: dict[str, Any]) -> dict[str, Any]:
    spelling = SPELLINGS[path]
    return {n: v for n, v in values.items() if spelling.get(n, n) is not None}


def sequence_of(message: Submit) -> Sequence:
    """What the engine makes of a message for the bare model."""
    scheduler = Scheduler(
        POLICIES["affinity"](),
        SchedulerLimits(
            kv_tokens=1000,
            max_batch=4,
            max_waiting=10,
            prefill_tokens=8,
            patience_s=0.025,
        ),
    )
    store = Store()
    batch = Batch(FakeExecutor(), store, scheduler)
    handler = MessageHandler(
        store,
        batch,
        scheduler,
        Outbox(),
        counters=Counters(),
        latencies=Latencies(),
        tokenizer=FakeTokenizer(),
        eos=frozenset({0}),
        limit=LIMIT,
        hash_block_tokens=None,
        queue_limits=None,
        fetch=lambda name: None,
        sums=Sums(store, lambda order: None),
        clock=lambda: NOW,
    )
    handler.handle(message)
    return batch[message.ticket.job]


def test_this_file_knows_every_parameter() -> None:
    assert {*VALUES} | UNSAID == {field.name for field in fields(SamplingParams)}


@pytest.mark.parametrize("path", BODIES)
@settings(max_examples=30, deadline=None)
@given(said=SAID, sidecar_said=SAID)
def test_what_body_and_sidecar_say_is_what_the_sequence_has(
    served: tuple[TestClient, Shared],
    path: str,
    said: dict[str, Any],
    sidecar_said: dict[str, Any],
) -> None:
    client, shared = served
    said = sayable(path, said)
    folder = {n: v for n, v in sidecar_said.items() if n in SIDECAR_SAYS}
    shared.library.sidecars = {"": Sidecar(**folder)}

    answer = client.post(path, json=body_of(path, said, ""))

    assert answer.status_code == 200, answer.text
    message = shared.engine.messages[-1]
    assert message.params == replace(DEFAULTS[path], **folder | said)
    assert sequence_of(message).params is message.params


@settings(max_examples=30, deadline=None)
@given(said=SAID)
def test_the_scheduler_is_told_what_it_plans_with(
    served: tuple[TestClient, Shared], said: dict[str, Any]
) -> None:
    client, shared = served
    path = "/v1/completions"
    shared.library.sidecars = {}

    client.post(path, json=body_of(path, sayable(path, said), ""))

    job = sequence_of(shared.engine.messages[-1]).job
    due = said.get("deadline_s")
    assert job.max_tokens == said.get("max_tokens", 16)
    assert job.priority == said.get("priority", 0)
    assert job.deadline == (None if due is None else NOW + due)


@pytest.mark.parametrize("seed", [None, 0, 7, (1 << 63) - 1])
def test_copies_of_a_prompt_differ_in_their_seed_alone(
    served: tuple[TestClient, Shared], seed: int | None
) -> None:
    client, shared = served
    body = {"prompt": "abc", "n": 3, "seed": seed, "temperature": 0.5}

    client.post("/v1/completions", json=body)

    params = [message.params for message in shared.engine.messages[-3:]]
    one = SamplingParams(max_tokens=16, temperature=0.5)
    assert params == [
        replace(one, seed=None if seed is None else seed + number)
        for number in range(3)
    ]
