"""Adapters that only merge: broken ones are refused, slots of the others are pure."""

import json
import random
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file, save_file
from torch.nn.modules.module import register_module_parameter_registration_hook

from hotswap.adapters.bounds import bounded
from hotswap.adapters.checkpoint import CONFIG_FILE, WEIGHTS_FILE, Layout, read
from hotswap.adapters.deltas import Generation
from hotswap.adapters.rewrites import PeftMerge
from hotswap.adapters.tuners import rewrites
from hotswap.errors import AdapterRefused, MergeFailed, MixFailed
from hotswap.model.linear import Linear
from scheduler import BASE
from tests import tiny
from tests.formats import FORMATS
from tests.hotswap.test_parity import logits, make_runner

Tensors = dict[str, torch.Tensor]
BY_NAME = {f.name: f for f in FORMATS}
KINDS = [
    *("IA3", "LoHa", "DoRA", "Shira", "HRA", "LNTuning", "Supertuning"),
    *("trainable_token_indices", 'bias="all"'),
]

pytestmark = pytest.mark.filterwarnings("ignore")  # PEFT's, while it makes adapters


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    for kind in KINDS:
        BY_NAME[kind].write(root / kind)
    return root


@pytest.fixture(scope="module")
def layout() -> Layout:
    return make_runner("llama").layout


def first(held: Tensors, part: str) -> str:
    return next(name for name in sorted(held) if part in name)


def without(part: str) -> Callable[[Tensors], Tensors]:
    return lambda held: {n: t for n, t in held.items() if n != first(held, part)}


