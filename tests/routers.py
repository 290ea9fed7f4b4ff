"""Routers: what those who choose a server make of its /metrics, by their own rules.

Written anew from their sources, with nothing of ours: only what they read is kept.

- `families`: Prometheus' Go parser (expfmt.TextParser), which they all use.
- `LlmD`: llm-d/llm-d-router, pkg/epp/framework/plugins/datalayer/extractor/metrics/
  (extractor.go, spec.go, loraspec.go, lora_load_state_test.go), the successor of
  kubernetes-sigs/gateway-api-inference-extension's endpoint picker; what is to be told
  is in that one's docs/proposals/003-model-server-protocol and in llm-d's
  docs/plugin-metric-protocol.md.
- `affinity`, `residency`: its scorers loraaffinity and loraloadstate.
- `aibrix`: vllm-project/aibrix, pkg/metrics/engine_fetcher.go and utils.go.
"""

import re
from dataclasses import dataclass, field
from typing import Any

_SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"(?:,|$)')


@dataclass
class Series:
    labels: dict[str, str]
    value: float = 0.0
    buckets: dict[float, float] = field(default_factory=dict)
    sum: float = 0.0
    count: float = 0.0


@dataclass
class MetricFamily:
    kind: str
    series: list[Series] = field(default_factory=list)

    def of(self, labels: dict[str, str]) -> Series:
        for each in self.series:
            if each.labels == labels:
                return each
        self.series.append(Series(labels))
        return self.series[-1]


def families(text: str) -> dict[str, MetricFamily]:
    """By the name after `# TYPE`; raises ValueError as the parser errs."""
    found: dict[str, MetricFamily] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            if name in found:
                raise ValueError(f"second TYPE line for {name}")
            found[name] = MetricFamily(kind)
        elif not line.startswith("#"):
            _add(found, line)
    return found


def _add(found: dict[str, MetricFamily], line: str) -> None:
    read = _SAMPLE.fullmatch(line)
    if read is None:
        raise ValueError(f"no sample: {line}")
    name, written, value = read[1], read[2] or "", float(read[3])
    labels = {k: _unescaped(v) for k, v in _LABEL.findall(written)}
    if name in found:
        found[name].of(labels).value = value
        return
    base, _, part = name.rpartition("_")
    family = found[base]  # a sample of no family is an error
    assert family.kind == "histogram", line
    if part == "bucket":
        bound = float(labels.pop("le"))
        family.of(labels).buckets[bound] = value
    elif part == "sum":
        family.of(labels).sum = value
    else:
        family.of(labels).count = value


def _unescaped(value: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), value)


@dataclass
class LlmD:
    """What the router keeps of an endpoint (fwkdl.Metrics)."""

    waiting_queue: int = 0
    running: int = 0
    kv_cache_usage: float = 0.0
    active: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)
    max_active: int = 0
    block_size: int = 0
    blocks: int = 0
    loaded: dict[str, tuple[str, bool, int]] | None = None  # level, pinned, rank
    gpu_loaded: int = 0
    base_model: str = ""
    load_s: float = 0.0
    activate_s: float = 0.0

    @classmethod
    def read(cls, found: dict[str, MetricFamily]) -> "LlmD":
        """Raises KeyError for what it has to have."""
        own = cls()
        own.waiting_queue = int(_latest(found, "vllm:num_requests_waiting"))
        own.running = int(_latest(found, "vllm:num_requests_running"))
        own.kv_cache_usage = _latest(found, "vllm:kv_cache_usage_perc")
        own._read_requests(found)
        (cache,) = found["vllm:cache_config_info"].series
        own.block_size = int(cache.labels["block_size"])
        own.blocks = int(cache.labels["num_gpu_blocks"])
        own._read_residency(found)
        own.load_s = _mean(found, "load")
        own.activate_s = _mean(found, "activate")
        return own

    def _read_requests(self, found: dict[str, MetricFamily]) -> None:
        """Of several series the one with the largest value, which is its time."""
        series = found["vllm:lora_requests_info"].series
        labels = max(series, key=lambda each: each.value).labels
        self.active = _listed(labels["running_lora_adapters"])
        self.waiting = _listed(labels["waiting_lora_adapters"])
        self.max_active = int(labels["max_lora"])

    def _read_residency(self, found: dict[str, MetricFamily]) -> None:
        counts = found["vllm:num_gpu_loaded_lora_adapters"].series
        self.gpu_loaded = int(max(each.value for each in counts))
        self.base_model = counts[0].labels["model_name"]
        self.max_active = int(_latest(found, "vllm:max_gpu_lora_adapters"))
        self.loaded = {}
        for each in found["vllm:lora_adapter_loaded"].series:
            name = each.labels.get("adapter_name", "")
            if name and each.value != 0:
                rank = each.labels["rank"]
                self.loaded[name] = (
                    each.labels["level"],
                    each.labels["pinned"] == "true",
                    int(rank) if rank.isdecimal() else 0,
                )


def _latest(found: dict[str, MetricFamily], name: str) -> float:
    """The first series: none has a timestamp."""
    assert found[name].kind in ("gauge", "counter")
    return found[name].series[0].value


def _listed(csv: str) -> set[str]:
    return {name.strip() for name in csv.split(",")} - {""}


def _mean(found: dict[str, MetricFamily], transition: str) -> float:
    family = found["vllm:lora_adapter_load_seconds"]
    assert family.kind == "histogram"
    those = [s for s in family.series if s.labels["transition"] == transition]
    count = sum(each.count for each in those)
    return sum(each.sum for each in those) / count if count else 0.0


def affinity(one: LlmD, adapter: str) -> float:
    """Of loraaffinity."""
    if adapter in one.active:
        return 1.0
    if len(one.active) + len(one.waiting) < one.max_active:
        return 0.8
    return 0.6 if adapter in one.waiting else 0.0


def residency(one: LlmD, adapter: str) -> float:
    """Of loraloadstate, without its bonuses."""
    assert one.loaded is not None
    state = one.loaded.get(adapter)
    if state is not None:
        return 1.0 if state[0] == "gpu" else 0.7
    if one.gpu_loaded < one.max_active:
        return 0.6
    in_slots = [n for n, (level, _, _) in one.loaded.items() if level == "gpu"]
    is_idle = any(n not in one.active and not one.loaded[n][1] for n in in_slots)
    return 0.3 if is_idle else 0.0


def aibrix(found: dict[str, MetricFamily], name: str, kind: str, model: str) -> Any:
    """A metric by model: a number, or a series of a histogram."""
    family = found[name]
    assert family.kind == kind, f"{name} is a {family.kind}"
    those = [s for s in family.series if s.labels.get("model_name") == model]
    assert those, f"{name} has no model_name"
    return those[-1] if kind == "histogram" else those[-1].value
