"""What the GPU has to keep of the promises, on the device: quick, for a short visit.

On a CPU the same runs on plain torch and fake graphs. Not yet run on a GPU. Golden and
the slots after 1,000 swaps: `test_executor_swaps`; logits: `test_executor`; steps in
the air: `test_executor_flights`.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from hotswap.adapters.checkpoint import read
from hotswap.errors import MergeFailed
from hotswap.model.calibrate import measure
from hotswap.model.gpu.executor import GpuExecutor
from hotswap.model.gpu.linear import GpuLinear
from hotswap.model.weights.other_parameters import OtherParameters
from scheduler import BASE
from tests import tiny
from tests.hotswap.gpu.executors import (
    PROMPT,
    Client,
    adapters,
    executor_of,
    loaded,
)

TIGHT = 400_000  # bytes that hold no slot beside golden
JOBS = [PROMPT[:4], PROMPT[2:], PROMPT[:1], PROMPT]


@contextmanager
def readers(folder: Path, executor: GpuExecutor) -> Iterator[None]:
    """Adapters are read beside it, on threads that look at golden."""
    ended = threading.Event()

    def read_on() -> None:
        while not ended.is_set():
            read(folder, executor.layout)

    threads = [threading.Thread(target=read_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_graphs_answer_right_while_adapters_are_read(
    device: torch.device, tmp_path: Path
) -> None:
    executor = executor_of(loaded(place=device), slots=2)
    generations = [None, *adapters(tmp_path, executor, 3)]
    alone = {}
    for generation in generations:
        executor.weights.activate(generation)
        jobs = [(prompt, generation) for prompt in JOBS]
        alone[generation] = Client(executor).answers(jobs)

    with readers(tmp_path / "llama-0", executor):
        executor.warm_up()
        for swap in range(12):
            generation = generations[swap % 4]
            executor.weights.activate(generation)
            jobs = [(prompt, generation) for prompt in JOBS]
            ahead = Client(executor, ahead=True).answers(jobs)
            assert ahead == alone[generation]

    assert len({str(answer) for answer in alone.values()}) == 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_modes_agree(dtype: torch.dtype, device: torch.device, tmp_path: Path) -> None:
    executor = executor_of(loaded(place=device, dtype=dtype))
    generations = adapters(tmp_path, executor, 3)
    jobs = [(prompt, generations[n % 3]) for n, prompt in enumerate(JOBS)]

    mixed = Client(executor, mixed=True, ahead=True).answers(jobs)
    merged: list[list[int]] = [[] for _ in jobs]
    for generation in generations:
        executor.weights.activate(generation)
        for n, (prompt, own) in enumerate(jobs):
            if own is generation:
                (merged[n],) = Client(executor).answers([(prompt, own)])

    if dtype is torch.float32:
        assert mixed == merged
    else:  # a random model is often undecided: the first token, mostly
        same = [m[0] == u[0] for m, u in zip(merged, mixed, strict=True)]
        assert sum(same) >= len(same) // 2


def test_golden_in_pinned_memory_answers_the_same(
    device: torch.device, tmp_path: Path
) -> None:
    beside, away = (
        executor_of(loaded(place=device), budget_bytes=budget)
        for budget in (100 << 20, TIGHT)
    )
    assert not away.memory.golden_stays
    one, other = adapters(tmp_path, beside, 2)
    checksum = away.weights.checksum()

    for generation in (one, None, other, one, None):
        answers = []
        for executor in (beside, away):
            executor.weights.activate(generation)
            jobs = [(prompt, generation) for prompt in JOBS]
            answers.append(Client(executor, ahead=True).answers(jobs))
        assert answers[0] == answers[1]
    assert away.weights.checksum() == checksum
    for linear in away.weights.swappables:
        if isinstance(linear, GpuLinear):
            assert linear.golden.device.type == "cpu"
            assert linear.weight.device.type == device.type


def test_what_changes_norms_or_embeddings_runs_eager_and_says_so_once(
    device: torch.device, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    executor = executor_of(loaded(place=device))
    setting: dict[str, Any] = {
        "target_modules": ["q_proj", "embed_tokens"],
        "strength": 1.0,
    }
    saved = tiny.save_adapter(tmp_path / "embedding", "llama", seed=5, **setting)
    odd = read(saved, executor.layout)
    (plain,) = adapters(tmp_path, executor, 1)
    wanted = {}
    for generation in (None, plain):
        executor.weights.activate(generation)
        wanted[generation] = Client(executor).answers([(PROMPT, generation)])

    with caplog.at_level(logging.INFO, logger="hotswap.model.gpu.executor"):
        for _ in range(2):
            executor.weights.activate(odd)
            assert executor.weights.memory_id is None
            eager = Client(executor, ahead=True).answers([(PROMPT, odd)])
            for generation, answer in wanted.items():
                executor.weights.activate(generation)
                found = Client(executor).answers([(PROMPT, generation)])
                assert found == answer

    peft = PeftModel.from_pretrained(tiny.model("llama"), saved).eval()
    with torch.no_grad():
        logits = peft(input_ids=torch.tensor([PROMPT])).logits[0, -1]
    assert eager[0][0] == int(logits.argmax())
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        f"generation {odd.key} runs without graphs: it changes a shape, a norm or an "
        "embedding"
    ]


def test_a_failed_merge_leaves_golden_and_the_next_adapter_serves(
    device: torch.device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = executor_of(loaded(place=device))
    bad, good = adapters(tmp_path, executor, 2)
    jobs = [(prompt, good) for prompt in JOBS]
    executor.weights.activate(good)
    wanted = Client(executor).answers(jobs)

    def broken(*_: object) -> None:
        raise RuntimeError("injected")

    with monkeypatch.context() as patched:
        last = executor.weights.swappables[3]
        patched.setattr(last, "build", broken)
        with pytest.raises(MergeFailed, match="injected"):
            executor.weights.activate(bad)

    assert executor.weights.resident == BASE
    executor.weights.activate(good)
    assert Client(executor).answers(jobs) == wanted


def test_costs_are_measured(device: torch.device) -> None:
    executor = executor_of(loaded(place=device), kv_tokens=1024)

    costs = measure(executor, max_batch=2).costs

    assert costs.swap_s(warm=False, rank=16) > 0
    assert all(seconds >= 0 for seconds in costs.table().values())


def test_the_swappables_are_all_modules_with_parameters(device: torch.device) -> None:
    executor = executor_of(loaded(place=device))

    kinds = {type(swappable) for swappable in executor.weights.swappables}

    assert kinds == {GpuLinear, OtherParameters}
    paths = {path for s in executor.weights.swappables for path in s.parts}
    assert paths == set(executor.layout.golden)
