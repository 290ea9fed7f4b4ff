"""Log options: the section [log] of the configuration, what is written about a run."""

from typing import Literal

from msgspec import Struct

from hotswap.options import Auto

LogFormat = Literal["text", "json", "auto"]
LogLevel = Literal["debug", "info", "warning", "error"]


class LogConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    # Lines for people, or one JSON object a line; "auto" is JSON where standard error
    # is no terminal.
    format: LogFormat = "text"
    # What is less than this is not written.
    level: LogLevel = "info"
    # At what level there is a line for each request that generates, when it is over.
    answers: Literal["off", "debug", "info"] = "info"
    # Write into those lines what prompts and answers say.
    prompts: bool = False
    # Send an OpenTelemetry span for each of these requests (needs `hotswap[otel]`);
    # "auto" is where a variable of the environment says where to:
    # OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or
    # OTEL_TRACES_EXPORTER.
    traces: bool | Auto = "auto"
