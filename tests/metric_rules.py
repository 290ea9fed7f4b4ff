"""Metric rules: Prometheus' conventions, as `promtool check metrics` has them.

Written anew from prometheus/client_golang, prometheus/testutil/promlint/validations,
and from prometheus.io/docs/practices/naming, which asks for more: a base unit in the
plural as the last word of a name.
"""

import re
from collections.abc import Iterable

from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

_KINDS = ("counter", "gauge", "histogram", "summary")
_RESERVED = ("_total", "_bucket", "_count", "_sum", "_info", "_created")
# Units that are not the base of their kind, and short ones of those that are.
_OTHER_UNITS = re.compile(
    r"(s|ms|us|ns|sec|milliseconds?|microseconds?|minutes?|min|hours?|h|days?|d|second"
    r"|b|kb|mb|gb|tb|kib|mib|gib|kilobytes?|megabytes?|gigabytes?|bits?|byte"
    r"|percent|pct|perc|percentage|share)"
)
_UNITS = ("seconds", "bytes", "ratio")


def openmetrics(text: str) -> list[Metric]:
    """The families of an answer in OpenMetrics, as prometheus_client reads them."""
    return list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]


def broken(family: Metric, *, is_ours: bool) -> Iterable[str]:
    """What of a family breaks a rule, a line each. `family`: as OpenMetrics tells it.
    `is_ours`: whether we chose its name."""
    name, words = family.name, re.split("[_:]", family.name)
    if not family.documentation.strip():
        yield f"{name}: no help"
    if name.endswith(_RESERVED) and is_ours:
        yield f"{name}: a {family.type} ends as another kind does"
    if any(word in _KINDS for word in words):
        yield f"{name}: its kind is in its name"
    yield from _samples(family)
    if not is_ours:
        return
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        yield f"{name}: not in snake case"
    yield from (f"{name}: unit {w}" for w in words if _OTHER_UNITS.fullmatch(w))
    yield from (f"{name}: unit {w} is not its end" for w in words[:-1] if w in _UNITS)
    if family.type == "histogram" and words[-1] not in _UNITS:
        yield f"{name}: no unit"


def _samples(family: Metric) -> Iterable[str]:
    name, seen = family.name, set()
    for sample in family.samples:
        labels = tuple(sorted(sample.labels.items()))
        if (sample.name, labels) in seen:
            yield f"{sample.name}{labels}: twice"
        seen.add((sample.name, labels))
        for label in sample.labels:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", label):
                yield f"{name}: label {label}"
            if label in (*_KINDS, "le", "quantile") and family.type != "histogram":
                yield f"{name}: label {label} is for histograms"
    if family.type == "counter":
        wrong = [s.name for s in family.samples if not s.name.endswith("_total")]
        yield from (f"{each}: a counter ends with _total" for each in wrong)
        if any(not s.value >= 0 for s in family.samples):
            yield f"{name}: counts below zero"
