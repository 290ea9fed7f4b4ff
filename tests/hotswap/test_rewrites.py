"""Adapters that only merge: their slots are pure, and what merges wrong is refused."""

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file
from torch.nn.modules.module import register_module_parameter_registration_hook

from hotswap.adapters.bounds import bounded
from hotswap.adapters.checkpoint import read
from hotswap.adapters.file_names import WEIGHTS_FILE
from hotswap.adapters.generation import Generation
from hotswap.adapters.layout import Layout
from hotswap.adapters.rewrites import PeftMerge
from hotswap.adapters.tuners import rewrites
from hotswap.errors import AdapterRefused, MergeFailed, MixFailed
from hotswap.model.eager.linear import Linear
from scheduler import BASE
from tests import tiny
from tests.formats import FORMATS
from tests.hotswap.test_parity import logits, make_runner

BY_NAME = {f.name: f for f in FORMATS}
pytestmark = pytest.mark.filterwarnings("ignore")  # PEFT's, while it makes adapters


@pytest.fixture(scope="module")
def layout() -> Layout:
    return make_runner("llama").layout


SLOT_KINDS = [
    "IA3",
    "DoRA",
    "modules_to_save: embedding, head, norms",
    "added tokens, resized only",
    "lora_bias, base without bias",
    "LoRA",
]


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mixture")
    for kind in SLOT_KINDS:
        BY_NAME[kind].write(root / kind)
    return root


def test_slots_of_every_kind_are_pure_and_golden_never_changes(mixture: Path) -> None:
    runner = make_runner("llama")
    before, sum_before = logits(runner, None, mixed=False), runner.weights.checksum()
    generations = [read(mixture / kind, runner.layout) for kind in SLOT_KINDS]
    fresh = {g.key: logits(runner, g, mixed=False) for g in generations}
    rng = random.Random(0)

    for _ in range(60):
        chosen = rng.choice([None, *generations])
        found = logits(runner, chosen, mixed=False)

        assert torch.equal(found, before if chosen is None else fresh[chosen.key])

    assert runner.weights.checksum() == sum_before
    widths = {found.shape[1] for found in fresh.values()}
    assert widths == {tiny.VOCAB, tiny.VOCAB + 5}, "one adapter brings its own tokens"


def test_a_slot_built_in_slices_is_that_built_at_once(mixture: Path) -> None:
    runner = make_runner("llama")
    for kind in SLOT_KINDS:
        generation = read(mixture / kind, runner.layout)
        whole = logits(runner, generation, mixed=False)
        runner.weights.activate(None)
        runner.forget(generation.key)

        slices = 1
        while runner.weights.build_ahead(generation, budget_s=0.0) is None:
            assert runner.weights.resident == BASE
            slices += 1

        assert slices > 3
        assert torch.equal(logits(runner, generation, mixed=False), whole)


def test_an_adapter_that_only_merges_is_never_in_a_mixed_step(mixture: Path) -> None:
    runner = make_runner("llama")
    generation = read(mixture / "IA3", runner.layout)

    with pytest.raises(MixFailed, match="merged only"):
        logits(runner, generation, mixed=True)


def test_a_rewrite_that_fails_leaves_golden_resident(mixture: Path) -> None:
    runner = make_runner("llama")
    good = read(mixture / "modules_to_save: embedding, head, norms", runner.layout)
    before = logits(runner, None, mixed=False)

    class Broken:
        rank = 0
        tensors = ()

        def __call__(self, golden: object) -> dict[str, torch.Tensor]:
            raise IndexError("nowhere")

    broken = Generation(
        key="broken",
        deltas={},
        rewrites={**good.rewrites, "model.norm": Broken()},
    )
    logits(runner, good, mixed=False)

    with pytest.raises(MergeFailed, match="nowhere"):
        runner.weights.activate(broken)

    assert runner.weights.resident == BASE
    assert torch.equal(logits(runner, None, mixed=False), before)


def test_a_generation_tells_its_kind_rank_modules_and_bytes(mixture: Path) -> None:
    layout = make_runner("llama").layout
    found = {kind: read(mixture / kind, layout) for kind in SLOT_KINDS}

    ia3, dora, lora = found["IA3"], found["DoRA"], found["LoRA"]
    assert (ia3.rank, ia3.modules, ia3.note) == (0, 6, "merged only: IA3")
    assert (dora.rank, dora.modules, dora.note) == (4, 6, "merged only: use_dora")
    assert (lora.rank, lora.modules, lora.note) == (4, 6, None)
    (warning,) = found["added tokens, resized only"].warnings
    assert "5 tokens" in warning
    assert not lora.warnings
    for kind, generation in found.items():
        held = load_file(mixture / kind / WEIGHTS_FILE)
        assert generation.nbytes == sum(t.nbytes for t in held.values()), kind


@pytest.mark.parametrize(
    "kind", ["IA3", "DoRA", "modules_to_save: embedding, head, norms"]
)
def test_a_slot_holds_the_float32_merge_of_peft_rounded_once(
    kind: str, mixture: Path
) -> None:
    runner = make_runner("llama", dtype=torch.bfloat16)
    base = tiny.model("llama").bfloat16().float()  # type: ignore[no-untyped-call]
    peft = PeftModel.from_pretrained(base, mixture / kind).merge_and_unload()
    wanted = dict(peft.named_parameters())

    runner.weights.activate(read(mixture / kind, runner.layout))

    for place in runner.weights.swappables:
        for path, rows in place.parts.items():
            name = f"{path}.weight"
            if isinstance(place, Linear):
                found = (
                    place.weight.to_dense() if place.weight.is_mkldnn else place.weight
                )
                found = found[rows]
            else:
                found = place._parameters["weight"].data  # type: ignore[attr-defined]
            assert torch.equal(found, wanted[name].detach().to(torch.bfloat16)), name


class Wrong(BaseTunerLayer, torch.nn.Module):  # type: ignore[misc]
    """A layer that doubles its output, and whose merge does nothing."""

    def __init__(self, base_layer: torch.nn.Module) -> None:
        super().__init__()
        self.base_layer = base_layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        doubled: torch.Tensor = 2 * self.base_layer(x)
        return doubled

    def merge(self, safe_merge: bool = False, adapter_names: Any = None) -> None:
        pass


def test_a_layer_that_merges_to_something_else_is_refused() -> None:
    layer = Wrong(torch.nn.Linear(4, 4))
    merged = PeftMerge("here", layer, {})

    with pytest.raises(AdapterRefused, match="here") as refused:
        merged.prove(dict(layer.base_layer.named_parameters()))

    assert refused.value.code == "not_mergeable"


def test_a_kind_that_changes_the_base_when_it_is_loaded_is_refused(
    layout: Layout,
) -> None:
    config = LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights="pissa")

    with pytest.raises(AdapterRefused, match="changed base") as refused:
        rewrites(config, {"x": torch.ones(4)}, layout)

    assert refused.value.code == "changed_base"


def test_a_layer_may_be_made_while_another_thread_begins_or_ends_to_read_an_adapter(
    layout: Layout,
) -> None:
    def read() -> None:
        with bounded({}, layout):
            pass

    def meanwhile(*_: object) -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(read).result(10)

    hooks = [
        register_module_parameter_registration_hook(each)
        for each in (meanwhile, lambda *_: None)
    ]
    try:
        torch.nn.Linear(2, 2)  # torch goes through all hooks for each parameter
    finally:
        for hook in hooks:
            hook.remove()
