"""TracesWanted: whether traces are to be sent, and whether they can be.

Light: it is asked before anything of a server is loaded.
"""

import importlib.util
from collections.abc import Mapping

from hotswap.errors import StartFailed
from hotswap.log_options import LogConfig

# Each says that somebody collects traces here.
_VARIABLES = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_TRACES_EXPORTER",
)
_NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def traces_wanted(config: LogConfig, environment: Mapping[str, str]) -> str:
    """What asks for traces; "" if nothing does, or OpenTelemetry is switched off."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ""
    if config.traces != "auto":
        return "log.traces" if config.traces else ""
    if environment.get("OTEL_TRACES_EXPORTER", "").strip() == "none":
        return ""
    return next((name for name in _VARIABLES if environment.get(name)), "")


def check_traces(config: LogConfig, environment: Mapping[str, str]) -> None:
    """Raises StartFailed if they are asked for and the extra is not installed."""
    why = traces_wanted(config, environment)
    if why and not all(_is_there(module) for module in _NEEDED):
        raise StartFailed(
            f"{why} asks for traces: `pip install 'hotswap[otel]'` is what sends them, "
            "`traces = false` under [log] does without"
        )


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even the packages around it
        return False
