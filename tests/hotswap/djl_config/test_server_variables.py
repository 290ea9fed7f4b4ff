"""SERVING_... variables say what the server does, whatever model it serves."""

import pytest

from tests.hotswap.djl_config.folders import refusal, started

SERVING: dict[str, tuple[str, str, object]] = {
    "a host": ("INFERENCE_ADDRESS", "http://0.0.0.0:8081", ("0.0.0.0", 8081)),
    "its port": ("INFERENCE_ADDRESS", "http://h", ("h", 80)),
    "origins": ("CORS_ALLOWED_ORIGIN", "https://a.b", ("https://a.b",)),
    "a body": ("MAX_REQUEST_SIZE", "1000", (1000, 64 << 20)),
    "a large one": ("MAX_REQUEST_SIZE", str(1 << 30), (1 << 30, 1 << 30)),
    "a queue": ("JOB_QUEUE_SIZE", "7", 7),
}


@pytest.mark.parametrize(("name", "text", "expected"), SERVING.values(), ids=SERVING)
def test_a_variable_of_the_server_sets_what_it_means(
    name: str, text: str, expected: object
) -> None:
    config = started("org/name", {f"SERVING_{name}": text}).config

    found = {
        "INFERENCE_ADDRESS": (config.server.host, config.server.port),
        "CORS_ALLOWED_ORIGIN": config.server.cors_origins,
        "MAX_REQUEST_SIZE": (config.limits.body_bytes, config.limits.all_bodies_bytes),
        "JOB_QUEUE_SIZE": config.schedule.max_waiting,
    }
    assert found[name] == expected


def test_a_variable_that_nobody_knows_is_in_the_warning() -> None:
    environment = {"OPTION_MAX_LORA": "4", "SERVING_PORT": "tcp://1", "PATH": "/bin"}

    (said,) = started("org/name", environment).unheeded

    assert said == "OPTION_MAX_LORA, SERVING_PORT: this server has no such option"


def test_https_takes_its_certificate_and_nothing_else_does() -> None:
    pem = {"SERVING_CERTIFICATE_FILE": "c", "SERVING_PRIVATE_KEY_FILE": "k"}
    address = {"SERVING_INFERENCE_ADDRESS": "https://127.0.0.1"}

    both = started("org/name", {**pem, **address}).config.server
    without = started("org/name", pem)

    assert (both.port, both.tls_cert, both.tls_key) == (443, "c", "k")
    assert not without.config.server.tls_cert
    assert len(without.unheeded) == 2
    assert "SERVING_CERTIFICATE_FILE" in refusal("org/name", address)


def test_management_on_an_address_of_its_own_ends_the_start() -> None:
    here, there = "http://0.0.0.0:8080", "http://127.0.0.1:8081"
    same = {"SERVING_INFERENCE_ADDRESS": here, "SERVING_MANAGEMENT_ADDRESS": here}
    other = {**same, "SERVING_MANAGEMENT_ADDRESS": there}

    assert started("org/name", same).config.server.host == "0.0.0.0"
    assert "SERVING_MANAGEMENT_ADDRESS" in refusal("org/name", other)
