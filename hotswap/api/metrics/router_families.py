"""Router families: `vllm:...`, the metrics of vLLM by which routers choose a server.

Names, labels and types are those that the routers' own code reads:

- the Gateway API inference extension's model server protocol (its proposal 003), and
  llm-d's router, which goes on with it (docs/plugin-metric-protocol.md and
  extractor/metrics/): queue, KV, `lora_requests_info`, residency, load times;
- AIBrix (pkg/metrics/metrics.go, pkg/cache/cache_metrics.go): those, the counters of
  tokens and the histograms.

docs/metrics.md says what each means here. "GPU" is wherever the model computes: an
adapter occupies a GPU slot if it is merged into one of the slots.
"""

import time
from collections.abc import Iterable, Iterator

from hotswap.adapters.adapter_info import AdapterInfo, AdapterState
from hotswap.api.metrics.adapter_families import Waits
from hotswap.api.metrics.exposition import Family, labelled
from hotswap.api.shared.server_state import ServerState
from hotswap.engine.latencies import merged
from hotswap.engine.status import Status


def families(
    server: ServerState, now: Status, waited: dict[str, Waits]
) -> Iterator[Family]:
    model = labelled(model_name=server.base, engine="0")
    yield from _load(now, model)
    yield from _totals(now, model)
    yield from _waits(server, waited, model)
    yield from _adapters(server, now, model)
    block_tokens = server.engine.kv_block_tokens
    cache = labelled(
        engine="0",
        block_size=str(block_tokens),
        num_gpu_blocks=str(now.kv_tokens // block_tokens),
        enable_prefix_caching=str(server.engine.has_prefix_cache),
    )
    about = "KV cache: tokens of a block, and blocks"
    yield Family("vllm:cache_config_info", "gauge", about).add(1, cache)


def _load(now: Status, model: str) -> Iterator[Family]:
    yield Family("vllm:num_requests_running", "gauge", "Jobs with KV cache").add(
        now.live, model
    )
    yield Family("vllm:num_requests_waiting", "gauge", "Jobs without KV cache").add(
        now.waiting + now.reading, model
    )
    usage = 1 - now.free_kv_tokens / now.kv_tokens
    yield Family(
        "vllm:kv_cache_usage_perc", "gauge", "Share of the KV cache in use, 0 to 1"
    ).add(usage, model)


def _totals(now: Status, model: str) -> Iterator[Family]:
    totals = now.counters
    for name, value, about in (
        ("num_preemptions", totals.preemptions, "Jobs sent back as KV cache ran out"),
        ("prompt_tokens", totals.prefill_tokens, "Tokens of prompts computed"),
        ("generation_tokens", totals.generated_tokens, "Tokens sampled"),
        ("prefix_cache_queries", totals.prefix_cache_queries, "Tokens looked up"),
        ("prefix_cache_hits", totals.prefix_cache_hits, "Tokens found"),
    ):
        yield Family(f"vllm:{name}", "counter", about).add(value, model)
    finished = Family("vllm:request_success", "counter", "Jobs that ended, by reason")
    for reason, value in (
        ("stop", totals.stopped),
        ("length", totals.finished - totals.stopped),
        ("abort", totals.cancelled),
        ("error", totals.failed),
    ):
        finished.add(value, f"{model},{labelled(finished_reason=reason)}")
    yield finished


def _waits(
    server: ServerState, waited: dict[str, Waits], model: str
) -> Iterator[Family]:
    latencies = server.engine.latencies
    between = merged([each.between_tokens for each in waited.values()])
    for name, observed, about in (
        (
            "time_to_first_token",
            merged([each.first_token for each in waited.values()]),
            "From the request to the first token",
        ),
        ("inter_token_latency", between, "From a token to the next one"),
        ("time_per_output_token", between, "The same, by its older name"),
        (
            "e2e_request_latency",
            merged([each.whole for each in waited.values()]),
            "From the request to the last token",
        ),
        (
            "request_queue_time",
            latencies.queue.observed(),
            "From the request to the first step",
        ),
        (
            "request_prefill_time",
            latencies.prefill.observed(),
            "From the first step to the first token",
        ),
        (
            "request_decode_time",
            latencies.decode.observed(),
            "From the first token to the last one",
        ),
    ):
        family = Family(f"vllm:{name}_seconds", "histogram", about)
        yield family.observe(observed, model)


def _adapters(server: ServerState, now: Status, model: str) -> Iterator[Family]:
    """Which adapters are where."""
    served = [
        row
        for row in now.adapters
        if row.state is AdapterState.READY and not row.is_nameless
    ]
    loaded = Family("vllm:lora_adapter_loaded", "gauge", "1 where an adapter resides")
    for row in served:
        is_merged = row.generation in now.warm
        if row.is_loaded or is_merged:
            where = labelled(
                adapter_name=row.name,
                level="gpu" if is_merged else "cpu",
                pinned="true" if row.origin.pin else "false",
                rank=str(row.generation_info.rank or 0),
            )
            loaded.add(1, f"{model},{where}")
    yield loaded
    in_slots = {row.generation for row in served} & now.warm
    in_memory = sum(row.is_loaded for row in served)
    slots = server.memory.slots
    for name, value, about in (
        ("num_gpu_loaded_lora_adapters", len(in_slots), "Slots that hold an adapter"),
        ("num_cpu_loaded_lora_adapters", in_memory, "Adapters in host memory"),
        ("max_gpu_lora_adapters", slots, "Slots"),
    ):
        yield Family(f"vllm:{name}", "gauge", about).add(value, model)
    yield _load_seconds(server, model)
    yield _requests(served, now, slots)


def _load_seconds(server: ServerState, model: str) -> Family:
    swap = server.engine.latencies.swap
    into_slots = merged([swap["cold"].observed(), swap["ahead"].observed()])
    family = Family(
        "vllm:lora_adapter_load_seconds",
        "histogram",
        "load: a folder into host memory; activate: from there into a slot",
    )
    for transition, observed in (
        ("load", server.reads.observed()),
        ("activate", into_slots),
    ):
        family.observe(observed, f"{model},{labelled(transition=transition)}")
    return family


def _requests(served: Iterable[AdapterInfo], now: Status, slots: int) -> Family:
    """`running`: in a slot, or with jobs that compute now; each is at most in one of
    the lists, as the router adds up their lengths."""
    there = now.warm | now.serving
    running, waiting = [], []
    for row in served:
        if not _can_be_listed(row.name):
            continue
        if row.generation in there:
            running.append(row.name)
        elif row.leases or row.name in now.awaited:
            waiting.append(row.name)
    lists = labelled(
        max_lora=str(slots),
        running_lora_adapters=",".join(running),
        waiting_lora_adapters=",".join(waiting),
    )
    about = "Adapters that are ready, and that are waited for; when it was so"
    return Family("vllm:lora_requests_info", "gauge", about).add(time.time(), lists)


def _can_be_listed(name: str) -> bool:
    """Whether a router, which splits at commas and strips, reads it as it is."""
    return "," not in name and name == name.strip()
