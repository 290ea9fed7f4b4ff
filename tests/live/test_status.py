"""What /v1/status and /metrics tell of the scheduler's promises and decisions."""

import httpx

from tests.servers import Live


def test_the_bound_on_a_wait_and_the_last_decisions_are_told(live: Live) -> None:
    body = {"prompt": "Hello", "adapter": "a1", "max_tokens": 4}
    httpx.post(f"{live.url}/v1/completions", json=body, timeout=60)

    status = httpx.get(f"{live.url}/v1/status").json()
    metrics = httpx.get(f"{live.url}/metrics").text

    assert status["wait_bound_s"] > 0
    assert status["gap_bound_s"] > 0
    assert status["queue_s"] == 0
    assert status["cost_error"] is not None
    last = status["recent"][-1]
    assert last["mode"] in ("merged", "mixed")
    assert last["jobs"] == 1
    assert last["why"]
    assert "hotswap_wait_bound_seconds" in metrics
    assert "hotswap_step_prediction_error_ratio" in metrics


def test_memory_is_told_by_what_takes_it(live: Live) -> None:
    status = httpx.get(f"{live.url}/v1/status").json()
    metrics = httpx.get(f"{live.url}/metrics").text

    memory = status["memory"]
    assert 0 < status["loaded_bytes"] <= memory["adapter_bytes"]
    assert memory["slots"] == 2
    assert memory["golden_stays"] is True
    counted = ("budget_bytes", "golden_bytes", "slot_bytes", "kv_token_bytes")
    assert all(memory[name] > 0 for name in counted)
    assert f"hotswap_batched_lora_bytes {status['batched_lora_bytes']}\n" in metrics


def test_how_tokens_are_computed_is_told(live: Live) -> None:
    status = httpx.get(f"{live.url}/v1/status").json()

    assert status["executor"] == {
        "kind": "llama",
        "launches_ahead": False,
        "prefix_cache": True,
        "device": "cpu",
        "dtype": "float32",
        "compute_dtype": "float32",
        "kernels": status["executor"]["kernels"],  # as timed here
        "max_batch": 16,
        "prefill_tokens": 256,
    }
