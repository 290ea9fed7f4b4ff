"""What a request and its adapter's sidecar say, as the engine is told it."""

import pytest
from litestar.testing import TestClient

from tests.fake_server import BODIES, FakeEngine, message_of


@pytest.mark.parametrize("path", BODIES)
def test_a_sidecar_speaks_where_the_request_is_silent(
    path: str, client: TestClient, engine: FakeEngine
) -> None:
    message = message_of(client, engine, path, "said")

    assert message.params.stop == ("#",)
    assert message.params.max_tokens == 5
    assert (message.params.priority, message.weight) == (-1, 2.0)
    params = message.params
    assert (params.temperature, params.top_p, params.top_k) == (0.5, 0.9, 7)


@pytest.mark.parametrize("path", BODIES)
def test_what_the_request_says_wins_over_the_sidecar(
    path: str, client: TestClient, engine: FakeEngine
) -> None:
    message = message_of(
        client,
        engine,
        path,
        "said",
        stop=[],
        max_tokens=2,
        temperature=0.25,
        top_p=0.5,
        top_k=3,
        seed=1,
        priority=0,
        deadline_s=1.5,
    )

    assert message.params.stop == ()
    assert message.params.max_tokens == 2
    assert (message.params.priority, message.params.deadline_s) == (0, 1.5)
    params = message.params
    assert (params.temperature, params.top_p) == (0.25, 0.5)
    assert (params.top_k, params.seed) == (3, 1)


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("adapter", ["plain", ""])
def test_without_a_sidecar_each_route_has_its_own_defaults(
    adapter: str, path: str, client: TestClient, engine: FakeEngine
) -> None:
    message = message_of(client, engine, path, adapter)

    limits = {"/v1/completions": 16, "/invocations": 30}
    assert message.params.max_tokens == limits.get(path)
    assert message.params.temperature == (0 if path == "/invocations" else 1)
    assert (message.params.top_p, message.params.top_k) == (1, 0)
    assert (message.params.stop, message.params.priority, message.weight) == (
        (),
        0,
        1.0,
    )
    assert message.params.deadline_s is None


def test_do_sample_of_a_request_decides_over_a_sidecars_temperature(
    client: TestClient, engine: FakeEngine
) -> None:
    greedy = message_of(client, engine, "/invocations", "said", do_sample=False)
    sampled = message_of(client, engine, "/invocations", "said", do_sample=True)

    assert greedy.params.temperature == 0
    assert sampled.params.temperature == 0.5


@pytest.mark.parametrize(
    ("path", "adapter"),
    [
        ("/invocations", "other"),
        ("/v1/completions", "other"),
        ("/predictions/endpoint", ""),
    ],
)
def test_aliases_and_endpoints_stand_for_the_adapter_with_its_sidecar(
    path: str, adapter: str, client: TestClient, engine: FakeEngine
) -> None:
    message = message_of(client, engine, path, adapter)

    assert (message.adapter, message.params.priority) == ("said", -1)


@pytest.mark.parametrize("name", ["base", "tiny", "tiny:base"])
def test_every_name_of_the_bare_model_is_the_bare_model(
    name: str, client: TestClient, engine: FakeEngine
) -> None:
    response = client.post("/v1/completions", json={"model": name, "prompt": "x"})

    assert response.status_code == 200, response.text
    assert engine.messages[-1].adapter == ""
    assert response.headers["x-hotswap-adapter"] == "base"
