"""Broken adapters of the kinds that only merge are refused by a code and a reason."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from hotswap.adapters.checkpoint import read
from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from hotswap.adapters.layout import Layout
from hotswap.errors import AdapterRefused
from tests import tiny
from tests.formats import FORMATS
from tests.hotswap.test_parity import make_runner

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
