"""The server that `benchmarks.http_cost` measures, in a process of its own.

It is `hotswap serve`, or the same parts with clients that hold the engine's tickets and
no HTTP. Commands come in lines on stdin, answers go out as JSON on stdout:

    cpu                        CPU seconds so far, by thread
    load CLIENTS REQUESTS SEED (tickets) tokens and seconds of that closed loop
"""

import asyncio
import importlib
import json
import os
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from random import Random
from typing import Any

from litestar import Litestar

from benchmarks.serve import IDS
from hotswap import config, serve, start
from hotswap.engine.engine import Engine
from hotswap.engine.messages import Submit
from hotswap.sampling_params import SamplingParams

PROMPT, OUTPUT, TOP = 80, 64, 256  # TOP: ids that the echo's small vocabulary has too
_TICKS = os.sysconf("SC_CLK_TCK")
# Beside the engine thread these compute, and nothing in Python knows them.
_NAMELESS = "OpenMP"


def prompts(seed: int, model: str) -> list[int]:
    ids = range(TOP) if model == "echo" else IDS
    return Random(seed).choices(ids, k=PROMPT)


def cpu_s() -> dict[str, float]:
    """By thread, of this process; those that Python has not started as one."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    found: dict[str, float] = {}
    for task in Path("/proc/self/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        name = names.get(int(task.name), _NAMELESS)
        ticks = int(fields[11]) + int(fields[12])
        found[name] = found.get(name, 0.0) + ticks / _TICKS
    return found


class Tickets:
    """The parts without HTTP: started, and asked on an event loop as routes ask."""

    def __init__(self, application: Litestar, model: str, adapter: str) -> None:
        self._application, self._model, self._adapter = application, model, adapter
        # What every route is given.
        state = application.dependencies["server"].dependency()  # type: ignore[union-attr]
        self._engine: Engine = state.engine
        self.up: Future[None] = Future()

    async def run(self) -> None:
        async with self._application.lifespan():
            while self._engine.status.adapter(self._adapter) is None:
                await asyncio.sleep(0.1)
            self.loop = asyncio.get_running_loop()
            self.up.set_result(None)
            await asyncio.Event().wait()

    async def load(self, clients: int, requests: int, seed: int) -> dict[str, float]:
        waiting = iter(range(requests))
        bodies = [prompts(seed + n, self._model) for n in range(requests)]
        answers: list[int] = []
        begun = time.perf_counter()

        async def client() -> None:
            for number in waiting:
                answers.append(await self._ask(bodies[number]))

        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(client())
        return {"tokens": sum(answers), "seconds": time.perf_counter() - begun}

    async def _ask(self, prompt: list[int]) -> int:
        ticket = self._engine.open_ticket()
        params = SamplingParams(max_tokens=OUTPUT, temperature=0, ignore_eos=True)
        try:
            self._engine.post(
                Submit(
                    ticket=ticket,
                    adapter=self._adapter,
                    prompt=tuple(prompt),
                    params=params,
                )
            )
            await ticket.accepted()
            return len([piece async for piece in ticket.pieces()])
        finally:
            ticket.close()


def _commands(tickets: Tickets | None) -> None:
    if tickets is not None:
        tickets.up.result()
        print(json.dumps({"up": True}), flush=True)
    for line in sys.stdin:
        match line.split():
            case ["cpu"]:
                answer = cpu_s()
            case ["load", clients, requests, seed] if tickets is not None:
                work = tickets.load(int(clients), int(requests), int(seed))
                answer = asyncio.run_coroutine_threadsafe(work, tickets.loop).result()
            case unknown:
                raise SystemExit(f"unknown command {unknown}")
        print(json.dumps(answer), flush=True)
    os._exit(0)  # who measures has gone


def main() -> None:
    how, model, directory, adapter, port, dtype = sys.argv[1:]
    flags: dict[str, dict[str, Any]] = {
        "model": {"path": model, "dtype": dtype},
        "adapters": {"directory": directory},
        "server": {"port": int(port)},
    }
    settings = config.load(None, flags)
    app = importlib.import_module(
        "hotswap.echo.app" if model == "echo" else "hotswap.app"
    )
    tickets = None
    with start.ready(settings) as bound:
        if how == "tickets":
            tickets = Tickets(app.build(settings), model, adapter)
        threading.Thread(target=_commands, args=[tickets], daemon=True).start()
        if tickets is not None:
            asyncio.run(tickets.run())
        else:
            serve.run(app.build, settings, bound, time.monotonic())


if __name__ == "__main__":
    main()
