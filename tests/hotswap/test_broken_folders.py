"""A broken folder is refused by a code and a reason that names the place."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from hotswap.adapters.checkpoint import read
from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from hotswap.adapters.layout import Layout
from hotswap.errors import AdapterRefused
from tests import tiny
from tests.changes import (
    PREFIX,
    A,
    B,
    Change,
    Q,
    config,
    cut,
    drop,
    each,
    put,
    raw,
    remove,
    targets,
    tensors,
)
from tests.hotswap.test_parity import make_runner


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
