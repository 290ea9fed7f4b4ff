"""Server families: `hotswap_...` of the server as a whole."""

from collections.abc import Iterable
from math import inf, nan

from hotswap import __version__
from hotswap.api.metrics.exposition import Family, Kind, labelled
from hotswap.api.metrics.refusals import REASONS
from hotswap.api.shared.server_state import ServerState
from hotswap.engine.latencies import Latencies
from hotswap.engine.status import Counters, Status
from scheduler import BASE

Row = tuple[str, float, str]  # name, value, what it is


def families(server: ServerState, now: Status) -> list[Family]:
    refused = Family(
        "hotswap_requests_refused", "counter", "Requests turned away, by kind of error"
    )
    for reason in sorted({*REASONS, *dict(server.refusals)}):
        refused.add(server.refusals[reason], labelled(reason=reason))
    responses = Family("hotswap_http_responses", "counter", "Answers by HTTP code")
    for code, count in sorted(dict(server.answers).items()):
        responses.add(count, labelled(code=str(code)))
    reads = Family(
        "hotswap_adapter_read_seconds", "histogram", "Reads of an adapter's folder"
    )
    return [
        _info(server),
        *_each("gauge", _gauges(server, now)),
        *_each("counter", _counters(now.counters)),
        _refused_jobs(now.counters),
        *_machine(server.engine.latencies),
        reads.observe(server.reads.observed()),
        refused,
        responses,
    ]


def _info(server: ServerState) -> Family:
    said = labelled(
        version=__version__,
        model=server.base,
        executor=str(server.executor.get("kind", "")),
        dtype=str(server.executor.get("dtype", "")),
    )
    return Family("hotswap_server", "info", "What serves which model").add(1, said)


def _each(kind: Kind, rows: Iterable[Row]) -> list[Family]:
    return [
        Family(f"hotswap_{name}", kind, about).add(value) for name, value, about in rows
    ]


def _gauges(server: ServerState, now: Status) -> tuple[Row, ...]:
    """What is not known is no number; what has no bound is infinite."""
    error, wait_s, gap_s = now.cost_error, now.wait_bound_s, now.gap_bound_s
    return (
        ("jobs_waiting", now.waiting, "Jobs without KV cache"),
        ("jobs_reading", now.reading, "Jobs whose adapter is read or made first"),
        ("jobs_live", now.live, "Jobs with KV cache, running or parked"),
        ("kv_tokens", now.kv_tokens, "Tokens the KV cache holds"),
        ("kv_tokens_free", now.free_kv_tokens, "Tokens not reserved"),
        ("adapter_bytes", now.loaded_bytes, "Host memory that adapters take"),
        (
            "batched_lora_bytes",
            now.batched_lora_bytes,
            "Memory of the mixed steps' adapters on the device",
        ),
        ("slots", server.memory.slots, "Slots for merged adapters"),
        ("slots_warm", len(now.warm - {BASE}), "Slots that hold an adapter"),
        (
            "step_prediction_error_ratio",
            nan if error is None else error,
            "Median relative error of the last predictions of a step",
        ),
        (
            "wait_bound_seconds",
            inf if wait_s is None else wait_s,
            "First token of a job accepted now, at worst",
        ),
        (
            "gap_bound_seconds",
            inf if gap_s is None else gap_s,
            "Gap in a stream of an adapter within its share, at worst",
        ),
        ("queue_seconds", now.queue_s, "Expected until all who wait now have begun"),
    )


def _counters(totals: Counters) -> tuple[Row, ...]:
    return (
        ("jobs_accepted", totals.accepted, "Jobs taken"),
        ("jobs_finished", totals.finished, "Jobs that had their last token"),
        ("jobs_cancelled", totals.cancelled, "Jobs whose client left"),
        ("jobs_failed", totals.failed, "Accepted jobs that ended with an error"),
        ("preemptions", totals.preemptions, "Jobs sent back as KV cache ran out"),
        ("prefill_tokens", totals.prefill_tokens, "Tokens of prompts computed"),
        ("generated_tokens", totals.generated_tokens, "Tokens sampled"),
        (
            "prefix_cache_queried_tokens",
            totals.prefix_cache_queries,
            "Tokens of prompts looked up in the prefix cache",
        ),
        (
            "prefix_cache_hit_tokens",
            totals.prefix_cache_hits,
            "Tokens of prompts found in the prefix cache",
        ),
    )


def _refused_jobs(totals: Counters) -> Family:
    refused = Family(
        "hotswap_jobs_refused", "counter", "Jobs the engine turned away, by error"
    )
    for reason, count in sorted(totals.refused_by_reason.items()):
        refused.add(count, labelled(reason=reason))
    return refused


def _machine(latencies: Latencies) -> list[Family]:
    """What steps and swaps took."""
    steps = Family("hotswap_step_seconds", "histogram", "Forward passes, by mode")
    for mode, step in latencies.step.items():
        steps.observe(step.observed(), labelled(mode=mode.value))
    swaps = Family("hotswap_swap_seconds", "histogram", "Swaps of weights, by kind")
    for kind, swap in latencies.swap.items():
        swaps.observe(swap.observed(), labelled(kind=kind))
    return [steps, swaps]
