"""The type and the kernels are those that were the fastest here, by the clock."""

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest
import torch

from hotswap.model.eager import kernel_choice as module
from hotswap.model.eager import products as products_module
from hotswap.model.eager.kernel_choice import choose_kernels, time_silu, time_ways
from hotswap.model.eager.products import Product, products_of
from hotswap.model.eager.timing import STEPS, Table, Way, apart_from, best, race
from hotswap.model.machine.kernels import OneDNN, Plain
from tests import tiny

BF16, F32 = torch.bfloat16, torch.float32
PLAIN, PACKED = Way(F32, 0), Way(F32, 16)
HALF, HALF_PACKED = Way(BF16, 0), Way(BF16, 16)
WAYS = [HALF, HALF_PACKED, PLAIN, PACKED]
CPU = torch.device("cpu")


def table(**ms: tuple[float, float, float]) -> Table:
    """Milliseconds at 1, 16 and 256 rows."""
    ways = {"half": HALF, "half_packed": HALF_PACKED, "plain": PLAIN, "packed": PACKED}
    return {ways[w]: dict(zip(STEPS, row, strict=True)) for w, row in ms.items()}


EMULATED = table(  # AVX-512 without units for bfloat16
    half=(40, 190, 1500),
    half_packed=(35, 170, 1400),
    plain=(70, 96, 380),
    packed=(60, 80, 350),
)
NATIVE = table(
    half=(10, 14, 90), half_packed=(5, 7, 60), plain=(18, 25, 250), packed=(11, 15, 240)
)
NO_UNITS = table(  # AVX2
    half=(25, 320, 3000), plain=(41, 200, 520), packed=(35, 100, 450)
)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(EMULATED, PACKED), (NATIVE, HALF_PACKED), (NO_UNITS, PACKED)],
    ids=["emulated", "native", "no units"],
)
def test_what_a_machine_was_seen_to_do_decides_not_what_it_says(
    seconds: Table, expected: Way
) -> None:
    assert best(seconds) == expected


def test_what_is_about_as_fast_takes_the_least_memory() -> None:
    alike = table(half=(21, 31, 205), plain=(20, 30, 200), packed=(20, 29, 200))

    assert best(alike) == HALF
    assert best({PACKED: alike[PACKED], PLAIN: alike[PLAIN]}) == PLAIN


def test_decoding_counts_more_than_prompts() -> None:
    assert best(table(half=(20, 30, 300), plain=(30, 60, 150))) == HALF


class Machine:
    """Three products in each way, on a clock of its own; other work stalls it."""

    def __init__(self, seconds: Table, seed: int, stalls: float) -> None:
        self.now = 0.0
        self.runs: list[tuple[Way, int]] = []
        self._seconds, self._stalls = seconds, stalls
        self._random = random.Random(seed)

    def clock(self) -> float:
        return self.now

    def run(self, way: Way, rows: int) -> list[float]:
        self.runs.append((way, rows))
        found = []
        for _ in range(3):
            seconds = self._seconds[way][rows] / 3 * self._random.uniform(1, 1.02)
            if self._random.random() < self._stalls:
                seconds += 1000
            self.now += seconds / 1e3
            found.append(seconds)
        return found


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(EMULATED, PACKED), (NATIVE, HALF_PACKED)],
    ids=["emulated", "native"],
)
def test_a_machine_that_is_busy_with_other_work_chooses_the_same(
    seed: int, seconds: Table, expected: Way
) -> None:
    machine = Machine(seconds, seed, stalls=0.2)

    found = race(WAYS, machine.run, machine.clock, limit_s=100.0)

    assert best(found) == expected


def test_a_race_ends_at_its_limit_and_no_hopeless_way_is_tried_with_many_rows() -> None:
    machine = Machine(EMULATED, 0, stalls=0.0)

    found = race(WAYS, machine.run, machine.clock, limit_s=1.0)

    assert (HALF, 16) in machine.runs
    assert (HALF, 256) not in machine.runs
    assert machine.runs.count((PACKED, 256)) == 4  # the warm-up and the least turns
    assert set(found[PACKED]) == set(STEPS)


