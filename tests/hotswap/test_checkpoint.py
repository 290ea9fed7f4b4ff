"""A folder is read as PEFT would read it, or refused by a code and a named reason."""

import json
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file

from hotswap.adapters.checkpoint import CONFIG_FILE, WEIGHTS_FILE, Layout, read
from hotswap.errors import AdapterRefused
from tests import tiny
from tests.hotswap.test_parity import make_runner

Change = Callable[[Path], None]
Tensors = dict[str, torch.Tensor]
PREFIX = "base_model.model."
Q = "model.layers.0.self_attn.q_proj"
A, B = f"{PREFIX}{Q}.lora_A.weight", f"{PREFIX}{Q}.lora_B.weight"


@pytest.fixture(scope="module")
def layout() -> Layout:
    return make_runner("llama").layout


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    return tiny.save_adapter(folder, "llama", 1, target_modules=["q_proj", "v_proj"])


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    """A copy of the good adapter, to be broken."""
    return shutil.copytree(good, tmp_path / "copy")


def config(**fields: Any) -> Change:
    def change(folder: Path) -> None:
        held = json.loads((folder / CONFIG_FILE).read_text())
        (folder / CONFIG_FILE).write_text(json.dumps({**held, **fields}))

    return change


def tensors(edit: Callable[[Tensors], Tensors]) -> Change:
    def change(folder: Path) -> None:
        held = edit(load_file(folder / WEIGHTS_FILE))
        save_file({n: t.contiguous() for n, t in held.items()}, folder / WEIGHTS_FILE)

    return change


def targets(names: str) -> Change:
    return config(target_modules=names.split())


def put(name: str, value: torch.Tensor) -> Change:
    return tensors(lambda held: {**held, name: value})


def drop(*names: str) -> Change:
    return tensors(lambda held: {n: t for n, t in held.items() if n not in names})


def each(edit: Callable[[torch.Tensor], torch.Tensor], which: str = "lora_") -> Change:
    def one(held: Tensors) -> Tensors:
        return {n: edit(t) if which in n else t for n, t in held.items()}

    return tensors(one)


def raw(name: str, content: bytes) -> Change:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return change


def cut(end: int) -> Change:
    def change(folder: Path) -> None:
        raw(WEIGHTS_FILE, (folder / WEIGHTS_FILE).read_bytes()[:end])(folder)

    return change


