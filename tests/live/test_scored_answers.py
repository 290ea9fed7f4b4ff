"""Log-probabilities over HTTP, read by OpenAI's client: those of transformers and PEFT.

The oracle computes the prompt and the answer in one pass, without any cache.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
from openai.types.completion_choice import Logprobs
from peft import PeftModel

from tests import tiny
from tests.servers import NO_TLS, Live, wait_until

CLOSE = 1e-4
PROMPT = "Tell me: "
USER: Any = {"role": "user", "content": "Hello"}
SAID: dict[str, Any] = {"max_tokens": 7, "extra_body": {"ignore_eos": True}}


@pytest.fixture(scope="module")
def client(live: Live) -> Iterator[openai.OpenAI]:
    with live.client() as http:
        wait_until(lambda: len(http.get("/v1/models").json()["data"]) > 8)
    with openai.OpenAI(
        base_url=f"{live.url}/v1",
        api_key="none",
        max_retries=0,
        http_client=openai.DefaultHttpxClient(verify=NO_TLS),
    ) as client:
        yield client


@torch.no_grad()
def logprobs_of(tokens: list[int], adapter: Path | None) -> torch.Tensor:
    """[tokens - 1, vocabulary]: before each token but the first."""
    model: torch.nn.Module = tiny.model("llama")
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter)
    logits = model(input_ids=torch.tensor([tokens])).logits[0, :-1]
    return torch.log_softmax(logits.float(), dim=-1)


@pytest.mark.parametrize("name", ["tiny", "a1", "a4"])
@pytest.mark.parametrize("temperature", [0, 1.5])
def test_an_answers_tokens_are_scored_as_peft_scores_them(
    name: str, temperature: float, client: openai.OpenAI, adapter_folders: Path
) -> None:
    ids = list(tiny.tokenizer()(PROMPT).input_ids)
    body = {**SAID["extra_body"], "return_token_ids": True, "repetition_penalty": 1.3}
    answer = client.completions.create(
        model=name,
        prompt=PROMPT,
        logprobs=4,
        max_tokens=7,
        temperature=temperature,
        seed=3,
        extra_body={**body, "return_tokens_as_token_ids": True},
    )

    choice: Any = answer.choices[0]
    adapter = None if name == "tiny" else adapter_folders / name
    wanted = logprobs_of(ids + choice.token_ids, adapter)[len(ids) - 1 :]
    told: Logprobs = choice.logprobs
    assert told.token_logprobs is not None
    assert told.top_logprobs is not None
    own = [
        float(row[token]) for row, token in zip(wanted, choice.token_ids, strict=True)
    ]
    assert told.token_logprobs == pytest.approx(own, rel=0, abs=CLOSE)
    assert choice.prompt_token_ids == ids
    for row, top in zip(wanted, told.top_logprobs, strict=True):
        by_token = {int(key.removeprefix("token_id:")): top[key] for key in top}
        assert {int(token) for token in row.topk(4).indices} <= {*by_token}
        likely = [float(row[token]) for token in by_token]
        assert [*by_token.values()] == pytest.approx(likely, rel=0, abs=CLOSE)


@pytest.mark.parametrize("n", [1, 3])
def test_a_chats_stream_tells_each_token_once_as_the_whole_answer_does(
    n: int, client: openai.OpenAI
) -> None:
    asked: dict[str, Any] = {
        "model": "a2",
        "messages": [USER],
        "logprobs": True,
        "top_logprobs": 3,
        "n": n,
        "seed": 5,
        **SAID,
    }

    whole = client.chat.completions.create(**asked)
    streamed: dict[int, list[Any]] = {}
    for chunk in client.chat.completions.create(**asked, stream=True):
        for part in chunk.choices:
            told = part.logprobs.content if part.logprobs else []
            streamed.setdefault(part.index, []).extend(told or [])

    assert len(whole.choices) == n
    for choice in whole.choices:
        assert choice.logprobs is not None
        content = choice.logprobs.content
        assert content is not None
        assert len(content) == 7
        said = b"".join(bytes(entry.bytes or []) for entry in content)
        assert said.decode(errors="replace") == choice.message.content
        found = streamed[choice.index]
        assert [entry.bytes for entry in found] == [entry.bytes for entry in content]
        assert [entry.logprob for entry in found] == pytest.approx(
            [entry.logprob for entry in content], rel=0, abs=CLOSE
        )


def test_the_likeliest_of_several_answers_goes_out(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "a3", "prompt": PROMPT, "seed": 1, "logprobs": 0}

    every = client.completions.create(**asked, n=6, **SAID)
    best = client.completions.create(**asked, n=2, best_of=6, **SAID)

    means = []
    for choice in every.choices:
        assert choice.logprobs is not None
        scores = choice.logprobs.token_logprobs
        assert scores is not None
        means.append((sum(scores) / len(scores), choice.text))
    wanted = [text for _, text in sorted(means, reverse=True)[:2]]
    assert [choice.text for choice in best.choices] == wanted
    assert best.usage == every.usage


@pytest.mark.parametrize("name", ["tiny", "a1", "a4"])
@pytest.mark.parametrize("most", [0, 1])
def test_an_echoed_prompt_is_scored_as_peft_scores_it(
    name: str, most: int, client: openai.OpenAI, adapter_folders: Path
) -> None:
    prompt = "How likely is a long text? " * 12  # of more than one chunk
    ids = list(tiny.tokenizer()(prompt).input_ids)
    asked: dict[str, Any] = {
        "model": name,
        "prompt": prompt,
        "echo": True,
        "logprobs": 2,
        "max_tokens": most,
        "temperature": 0,
        "extra_body": {"return_token_ids": True, "ignore_eos": True},
    }

    answer = client.completions.create(**asked)
    (first, *_) = list(client.completions.create(**asked, stream=True))

    choice: Any = answer.choices[0]
    adapter = None if name == "tiny" else adapter_folders / name
    wanted = logprobs_of(ids + choice.token_ids, adapter)
    own = [
        float(row[token])
        for row, token in zip(wanted, (ids + choice.token_ids)[1:], strict=True)
    ]
    for told in (choice.logprobs, first.choices[0].logprobs):
        assert told is not None
        assert told.token_logprobs[0] is None
        assert told.token_logprobs[1:] == pytest.approx(own, rel=CLOSE)
    assert choice.text.startswith(prompt)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == most == len(choice.token_ids)
