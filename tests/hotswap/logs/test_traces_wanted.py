"""Traces are sent where the configuration or OpenTelemetry's own variables say so."""

import importlib.util
from typing import Any

import pytest

from hotswap.errors import StartFailed
from hotswap.log_options import LogConfig
from hotswap.logs.traces_wanted import check_traces, traces_wanted

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    ("traces", "environment", "why"),
    [
        ("auto", {}, ""),
        ("auto", ENDPOINT, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("auto", {"OTEL_TRACES_EXPORTER": "console"}, "OTEL_TRACES_EXPORTER"),
        ("auto", {**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, ""),
        ("auto", {**ENDPOINT, "OTEL_SDK_DISABLED": "true"}, ""),
        (True, {}, "log.traces"),
        (True, {"OTEL_SDK_DISABLED": "TRUE"}, ""),
        (False, ENDPOINT, ""),
    ],
)
def test_who_asks_for_them(traces: Any, environment: dict[str, str], why: str) -> None:
    assert traces_wanted(LogConfig(traces=traces), environment) == why


@pytest.mark.parametrize("found", [None, ModuleNotFoundError("opentelemetry")])
def test_without_the_extra_one_line_says_what_to_do(
    found: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_spec(name: str) -> None:
        if found is not None:
            raise found

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)

    check_traces(LogConfig(), {})
    with pytest.raises(StartFailed) as failed:
        check_traces(LogConfig(), ENDPOINT)

    said = str(failed.value)
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in said
    assert "hotswap[otel]" in said
    assert "traces = false" in said
    assert "\n" not in said