def remove(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


NAN, INF = float("nan"), float("inf")
ELSEWHERE, EMBEDDING = A.replace(".0.", ".7."), A.replace(Q, "model.embed_tokens")
MAGNITUDE = f"{PREFIX}{Q}.lora_magnitude_vector"
RAW = {
    "config empty": b"",
    "config not JSON": b"{r: 4}",
    "config not an object": b"[4]",
    "config not UTF-8": b'{"r\xff": 4}',
    "config too deep": b'{"peft_type": "LORA", "loftq_config": ' + b"[" * 100_000,
    "config of a long number": b'{"peft_type": "LORA", "r": ' + b"1" * 5000 + b"}",
}
BAD_FIELDS: dict[str, dict[str, Any]] = {
    "r text": {"r": "4"},
    "init a number": {"init_lora_weights": 3},
    "alpha text": {"lora_alpha": "8"},
    "alpha NaN": {"lora_alpha": NAN},
    "alpha infinite": {"lora_alpha": INF},
    "rsLoRA text": {"use_rslora": "no"},
    "rank_pattern no regex": {"rank_pattern": {"(": 4}},
    "alpha_pattern text": {"alpha_pattern": {"q_proj": "8"}},
    "targets no regex": {"target_modules": "("},
}
UNSUPPORTED: dict[str, Any] = {
    "use_qalora": True,
    "alora_invocation_tokens": [1, 2],
    "target_parameters": ["q_proj.weight"],
    "kasa_config": {"beta": 1e-4},
    "arrow_config": {"top_k": 2},
    "monteclora_config": {"num_samples": 2},
    "use_bdlora": {"nblocks": 2},
    "layer_replication": [[0, 1], [0, 1]],
    "megatron_config": {"hidden_size": 48},
}
# Types that PEFT cannot merge, or whose file does not hold all of it
TYPES = [
    *("PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "MULTITASK_PROMPT_TUNING", "CPT"),
    *("ADAPTION_PROMPT", "CARTRIDGE", "XLORA", "POLY", "LILY", "SHADOW"),
    *("OSF", "PSOFT", "FROD", "ADAMSS", "NEW", "lora", "", None, 7, ["LORA"]),
]
CUTS = [0, 1, 7, 8, 100, 1500, -100, -1]
INITS = ["pissa_niter_4", "corda", "loftq", "lora_ga", "nonsense"]
# what is wrong -> the code, the change that makes it so, and what the reason names
OTHERS: dict[str, tuple[str, Change, str]] = {
    "no config": ("no_config", remove(CONFIG_FILE), CONFIG_FILE),
    "no weights": ("no_weights", remove(WEIGHTS_FILE), WEIGHTS_FILE),
    "garbage": ("bad_weights", raw(WEIGHTS_FILE, b"\x80" * 99), WEIGHTS_FILE),
    "no tensors": ("missing_tensor", tensors(lambda _: {}), WEIGHTS_FILE),
    "one half": ("missing_tensor", drop(B), Q),
    "both halves": ("missing_tensor", drop(A, B), Q),
    "target empty": ("missing_tensor", targets("q_proj v_proj o_proj"), "o_proj"),
    "regex empty": ("missing_tensor", config(target_modules=".*[qvo]_proj"), "o_proj"),
    "only absent targets": ("unused_tensor", targets("zz yy"), "zz"),
    "no such module": ("unknown_module", put(ELSEWHERE, torch.ones(4, 48)), "layers.7"),
    "embedding empty": (
        "missing_tensor",
        targets("q_proj v_proj embed_tokens"),
        "embed",
    ),
    "block as target": ("missing_tensor", targets("q_proj v_proj mlp"), "mlp"),
    "embedding": ("not_linear", put(EMBEDDING, torch.ones(4, 48)), "embed_tokens"),
    "no target of ours": ("unused_tensor", targets("q_proj"), "v_proj"),
    "layer left out": ("unused_tensor", config(layers_to_transform=[0]), "layers.1"),
    "DoRA without magnitudes": ("missing_tensor", config(use_dora=True), "magnitude"),
    "lora_bias without biases": ("missing_tensor", config(lora_bias=True), "bias"),
    "head to save, not there": (
        "missing_tensor",
        config(modules_to_save=["lm_head"]),
        "lm_head",
    ),
    "norm to save, not there": (
        "missing_tensor",
        config(modules_to_save=["norm"]),
        "norm",
    ),
    "no such module to save": (
        "unknown_module",
        config(modules_to_save=["score"]),
        "score",
    ),
    "tokens without vectors": (
        "missing_tensor",
        config(trainable_token_indices=[1]),
        "token",
    ),
    "added tokens without vectors": (
        "missing_tensor",
        config(trainable_token_indices=[500]),
        "501 tokens",
    ),
    "PiSSA with DoRA": (
        "unsupported",
        config(use_dora=True, init_lora_weights="pissa"),
        "use_dora",
    ),
    "a whole head nobody declared": (
        "unused_tensor",
        put(f"{PREFIX}lm_head.bias", torch.ones(260)),
        "lm_head.bias",
    ),
    "a head of another width": (
        "wrong_shape",
        put(f"{PREFIX}lm_head.weight", torch.ones(260, 47)),
        "lm_head.weight",
    ),
    "magnitude": ("unused_tensor", put(MAGNITUDE, torch.ones(48)), MAGNITUDE),
    "given twice": ("unused_tensor", put(A.removeprefix(PREFIX), torch.ones(4, 48)), Q),
    "rank other than config": ("wrong_shape", config(r=8), Q),
    "A of another width": ("wrong_shape", put(A, torch.ones(4, 47)), Q),
    "three dimensions": ("wrong_shape", put(A, torch.ones(1, 4, 48)), Q),
    "transposed": ("wrong_shape", each(lambda t: t.t()), "_proj"),
    "NaN": ("not_finite", put(A, torch.full((4, 48), NAN)), A),
    "infinity": ("not_finite", put(B, torch.full((48, 4), -INF)), B),
    "overflow": ("not_finite", each(lambda t: t * 1e30), "_proj"),
    "integers": ("not_finite", each(lambda t: t.to(torch.int8)), "lora_"),
    "float8": ("not_finite", each(lambda t: t.to(torch.float8_e4m3fn)), "lora_"),
    "all zeros": ("zero_effect", each(torch.zeros_like), WEIGHTS_FILE),
    "B zero": ("zero_effect", each(torch.zeros_like, "lora_B"), WEIGHTS_FILE),
    "alpha 0": ("zero_effect", config(lora_alpha=0), "zero"),
}
CASES = [
    *((t, "bad_config", raw(CONFIG_FILE, c), CONFIG_FILE) for t, c in RAW.items()),
    *((t, "bad_config", config(**f), CONFIG_FILE) for t, f in BAD_FIELDS.items()),
    *((k, "unsupported", config(**{k: v}), k) for k, v in UNSUPPORTED.items()),
    *((f"type {t}", "peft_type", config(peft_type=t), str(t)) for t in TYPES),
    *(
        (f"init {i}", "changed_base", config(init_lora_weights=i), str(i))
        for i in INITS
    ),
    *((f"cut at {e}", "bad_weights", cut(e), WEIGHTS_FILE) for e in CUTS),
    *((t, *case) for t, case in OTHERS.items()),
]


@pytest.mark.parametrize(
    ("code", "change", "named"),
    [pytest.param(*case, id=title) for title, *case in CASES],
)
def test_a_broken_folder_is_refused_by_its_code_and_a_reason_that_names_the_place(
    code: str, change: Change, named: str, folder: Path, layout: Layout
) -> None:
    change(folder)

    with pytest.raises(AdapterRefused) as refused:
        read(folder, layout)

    assert refused.value.code == code
    assert named in refused.value.reason
    assert tempfile.gettempdir() not in refused.value.reason


def test_a_target_that_the_model_has_not_is_passed_over_and_said(
    good: Path, folder: Path, layout: Layout
) -> None:
    targets("q_proj v_proj zz fc1")(folder)

    found = read(folder, layout)

    assert found.deltas.keys() == read(good, layout).deltas.keys()
    assert found.can_mix
    (warning,) = found.warnings
    assert "fc1, zz" in warning


def test_a_pickle_is_named_in_the_reason_and_never_opened(
    folder: Path, layout: Layout, tmp_path: Path
) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    remove(WEIGHTS_FILE)(folder)
    raw("adapter_model.bin", pickle.dumps(Trap()))(folder)

    with pytest.raises(AdapterRefused, match=r"adapter_model\.bin") as refused:
        read(folder, layout)

    assert refused.value.code == "no_weights"
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"r": 1, "lora_alpha": 32},
        {"r": 8, "lora_alpha": 3, "use_rslora": True},
        {"rank_pattern": {"q_proj": 7, "layers.1.self_attn.v_proj": 2}},
        {"alpha_pattern": {"down_proj": 31, "q_proj": 5}, "use_rslora": True},
        {"rank_pattern": {"^model.layers.0.self_attn.q_proj": 6}},
    ],
    ids=["rank 1", "rsLoRA", "ranks", "alphas", "anchored"],
)
def test_rank_and_scale_of_each_module_are_those_of_peft(
    settings: dict[str, Any], tmp_path: Path, layout: Layout
) -> None:
    tiny.save_adapter(tmp_path, "llama", seed=2, **settings)

    found = read(tmp_path, layout).deltas

    peft = PeftModel.from_pretrained(tiny.model("llama"), tmp_path)
    wanted = {
        path.removeprefix(PREFIX): (module.r["default"], module.scaling["default"])
        for path, module in peft.named_modules()
        if isinstance(module, LoraLayer)
    }
    ours = {m: (d.a.shape[0], pytest.approx(d.scale)) for m, d in found.items()}
    assert ours == wanted


def test_the_digest_names_the_content_and_not_the_folder(
    good: Path, folder: Path, layout: Layout
) -> None:
    key = read(good, layout).key

    copy = read(folder, layout).key
    put(A, torch.ones(4, 48))(folder)
    other_weights = read(folder, layout).key
    config(lora_alpha=9)(folder)
    other_config = read(folder, layout).key

    assert copy == key
    assert len({key, other_weights, other_config}) == 3
