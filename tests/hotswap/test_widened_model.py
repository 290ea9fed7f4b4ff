"""A model with weights in bfloat16 that computes in float32: the same numbers as
transformers and PEFT in float32 make of the same weights."""

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import PreTrainedModel

from hotswap.adapters.checkpoint import read
from hotswap.adapters.generation import Generation
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.eager.linear import Linear
from hotswap.model.machine.kernels import OneDNN, kernels_for
from hotswap.model.machine.widening import Widening
from hotswap.model.network.loaded import Loaded
from tests import tiny
from tests.hotswap.test_packed_merge import wide
from tests.hotswap.test_parity import logits, oracle
from tests.hotswap.test_widening import is_compiled_here, kernels_here, unpacked

BF16, F32, CPU = torch.bfloat16, torch.float32, torch.device("cpu")
pytestmark = pytest.mark.skipif(
    not is_compiled_here(), reason="no C compiler that torch's OpenMP goes with"
)


def loaded(model: PreTrainedModel, kernels: Widening) -> Loaded:
    """With its weights in bfloat16, and its buffers as they are: as a model is loaded.
    Mutates `model`."""
    for parameter in model.parameters():
        parameter.data = parameter.data.bfloat16()
    return Loaded(
        model=model,
        tokenizer=tiny.tokenizer(),
        name="model",
        context=512,
        eos=frozenset({tiny.EOS}),
        kernels=kernels,
    )


def runner_of(model: PreTrainedModel, **sizes: int) -> EagerExecutor:
    sizes = {"slots": 1, "kv_tokens": 1024, **sizes}
    return EagerExecutor(loaded(model, kernels_here()), **sizes)


def in_float32(model: PreTrainedModel) -> PreTrainedModel:
    """The same weights, rounded to bfloat16. Mutates `model`."""
    for parameter in model.parameters():
        parameter.data = parameter.data.bfloat16().float()
    return model


