"""Both formats say the same, as prometheus_client's own parsers read them."""

import math
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families as read_text

from hotswap.api.metrics.exposition import (
    Family,
    Kind,
    labelled,
    openmetrics,
    prefers_openmetrics,
    text,
)
from hotswap.engine.latencies import BOUNDS, Histogram
from tests import metric_rules

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(families: Iterable[Metric]) -> Samples:
    return {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for family in families
        for s in family.samples
    }


def both(family: Family) -> tuple[Metric, Metric]:
    """The family, as it is read of each format."""
    (plain,) = read_text(text([family]).decode())
    (newer,) = metric_rules.openmetrics(openmetrics([family]).decode())
    return plain, newer


@settings(deadline=None)
@given(value=st.text(st.characters(exclude_categories=["Cs"])))
def test_a_labels_value_comes_back_whatever_is_in_it(value: str) -> None:
    family = Family("m", "gauge", "About").add(1, labelled(adapter=value, b="2"))

    for read in both(family):
        assert samples([read]) == {("m", (("adapter", value), ("b", "2"))): 1.0}


@settings(deadline=None)
@given(value=st.floats())
def test_a_value_comes_back(value: float) -> None:
    for read in both(Family("m", "gauge", "About").add(value)):
        (found,) = read.samples
        assert found.value == value or (math.isnan(found.value) and math.isnan(value))


@pytest.mark.parametrize(
    ("kind", "suffix"), [("counter", "_total"), ("gauge", ""), ("info", "_info")]
)
def test_a_kind_is_told_and_its_samples_have_its_suffix(
    kind: Kind, suffix: str
) -> None:
    plain, newer = both(Family("vllm:m", kind, "About it").add(1))

    assert (newer.name, newer.type, newer.documentation) == ("vllm:m", kind, "About it")
    assert [s.name for s in newer.samples] == [f"vllm:m{suffix}"]
    assert plain.type == ("gauge" if kind == "info" else kind)
    assert samples([plain]) == samples([newer])


@settings(deadline=None)
@given(values=st.lists(st.floats(0, 1e5), max_size=20))
def test_a_histogram_counts_the_values_up_to_each_bound(values: list[float]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    family = Family("m_seconds", "histogram", "About")
    family.observe(histogram.observed(), labelled(mode="mixed"))

    for read in both(family):
        assert read.type == "histogram"
        found = [s for s in read.samples if s.name == "m_seconds_bucket"]
        up_to = {float(s.labels["le"]): s.value for s in found}
        assert list(up_to) == [*BOUNDS, math.inf]
        assert all(up_to[b] == sum(v <= b for v in values) for b in up_to)
        rest = {s.name: s.value for s in read.samples if "le" not in s.labels}
        assert rest["m_seconds_count"] == len(values)
        assert rest["m_seconds_sum"] == histogram.sum


PROMETHEUS_3 = (  # what it sends, as of 3.0
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (PROMETHEUS_3, True),
        ("application/openmetrics-text; version=1.0.0", True),
        ("Application/OpenMetrics-Text", True),
        ("text/plain, application/openmetrics-text", True),
        ("text/plain, application/openmetrics-text;q=0.5", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=inf, text/plain", True),
        ("text/plain;version=0.0.4", False),
        ("*/*", False),
        ("", False),
        (";;,q=,,", False),
    ],
)
def test_openmetrics_is_for_who_asks_for_it(accept: str, wanted: bool) -> None:
    assert prefers_openmetrics(accept) is wanted
