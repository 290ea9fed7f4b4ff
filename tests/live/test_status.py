"""What /v1/status and /metrics tell of the scheduler's promises and decisions."""

import httpx

from tests.conftest import Live


def test_the_bound_on_a_wait_and_the_last_decisions_are_told(live: Live) -> None:
    body = {"prompt": "Hello", "adapter": "a1", "max_tokens": 4}
    httpx.post(f"{live.url}/v1/completions", json=body, timeout=60)

    status = httpx.get(f"{live.url}/v1/status").json()
    metrics = httpx.get(f"{live.url}/metrics").text

    assert status["wait_bound_s"] > 0
    assert status["drain_bound_s"] == 0
    assert status["cost_error"] is not None
    last = status["recent"][-1]
    assert last["mode"] in ("merged", "mixed")
    assert last["jobs"] == 1
    assert last["why"]
    assert "hotswap_wait_bound_seconds" in metrics
    assert "hotswap_step_prediction_error" in metrics
