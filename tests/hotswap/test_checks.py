"""What a check says of an adapter that is whole: limits, base model, merge fidelity."""

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from hotswap.adapters.checkpoint import read
from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from hotswap.adapters.folder_check import report
from hotswap.adapters.layout import Layout
from hotswap.adapters.limits import CheckpointLimits
from hotswap.adapters.report import Report, text
from hotswap.errors import AdapterRefused, MergeFailed
from tests import tiny
from tests.hotswap.test_parity import logits, make_runner

BF16 = torch.bfloat16


@pytest.fixture(scope="module")
def layout() -> Layout:
    return make_runner("llama").layout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.save_adapter(tmp_path / "a", "llama", seed=1, r=4, strength=1.0)


def rewrite(folder: Path, **fields: Any) -> None:
    held = json.loads((folder / CONFIG_FILE).read_text())
    (folder / CONFIG_FILE).write_text(json.dumps({**held, **fields}))


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (CheckpointLimits(max_rank=3), "rank_limit"),
        (CheckpointLimits(max_bytes=1000), "too_large"),
        (CheckpointLimits(max_rank=4, max_bytes=100_000), None),
    ],
    ids=["rank", "bytes", "within"],
)
def test_an_adapter_over_a_limit_is_refused(
    limits: CheckpointLimits, code: str | None, folder: Path, layout: Layout
) -> None:
    assert report(folder, layout, limits).code == code


def test_a_rank_in_a_pattern_counts_as_any_other(
    tmp_path: Path, layout: Layout
) -> None:
    tiny.save_adapter(tmp_path, "llama", seed=1, rank_pattern={"q_proj": 9})

    assert report(tmp_path, layout, CheckpointLimits(max_rank=8)).code == "rank_limit"


@pytest.mark.parametrize(
    ("said", "is_other"),
    [
        ("someone/llama", False),
        ("/elsewhere/Llama/", False),
        ("unsloth/llama-unsloth-bnb-4bit", False),
        ("/root/.cache/huggingface/hub/models--some--llama/snapshots/0a1b2c", False),
        ("", False),
        (None, False),
        ("someone/mistral", True),
        ("someone/llama-chat", True),
        ("lla", True),
    ],
)
def test_another_base_model_is_warned_of_or_refused(
    said: str | None, is_other: bool, folder: Path, layout: Layout
) -> None:
    rewrite(folder, base_model_name_or_path=said)

    warned = report(folder, layout)
    strict = report(folder, layout, CheckpointLimits(other_base="refuse"))

    assert (warned.ok, len(warned.warnings)) == (True, int(is_other))
    assert strict.code == ("other_base" if is_other else None)


@torch.no_grad()
def loss_by_hand(folder: Path) -> float:
    """Of the whole update, from PEFT's own merged weights and torch's rounding."""
    base = tiny.model("llama").bfloat16().float()  # type: ignore[no-untyped-call]
    before = {n: p.clone() for n, p in base.named_parameters()}
    merged = PeftModel.from_pretrained(base, folder).merge_and_unload()
    whole = lost = 0.0
    for name, after in merged.named_parameters():
        update = after - before[name]
        arrived = after.to(BF16).float() - before[name]
        whole += float(update.double().square().sum())
        lost += float((update - arrived).double().square().sum())
    return math.sqrt(lost / whole)


@pytest.mark.parametrize("strength", [1.0, 0.05, 0.01])
def test_merge_loss_is_the_share_of_the_update_that_rounding_loses(
    strength: float, tmp_path: Path
) -> None:
    tiny.save_adapter(tmp_path, "llama", seed=1, strength=strength)

    found = read(tmp_path, make_runner("llama", dtype=BF16).layout).merge_loss

    assert found == pytest.approx(loss_by_hand(tmp_path), rel=0.1)


def test_a_float32_model_loses_nothing(folder: Path, layout: Layout) -> None:
    found = read(folder, layout).merge_loss

    assert found is not None
    assert found < 1e-5


