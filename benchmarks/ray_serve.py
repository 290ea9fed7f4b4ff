"""Ray Serve: what the router adds to a request, and where a hot adapter goes.

Run as `python -m benchmarks.ray_serve` where hotswap[ray] is installed. Two replicas of
the echo server, which computes nothing, on this machine, each variant on a Ray of its
own, one after the other:

    direct     one server, no Ray
    plain      Ray's own router, without the front that reads what is named
    routed     hotswap's: the front and the router

The time of a request is a client's, one request at a time, so that the CPU of all
processes is in it. What it hides: a machine of two cores runs the client, the proxy,
two replicas and Ray's own processes; on more each would be faster.

Then Ray's multiplexing: requests for one model, many at once, to two replicas that
serve four at a time, when one has the model already. What the rule of
`scheduler.routing` makes of it is a test, `tests/ray/test_routing.py`.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import ray
from msgspec.structs import replace
from ray import serve
from ray.serve.config import HTTPOptions

from hotswap import config
from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from hotswap.echo import app
from hotswap.ray.deployment import NAME, application, tell_proxies
from hotswap.ray.proxy import FRONT_KEY
from hotswap.ray.replica import Replica
from tests.servers import Live, free_port, wait_until

_WARM, _ADAPTERS = 100, 8
_HOLD_S, _CLIENTS, _EACH, _HEARD_S = 0.05, 32, 12, 5.0


def settings(directory: Path) -> config.Config:
    told: dict[str, dict[str, Any]] = {
        "model": {"path": "echo"},
        "adapters": {"directory": str(directory)},
        "deploy": {"replicas": 2, "cpus": 0.1},
    }
    return config.load(None, told)


@contextmanager
def on_ray(port: int, *, has_front: bool) -> Iterator[None]:
    os.environ.pop(FRONT_KEY, None)
    if has_front:
        tell_proxies()
    os.environ["PYTHONPATH"] = str(Path.cwd())
    ray.init(
        "local",
        num_cpus=4,
        namespace="serve",
        object_store_memory=200 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
    )
    serve.start("EveryNode", HTTPOptions(host="127.0.0.1", port=port))
    try:
        yield
    finally:
        serve.shutdown()
        ray.shutdown()


def plain(told: config.Config) -> serve.Application:
    """The same replicas behind Ray's own router."""
    adapters = replace(told.adapters, shared=True)
    made = serve.deployment(
        Replica,
        name=NAME,
        num_replicas=2,
        max_ongoing_requests=3000,
        ray_actor_options={"num_cpus": 0.1},
    )
    return made.bind(replace(told, adapters=adapters))


def timed(url: str, requests: int) -> list[float]:
    """Milliseconds of each request."""
    taken = []
    with httpx.Client(base_url=url, timeout=60, verify=False) as client:
        wait_until(lambda: client.get("/health/ready").status_code == 200, 60)
        for number in range(_WARM + requests):
            body = {"model": f"a{number % _ADAPTERS}", "prompt": "Hello"}
            begun = time.perf_counter()
            answer = client.post("/v1/completions", json=body)
            taken.append(1e3 * (time.perf_counter() - begun))
            assert answer.status_code == 200, answer.text
    return taken[_WARM:]


def cost(directory: Path, requests: int, rounds: int) -> dict[str, list[float]]:
    """In turn, as the machine may be busy with other things now and then."""
    told = settings(directory)
    found: dict[str, list[float]] = {"direct": [], "plain": [], "routed": []}
    for _ in range(rounds):
        with Live(app.build(told)) as live:
            found["direct"] += timed(live.url, requests)
        port = free_port()
        with on_ray(port, has_front=False):
            serve.run(plain(told), name=NAME)
            found["plain"] += timed(f"http://127.0.0.1:{port}", requests)
        with on_ray(port, has_front=True):
            serve.run(application(told), name=NAME)
            found["routed"] += timed(f"http://127.0.0.1:{port}", requests)
    return found


class Multiplexed:
    """As Ray's guide has it: one model is loaded by who has it, four requests at once
    are served."""

    def __init__(self) -> None:
        self._seats = asyncio.Semaphore(4)
        self._name = serve.get_replica_context().replica_id.unique_id

    @serve.multiplexed(max_num_models_per_replica=3)
    async def model(self, name: str) -> str:
        return name

    async def __call__(self, request: object) -> str:
        await self.model(serve.get_multiplexed_model_id())
        async with self._seats:
            await asyncio.sleep(_HOLD_S)
        return self._name


def asked(url: str, clients: int, each: int) -> list[int]:
    """How many of the requests for one model each replica has answered."""
    found: Counter[str] = Counter()

    def client() -> None:
        headers = {"serve_multiplexed_model_id": "hot"}
        with httpx.Client(timeout=120, verify=False) as own:
            for _ in range(each):
                found[own.get(url, headers=headers).text] += 1

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(found.values(), reverse=True)


def multiplexed() -> list[int]:
    """The shares, once a replica is known to have the model."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with on_ray(port, has_front=False):
        made = serve.deployment(
            Multiplexed,
            num_replicas=2,
            max_ongoing_requests=3000,
            ray_actor_options={"num_cpus": 0.1},
        )
        serve.run(made.bind())
        asked(url, 1, 1)
        threading.Event().wait(_HEARD_S)
        return asked(url, _CLIENTS, _EACH)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=400, help="in each round")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        for number in range(_ADAPTERS):
            folder = Path(root) / f"a{number}"
            folder.mkdir()
            (folder / CONFIG_FILE).write_text('{"peft_type": "LORA"}')
            (folder / WEIGHTS_FILE).write_text(folder.name)
        took = cost(Path(root), args.requests, args.rounds)
    hot = multiplexed()
    print(f"{platform.machine()}, {os.cpu_count()} cores, ray {ray.__version__}\n")
    print("| | median ms | p99 ms |\n|---|---|---|")
    rows = {}
    for name, taken in took.items():
        middle, late = statistics.median(taken), statistics.quantiles(taken, n=100)[98]
        rows[name] = {"median_ms": round(middle, 2), "p99_ms": round(late, 2)}
        print(f"| {name} | {middle:.1f} | {late:.1f} |")
    print(f"\nof {sum(hot)} requests for one multiplexed model: {hot}")
    print(json.dumps({"requests": args.requests, **rows, "multiplexed": hot}))


if __name__ == "__main__":
    main()
