"""Banner: what a server says of itself when it is ready.

Where it is, what is served, and what it chose by itself, with the reason in brackets.
"""

from collections.abc import Iterator
from typing import Any

from hotswap.adapters.adapter_info import AdapterState
from hotswap.api.shared.server_state import ServerState
from hotswap.config import Config
from hotswap.logs.printable import MOST_OF_FIELD, cut

_GB = 2**30


class Banner:
    """`url`: where it listens; `seconds`: what the start took."""

    def __init__(
        self, config: Config, server: ServerState, url: str, seconds: float
    ) -> None:
        self._config, self._server, self._url = config, server, url
        self._seconds = seconds
        self._executor = server.executor
        self._device = str(server.executor.get("device", ""))
        rows = server.engine.status.adapters
        self._states = {
            state: [row.name for row in rows if row.state is state]
            for state in AdapterState
        }

    def fields(self) -> dict[str, Any]:
        """For programs."""
        memory, status = self._server.memory, self._server.engine.status
        return {
            "url": self._url,
            "seconds": round(self._seconds, 3),
            "model": self._server.base,
            "adapters_ready": len(self._states[AdapterState.READY]),
            "adapters_refused": len(self._states[AdapterState.FAILED]),
            **self._executor,
            "slots": memory.slots,
            "kv_tokens": memory.kv_tokens,
            "policy": self._config.schedule.policy,
            "wait_bound_s": status.wait_bound_s,
        }

    def lines(self) -> list[str]:
        """For people."""
        found = [*self._served(), *self._computed(), *self._scheduled(), *self._told()]
        return [f"{name:<12} {value}" for name, value in found]

    def _served(self) -> Iterator[tuple[str, str]]:
        server, directory = self._server, self._config.adapters.directory
        yield "page", f"{self._url}/ (routes: {self._url}/schema)"
        tokens = f"{server.engine.limit:,} tokens of a prompt and its answer"
        yield "model", f"{', '.join(server.names)}: {tokens}"
        words = {"READY": "ready", "FAILED": "refused", "LOADING": "being read"}
        counts = [f"{len(self._states[s])} {words[s.name]}" for s in AdapterState]
        where = f"from {directory}, which is watched" if directory else "none watched"
        yield "adapters", f"{', '.join(counts)}; {where}"
        if refused := self._states[AdapterState.FAILED]:
            yield "refused", cut(", ".join(refused), MOST_OF_FIELD)

        who = "asked for" if server.keys.is_locked else "none: all may do everything"
        yield "keys", who

    def _computed(self) -> Iterator[tuple[str, str]]:
        model, executor = self._config.model, self._executor
        if self._device:
            why = self._why(model.device, "no GPU is here", "a GPU is here")
            yield "device", f"{self._device} ({why})"
        if dtype := executor.get("dtype"):
            other = executor["compute_dtype"]
            kinds = f"{dtype}" if dtype == other else f"{dtype}, all else {other}"
            found = "the fastest, as timed here", "the model's own"
            yield "type", f"{kinds} ({self._why(model.dtype, *found)})"
            yield "kernels", f"{executor['kernels']} (pass: {executor['kind']})"

    def _scheduled(self) -> Iterator[tuple[str, str]]:
        memory, asked = self._server.memory, self._config.memory
        budget = f"the budget of {memory.budget_bytes / _GB:.1f} GB"
        why = self._why(asked.slots, f"half of {budget}", f"by {budget}")
        yield "slots", f"{memory.slots} of {memory.slot_bytes / _GB:.2f} GB ({why})"
        found = "a quarter of the budget", "what the budget has left"
        size = f"{memory.kv_tokens * memory.kv_token_bytes / _GB:.2f} GB"
        kv = f"{memory.kv_tokens:,} tokens, {size}"
        keeps = "on" if self._executor["prefix_cache"] else "off"
        why = self._why(asked.kv_tokens, *found)
        yield "KV", f"{kv} ({why}); prefix cache {keeps}"
        schedule, executor = self._config.schedule, self._executor
        jobs, tokens = executor["max_batch"], executor["prefill_tokens"]
        why = self._why(schedule.max_batch, "usual on a CPU", "usual on a GPU")
        yield "step", f"at most {jobs} jobs ({why}) and {tokens} prompt tokens"
        bound = self._server.engine.status.wait_bound_s
        waits = "no bound" if bound is None else f"first token within {bound:.1f} s"
        yield "policy", f"{schedule.policy}: {waits}, for whoever comes now"

    def _told(self) -> Iterator[tuple[str, str]]:
        log = self._config.log
        answers = "no line" if log.answers == "off" else f"a line at {log.answers}"
        yield "log", f"here, from {log.level} on; {answers} for each answer"

    def _why(self, asked: object, on_cpu: str, on_gpu: str) -> str:
        """Why a value is what it is."""
        if asked != "auto":
            return "as asked"
        if not self._device:
            return "auto: there is no model"
        return f"auto: {on_cpu if self._device == 'cpu' else on_gpu}"
