"""docs/grafana.json: every query asks for what /metrics has, as its kind is asked."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import promql
from tests.live.completions import ask
from tests.metric_rules import openmetrics
from tests.servers import Live

PAGE = Path(__file__).parents[2] / "docs" / "grafana.json"
PANELS = json.loads(PAGE.read_text())["panels"]
VARIABLES = json.loads(PAGE.read_text())["templating"]["list"]
ADDED = {"instance", "job"}  # labels that Prometheus adds to whatever it reads
RATES = {"rate", "increase", "irate"}
KNOWN = RATES | {"sum", "max", "min", "avg", "histogram_quantile", "clamp_min"}
PROMTOOL = shutil.which("promtool")


def targets() -> Iterator[tuple[str, dict[str, Any]]]:
    for panel in PANELS:
        for target in panel.get("targets", []):
            yield f"{panel['title']} {target['refId']}", target


def filled(expression: str) -> str:
    """With Grafana's variables in place."""
    for name, value in (("__rate_interval", "1m"), ("instance", "a"), ("adapter", "b")):
        expression = expression.replace(f"${name}", value)
    assert "$" not in expression, expression
    return expression


QUERIES = [
    pytest.param(filled(target["expr"]), target.get("legendFormat", ""), id=name)
    for name, target in targets()
]


@pytest.fixture(scope="module")
def labels(live: Live) -> dict[str, tuple[str, set[str]]]:
    """Of each sample's name the type of its family, and its labels."""
    ask(live.url, "a1", "Hello")
    accept = {"accept": "application/openmetrics-text"}
    with live.client() as client:
        client.post("/v1/completions", json={"prompt": "x", "adapter": "nope"})
        text = client.get("/metrics", headers=accept).text
    return {
        sample.name: (family.type, set(sample.labels))
        for family in openmetrics(text)
        for sample in family.samples
    }


@pytest.mark.parametrize(("expression", "legend"), QUERIES)
def test_a_query_reads_what_is_there_with_the_functions_of_its_kind(
    expression: str, legend: str, labels: dict[str, tuple[str, set[str]]]
) -> None:
    query = promql.parse(expression)
    assert query.selectors
    assert query.functions <= KNOWN
    there: set[str] = set()
    for selector in query.selectors:
        assert selector.name in labels, f"no metric {selector.name}"
        kind, own = labels[selector.name]
        assert selector.labels <= own | ADDED, f"{selector.name} by {selector.labels}"
        there |= own | ADDED
        is_rate = bool(selector.within) and selector.within[-1] in RATES
        assert is_rate is (kind in ("counter", "histogram")), f"{selector} of a {kind}"
        assert (selector.range is not None) is is_rate
        if selector.name.endswith("_bucket"):
            assert "histogram_quantile" in selector.within
            assert "le" in query.grouped
        else:
            assert "histogram_quantile" not in selector.within
    assert query.grouped <= there
    shown = set(re.findall(r"\{\{(\w+)\}\}", legend))
    assert shown <= (query.grouped if query.functions & {"sum", "max"} else there)


@pytest.mark.skipif(
    PROMTOOL is None,
    reason="promtool is not installed: Debian's package `prometheus` has it",
)
def test_every_query_is_promql_to_promtool(tmp_path: Path) -> None:
    rules = [
        {"record": f"query:{number}", "expr": filled(target["expr"])}
        for number, (_, target) in enumerate(targets())
    ]
    page = tmp_path / "rules.yaml"  # JSON is YAML
    page.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))

    said = subprocess.run(
        [str(PROMTOOL), "check", "rules", page],
        capture_output=True,
        text=True,
        check=False,
    )

    assert said.returncode == 0, said.stderr
    assert f"{len(rules)} rules found" in said.stdout


def test_its_variables_are_labels_that_are_there(
    labels: dict[str, tuple[str, set[str]]],
) -> None:
    asked = {each["name"]: each.get("query", "") for each in VARIABLES}
    assert set(asked) == {"datasource", "instance", "adapter"}
    for name in ("instance", "adapter"):
        read = re.fullmatch(
            r"label_values\((.+), (\w+)\)", filled(asked[name]["query"])
        )
        assert read is not None
        (selector,) = promql.parse(read[1]).selectors
        assert {read[2], *selector.labels} <= labels[selector.name][1] | ADDED


def test_panels_lie_side_by_side_and_each_has_a_unit() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        at = panel["gridPos"]
        across = range(at["x"], at["x"] + at["w"])
        fields = {(x, y) for x in across for y in range(at["y"], at["y"] + at["h"])}
        assert not fields & taken, panel["title"]
        assert max(across) < 24
        taken |= fields
        if panel["type"] != "row":
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["description"]
    numbers = [panel["id"] for panel in PANELS]
    assert len(set(numbers)) == len(numbers)


def test_a_query_that_asks_for_what_is_not_there_is_found(
    labels: dict[str, tuple[str, set[str]]],
) -> None:
    check = test_a_query_reads_what_is_there_with_the_functions_of_its_kind
    for wrong in (
        "rate(hotswap_jobs_done_total[1m])",  # no such metric
        'rate(hotswap_jobs_accepted_total{user="a"}[1m])',  # no such label
        "hotswap_jobs_accepted_total",  # a counter as it is
        "rate(hotswap_jobs_waiting[1m])",  # a gauge has no rate
        "histogram_quantile(0.5, sum by (le) (rate(hotswap_step_seconds_sum[1m])))",
        "sum by (user) (hotswap_jobs_waiting)",
    ):
        with pytest.raises(AssertionError):
            check(wrong, "", labels)