def test_an_activation_leaves_its_product_where_it_is_faster_for_all_more_rows() -> (
    None
):
    fused = {1: 1.0, 16: 2.0, 64: 9.0, 256: 40.0}

    assert apart_from(fused, {1: 1.5, 16: 2.5, 64: 8.0, 256: 30.0}) == 64
    assert apart_from(fused, {1: 0.5, 16: 2.5, 64: 8.0, 256: 30.0}) == 64
    assert apart_from(fused, {1: 0.5, 16: 1.5, 64: 8.0, 256: 30.0}) == 1
    assert apart_from(fused, {1: 0.5, 16: 1.5, 64: 8.0, 256: 50.0}) is None
    # About as fast is an operation more for nothing.
    assert apart_from(fused, {1: 0.98, 16: 1.99, 64: 8.0, 256: 30.0}) == 64


@pytest.mark.parametrize(("boundary", "fused"), [(None, True), (4, True), (3, False)])
def test_silu_is_computed_where_the_timing_says(
    boundary: int | None, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = OneDNN(16, boundary)
    x, weight = torch.ones(3, 4), kernels.pack(torch.ones(4, 4))
    monkeypatch.setattr(kernels, "linear", lambda x, *_: -x)  # the product, if apart

    found = kernels.linear_silu(x, weight, None)

    product = 4 * x if fused else -x
    torch.testing.assert_close(found, torch.nn.functional.silu(product))


@pytest.mark.parametrize(
    "timed",
    [partial(time_silu, way=PACKED), partial(time_ways, ways=[PLAIN, PACKED])],
    ids=["an activation", "all products"],
)
def test_timing_is_on_one_thread_and_leaves_their_number_as_it_was(
    timed: Callable[[Sequence[Product]], Mapping[object, object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used: set[int] = set()

    def clock() -> float:
        used.add(torch.get_num_threads())
        return 0.0

    monkeypatch.setattr(time, "thread_time", clock)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        found = timed(products_of(tiny.model("llama")))

        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert used == {1}, "threads that wait for each other tell nothing"
    assert len(found) == 2


def test_every_layer_counts_with_its_shape_and_the_head_apart() -> None:
    llama = products_of(tiny.model("llama"))
    gpt2 = products_of(tiny.model("gpt2"))

    assert {(p.outputs, p.inputs, p.count) for p in llama if p.is_head} == {
        (tiny.VOCAB, 48, 1)
    }
    assert {(p.outputs, p.inputs): p.count for p in llama if not p.is_head} == {
        (48, 48): 4,  # q and o of two layers
        (24, 48): 4,
        (96, 48): 4,
        (48, 96): 2,
    }
    # Conv1D keeps its weight turned
    assert (144, 48) in {(p.outputs, p.inputs) for p in gpt2}


def test_of_a_large_weight_some_outputs_stand_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(products_module, "ELEMENTS", 480)

    products = products_of(tiny.model("llama"))

    assert all(p.outputs * p.inputs <= 480 for p in products)
    head = next(p for p in products if p.is_head)
    assert head.outputs * head.count == pytest.approx(tiny.VOCAB)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "hotswap" / "products"


def test_what_was_chosen_is_kept_for_this_model_and_number_of_threads(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny.model("llama").bfloat16()
    first = choose_kernels(model, [BF16, F32], CPU)
    with monkeypatch.context() as patched:
        patched.setattr(module, "time_ways", None)  # would fail if called
        second = choose_kernels(model, [BF16, F32], CPU)

    assert (first.dtype, type(first.kernels)) == (second.dtype, type(second.kernels))
    (file,) = cache.iterdir()
    other = file.read_text().replace(json.loads(file.read_text())["dtype"], "float8")
    for spoilt in ('{"dtype": 3}', "{", other):
        file.write_text(spoilt)
        choose_kernels(model, [BF16, F32], CPU)
        assert file.read_text() != spoilt
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    choose_kernels(model, [BF16, F32], CPU)
    assert len(list(cache.iterdir())) == 2


def test_a_type_that_was_asked_for_is_taken_and_a_gpu_keeps_the_models_own(
    cache: Path,
) -> None:
    model = tiny.model("llama").bfloat16()

    assert choose_kernels(model, [BF16], CPU).dtype is BF16
    on_gpu = choose_kernels(model, [BF16, F32], torch.device("cuda"))
    assert on_gpu.dtype is BF16
    assert isinstance(on_gpu.kernels, Plain)


def test_what_does_not_fit_into_memory_is_not_tried(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny.model("llama").bfloat16()
    monkeypatch.setattr(module, "free_host_bytes", lambda: 0)

    assert module.ways_of(model, [BF16, F32]) == [HALF]
