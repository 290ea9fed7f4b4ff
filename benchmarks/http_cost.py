"""What HTTP costs beside the steps: `python -m benchmarks.http_cost`.

The same closed loop (16 streaming clients, one adapter, prompts of 80 tokens, 64 tokens
each) on two servers in turn: by the engine's tickets in its own process, and over HTTP
from this one. Tells tokens/s, and CPU seconds of the server by thread for each 1000
tokens; medians of the rounds. The clients here are plain sockets that look for the end
of an answer only; what they take all the same is told, and taken out of the time of the
"apart" row: they share the machine's cores with the server.

`--model echo` has no weights: it shows the whole cost of all that is no step.
Hides: the network, and clients that are slow to read.
"""

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from shutil import copytree
from statistics import median
from typing import Any

import httpx

from benchmarks.http_cost_server import OUTPUT, prompts
from hotswap.demo.__main__ import ADAPTERS, model_file

ADAPTER = "sql"  # rank 4 on all linear modules
_END = b"data: [DONE]"


class Server:
    """One that runs, as `how` says: by "tickets" or over "http"."""

    def __init__(self, how: str, model: str, directory: Path, dtype: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.how, self._model = how, model
        command = [sys.executable, "-m", "benchmarks.http_cost_server", how, model]
        command += [str(directory), ADAPTER, str(self.port), dtype]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def tell(self, command: str) -> dict[str, float]:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.heard()

    def heard(self) -> dict[str, float]:
        assert self.process.stdout is not None
        answer: dict[str, float] = json.loads(self.process.stdout.readline())
        return answer

    def wait_until_up(self) -> None:
        if self.how == "tickets":
            self.heard()
            return
        url = f"http://127.0.0.1:{self.port}/v1/adapters/{ADAPTER}"
        while True:
            try:
                answer = httpx.get(url, trust_env=False)
                if answer.is_success and answer.json()["state"] == "ready":
                    return
            except httpx.TransportError:
                if self.process.poll() is not None:
                    raise SystemExit("the server did not start") from None
            time.sleep(0.2)

    def load(self, clients: int, requests: int, seed: int) -> dict[str, float]:
        """Tokens, seconds, and CPU seconds by thread of one closed loop."""
        bodies = [_head(prompts(seed + n, self._model)) for n in range(requests)]
        before, own = self.tell("cpu"), time.process_time()
        if self.how == "tickets":
            found = self.tell(f"load {clients} {requests} {seed}")
        else:
            found = asyncio.run(_load(self.port, clients, bodies))
            found["clients"] = time.process_time() - own
        after = self.tell("cpu")
        spent = {name: after[name] - before.get(name, 0.0) for name in after}
        return found | {name: s for name, s in spent.items() if s > 0}


def _head(prompt: list[int]) -> bytes:
    body = json.dumps(
        {
            "model": ADAPTER,
            "prompt": prompt,
            "max_tokens": OUTPUT,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
        }
    ).encode()
    return (
        b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json"
        b"\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    )


class _Client(asyncio.Protocol):
    """Asks for the next answer when it has seen the last one's end."""

    def __init__(self, bodies: Iterator[bytes], done: asyncio.Future[None]) -> None:
        self._bodies, self._done = bodies, done
        self._tail = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-len(_END) - 16 :]
        if _END in self._tail and self._tail.endswith(b"0\r\n\r\n"):
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(SystemExit("the server has hung up"))

    def _ask(self) -> None:
        self._tail = b""
        body = next(self._bodies, None)
        if body is None:
            self._done.set_result(None)
            self._transport.close()
        else:
            self._transport.write(body)


async def _load(port: int, clients: int, bodies: list[bytes]) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    waiting = iter(bodies)
    ends: list[asyncio.Future[None]] = [loop.create_future() for _ in range(clients)]
    begun = time.perf_counter()
    for end in ends:
        await loop.create_connection(partial(_Client, waiting, end), "127.0.0.1", port)
    await asyncio.gather(*ends)
    seconds = time.perf_counter() - begun
    return {"tokens": len(bodies) * OUTPUT, "seconds": seconds}


@contextmanager
def servers(model: str, dtype: str) -> Iterator[list[Server]]:
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        made = []
        for how in ("tickets", "http"):
            folder = Path(scratch) / how
            copytree(ADAPTERS / ADAPTER, folder / ADAPTER)
            made.append(Server(how, model, folder, dtype))
            stack.callback(made[-1].process.wait)
            stack.callback(made[-1].process.terminate)
        for each in made:
            each.wait_until_up()
        yield made


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http_cost")
    parser.add_argument("--model", default="", help="echo, or a folder; the demo's")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    model = args.model or str(model_file())
    found: defaultdict[str, list[dict[str, float]]] = defaultdict(list)
    with servers(model, args.dtype) as both:
        for each in both:
            each.load(args.clients, args.clients, seed=1 << 20)  # warms up
        for number in range(args.rounds):
            for each in both:
                seed = (number + 1) * args.requests
                figures = each.load(args.clients, args.requests, seed)
                found[each.how].append(figures)
                print(
                    each.how, {k: round(v, 2) for k, v in figures.items()}, flush=True
                )
    report(found)


def report(found: dict[str, list[dict[str, float]]]) -> None:
    tables = {how: _figures(rounds) for how, rounds in found.items()}
    names = sorted({name for table in tables.values() for name in table})
    print(f"| | {' | '.join(tables)} |\n|---|---|---|")
    for name in names:
        cells = (f"{table.get(name, 0.0):.3f}" for table in tables.values())
        print(f"| {name} | {' | '.join(cells)} |")
    pairs = list(zip(found["http"], found["tickets"], strict=True))
    ratios = [_speed(http) / _speed(tickets) for http, tickets in pairs]
    apart = [_apart(http) / _speed(tickets) for http, tickets in pairs]
    print(json.dumps({"ratio": median(ratios), "ratio_apart": median(apart)}))


def _figures(rounds: list[dict[str, float]]) -> dict[str, float]:
    names = {name for figures in rounds for name in figures} - {"tokens", "seconds"}
    cpu = {
        f"CPU s / 1000 tokens: {name}": median(
            1000 * figures.get(name, 0.0) / figures["tokens"] for figures in rounds
        )
        for name in names
    }
    return {
        "tokens/s": median(map(_speed, rounds)),
        "tokens/s, clients apart": median(map(_apart, rounds)),
        **cpu,
    }


def _speed(figures: dict[str, float]) -> float:
    return figures["tokens"] / figures["seconds"]


def _apart(figures: dict[str, float]) -> float:
    """The clients' part of the cores is time that the server did not have."""
    cores = os.cpu_count() or 1
    return figures["tokens"] / (figures["seconds"] - figures.get("clients", 0) / cores)


if __name__ == "__main__":
    main()