def same(found: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", ["llama", "mistral", "qwen2"])
@pytest.mark.parametrize("tied", [False, True])
def test_logits_are_those_of_transformers_in_float32_with_the_same_weights(
    architecture: str, tied: bool
) -> None:
    runner = runner_of(tiny.model(architecture, tied=tied))
    checksum = runner.weights.checksum()

    found = logits(runner, None, mixed=False)

    assert (runner.kind, runner.dtype, runner.compute_dtype) == ("llama", BF16, F32)
    wanted = oracle(in_float32(tiny.model(architecture, tied=tied)))
    same(found, wanted)
    assert runner.weights.checksum() == checksum


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_an_adapter_says_what_it_says_in_peft(
    architecture: str, tmp_path: Path
) -> None:
    """Mixed as PEFT's own beside the weights; merged as PEFT's merge, rounded once."""
    targets = [*tiny.TARGETS[architecture], "lm_head"]
    tiny.save_adapter(
        tmp_path, architecture, seed=3, strength=1.0, target_modules=targets
    )
    runner = runner_of(tiny.model(architecture))
    generation = read(tmp_path, runner.layout)
    bare = logits(runner, None, mixed=False)

    merged = logits(runner, generation, mixed=False)
    mixed = logits(runner, generation, mixed=True)

    base = in_float32(tiny.model(architecture))
    peft = PeftModel.from_pretrained(base, tmp_path).eval()
    same(mixed, oracle(peft))
    whole = peft.merge_and_unload()
    exact = oracle(whole)
    wanted = oracle(in_float32(whole))
    # A sum between two bfloat16 may go to the other: one weight in thousands does.
    torch.testing.assert_close(merged, wanted, atol=3e-3, rtol=3e-3)
    rounding = (wanted - exact).norm()
    assert (merged - mixed).norm() < 2 * rounding
    assert (exact - bare).norm() > 20 * rounding, "nothing was shown"
    assert torch.equal(logits(runner, None, mixed=False), bare), "base stays base"


def test_an_adapter_on_a_tied_head_leaves_the_embedding_alone(tmp_path: Path) -> None:
    targets = ["q_proj", "lm_head"]
    tiny.save_adapter(tmp_path, "llama", seed=3, tied=True, target_modules=targets)
    runner = runner_of(tiny.model("llama", tied=True))
    generation = read(tmp_path, runner.layout)

    merged = logits(runner, generation, mixed=False)
    mixed = logits(runner, generation, mixed=True)

    base = in_float32(tiny.model("llama", tied=True))
    wanted = oracle(PeftModel.from_pretrained(base, tmp_path).eval())
    same(mixed, wanted)
    assert (merged - wanted).norm() < 0.01 * wanted.norm()


@pytest.mark.parametrize("packed_stays", [True, False], ids=["in place", "evicted"])
def test_merged_weights_are_pefts_rounded_once(
    packed_stays: bool, tmp_path: Path
) -> None:
    made = tiny.adapted(wide(), 1, strength=1.0, r=8, target_modules="all-linear")
    made.save_pretrained(tmp_path)
    sizes = {} if packed_stays else {"budget_bytes": 1}
    runner = runner_of(wide(), **sizes)
    assert runner.memory.golden_stays == packed_stays
    generation = read(tmp_path, runner.layout)

    runner.weights.activate(generation)

    peft = PeftModel.from_pretrained(in_float32(wide()), tmp_path)
    whole = dict(peft.merge_and_unload().named_parameters())
    compared = 0
    for linear in runner.weights.swappables:
        if not isinstance(linear, Linear):
            continue
        found = unpacked(kernels_here(), linear.weight)
        for path, rows in linear.parts.items():
            exact = whole[f"{path}.weight"].detach()
            wanted, ours = exact.bfloat16(), found[rows]
            differs = ours != wanted
            assert differs.float().mean() < 2e-3
            middle = (ours.float() + wanted.float()) / 2
            assert bool(((exact - middle).abs()[differs] < 1e-5).all()), "no tie"
            compared += 1
    assert compared == 2 * 7 + 1


def test_a_slots_content_does_not_depend_on_what_it_held_before(
    tmp_path: Path,
) -> None:
    for seed in range(2):
        targets = ["q_proj", "down_proj"][: seed + 1]
        made = tiny.adapted(wide(), seed, r=4, target_modules=targets)
        made.save_pretrained(tmp_path / str(seed))
    runner, fresh = runner_of(wide()), runner_of(wide())
    first, second = (read(tmp_path / str(n), runner.layout) for n in range(2))
    for generation in (first, second, first, None, second):
        runner.weights.activate(generation)

    found = logits(runner, second, mixed=False)

    assert torch.equal(found, logits(fresh, second, mixed=False))


def test_each_of_several_adapters_is_itself_in_mixed_steps(tmp_path: Path) -> None:
    made: list[Generation | None] = [None]
    runner = runner_of(tiny.model("llama"))
    for seed in range(2):
        folder = tiny.save_adapter(tmp_path / str(seed), "llama", seed=seed, r=4)
        made.append(read(folder, runner.layout))
    for generation in made:
        base = in_float32(tiny.model("llama"))
        if generation is not None:
            folder = tmp_path / str(made.index(generation) - 1)
            base = PeftModel.from_pretrained(base, folder).eval()
        found = logits(runner, generation, mixed=True)
        same(found, oracle(base))


def test_a_model_that_the_chain_gets_wrong_is_served_in_float32(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Wrong(Widening):
        def linear_add(self, x, weight, bias, other):  # type: ignore[no-untyped-def]
            return super().linear_add(x, weight, bias, other) * 1.5

    wrong = object.__new__(Wrong)
    wrong.__dict__.update(kernels_here().__dict__)

    model = loaded(tiny.model("llama"), wrong)
    runner = EagerExecutor(model, slots=1, kv_tokens=1024)

    assert (runner.kind, runner.dtype) == ("interface", F32)
    assert "its logits differ" in caplog.text
    wanted = oracle(in_float32(tiny.model("llama")))
    same(logits(runner, None, mixed=False), wanted)


def test_adapters_beside_the_weights_are_float32() -> None:
    """Packed for oneDNN where that works, as in a float32 model."""
    runner = runner_of(tiny.model("llama"))

    beside = runner._lora._kernels

    assert type(beside) is type(kernels_for(F32, CPU))
    assert isinstance(beside, OneDNN) or not beside.copies
