"""A request is a span on the client's trace, with its times below it."""

import importlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from litestar.testing import TestClient

from hotswap import assembly, config
from hotswap.echo import app as echo
from hotswap.errors import StartFailed
from tests.fake_server import FakeEngine, app_of
from tests.hotswap.logs.test_answer_line import FailingEngine
from tests.http_fake import answering

export = pytest.importorskip("opentelemetry.sdk.trace.export", reason="no [otel]")
in_memory = pytest.importorskip(
    "opentelemetry.sdk.trace.export.in_memory_span_exporter", reason="no [otel]"
)
traces = pytest.importorskip("hotswap.logs.traces", reason="no [otel]")

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
# The example of W3C's Trace Context
TRACEPARENT = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "rojo=1"}


@pytest.fixture
def exporter() -> Any:
    return in_memory.InMemorySpanExporter()


@pytest.fixture
def made(exporter: Any) -> Any:
    return traces.Traces(export.SimpleSpanProcessor(exporter))


@pytest.fixture
def served(made: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A whole server, whose engine measures."""
    monkeypatch.setattr(assembly, "observers", lambda *_: [made])
    told = {"model": {"path": "echo"}}
    with TestClient(echo.build(config.load(None, told))) as client:
        yield client


def seconds(span: Any) -> float:
    return float(span.end_time - span.start_time) / 1e9


def test_a_request_is_a_span_on_the_clients_trace(
    served: TestClient, exporter: Any
) -> None:
    body = {"prompt": "abcdef", "max_tokens": 4, "temperature": 0.5}
    headers = {**TRACEPARENT, "x-request-id": "r1"}
    served.post("/v1/completions", json=body, headers=headers)

    *below, request = exporter.get_finished_spans()

    assert request.name == "llm_request"
    assert request.kind.name == "SERVER"
    assert f"{request.context.trace_id:032x}" == TRACE
    assert f"{request.parent.span_id:016x}" == PARENT
    assert request.context.trace_state.get("rojo") == "1"
    told = request.attributes
    assert told["gen_ai.operation.name"] == "text_completion"
    assert told["gen_ai.request.model"] == told["hotswap.adapter"] == "base"
    assert told["gen_ai.request.id"] == "r1"
    assert told["gen_ai.request.max_tokens"] == 4
    assert told["gen_ai.request.temperature"] == 0.5
    assert told["gen_ai.usage.input_tokens"] == 6
    assert told["gen_ai.usage.output_tokens"] == 4
    assert told["gen_ai.response.finish_reasons"] == ("length",)
    assert told["hotswap.mode"] in ("merged", "mixed", "merged+mixed")
    assert told["hotswap.generation"] == "base"
    assert (told["hotswap.end"], told["http.response.status_code"]) == ("finished", 200)
    assert told["hotswap.swaps"] == 0
    assert request.status.status_code.name == "UNSET"
    assert {span.parent.span_id for span in below} == {request.context.span_id}


def test_its_times_are_spans_one_after_the_other_within_it(
    served: TestClient, exporter: Any
) -> None:
    served.post("/v1/completions", json={"prompt": "abcdef", "n": 2})

    *below, request = exporter.get_finished_spans()

    names = [span.name for span in below]
    assert names == ["queue", "prefill", "decode"] * 2
    for queue, prefill, decode in (below[:3], below[3:]):
        assert request.start_time <= queue.start_time
        assert queue.end_time == prefill.start_time
        assert prefill.end_time == decode.start_time
        assert decode.end_time <= request.end_time
    told = request.attributes
    longest = max(seconds(below[0]), seconds(below[3]))
    assert told["gen_ai.latency.time_in_queue"] == pytest.approx(longest, abs=1e-6)
    assert told["gen_ai.latency.e2e"] == pytest.approx(seconds(request), abs=1e-6)
    assert told["gen_ai.latency.time_to_first_token"] <= told["gen_ai.latency.e2e"]


def test_a_trace_that_nobody_began_begins_here_and_a_bad_header_is_none(
    served: TestClient, exporter: Any
) -> None:
    for given in ({}, {"traceparent": "00-xyz"}, {"traceparent": "00-" + "0" * 32}):
        served.post("/v1/completions", json={"prompt": "a"}, headers=given)

    found = [each for each in exporter.get_finished_spans() if each.parent is None]
    assert len({span.context.trace_id for span in found}) == 3


def test_what_the_client_does_not_sample_is_not_sent(
    served: TestClient, exporter: Any
) -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-00"}
    served.post("/v1/completions", json={"prompt": "a"}, headers=headers)

    assert not exporter.get_finished_spans()


def test_failures_are_errors_and_refusals_are_told(made: Any, exporter: Any) -> None:
    with TestClient(app_of(FailingEngine(), observers=[made])) as client:
        client.post("/v1/completions", json={"prompt": "a", "stream": True})
        client.post("/v1/chat/completions", json={"messages": []})

    failed, refused = exporter.get_finished_spans()
    assert failed.status.status_code.name == "ERROR"
    assert failed.attributes["error.type"] == "StepFailed"
    assert refused.status.status_code.name == "UNSET"
    assert refused.attributes["hotswap.end"] == "refused"
    assert refused.attributes["gen_ai.operation.name"] == "chat"


def test_no_text_of_a_prompt_or_an_answer_is_sent(
    served: TestClient, exporter: Any
) -> None:
    served.post("/v1/completions", json={"prompt": "secret"})

    for span in exporter.get_finished_spans():
        assert "secret" not in repr(dict(span.attributes))


def test_the_service_is_named_by_the_environment_or_hotswap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = []
    for name in ("", "mine"):
        monkeypatch.setenv("OTEL_SERVICE_NAME", name)
        kept = in_memory.InMemorySpanExporter()
        made = traces.Traces(export.SimpleSpanProcessor(kept))
        with TestClient(app_of(FailingEngine(), observers=[made])) as client:
            client.post("/v1/completions", json={"prompt": "a"})
        (span,) = kept.get_finished_spans()
        found.append(span.resource.attributes["service.name"])

    assert found == ["hotswap", "mine"]


def test_they_reach_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    request = importlib.import_module(
        "opentelemetry.proto.collector.trace.v1.trace_service_pb2"
    ).ExportTraceServiceRequest()
    with answering() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        made = traces.traces({})
        with TestClient(app_of(FakeEngine(), observers=[made])) as client:
            client.post("/v1/completions", json={"prompt": "a"}, headers=TRACEPARENT)

    ((method, path, headers, body),) = collector.seen
    assert (method, path) == ("POST", "/v1/traces")
    assert headers["content-type"] == "application/x-protobuf"
    request.ParseFromString(body)
    (span,) = request.resource_spans[0].scope_spans[0].spans
    assert (span.name, span.trace_id.hex()) == ("llm_request", TRACE)


def test_a_collector_that_takes_nothing_holds_up_no_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(traces, "_LAST_S", 0.01)
    gate = threading.Event()
    processor = export.SimpleSpanProcessor(in_memory.InMemorySpanExporter())
    monkeypatch.setattr(processor, "shutdown", gate.wait)

    traces.Traces(processor).close()  # returns

    gate.set()


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "grpc"),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "zipkin"),
    ],
)
def test_what_it_cannot_send_by_is_said(
    environment: dict[str, str], named: str
) -> None:
    with pytest.raises(StartFailed, match=named):
        traces.traces(environment)