def test_an_update_that_rounding_destroys_is_served_mixed_only(tmp_path: Path) -> None:
    tiny.save_adapter(tmp_path, "llama", seed=1, strength=0.01)
    runner = make_runner("llama", dtype=BF16)

    generation = read(tmp_path, runner.layout, CheckpointLimits(max_merge_loss=0.5))

    assert generation.merge_loss is not None
    assert generation.merge_loss > 0.5
    assert (generation.can_merge, generation.can_mix) == (False, True)
    assert "mixed only: merged into bfloat16 it would lose" in (generation.note or "")
    logits(runner, generation, mixed=True)
    with pytest.raises(MergeFailed, match="mixed only"):
        runner.weights.activate(generation)


def test_one_that_can_neither_merge_nor_mix_is_refused_by_name(tmp_path: Path) -> None:
    tiny.save_adapter(tmp_path, "llama", seed=1, strength=0.01, use_dora=True)
    layout = make_runner("llama", dtype=BF16).layout

    with pytest.raises(AdapterRefused, match="cannot run mixed") as refused:
        read(tmp_path, layout, CheckpointLimits(max_merge_loss=1e-6))

    assert refused.value.code == "merge_loss"


def test_a_report_says_what_the_generation_says(folder: Path, layout: Layout) -> None:
    found, generation = report(folder, layout), read(folder, layout)

    assert found == Report(
        True,
        generation=generation.key,
        format="LORA",
        rank=4,
        modules=12,
        bytes=generation.nbytes,
        can_merge=True,
        can_mix=True,
        merge_loss=generation.merge_loss,
    )
    assert "rank 4, 12 modules" in text(folder, found)


def test_a_report_is_one_flat_object_of_json_whose_keys_keep_their_order() -> None:
    served = Report(True, generation="ab", rank=4, warnings=("x",))
    refused = Report(False, "no_config", "nothing there")

    both = [msgspec.json.encode(each).decode() for each in (served, refused)]

    assert both == [
        '{"ok":true,"code":null,"reason":null,"generation":"ab","format":null,'
        '"rank":4,"modules":null,"bytes":null,"can_merge":null,"can_mix":null,"note":null,'
        '"merge_loss":null,"warnings":["x"]}',
        '{"ok":false,"code":"no_config","reason":"nothing there","generation":null,'
        '"format":null,"rank":null,"modules":null,"bytes":null,"can_merge":null,"can_mix":null,'
        '"note":null,"merge_loss":null,"warnings":[]}',
    ]


def scale(folder: Path, by: float) -> None:
    (folder / "hotswap.toml").write_text(f"scale = {by}\n")


def test_a_scale_of_the_sidecar_makes_another_generation(
    folder: Path, layout: Layout
) -> None:
    plain = read(folder, layout)
    scale(folder, 2.0)
    strong = read(folder, layout)

    assert strong.key != plain.key
    for path, delta in plain.deltas.items():
        assert strong.deltas[path].scale == 2 * delta.scale


def test_what_a_scale_makes_of_an_adapter_is_judged_and_not_what_it_was(
    folder: Path, layout: Layout
) -> None:
    scale(folder, 0)
    assert report(folder, layout).code == "zero_effect"

    tensors = load_file(folder / WEIGHTS_FILE)
    for key, tensor in tensors.items():
        tensor.mul_(1e37 if "lora_B" in key else 1.0)
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    scale(folder, 1)
    assert report(folder, layout).ok
    scale(folder, 1000)
    assert report(folder, layout).code == "not_finite"


@pytest.mark.parametrize(
    ("dtype", "b", "alpha"),
    [("float32", 1e38, 1e9), ("float16", 6e4, 1e4)],
    ids=["float32", "float16"],
)
def test_factors_that_overflow_in_the_weights_type_are_not_mixed(
    dtype: str, b: float, alpha: float, tmp_path: Path
) -> None:
    """A tiny, B huge: check called it whole, and each row of a mixed step was NaN."""
    layout = make_runner("llama", dtype=getattr(torch, dtype)).layout
    folder = tiny.save_adapter(
        tmp_path, "llama", seed=1, r=1, target_modules=["q_proj"]
    )
    tensors = load_file(folder / WEIGHTS_FILE)
    for key, tensor in tensors.items():
        tensor.fill_(b if "lora_B" in key else 0.0)
        if "lora_A" in key:  # what one row has for the other to take up, and none
            tensor[0, 0], tensor[0, 1] = 1.0, 1e-30
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    rewrite(folder, lora_alpha=alpha)

    found = report(folder, layout, CheckpointLimits(max_merge_loss=1.0))

    assert found.code == "not_finite" or not found.can_mix
