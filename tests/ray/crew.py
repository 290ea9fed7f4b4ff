"""A crew on Ray: replicas of the echo server behind Serve's own proxy, and clients."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import ray
from ray import serve

from hotswap import config
from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from hotswap.ray.deployment import NAME, application, tell_proxies
from hotswap.ray.deploying import http_options
from tests.servers import NO_TLS, free_port, wait_until

_STORE_BYTES = 200 * 2**20
REPLICA, GENERATION = "x-hotswap-replica", "x-hotswap-generation"


@contextmanager
def on_ray() -> Iterator[None]:
    """A Ray of its own on this machine, whose proxies have the front."""
    tell_proxies()
    root = str(Path(__file__).parent.parent.parent)
    os.environ["PYTHONPATH"] = root
    ray.init(
        "local",
        num_cpus=4,
        namespace="serve",
        object_store_memory=_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
    )
    try:
        yield
    finally:
        serve.shutdown()
        ray.shutdown()


def make(folder: Path, weights: str) -> Path:
    """An adapter as far as echo looks at it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text('{"peft_type": "LORA"}')
    (folder / WEIGHTS_FILE).write_text(weights)
    return folder


class Crew:
    """`root`: the adapters directory, and `stock` beside it, lie there."""

    def __init__(self, root: Path, **sections: dict[str, Any]) -> None:
        self.directory, self.stock = root / "adapters", root / "stock"
        self.directory.mkdir()
        self.stock.mkdir()
        self._port = free_port()
        self._sections = sections
        self.client = httpx.Client(base_url=self.url, timeout=60, verify=NO_TLS)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def settings(self, **deploy: Any) -> config.Config:
        told: dict[str, dict[str, Any]] = {
            "model": {"path": "echo"},
            "server": {"port": self._port, "drain_s": 10.0},
            "adapters": {
                "directory": str(self.directory),
                "roots": [str(self.stock)],
                "quiet_s": 0.05,
            },
            "deploy": {"replicas": 2, "cpus": 0.1, "report_s": 0.2, **deploy},
        }
        for section, values in self._sections.items():
            told.setdefault(section, {}).update(values)
        return config.load(None, told)

    def deploy(self, **deploy: Any) -> None:
        """Anew, or over what is there: a rolling update."""
        settings = self.settings(**deploy)
        serve.start("EveryNode", http_options(settings))
        serve.run(application(settings), name=NAME)
        wait_until(lambda: self.is_up(), limit_s=30)

    def is_up(self) -> bool:
        try:
            return self.client.get("/health/ready").status_code == 200
        except httpx.ConnectError:
            return False

    def replicas(self) -> list[str]:
        """Those that run, as Serve has them."""
        there = serve.status().applications[NAME].deployments[NAME]
        assert there.replica_states.get("RUNNING", 0) >= 0
        return sorted(self._seen())

    def running(self) -> int:
        there = serve.status().applications[NAME].deployments[NAME]
        return int(there.replica_states.get("RUNNING", 0))

    def _seen(self) -> set[str]:
        answers = [self.client.get("/health/live") for _ in range(40)]
        return {answer.headers[REPLICA] for answer in answers}

    def complete(self, adapter: str, prompt: str = "Hello", **body: Any) -> httpx.Response:
        body = {"model": adapter, "prompt": prompt, "max_tokens": 8, **body}
        return self.client.post("/v1/completions", json=body)

    def load(self, name: str, source: str, **body: Any) -> httpx.Response:
        body |= {"lora_name": name, "lora_path": str(self.stock / source)}
        return self.client.post("/v1/load_lora_adapter", json=body)

    def on(self, replica: str, path: str) -> httpx.Response:
        """Asked of one replica."""
        return self.client.get(path, headers={REPLICA: replica})

    def pids(self) -> dict[str, int]:
        """Processes, by replica."""
        found = {}
        for actor in ray.util.state.list_actors():
            if actor.class_name.startswith("ServeReplica") and actor.state == "ALIVE":
                found[actor.name.rpartition("#")[2]] = actor.pid
        return found


def who(answers: list[httpx.Response]) -> Counter[str]:
    return Counter(answer.headers.get(REPLICA, str(answer.status_code)) for answer in answers)
