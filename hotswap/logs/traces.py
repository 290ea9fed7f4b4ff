"""Traces: a span of OpenTelemetry's for each request that generates.

The request's span goes on the trace that its `traceparent` names (W3C Trace Context).
It is made when the answer is over, as vLLM does, under vLLM's name and with its
attributes of latency; the others are OpenTelemetry's conventions for generative AI, and
what only this server knows is `hotswap.*`. Below it is a span for each job's time in
the queue, in prefill and in decoding. No text of a prompt or an answer is sent.

The only module that imports `opentelemetry`; it is loaded by name.
"""

import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from hotswap import __version__
from hotswap.api.shared.request_record import RequestRecord
from hotswap.api.shared.running import Running
from hotswap.errors import StartFailed
from hotswap.logs.printable import MOST_OF_FIELD, cut, printable

_CHATS = ("/v1/chat/completions", "/v1/responses")
_LAST_S = 3.0  # for what is left at the end
_MOST_JOBS = 16  # of a request whose times are told apart
_FINISH = {"eos": "stop"}  # as OpenAI's answers have it
_PROPAGATOR = TraceContextTextMapPropagator()


def traces(environment: Mapping[str, str]) -> "Traces":
    """To where the environment says, in batches, on a thread of the library's.

    Raises StartFailed for what it says and is not here.
    """
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment.get(
        "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"
    )
    if protocol != "http/protobuf":
        raise StartFailed(
            f"OTEL_EXPORTER_OTLP_PROTOCOL {protocol}: traces are sent as http/protobuf"
        )
    match environment.get("OTEL_TRACES_EXPORTER") or "otlp":
        case "otlp":
            return Traces(BatchSpanProcessor(OTLPSpanExporter()))
        case "console":
            return Traces(BatchSpanProcessor(ConsoleSpanExporter()))
        case other:
            raise StartFailed(f"OTEL_TRACES_EXPORTER {other}: it is otlp or console")


class Traces:
    """An observer of requests. `close` blocks for `_LAST_S` at most."""

    def __init__(self, processor: SpanProcessor) -> None:
        ours = Resource({"service.name": "hotswap", "service.version": __version__})
        named = OTELResourceDetector().detect()  # by the environment
        self._provider = TracerProvider(
            resource=Resource.create().merge(ours).merge(named), shutdown_on_exit=False
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("hotswap", __version__)

    def __call__(self, record: RequestRecord) -> None:
        end_ns = time.time_ns()
        start_ns = end_ns - _ns(record.seconds)
        span = self._tracer.start_span(
            "llm_request",
            context=_PROPAGATOR.extract(_carrier(record.headers)),
            kind=SpanKind.SERVER,
            attributes=_attributes(record),
            start_time=start_ns,
        )
        if record.end == "failed":
            span.set_status(Status(StatusCode.ERROR, _name(str(record.error))))
        if record.running is not None and span.is_recording():
            self._tell_jobs(record, record.running, set_span_in_context(span), start_ns)
        span.end(end_ns)

    def close(self) -> None:
        """Send what is left; what nobody takes in time is lost."""
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(_LAST_S)

    def _tell_jobs(
        self, record: RequestRecord, running: Running, parent: Context, start_ns: int
    ) -> None:
        """Where the time of those went that have finished."""
        asked_ns = start_ns + _ns(max(0.0, running.asked_at - record.began_at))
        for job, piece in sorted(running.lasts.items())[:_MOST_JOBS]:
            if (stats := piece.stats) is None:
                continue
            at_ns = asked_ns
            for name, seconds in (
                ("queue", stats.queue_s),
                ("prefill", stats.prefill_s),
                ("decode", stats.decode_s),
            ):
                span = self._tracer.start_span(
                    name, parent, attributes={"hotswap.job": job}, start_time=at_ns
                )
                at_ns += _ns(seconds)
                span.end(at_ns)


def _attributes(record: RequestRecord) -> dict[str, Any]:
    is_chat = record.route in _CHATS
    told: dict[str, Any] = {
        "gen_ai.operation.name": "chat" if is_chat else "text_completion",
        "gen_ai.provider.name": "hotswap",
        "gen_ai.request.id": record.request_id,
        "gen_ai.latency.time_to_first_token": record.first_token_s,
        "gen_ai.latency.e2e": record.seconds,
        "http.route": record.route,
        "http.response.status_code": record.code or None,
        "hotswap.end": record.end,
        "hotswap.key": record.key_name,
    }
    if record.error is not None:
        told["error.type"] = type(record.error).__name__
    if record.requests:
        params, adapter = record.requests[0].params, _name(record.adapter)
        told |= {
            "gen_ai.request.model": adapter,
            "gen_ai.request.n": len(record.requests),
            "gen_ai.request.max_tokens": params.max_tokens,
            "gen_ai.request.temperature": params.temperature,
            "gen_ai.request.top_p": params.top_p,
            "hotswap.adapter": adapter,
        }
    if record.running is not None:
        told |= _of_answer(record, record.running)
    return {name: value for name, value in told.items() if value is not None}


def _of_answer(record: RequestRecord, running: Running) -> dict[str, Any]:
    """Of several jobs the longest time, which the others had within it."""
    reasons = [piece.finish or "" for _, piece in sorted(running.lasts.items())]
    told: dict[str, Any] = {
        "gen_ai.usage.input_tokens": running.prompt_tokens,
        "gen_ai.usage.cache_read.input_tokens": running.cached_tokens,
        "gen_ai.usage.output_tokens": running.generated,
        "gen_ai.response.finish_reasons": [_FINISH.get(each, each) for each in reasons],
        "hotswap.generation": _name(record.generation),
        "hotswap.mode": record.mode,
    }
    if stats := record.stats:
        told |= {
            "gen_ai.latency.time_in_queue": max(each.queue_s for each in stats),
            "gen_ai.latency.time_in_model_prefill": max(s.prefill_s for s in stats),
            "gen_ai.latency.time_in_model_decode": max(s.decode_s for s in stats),
            "hotswap.swaps": max(each.swaps for each in stats),
            "hotswap.swap_s": max(each.swap_s for each in stats),
        }
    return told


def _name(text: str) -> str:
    """Of any client's making."""
    return printable(cut(text, MOST_OF_FIELD))


def _carrier(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in headers
        if name in (b"traceparent", b"tracestate")
    }


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
