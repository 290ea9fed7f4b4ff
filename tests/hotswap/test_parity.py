"""Merged and mixed logits equal PEFT's own, for every architecture and setting."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from hotswap.adapters.checkpoint import read
from hotswap.adapters.generation import Generation
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.machine.kernels import kernels_for
from hotswap.model.network.loaded import Loaded
from hotswap.model.network.rows import Row, own_blocks
from hotswap.sampling_params import SamplingParams
from tests import tiny

ARCHITECTURES = ["llama", "qwen2", "gpt2", "mistral", "gemma2", "bloom"]
PROMPT = [72, 101, 108, 108, 111, 44, 32, 119, 111, 114]
PATTERNS: dict[str, dict[str, Any]] = {
    "llama": {
        "rank_pattern": {"q_proj": 7, "layers.1.self_attn.v_proj": 2},
        "alpha_pattern": {"down_proj": 31},
    },
    "gpt2": {"rank_pattern": {"c_attn": 7}, "alpha_pattern": {"h.1.mlp.c_fc": 31}},
}
SETTINGS: dict[str, dict[str, Any]] = {
    "rank 1": {"r": 1, "lora_alpha": 4},
    "rank 8": {"r": 8, "lora_alpha": 16},
    "rank 64": {"r": 64, "lora_alpha": 16},
    "rsLoRA": {"r": 8, "lora_alpha": 16, "use_rslora": True},
}
CASES = [
    *((a, name, s) for a in ARCHITECTURES for name, s in SETTINGS.items()),
    *((a, "patterns", {"r": 4, **s}) for a, s in PATTERNS.items()),
]


def make_runner(
    architecture: str, *, tied: bool = False, dtype: torch.dtype = torch.float32
) -> EagerExecutor:
    model = tiny.model(architecture, tied=tied)
    model.to(dtype)  # type: ignore[arg-type]  # hidden behind a decorator
    loaded = Loaded(
        model=model,
        tokenizer=tiny.tokenizer(),
        name=architecture,
        context=512,
        eos=frozenset({tiny.EOS}),
        kernels=kernels_for(dtype, torch.device("cpu")),
    )
    return EagerExecutor(loaded, slots=1, kv_tokens=1024)


def logits(
    runner: EagerExecutor, generation: Generation | None, *, mixed: bool
) -> torch.Tensor:
    """Prefill in two chunks, then every position's logits by decoding."""
    runner.weights.activate(None if mixed else generation)
    runner.open(1, SamplingParams())
    found = []
    pieces = [PROMPT[:3], PROMPT[3:6], *([token] for token in PROMPT[6:])]
    position = 0
    for tokens in pieces:
        row = Row(
            job=1,
            tokens=tokens,
            position=position,
            generation=generation,
            wants_logits=True,
            blocks=own_blocks(1, 64),
        )
        found.append(runner.forward([row], mixed=mixed)[0])
        position += len(tokens)
    runner.close(1)
    return torch.stack(found)


def oracle(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        whole: torch.Tensor = model(input_ids=torch.tensor([PROMPT])).logits[0]
    return whole[[2, 5, 6, 7, 8, 9]]


@pytest.mark.parametrize(
    ("architecture", "setting"),
    [pytest.param(a, s, id=f"{a} {name}") for a, name, s in CASES],
)
def test_merged_and_mixed_logits_equal_those_of_peft(
    architecture: str, setting: dict[str, Any], tmp_path: Path
) -> None:
    tiny.save_adapter(tmp_path, architecture, seed=1, strength=1.0, **setting)
    runner = make_runner(architecture)
    generation = read(tmp_path, runner.layout)

    merged = logits(runner, generation, mixed=False)
    mixed = logits(runner, generation, mixed=True)

    peft = PeftModel.from_pretrained(tiny.model(architecture), tmp_path).eval()
    torch.testing.assert_close(mixed, oracle(peft), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        merged, oracle(peft.merge_and_unload()), atol=1e-4, rtol=1e-4
    )
    bare = oracle(tiny.model(architecture))
    assert (merged - bare).abs().max() > 1e-2, "an adapter that does nothing"


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "bloom"])
def test_golden_logits_equal_those_of_transformers(architecture: str) -> None:
    runner = make_runner(architecture)

    found = logits(runner, None, mixed=False)

    expected = oracle(tiny.model(architecture))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_every_architecture_gets_the_fastest_pass_that_is_right_for_it() -> None:
    kinds = {a: make_runner(a).kind for a in ARCHITECTURES}

    assert kinds == {
        "llama": "llama",
        "qwen2": "llama",
        "gpt2": "interface",
        "mistral": "llama",
        "gemma2": "alone",
        "bloom": "alone",
    }


def test_an_adapter_on_a_tied_head_leaves_the_embedding_alone(tmp_path: Path) -> None:
    targets = ["q_proj", "lm_head"]
    tiny.save_adapter(tmp_path, "llama", seed=3, tied=True, target_modules=targets)
    runner = make_runner("llama", tied=True)
    generation = read(tmp_path, runner.layout)

    merged = logits(runner, generation, mixed=False)
    mixed = logits(runner, generation, mixed=True)

    peft = PeftModel.from_pretrained(tiny.model("llama", tied=True), tmp_path).eval()
    torch.testing.assert_close(mixed, oracle(peft), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(merged, oracle(peft), atol=1e-4, rtol=1e-4)


def test_a_mixed_batch_gives_each_row_its_own_adapter(tmp_path: Path) -> None:
    runner = make_runner("llama")
    generations: list[Generation | None] = [None]
    wanted = [oracle(tiny.model("llama"))[-1]]
    for seed, (rank, targets) in enumerate(
        [(1, ["q_proj"]), (8, ["v_proj", "down_proj"]), (64, tiny.TARGETS["llama"])]
    ):
        folder = tmp_path / str(seed)
        tiny.save_adapter(folder, "llama", seed=seed, r=rank, target_modules=targets)
        generations.append(read(folder, runner.layout))
        peft = PeftModel.from_pretrained(tiny.model("llama"), folder).eval()
        wanted.append(oracle(peft)[-1])
    order = [2, 0, 3, 1, 2, 0]  # not grouped, and some adapters twice
    runner.weights.activate(None)
    rows = []
    for job, which in enumerate(order):
        runner.open(job, SamplingParams())
        rows.append(
            Row(
                job=job,
                tokens=PROMPT,
                position=0,
                generation=generations[which],
                wants_logits=True,
                blocks=own_blocks(job, 16),
            )
        )

    found = runner.forward(rows, mixed=True)

    expected = torch.stack([wanted[which] for which in order])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_in_bfloat16_merged_and_mixed_differ_by_rounding_alone(tmp_path: Path) -> None:
    """The gap between the modes is of the size of the bare model's own rounding."""
    tiny.save_adapter(tmp_path, "llama", seed=1, strength=1.0)
    exact, rounded = make_runner("llama"), make_runner("llama", dtype=torch.bfloat16)
    generation = read(tmp_path, exact.layout)
    wanted = logits(exact, generation, mixed=False)
    bare = logits(exact, None, mixed=False)

    merged = logits(rounded, generation, mixed=False)
    mixed = logits(rounded, generation, mixed=True)

    rounding = (logits(rounded, None, mixed=False) - bare).norm() / bare.norm()
    for found in (merged, mixed):
        assert (found - wanted).norm() / wanted.norm() < 4 * rounding
    assert (merged - mixed).norm() / wanted.norm() < 4 * rounding
    assert (wanted - bare).norm() / bare.norm() > 20 * rounding, "nothing was shown"
