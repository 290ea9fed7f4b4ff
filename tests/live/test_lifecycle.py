"""The adapters directory of a real server under load, in a burst, and after kill -9."""

import asyncio
import json
import os
import shutil
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from hotswap import app
from hotswap.adapters.file_names import WEIGHTS_FILE
from tests import tiny
from tests.servers import NO_TLS, Live, free_port, settings, spawned, wait_until

pytestmark = pytest.mark.slow

BODY = {"prompt": "Hello", "temperature": 0, "ignore_eos": True}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two adapters, `x` and `y`, that differ in their weights alone."""
    root = tmp_path_factory.mktemp("kinds")
    for seed, name in enumerate("xy"):
        tiny.save_adapter(root / name, "llama", seed, strength=1.5)
    return root


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "adapters").mkdir()
    return tmp_path / "adapters"


@pytest.fixture
def server(model_folder: Path, directory: Path) -> Iterator[Live]:
    with Live(app.build(settings(model_folder, directory, patience_s=0.05))) as live:
        yield live


def listed(url: str) -> dict[str, dict[str, Any]]:
    answer = httpx.get(f"{url}/v1/adapters", timeout=60, verify=NO_TLS)
    data = answer.json()["data"]
    return {each["name"]: each for each in data}


def drop(url: str, folder: Path, target: Path) -> str:
    """Copy a folder in; its generation, once it is served."""
    shutil.copytree(folder, target)
    wait_until(lambda: listed(url).get(target.name, {}).get("state") == "ready")
    return str(listed(url)[target.name]["generation"])


async def test_two_hundred_requests_in_flight_each_belong_to_one_generation(
    server: Live, directory: Path, kinds: Path
) -> None:
    url = server.url
    generations = {name: drop(url, kinds / name, directory / name) for name in "xy"}
    body = {**BODY, "max_tokens": 24}
    wanted = {
        generation: httpx.post(
            f"{url}/v1/completions", json={**body, "model": name}, timeout=60
        ).json()["choices"][0]["text"]
        for name, generation in generations.items()
    }
    drop(url, kinds / "x", directory / "one")

    async def ask(client: httpx.AsyncClient) -> tuple[str, str]:
        answer = await client.post("/v1/completions", json={**body, "model": "one"})
        assert answer.status_code == 200, answer.text
        text = answer.json()["choices"][0]["text"]
        return answer.headers["x-hotswap-generation"], text

    def is_served(generation: str) -> bool:
        return bool(listed(url)["one"]["generation"] == generation)

    def replace() -> None:
        for name in ("y", "x", "y"):
            shutil.copy(kinds / name / WEIGHTS_FILE, directory / "one" / ".next")
            os.replace(directory / "one" / ".next", directory / "one" / WEIGHTS_FILE)
            wait_until(partial(is_served, generations[name]), limit_s=30)

    answers: list[tuple[str, str]] = []
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as client:
        first = [asyncio.create_task(ask(client)) for _ in range(200)]
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        changing = asyncio.create_task(asyncio.to_thread(replace))

        async def follow(task: asyncio.Task[tuple[str, str]]) -> None:
            answers.append(await task)
            while not changing.done():
                answers.append(await ask(client))

        await asyncio.gather(*map(follow, first))
        await changing
        answers.append(await ask(client))

    assert len(answers) > 200
    for generation, text in answers:
        assert text == wanted[generation]
    assert answers[-1][0] == generations["y"]
    served = Counter(generation for generation, _ in answers)
    assert len(served) == 2, f"no request met a replacement: {served}"


def test_a_burst_of_hundreds_of_folders_is_adopted_beside_a_running_stream(
    server: Live, directory: Path, kinds: Path
) -> None:
    url = server.url
    drop(url, kinds / "x", directory / "one")
    body = {**BODY, "model": "one", "max_tokens": 450, "stream": True}
    alone = httpx.post(f"{url}/v1/completions", json=body, timeout=60).text

    def burst() -> None:
        for number in range(400):
            shutil.copytree(kinds / "y", directory / f"b{number}")

    copying = threading.Thread(target=burst)
    copying.start()
    beside = httpx.post(f"{url}/v1/completions", json=body, timeout=60).text
    copying.join()
    wait_until(lambda: len(listed(url)) == 401)  # as loading, long before the last

    def states() -> Counter[str]:
        return Counter(each["state"] for each in listed(url).values())

    wait_until(lambda: states()["loading"] == 0, limit_s=240)

    def text(stream: str) -> str:
        lines = [line for line in stream.splitlines() if line.startswith("data: {")]
        return "".join(json.loads(line[6:])["choices"][0]["text"] for line in lines)

    assert text(beside) == text(alone)
    assert states() == {"ready": 401}
    assert len({each["generation"] for each in listed(url).values()}) == 2


def test_after_kill_9_in_a_registration_it_is_there_or_not_and_the_rest_is(
    model_folder: Path, directory: Path, kinds: Path, tmp_path: Path
) -> None:
    for name in ("first", "second", "third"):
        shutil.copytree(kinds / "x", directory / ".stock" / name)
    command = [sys.executable, "-m", "hotswap.cli", "serve", str(model_folder)]
    command += ["--adapters", str(directory), "--dtype", "float32", "--port"]

    def register(url: str, name: str) -> httpx.Response:
        body = {"lora_name": name, "lora_path": f".stock/{name}"}
        return httpx.post(f"{url}/v1/load_lora_adapter", json=body, timeout=60)

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with spawned([*command, str(port)], port, tmp_path / "log1") as process:
        assert register(url, "first").status_code == 200
        doomed = threading.Thread(target=_ignoring, args=(register, url, "second"))
        doomed.start()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
        doomed.join()

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with spawned([*command, str(port)], port, tmp_path / "log2"):
        known = listed(url)
        assert known.keys() in ({"first"}, {"first", "second"})
        for name in known:
            answer = httpx.post(
                f"{url}/v1/completions", json={**BODY, "model": name}, timeout=60
            )
            assert answer.status_code == 200
            assert answer.headers["x-hotswap-adapter"] == name
        assert register(url, "third").status_code == 200


def _ignoring(call: Any, *arguments: str) -> None:
    with suppress(httpx.TransportError):  # the server is killed meanwhile
        call(*arguments)
