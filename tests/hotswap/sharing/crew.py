"""A crew: whole servers without a model, that share one adapters directory."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from hotswap import config
from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from hotswap.api.shared.server_state import ServerState
from hotswap.echo import app
from hotswap.sharing.sharing import Sharing
from tests.servers import Live


def make(folder: Path, weights: str) -> Path:
    """An adapter as far as it is looked at without a model."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text('{"peft_type": "LORA"}')
    (folder / WEIGHTS_FILE).write_text(weights)
    return folder


class Crew:
    """`directory` is shared; sources lie in `stock` beside it."""

    def __init__(self, root: Path) -> None:
        self.directory, self.stock = root / "adapters", root / "stock"
        self.directory.mkdir()
        self.stock.mkdir()
        self.clients: list[httpx.Client] = []
        self.states: list[ServerState] = []
        self.sharing: list[Sharing] = []
        self._stacks: list[ExitStack] = []

    def join(self, **adapters: object) -> httpx.Client:
        """One more server. `adapters`: of its configuration."""
        told: dict[str, Any] = {
            "directory": str(self.directory),
            "roots": [str(self.stock)],
            "shared": True,
            "quiet_s": 0.05,
            **adapters,
        }
        sections: dict[str, Any] = {"model": {"path": "echo"}, "adapters": told}
        stack = ExitStack()
        made = app.build(config.load(None, sections))
        self.states.append(made.state.server)
        self.sharing.append(made.state.server.sharing)
        live = stack.enter_context(Live(made))
        self._stacks.append(stack)
        self.clients.append(stack.enter_context(live.client()))
        return self.clients[-1]

    def leave(self, server: int) -> None:
        self._stacks.pop(server).close()
        self.clients.pop(server)
        self.states.pop(server)
        self.sharing.pop(server)

    def __enter__(self) -> "Crew":
        self.join()
        self.join()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for stack in self._stacks:
            stack.close()

    def load(self, server: int, name: str, source: str, **body: Any) -> httpx.Response:
        body |= {"lora_name": name, "lora_path": str(self.stock / source)}
        return self.clients[server].post("/v1/load_lora_adapter", json=body)

    def generations(self, name: str) -> set[str]:
        """What each server answers with; an error's code where it does not."""
        body = {"model": name, "prompt": "x", "max_tokens": 1}
        answers = [each.post("/v1/completions", json=body) for each in self.clients]
        return {
            answer.headers.get("x-hotswap-generation", str(answer.status_code))
            for answer in answers
        }

    def rows(self, name: str) -> list[dict[str, Any]]:
        return [dict(c.get(f"/v1/adapters/{name}").json()) for c in self.clients]
