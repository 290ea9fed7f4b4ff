"""Metrics: what Prometheus reads."""

import msgspec
from litestar import get
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hotswap.api.shared.server_state import Injected, ServerState
from scheduler import BASE


@get("/metrics", media_type="text/plain; version=0.0.4")
async def metrics(server: Injected) -> bytes:
    """Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Metrics(server))
    return generate_latest(registry)


class _Metrics(Collector):
    def __init__(self, server: ServerState) -> None:
        self._server = server

    def collect(self) -> list[Metric]:
        now = self._server.engine.status
        found: list[Metric] = [
            GaugeMetricFamily(f"hotswap_{name}", text, value=value)
            for name, text, value in (
                ("jobs_waiting", "Jobs that hold no KV yet", now.waiting),
                ("jobs_live", "Jobs running or parked", now.live),
                ("kv_tokens", "Tokens the KV store holds", now.kv_tokens),
                ("kv_tokens_free", "Tokens not reserved", now.free_kv_tokens),
                ("adapter_bytes", "Host memory that adapters take", now.loaded_bytes),
                (
                    "batched_lora_bytes",
                    "Memory of mixed steps' stacks",
                    now.batched_lora_bytes,
                ),
                ("slots_warm", "Slots holding an adapter", len(now.warm - {BASE})),
                (
                    "step_prediction_error",
                    "Median relative error of the last predictions of a step",
                    now.cost_error or 0.0,
                ),
                (
                    "wait_bound_seconds",
                    "First token of a job accepted now, at worst; 0: no bound",
                    now.wait_bound_s or 0.0,
                ),
                (
                    "gap_bound_seconds",
                    "Gap in a stream of an adapter within its share, at worst; 0: none",
                    now.gap_bound_s or 0.0,
                ),
                (
                    "queue_seconds",
                    "Expected until all who wait now have begun",
                    now.queue_s,
                ),
            )
        ]
        for name, value in msgspec.to_builtins(now.counters).items():
            found.append(
                CounterMetricFamily(f"hotswap_{name}", f"Total {name}", value=value)
            )
        by_adapter = CounterMetricFamily(
            "hotswap_adapter_requests", "Jobs by adapter", labels=["adapter"]
        )
        is_ready = GaugeMetricFamily(
            "hotswap_adapter_ready", "1 if served, else 0", labels=["adapter"]
        )
        for known in now.adapters:
            if known.is_nameless:  # of sums there is no end
                continue
            by_adapter.add_metric([known.name], known.requests)
            is_ready.add_metric([known.name], known.generation is not None)
        by_code = CounterMetricFamily(
            "hotswap_http_responses", "Answers by HTTP code", labels=["code"]
        )
        for code, count in sorted(self._server.answers.items()):
            by_code.add_metric([str(code)], count)
        return [*found, by_adapter, is_ready, by_code]


ROUTES = [metrics]
