"""/metrics of a real server: both formats, Prometheus' conventions and its tool."""

import re
import shutil
import subprocess

import httpx
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families as read_text

from tests.live.completions import ask
from tests.metric_rules import broken, openmetrics
from tests.servers import Live

PROMTOOL = shutil.which("promtool")
OPENMETRICS = {"accept": "application/openmetrics-text; version=1.0.0"}


@pytest.fixture(scope="module")
def asked(live: Live) -> Live:
    """With an answer of an adapter, one of the base, and a refusal of each kind."""
    for name in ("a1", "base"):
        ask(live.url, name, "Hello")
    with live.client() as client:
        body = {"prompt": "Hello", "adapter": "nope"}
        assert client.post("/v1/completions", json=body).status_code == 404
    return live


def families(server: Live) -> list[Metric]:
    answer = httpx.get(f"{server.url}/metrics", headers=OPENMETRICS)
    return openmetrics(answer.text)


def test_every_metric_has_a_sample_before_anything_has_happened(live: Live) -> None:
    """What is not there yet shows no rise when it comes. Nobody knows why jobs will be
    refused, or which codes there will be."""
    empty = {family.name for family in families(live) if not family.samples}

    assert empty <= {"hotswap_jobs_refused", "hotswap_http_responses"}


def test_both_formats_say_the_same(asked: Live) -> None:
    with asked.client() as client:
        plain = client.get("/metrics")
        newer = client.get("/metrics", headers=OPENMETRICS)

    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert newer.headers["content-type"].startswith("application/openmetrics-text; ")
    assert plain.headers["vary"] == newer.headers["vary"] == "accept"
    names = [
        [(s.name, s.labels) for family in found for s in family.samples]
        for found in (read_text(plain.text), openmetrics(newer.text))
    ]
    assert names[0] == names[1]


def test_metrics_keep_prometheus_conventions(asked: Live) -> None:
    wrong = [
        line
        for family in families(asked)
        for line in broken(family, is_ours=family.name.startswith("hotswap_"))
    ]

    assert not wrong, "\n".join(wrong)


@pytest.mark.skipif(
    PROMTOOL is None,
    reason="promtool is not installed: Debian's package `prometheus` has it",
)
def test_promtool_has_nothing_to_say_but_that_vllm_writes_colons(asked: Live) -> None:
    text = httpx.get(f"{asked.url}/metrics").content

    said = subprocess.run(
        [str(PROMTOOL), "check", "metrics"],
        input=text,
        capture_output=True,
        check=False,
    )

    lines = (said.stdout + said.stderr).decode().splitlines()
    colon = re.compile(r"vllm:\w+ metric names should not contain ':'")
    assert [line for line in lines if not colon.fullmatch(line)] == []
    assert any(map(colon.fullmatch, lines))  # it has read them
