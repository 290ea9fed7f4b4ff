"""Exposition: families of metrics in Prometheus' text format and in OpenMetrics.

Both write samples alike, so those are written once, as lines; what is said of a family
differs. prometheus_client writes the two as well, but takes eight times as long, and
routers ask twenty times a second; its parsers are the oracle of the tests.

The formats: prometheus.io/docs/instrumenting/exposition_formats (0.0.4) and
prometheus.io/docs/specs/om/open_metrics_spec (1.0.0).
"""

import re
from collections.abc import Iterable
from itertools import accumulate
from typing import Literal

from hotswap.engine.latencies import BOUNDS, Observed

TEXT = "text/plain; version=0.0.4"  # Litestar adds the charset to any text
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Kind = Literal["counter", "gauge", "histogram", "info"]

_SUFFIX: dict[Kind, str] = {"counter": "_total", "info": "_info"}
_UNUSUAL = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}
_LE = (*map(repr, BOUNDS), "+Inf")
_QUALITY = re.compile(r"q=([01](?:\.[0-9]{0,3})?)")  # RFC 9110, 12.4.2


class Family:
    """One metric and its samples. `name`: without the `_total` of a counter and the
    `_info` of an info; `about`: one line, for people."""

    def __init__(self, name: str, kind: Kind, about: str) -> None:
        self.name = name
        self.kind = kind
        self.about = about
        self.sample_name = name + _SUFFIX.get(kind, "")
        self.lines: list[str] = []

    def add(self, value: float, labels: str = "") -> "Family":
        """A sample. `labels`: as `labelled` writes them."""
        self.lines.append(_line(self.sample_name, labels, value))
        return self

    def observe(self, observed: Observed, labels: str = "") -> "Family":
        """A histogram's samples: the values up to each bound, their sum and count."""
        before = f"{self.name}_bucket{{{labels}{',' if labels else ''}le="
        up_to = list(accumulate(observed.counts))
        self.lines += [
            f'{before}"{le}"}} {count}\n' for le, count in zip(_LE, up_to, strict=True)
        ]
        self.lines.append(_line(f"{self.name}_sum", labels, observed.sum))
        self.lines.append(_line(f"{self.name}_count", labels, up_to[-1]))
        return self


def labelled(**labels: str) -> str:
    """Names and values as a sample has them between its braces."""
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def text(families: Iterable[Family]) -> bytes:
    """Prometheus' text format. There an info is a gauge."""
    parts = []
    for each in families:
        kind = "gauge" if each.kind == "info" else each.kind
        parts.append(f"# HELP {each.sample_name} {each.about}\n")
        parts.append(f"# TYPE {each.sample_name} {kind}\n")
        parts += each.lines
    return "".join(parts).encode()


def openmetrics(families: Iterable[Family]) -> bytes:
    """OpenMetrics. There a family's name has no suffix."""
    parts = []
    for each in families:
        parts.append(f"# HELP {each.name} {each.about}\n")
        parts.append(f"# TYPE {each.name} {each.kind}\n")
        parts += each.lines
    return "".join([*parts, "# EOF\n"]).encode()


def prefers_openmetrics(accept: str) -> bool:
    """Whether an Accept header asks for OpenMetrics at least as much as for text."""
    asked = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for each in accept.lower().split(","):
        kind, *options = (word.strip() for word in each.split(";"))
        if kind in asked:
            said = [found for o in options if (found := _QUALITY.fullmatch(o))]
            quality = float(said[-1][1]) if said else 1.0
            asked[kind] = max(asked[kind], quality)
    wanted, plain = asked.values()
    return wanted > 0 and wanted >= plain


def _line(name: str, labels: str, value: float) -> str:
    written = repr(+value)  # of a flag: 0 or 1
    braces = f"{{{labels}}}" if labels else ""
    return f"{name}{braces} {_UNUSUAL.get(written, written)}\n"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
