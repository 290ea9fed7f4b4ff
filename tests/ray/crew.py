"""A crew on Ray: replicas of a tiny model behind Serve's own proxy, and a client."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import httpx
import ray
from ray import serve
from ray.serve.config import HTTPOptions
from ray.serve.context import _get_global_client
from ray.serve.schema import ServeDeploySchema

from hotswap.ray.deployment import NAME, tell_proxies
from tests.servers import NO_TLS, free_port, wait_until

_STORE_BYTES = 200 * 2**20
REPLICA, ADAPTER, GENERATION = (
    "x-hotswap-replica",
    "x-hotswap-adapter",
    "x-hotswap-generation",
)
_PREFIX = f"SERVE_REPLICA::{NAME}#{NAME}#"
_PORT = free_port()  # Serve's proxies keep theirs


@contextmanager
def on_ray() -> Iterator[None]:
    """A Ray of its own on this machine, whose proxies have the front."""
    tell_proxies()
    os.environ["PYTHONPATH"] = str(Path(__file__).parent.parent.parent)
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


class Crew:
    """`root`: the adapters directory lies there. `stock` is where sources may lie."""

    url = f"http://127.0.0.1:{_PORT}"

    def __init__(
        self, root: Path, model: Path | str, stock: Path | None = None
    ) -> None:
        self._root = root
        self.directory, self.stock = root / "adapters", stock or root / "stock"
        self.directory.mkdir(exist_ok=True)
        self.stock.mkdir(exist_ok=True)
        self.model = model
        self.client = self.new_client()

    def new_client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, verify=NO_TLS)

    def deploy(
        self, replicas: int = 2, *, limit_s: float = 90, **sections: dict[str, Any]
    ) -> None:
        """As `serve deploy` does: other sections make a rolling update, another number
        alone does not. Returns when so many run."""
        told: dict[str, dict[str, Any]] = {
            "model": {"path": str(self.model), "dtype": "float32", "device": "cpu"},
            "memory": {"slots": 2, "kv_tokens": 8192},
            "server": {"drain_s": 10.0},
            "adapters": {
                "directory": str(self.directory),
                "roots": [str(self.stock)],
                "quiet_s": 0.05,
            },
            "deploy": {"cpus": 0.1, "report_s": 0.2},
        }
        for section, values in sections.items():
            told.setdefault(section, {}).update(values)
        file = self._root / f"{blake2b(repr(told).encode()).hexdigest()[:8]}.toml"
        file.write_text(toml(told))
        number = {} if "max_replicas" in told["deploy"] else {"num_replicas": replicas}
        wanted = {
            "name": NAME,
            "route_prefix": "/",
            "import_path": "hotswap.ray:app",
            "args": {"config": str(file)},
            "deployments": [{"name": NAME, **number}],
        }
        serve.start("EveryNode", HTTPOptions(host="127.0.0.1", port=_PORT))
        config = ServeDeploySchema.model_validate({"applications": [wanted]})
        client = _get_global_client()
        assert client is not None
        client.deploy_apps(config)
        wait_until(lambda: self._is_settled(replicas), limit_s=limit_s)
        wait_until(self.is_up, limit_s=30)

    def _is_settled(self, replicas: int) -> bool:
        there = serve.status().applications.get(NAME)
        if there is None or there.status != "RUNNING":
            return False
        return len(self.replicas()) == self.running == replicas

    def close(self) -> None:
        serve.delete(NAME)
        self.client.close()

    def is_up(self) -> bool:
        try:
            return self.client.get("/health/ready").status_code == 200
        except httpx.ConnectError:
            return False

    @property
    def running(self) -> int:
        there = serve.status().applications[NAME].deployments[NAME]
        return int(there.replica_states.get("RUNNING", 0))

    def replicas(self) -> list[str]:
        """The names of those that live, perhaps not ready yet."""
        there = ray.util.list_named_actors(all_namespaces=True)
        names = [actor["name"] for actor in there]
        return sorted(n.rpartition("#")[2] for n in names if n.startswith(_PREFIX))

    def kill(self, replica: str) -> None:
        """Its process, at once."""
        ray.kill(ray.get_actor(f"{_PREFIX}{replica}", namespace="serve"))

    def kill_controller(self) -> None:
        """Ray starts it again."""
        controller = ray.get_actor("SERVE_CONTROLLER_ACTOR", namespace="serve")
        ray.kill(controller, no_restart=False)

    def on(self, replica: str, path: str) -> httpx.Response:
        """Asked of one replica."""
        answer = self.client.get(path, headers={REPLICA: replica})
        assert answer.headers[REPLICA] == replica
        return answer

    def complete(
        self, adapter: str, prompt: str = "Hello", **body: Any
    ) -> httpx.Response:
        body = {"model": adapter, "prompt": prompt, "max_tokens": 8, **body}
        return self.client.post("/v1/completions", json={"temperature": 0, **body})

    def load(self, name: str, source: Path, **body: Any) -> httpx.Response:
        body |= {"lora_name": name, "lora_path": str(source)}
        return self.client.post("/v1/load_lora_adapter", json=body)


def toml(sections: dict[str, dict[str, Any]]) -> str:
    """Of texts, numbers, booleans and lists, which TOML writes as JSON does."""
    lines = []
    for section, values in sections.items():
        lines += [
            f"[{section}]",
            *(f"{k} = {json.dumps(v)}" for k, v in values.items()),
        ]
    return "\n".join(lines)
