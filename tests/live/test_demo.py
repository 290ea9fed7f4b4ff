"""SmolLM2 with the demo adapters: what the docs say of them is so."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from hotswap import app, config
from hotswap.demo.__main__ import ADAPTERS, model_file
from hotswap.demo.tasks import TASKS
from tests.servers import Live

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
EXAMPLES = 10

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo() -> Iterator[Live]:
    configured = config.load(
        None,
        {
            "model": {"path": str(model_file())},
            "adapters": {"directory": str(ADAPTERS)},
            "memory": {"kv_tokens": 8192, "slots": 4},
        },
    )
    with Live(app.build(configured)) as server:
        yield server


def answers(server: Live, adapter: str, prompts: list[str]) -> list[str]:
    """What `prompts` get, all at a time."""

    def ask(prompt: str) -> str:
        answer = httpx.post(
            f"{server.url}/v1/chat/completions",
            json={
                "adapter": adapter,
                "messages": [{"role": "user", "content": prompt}],
                "max_tokens": 60,
                "temperature": 0,
            },
            timeout=120,
        )
        return str(answer.json()["choices"][0]["message"]["content"])

    with ThreadPoolExecutor(len(prompts)) as clients:
        return list(clients.map(ask, prompts))


def claimed(task: str) -> tuple[float, float]:
    """Base and adapter score, in per cent, as the table of the docs gives them."""
    row = re.search(rf"^\| `{task}` \|.*\| (\d+) \| (\d+) \|$", PAGE.read_text(), re.M)
    assert row, f"the docs have no score for {task}"
    return float(row[1]), float(row[2])


@pytest.mark.parametrize("name", list(TASKS))
def test_an_adapter_behaves_as_the_docs_say_and_the_base_does_not(
    demo: Live, name: str
) -> None:
    task = TASKS[name]
    examples = task.examples(40, held_out=True)[:EXAMPLES]
    base_claim, adapter_claim = claimed(name)

    with_adapter = answers(demo, name, [e.prompt for e in examples])
    bare = answers(demo, "base", [e.prompt for e in examples[:4]])

    passed = sum(map(task.passes, examples, with_adapter))
    # 10 examples of the 40 that the claim is about: two standard errors of slack
    share = adapter_claim / 100
    slack = 2 * (share * (1 - share) / EXAMPLES) ** 0.5 + 0.07
    assert passed / EXAMPLES >= share - slack
    assert base_claim <= 10
    assert sum(map(task.passes, examples, bare)) <= 1


def test_a_mixed_batch_of_all_demo_adapters_answers_each_task(demo: Live) -> None:
    tasks = list(TASKS.values())
    examples = [task.examples(40, held_out=True)[0] for task in tasks]
    chats = [
        f"<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by "
        f"Hugging Face<|im_end|>\n<|im_start|>user\n{e.prompt}<|im_end|>\n"
        f"<|im_start|>assistant\n"
        for e in examples
    ]

    batch = httpx.post(
        f"{demo.url}/invocations",
        json={
            "inputs": chats,
            "adapters": [task.name for task in tasks],
            "parameters": {"max_new_tokens": 60},
        },
        timeout=300,
    )

    texts = [item["generated_text"] for item in batch.json()]
    passed = [t.passes(e, x) for t, e, x in zip(tasks, examples, texts, strict=True)]
    assert sum(passed) >= 3, texts


def test_the_demo_adapters_are_small_and_differ_in_rank_target_and_scaling() -> None:
    files = sorted(ADAPTERS.glob("*/adapter_config.json"))
    configs = [json.loads(file.read_text()) for file in files]
    sizes = [p.stat().st_size for p in ADAPTERS.glob("*/adapter_model.safetensors")]

    assert len(sizes) == len(configs) >= 4
    assert max(sizes) <= 2_500_000
    assert len({each["r"] for each in configs}) >= 3
    assert sum(each.get("use_rslora", False) for each in configs) == 1
