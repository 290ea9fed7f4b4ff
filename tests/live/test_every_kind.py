"""Adapters of every kind behind one server: each answer is the one PEFT would give."""

import asyncio
import random
from pathlib import Path

import httpx
import pytest
import torch
from peft import PeftModel

from hotswap import app
from tests import tiny
from tests.formats import FORMATS
from tests.oracle import said_by
from tests.servers import Live, settings

KINDS = [
    "LoRA",
    "rank_pattern, alpha_pattern",
    "IA3",
    "DoRA",
    "modules_to_save: embedding, head, norms",
    "LoHa",
]
PROMPTS = ["Hello", "1 2 3 4", "abcabcabc"]
TOKENS = 16


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # PEFT's, while it makes the adapters
@pytest.mark.parametrize("policy", ["affinity", "fcfs-mixed", "fcfs-merged"])
async def test_each_request_gets_the_answer_of_peft_whatever_runs_beside_it(
    policy: str, model_folder: Path, tmp_path: Path
) -> None:
    models: dict[str, torch.nn.Module] = {"base": tiny.model("llama")}
    mixes = {}
    for number, given in enumerate(f for f in FORMATS if f.name in KINDS):
        name = f"k{number}"
        given.write(tmp_path / name)
        base = tiny.model("llama")
        models[name] = PeftModel.from_pretrained(base, tmp_path / name).eval()
        mixes[name] = given.mixes
    wanted = {(n, p): said_by(m, p, TOKENS) for n, m in models.items() for p in PROMPTS}
    asked = list(wanted) * 3
    random.Random(0).shuffle(asked)

    async def ask(http: httpx.AsyncClient, name: str, prompt: str) -> str:
        body = {"model": name, "prompt": prompt, "max_tokens": TOKENS, "temperature": 0}
        answer = await http.post("/v1/completions", json=body)
        assert answer.status_code == 200, answer.text
        if not mixes.get(name, True):
            assert "mixed" not in answer.headers["x-hotswap-mode"]
        return str(answer.json()["choices"][0]["text"])

    configured = settings(model_folder, tmp_path, policy=policy, patience_s=0.025)
    with Live(app.build(configured)) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=120) as http:
            found = await asyncio.gather(*(ask(http, *which) for which in asked))
            listed = (await http.get("/v1/adapters")).json()["data"]

    assert {row["name"]: row["can_mix"] for row in listed} == mixes
    wrong = [
        (which, text, wanted[which])
        for which, text in zip(asked, found, strict=True)
        if text != wanted[which]
    ]
    assert not wrong
    assert len({wanted[name, PROMPTS[0]] for name in models}) == len(models)
