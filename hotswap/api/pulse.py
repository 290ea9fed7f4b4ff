"""Pulse: what a person who watches wants to know once a second.

All of it is in `/v1/status` as well, but for the rates, which are between two pulses.
"""

from typing import TypedDict

from hotswap.api.shared.server_state import ServerState
from hotswap.engine.queues import AdapterQueue
from hotswap.engine.turns import Turn
from scheduler import BASE

_MOST_QUEUES = 50


class Slot(TypedDict):
    """A generation whose merged weights are held, and the adapters that stand for it:
    none if it was replaced while it runs."""

    generation: str
    adapters: list[str]


class PulseBody(TypedDict):
    """Seconds and tokens. `now_s`: on the clock of turns. `turn`: the last one, which
    may go on. `queues`: those with the most jobs; `queues_left_out`: how many more
    there are. `slots`: how many there are; `held`: what they hold, golden among them
    where it stays. Rates are null in the first one."""

    now_s: float
    model: str
    turn: Turn | None
    resident: str
    slots: int
    held: list[Slot]
    waiting: int
    live: int
    queues: list[AdapterQueue]
    queues_left_out: int
    generated_tokens_per_s: float | None
    prefill_tokens_per_s: float | None
    latencies: dict[str, dict[str, float | None]]
    kv_tokens: int
    free_kv_tokens: int
    costs: dict[str, float]
    cost_error: float | None
    queue_s: float
    wait_bound_s: float | None
    gap_bound_s: float | None
    trouble: list[str]


class Pulse:
    """Of one client."""

    def __init__(self, server: ServerState) -> None:
        self._server = server
        self._before: tuple[float, int, int] | None = None

    def body(self) -> PulseBody:
        server, engine = self._server, self._server.engine
        now, now_s = engine.status, engine.now_s
        generated, prefilled = self._rates(now_s)
        return {
            "now_s": now_s,
            "model": server.base,
            "turn": engine.turns.last,
            "resident": now.resident,
            "slots": server.memory.slots,
            "held": self._held(),
            "waiting": now.waiting,
            "live": now.live,
            "queues": list(now.queues[:_MOST_QUEUES]),
            "queues_left_out": max(0, len(now.queues) - _MOST_QUEUES),
            "generated_tokens_per_s": generated,
            "prefill_tokens_per_s": prefilled,
            "latencies": engine.latencies.recent(),
            "kv_tokens": now.kv_tokens,
            "free_kv_tokens": now.free_kv_tokens,
            "costs": now.costs,
            "cost_error": now.cost_error,
            "queue_s": now.queue_s,
            "wait_bound_s": now.wait_bound_s,
            "gap_bound_s": now.gap_bound_s,
            "trouble": list(server.health.trouble),
        }

    def _rates(self, now_s: float) -> tuple[float | None, float | None]:
        """Tokens generated and computed of prompts in a second, since the last call."""
        counters = self._server.engine.status.counters
        before = self._before
        now = (now_s, counters.generated_tokens, counters.prefill_tokens)
        self._before = now
        if before is None or now_s <= before[0]:
            return None, None
        seconds = now_s - before[0]
        return (now[1] - before[1]) / seconds, (now[2] - before[2]) / seconds

    def _held(self) -> list[Slot]:
        now = self._server.engine.status
        names: dict[str, list[str]] = {key: [] for key in sorted(now.warm)}
        if BASE in names:
            names[BASE].append(BASE)
        for row in now.adapters:
            if row.generation in names:
                names[row.generation].append(row.name)
        return [{"generation": key, "adapters": found} for key, found in names.items()]
