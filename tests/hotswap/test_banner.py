"""What a server says of itself when it is ready: true, short, and why."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from hotswap import config
from hotswap.adapters.adapter_info import AdapterState
from hotswap.banner import Banner
from hotswap.model.machine.budget import MemoryPlan
from tests.fake_server import state_of

PLAN = MemoryPlan(
    budget_bytes=4 << 30,
    golden_bytes=1 << 29,
    slot_bytes=1 << 29,
    slots=4,
    kv_token_bytes=1 << 14,
    kv_tokens=65536,
    lora_pages=0,
    adapter_bytes=1 << 30,
    golden_stays=True,
)
EXECUTOR = {
    "kind": "llama",
    "prefix_cache": True,
    "device": "cpu",
    "dtype": "bfloat16",
    "compute_dtype": "float32",
    "kernels": "our own",
    "max_batch": 16,
    "prefill_tokens": 256,
}


@dataclass
class Row:
    name: str
    state: AdapterState


def banner(
    told: dict[str, dict[str, Any]] | None = None,
    rows: tuple[Row, ...] = (),
    bound: float | None = 4.25,
    **executor: object,
) -> Banner:
    status = SimpleNamespace(adapters=rows, wait_bound_s=bound)
    engine = SimpleNamespace(status=status, limit=8192)
    server = state_of(
        engine, memory=PLAN, executor=EXECUTOR | executor, also_base=("other",)
    )
    return Banner(config.load(None, told or {}), server, "http://h:1", 3.14159)


def lines(made: Banner) -> dict[str, str]:
    found = made.lines()
    assert len(found) < 14  # below the line that says that it is ready
    assert not [line for line in found if len(line) > 120]
    return {line.split()[0]: line.split(maxsplit=1)[1] for line in found}


def test_what_it_chose_by_itself_has_a_reason() -> None:
    assert lines(banner()) == {
        "page": "http://h:1/ (routes: http://h:1/schema)",
        "model": "tiny, other: 8,192 tokens of a prompt and its answer",
        "adapters": "0 ready, 0 refused, 0 being read; none watched",
        "keys": "none: all may do everything",
        "device": "cpu (auto: no GPU is here)",
        "type": "bfloat16, all else float32 (auto: the fastest, as timed here)",
        "kernels": "our own (pass: llama)",
        "slots": "4 of 0.50 GB (auto: half of the budget of 4.0 GB)",
        "KV": "65,536 tokens, 1.00 GB (auto: a quarter of the budget); prefix cache on",
        "step": "at most 16 jobs (auto: usual on a CPU) and 256 prompt tokens",
        "policy": "affinity: first token within 4.2 s, for whoever comes now",
        "log": "here, from info on; a line at info for each answer",
    }


def test_what_somebody_asked_for_is_as_asked() -> None:
    told: dict[str, dict[str, Any]] = {
        "model": {"dtype": "bfloat16", "device": "cpu"},
        "memory": {"slots": 4, "kv_tokens": 65536},
        "schedule": {"max_batch": 16, "policy": "fcfs-mixed"},
        "log": {"answers": "off", "level": "warning"},
        "adapters": {"directory": "here"},
    }

    said = lines(banner(told, bound=None))

    for name in ("device", "type", "slots", "KV", "step"):
        assert "(as asked)" in said[name]
    assert said["policy"] == "fcfs-mixed: no bound, for whoever comes now"
    assert said["log"] == "here, from warning on; no line for each answer"
    assert said["adapters"].endswith("from here, which is watched")


@pytest.mark.parametrize("device", ["cuda:0", ""])
def test_no_reason_of_a_cpu_is_given_for_another_device(device: str) -> None:
    said = lines(banner(device=device))

    assert not [line for line in said.values() if "CPU" in line or "no GPU" in line]
    assert ("device" in said) is bool(device)


def test_refused_adapters_are_named_and_counted() -> None:
    ready = [Row(f"a{n}", AdapterState.READY) for n in range(3)]
    refused = [Row(f"bad-{n}", AdapterState.FAILED) for n in range(1000)]
    made = banner(rows=(*ready, *refused, Row("new", AdapterState.LOADING)))

    said = {line.split()[0]: line.split(maxsplit=1)[1] for line in made.lines()}
    assert said["adapters"].startswith("3 ready, 1000 refused, 1 being read")
    assert said["refused"].startswith("bad-0, bad-1, ")
    assert len(said["refused"]) < 1100
    counted = ("adapters_ready", "adapters_refused")
    assert [made.fields()[name] for name in counted] == [3, 1000]


def test_programs_get_the_same_as_numbers() -> None:
    fields = banner().fields()

    assert fields["slots"] == 4
    assert fields["kv_tokens"] == 65536
    assert fields["wait_bound_s"] == 4.25
    assert (fields["url"], fields["seconds"]) == ("http://h:1", 3.142)
    assert EXECUTOR.items() <= fields.items()
