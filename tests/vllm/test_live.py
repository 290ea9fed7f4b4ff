"""The command `hotswap serve --executor vllm`: thousands of mixed requests, a worker
that is killed, SIGTERM.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from peft import PeftModel

from tests import tiny
from tests.live.test_shutdown import stream_over_sigterm
from tests.servers import NO_TLS, free_port, spawned
from tests.vllm.asking import greedy
from tests.vllm.fixtures import HEAD_DIM
from tests.vllm.test_answers import PROMPTS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NAMES = ("", "a0", "a1", "a2")
TOKENS = 16
LENGTHS = (1, 5, TOKENS)


@dataclass(frozen=True)
class Folders:
    model: Path
    adapters: Path


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    root = tmp_path_factory.mktemp("live")
    for number, name in enumerate(NAMES[1:]):
        tiny.save_adapter(
            root / "adapters" / name,
            "llama",
            seed=number,
            strength=1.0,
            head_dim=HEAD_DIM,
            r=2**number,
        )
    model = tiny.save_model(root / "tiny", head_dim=HEAD_DIM)
    return Folders(model, root / "adapters")


@contextmanager
def serving(
    folders: Folders,
    log: Path,
    *flags: str,
    drain_s: float = 30,
    variables: dict[str, str] | None = None,
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    port = free_port()
    config = log.with_suffix(".toml")
    config.write_text(
        f"[server]\ndrain_s = {drain_s}\n[memory]\nslots = 2\nkv_tokens = 3200\n"
        "budget_gb = 1\n[model]\nmax_model_len = 512\n"
    )
    given = [f"{name}={value}" for name, value in (variables or {}).items()]
    command: list[str | Path] = ["env", *given]
    command += [sys.executable, "-m", "hotswap.cli", "serve", folders.model]
    command += ["--adapters", folders.adapters, "--port", str(port)]
    command += ["--config", config, "--dtype", "float32", "--executor", "vllm", *flags]
    with spawned(command, port, log) as server:
        yield f"http://127.0.0.1:{port}", server


def body(adapter: str, prompt: tuple[int, ...], tokens: int) -> dict[str, Any]:
    return {
        "prompt": list(prompt),
        "adapter": adapter,
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
        "return_token_ids": True,
    }


def right(folders: Folders, adapter: str, prompt: tuple[int, ...]) -> list[int]:
    base = tiny.model("llama", head_dim=HEAD_DIM)
    if not adapter:
        return greedy(base, prompt, TOKENS)
    peft = PeftModel.from_pretrained(base, folders.adapters / adapter)
    return greedy(peft.merge_and_unload().eval(), prompt, TOKENS)


async def test_of_three_thousand_mixed_requests_none_is_answered_wrongly(
    folders: Folders, tmp_path: Path
) -> None:
    wanted = {
        (name, prompt): right(folders, name, prompt)
        for name in NAMES
        for prompt in PROMPTS
    }
    wrong = []
    chosen = random.Random(1)
    places = asyncio.Semaphore(32)
    with serving(folders, tmp_path / "log") as (url, _):
        async with httpx.AsyncClient(timeout=300, verify=NO_TLS) as client:

            async def ask(name: str, prompt: tuple[int, ...], tokens: int) -> None:
                async with places:
                    answer = await client.post(
                        f"{url}/v1/completions", json=body(name, prompt, tokens)
                    )
                assert answer.status_code == 200, answer.text
                found = answer.json()["choices"][0]["token_ids"]
                if found != wanted[name, prompt][:tokens]:
                    wrong.append((name, prompt, tokens))

            asks = [
                (chosen.choice(NAMES), chosen.choice(PROMPTS), chosen.choice(LENGTHS))
                for _ in range(3000)
            ]
            await asyncio.gather(*[ask(*each) for each in asks])

    assert not wrong


def test_a_running_stream_is_finished_when_it_is_told_to_stop(
    folders: Folders, tmp_path: Path
) -> None:
    with serving(folders, tmp_path / "log") as (url, server):
        *_, done = stream_over_sigterm(url, server, max_tokens=200)

        assert done == "[DONE]"
        assert server.wait(30) in (0, -signal.SIGTERM)


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    below = [int(child) for child in listed.split()]
    return below + [each for child in below for each in children(child)]


def workers(pid: int) -> list[int]:
    """Those of vLLM's workers that `pid` has started."""
    return [
        child
        for child in children(pid)
        if b"VLLM::Worker" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="two ranks need two cores")
def test_a_rank_that_dies_fails_running_jobs_and_ends_the_server(
    folders: Folders, tmp_path: Path
) -> None:
    """Cut over two processes; before that, both say what PEFT says."""
    cores = {"VLLM_CPU_OMP_THREADS_BIND": "0|1"}
    with serving(
        folders, tmp_path / "log", "--tensor-parallel", "2", variables=cores
    ) as (url, server):
        for name in NAMES:
            said = httpx.post(
                f"{url}/v1/completions", json=body(name, PROMPTS[1], TOKENS), timeout=60
            )
            found = said.json()["choices"][0]["token_ids"]
            assert found == right(folders, name, PROMPTS[1])
        # Longer than it takes to find whom to kill
        long = {**body("a1", PROMPTS[1], 450), "stream": True, "n": 8}
        killed = False
        with httpx.stream(
            "POST", f"{url}/v1/completions", json=long, timeout=120
        ) as answer:
            for line in answer.iter_lines():
                if line.startswith("data: {"):
                    last = json.loads(line.removeprefix("data: "))
                    if not killed:
                        os.kill(workers(server.pid)[-1], signal.SIGKILL)
                        killed = True

        assert "a worker of vLLM's has ended" in last["error"]["message"]
        assert server.wait(60) == 4  # as when a thread of ours has ended
        told = (tmp_path / "log").read_text()
        assert "so ends the server" in told
        (tmp_path / "log").write_text("")  # it tells of the dead worker by a traceback