def with_one(part: str, edit: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    def change(held: Tensors) -> Tensors:
        name = first(held, part)
        return {**held, name: edit(held[name])}

    return change


def with_all(part: str, edit: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    return lambda held: {n: edit(t) if part in n else t for n, t in held.items()}


def moved(old: str, new: str) -> Callable[[Tensors], Tensors]:
    return lambda held: {n.replace(old, new): t for n, t in held.items()}


def also(name: str, value: torch.Tensor) -> Callable[[Tensors], Tensors]:
    return lambda held: {**held, f"base_model.model.{name}": value}


def same(held: Tensors) -> Tensors:
    return held


INF = float("inf")
NORM = torch.ones(48)
# what is wrong -> kind, code, change of the tensors, of the config, in the reason
BROKEN: dict[
    str, tuple[str, str, Callable[[Tensors], Tensors], dict[str, Any], str]
] = {
    "half": ("LoHa", "missing_tensor", without("hada_w1_a"), {}, "hada_w1_a"),
    "no scales": ("IA3", "missing_tensor", without("layers.1"), {}, "ia3_l"),
    "no magnitude": ("DoRA", "missing_tensor", without("magnitude"), {}, "magnitude"),
    "no tokens": (
        *("trainable_token_indices", "missing_tensor"),
        *(without("token_adapter"), {}, "token"),
    ),
    "one more target": (
        *("HRA", "missing_tensor", same),
        *({"target_modules": ["q_proj", "v_proj", "down_proj", "up_proj"]}, "up_proj"),
    ),
    "one target less": (
        *("HRA", "unused_tensor", same, {"target_modules": ["q_proj", "v_proj"]}),
        "down_proj",
    ),
    "no such target": (
        *("LoHa", "unknown_module", same, {"target_modules": ["yy", "zz"]}, "zz"),
    ),
    "regex of nothing": (
        *("LoHa", "unknown_module", same, {"target_modules": "zz.*"}, "zz"),
    ),
    "no such layer": (
        *("LoHa", "unknown_module", moved("layers.1", "layers.7"), {}, "layers.7"),
    ),
    "target that cannot be": (
        *("LoHa", "not_linear", same, {"target_modules": ["mlp"]}, "not supported"),
    ),
    "not of the adapter": (
        *("IA3", "unused_tensor", also("model.layers.0.mlp.gate_proj.x", NORM), {}),
        "gate_proj.x",
    ),
    "rank other than config": ("LoHa", "wrong_shape", same, {"r": 5}, "hada"),
    "scales of another width": (
        *("IA3", "wrong_shape", with_one("ia3_l", lambda t: t[..., :-1]), {}, "ia3_l"),
    ),
    "norm of another width": (
        *("LNTuning", "wrong_shape", with_one("norm", lambda t: t[:-1]), {}, "norm"),
    ),
    "infinite": (
        *("HRA", "not_finite", with_one("hra_u", lambda t: t * INF), {}, "hra_u"),
    ),
    "code of somebody else": (
        *("IA3", "unsupported", same, {"megatron_config": {"x": 1}}, "megatron_config"),
    ),
    "values that overflow": (
        *("LoHa", "not_mergeable", with_all("hada", lambda t: t * 1e20), {}, "merged"),
    ),
    "text for a rank": ("LoHa", "bad_config", same, {"r": "x"}, "str"),
    "rank 0": ("LoHa", "bad_config", same, {"r": 0}, "r"),
    "absurd rank": ("LoHa", "wrong_shape", same, {"r": 10**9}, "r=1000000000"),
    "absurd rank of one module": (
        *("DoRA", "wrong_shape", same, {"rank_pattern": {"q_proj": 10**9}}),
        "rank_pattern",
    ),
    "a rank that is too much for all modules together": (
        *("HRA", "wrong_shape", same, {"r": 10**5}, "r=100000"),
    ),
    "repeated without end": (
        *(
            "HRA",
            "bad_config",
            same,
            {"peft_type": "OFT", "r": 4, "oft_block_size": 0}
            | {"num_cayley_neumann_terms": 10**9},
            "num_cayley_neumann_terms",
        ),
    ),
    "index out of range": (
        *("Shira", "wrong_shape"),
        *(with_all("indices", lambda t: t + 10**6), {}, "outside"),
    ),
    "negative index": (
        *("Shira", "wrong_shape", with_all("indices", lambda t: -1 - t), {}, "outside"),
    ),
    "support out of range": (
        *("Supertuning", "not_mergeable"),
        *(with_all("indices", lambda t: t + 10**6), {}, "PEFT"),
    ),
    "support not saved": (
        *("Supertuning", "unsupported", same),
        *({"save_precomputed_indices": False}, "save_precomputed_indices"),
    ),
    "scales of one": (
        *("IA3", "zero_effect", with_all("ia3_l", torch.ones_like), {}, "leaves"),
    ),
    "factors of zero": (
        *("LoHa", "zero_effect", with_all("hada_w1_a", torch.zeros_like), {}, "leaves"),
    ),
    "norms as they were": (
        *("LNTuning", "zero_effect", same, {"untouched": True}, "leaves"),
    ),
    "bias of a norm that has none": (
        *("DoRA", "unused_tensor", also("model.norm.bias", NORM), {}, "norm.bias"),
    ),
}


@pytest.mark.parametrize("title", BROKEN)
def test_a_broken_adapter_of_another_kind_is_refused_by_its_code(
    title: str, made: Path, layout: Layout, tmp_path: Path
) -> None:
    kind, code, change, fields, named = BROKEN[title]
    folder = shutil.copytree(made / kind, tmp_path / "copy")
    held = change(load_file(folder / WEIGHTS_FILE))
    if fields.pop("untouched", False):
        golden = dict(tiny.model("llama").named_parameters())
        held = {
            n: golden[
                n.removeprefix("base_model.model.").replace(".ln_tuning_layers", "")
            ]
            .detach()
            .clone()
            for n in held
        }
    save_file({n: t.contiguous() for n, t in held.items()}, folder / WEIGHTS_FILE)
    old = json.loads((folder / CONFIG_FILE).read_text())
    (folder / CONFIG_FILE).write_text(json.dumps({**old, **fields}))

    with pytest.raises(AdapterRefused) as refused:
        read(folder, layout)

    assert (refused.value.code, named in refused.value.reason) == (code, True), (
        refused.value.reason
    )


def test_a_bias_that_is_declared_and_not_there_refuses_the_adapter(
    made: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(made / 'bias="all"', tmp_path / "copy")
    held = without("ln_1.bias")(load_file(folder / WEIGHTS_FILE))
    save_file(held, folder / WEIGHTS_FILE)

    with pytest.raises(AdapterRefused, match="ln_1") as refused:
        read(folder, make_runner("gpt2").layout)

    assert refused.value.code == "missing_tensor"


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
        while runner.weights.prepare(generation, budget_s=0.0) is None:
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
    base = tiny.model("llama").to(torch.bfloat16).float()
    peft = PeftModel.from_pretrained(base, mixture / kind).merge_and_unload()
    wanted = dict(peft.named_parameters())

    runner.weights.activate(read(mixture / kind, runner.layout))

    for place in runner.weights._places:
        for path, rows in place.parts.items():
            name = f"{path}.weight"
            if isinstance(place, Linear):
                found = (
                    place.weight.to_dense() if place.weight.is_mkldnn else place.weight
                )
                found = found[rows]
            else:
                found = place._parameters["weight"].data
            assert torch.equal(found, wanted[name].detach().to(torch.bfloat16)), name


class Wrong(BaseTunerLayer, torch.nn.Module):
    """A layer that doubles its output, and whose merge does nothing."""

    def __init__(self, base_layer: torch.nn.Module) -> None:
        super().__init__()
        self.base_layer = base_layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * self.base_layer(x)

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
