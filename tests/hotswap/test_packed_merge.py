"""Merging in the packed layout: the same weights, golden untouched, memory kept."""

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from hotswap.adapters.checkpoint import read
from hotswap.adapters.generation import Delta, Generation
from hotswap.model.eager.batched_lora import BatchedLora
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.eager.linear import Linear, LinearTensors
from hotswap.model.eager.packed_merge import blocks_of
from hotswap.model.machine.device import Host
from hotswap.model.machine.kernels import Plain, kernels_for
from hotswap.model.network.loaded import Loaded
from hotswap.model.network.rows import Row, own_blocks
from hotswap.sampling_params import SamplingParams
from tests import tiny

CPU = torch.device("cpu")
KERNELS = kernels_for(torch.float32, CPU)


def is_blocked_here() -> bool:
    packed = KERNELS.pack(torch.zeros(64, 64))
    return blocks_of(packed, KERNELS) is not None


needs_blocks = pytest.mark.skipif(
    not is_blocked_here(), reason="this CPU packs weights otherwise"
)


def stacked(*rows: int, columns: int = 80) -> Linear:
    """Modules of so many outputs under each other."""
    torch.manual_seed(0)
    modules = {f"m{n}": torch.nn.Linear(columns, r) for n, r in enumerate(rows)}
    return Linear(modules, KERNELS, BatchedLora(torch.float32, CPU, KERNELS))


def update(
    linear: Linear, *paths: str, seed: int = 0, dtype: torch.dtype = torch.float32
) -> Generation:
    random = torch.Generator().manual_seed(seed)
    deltas = {}
    for path in paths:
        rows, columns = linear.parts[path], linear.golden.shape[1]
        b = torch.randn(rows.stop - rows.start, 3, generator=random)
        a = torch.randn(3, columns, generator=random)
        deltas[path] = Delta(a=a.to(dtype), b=b.to(dtype), scale=0.7)
    return Generation(key=f"g{seed}", deltas=deltas)


def dense(filling: LinearTensors) -> torch.Tensor:
    weight = filling.weight
    return weight.to_dense() if weight.is_mkldnn else weight


def exact(linear: Linear, generation: Generation) -> torch.Tensor:
    """By the definition, in float64."""
    wanted = linear.golden.double()
    for path, d in generation.deltas.items():
        wanted[linear.parts[path]] += d.scale * (d.b.double() @ d.a.double())
    return wanted


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rows", [(64,), (128, 64, 64), (96, 32), (70,), (64, 70)])
def test_a_merge_is_golden_and_the_update_to_the_last_bits(
    rows: tuple[int, ...], dtype: torch.dtype
) -> None:
    linear = stacked(*rows)
    before = [tensor.clone() for tensor in linear.golden_tensors]
    generation = update(linear, *linear.parts, dtype=dtype)

    found = linear.build(generation, None, Host())

    wanted = exact(linear, generation)
    eps = torch.finfo(torch.float32).eps
    assert (dense(found) - wanted).abs().max() <= 4 * eps * wanted.abs().max()
    for now, then in zip(linear.golden_tensors, before, strict=True):
        same = now.to_dense() if now.is_mkldnn else now
        assert torch.equal(same, then.to_dense() if then.is_mkldnn else then)


@needs_blocks
def test_a_slot_is_written_in_the_memory_it_has() -> None:
    linear = stacked(128, 64)
    both, first = update(linear, "m0", "m1"), update(linear, "m0", seed=1)
    fresh = linear.build(first, None, Host())
    used = linear.build(both, None, Host())
    address = torch.ops.mkldnn.data_ptr(used.weight)

    again = linear.build(first, used, Host())

    assert torch.ops.mkldnn.data_ptr(again.weight) == address
    assert torch.equal(dense(again), dense(fresh)), "whatever it held before"
    assert torch.equal(dense(again)[128:], linear.golden[128:]), "not targeted"


@needs_blocks
def test_a_layer_computes_with_what_was_merged_into_blocks() -> None:
    linear = stacked(128, 64)
    generation = update(linear, "m1")
    x = torch.randn(5, 80)

    linear.point(linear.build(generation, None, Host()))

    assert linear.bias is not None
    wanted = torch.nn.functional.linear(
        x.double(), exact(linear, generation), linear.bias.double()
    )
    torch.testing.assert_close(linear.rows(x).double(), wanted, rtol=1e-4, atol=1e-4)


@needs_blocks
def test_a_weight_packed_with_another_number_of_threads_is_not_misread() -> None:
    before = torch.get_num_threads()
    weight = torch.rand(192, 80)
    packed = {}
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            packed[threads] = KERNELS.pack(weight)
        for tensor in packed.values():  # with two threads still
            blocks = blocks_of(tensor, KERNELS)
            if blocks is not None:
                flat = blocks.transpose(1, 2).reshape(192, 80)
                assert torch.equal(flat, weight)
    finally:
        torch.set_num_threads(before)


def test_other_layouts_have_no_blocks() -> None:
    plain = Plain()

    assert blocks_of(torch.zeros(64, 64), plain) is None
    for shape in ((70, 64), (64, 70), (63, 16)):  # padded
        packed = KERNELS.pack(torch.zeros(shape))
        assert blocks_of(packed, KERNELS) is None


def test_a_layout_that_looks_alike_is_not_taken_for_blocks() -> None:
    class Turned(Plain):
        """Packs another order of the same size."""

        def pack(self, weight: torch.Tensor) -> torch.Tensor:
            return KERNELS.pack(weight.flip(0))

    packed = Turned().pack(torch.zeros(64, 64))

    assert blocks_of(packed, Turned()) is None


def wide() -> PreTrainedModel:
    """A llama whose modules are all whole blocks."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=320,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=16,
        max_position_embeddings=128,
    )
    made = LlamaForCausalLM(config)
    made.train(False)
    for parameter in made.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0, 0.12)
    return made


def test_a_model_merged_in_blocks_says_what_peft_says_and_base_stays_base(
    tmp_path: Path,
) -> None:
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    peft = get_peft_model(wide(), config)
    peft.save_pretrained(tmp_path)
    ids = list(range(40, 60))
    with torch.no_grad():
        wanted = peft(input_ids=torch.tensor([ids])).logits[0, -1]
    loaded = Loaded(
        model=wide(),
        tokenizer=tiny.tokenizer(),
        name="wide",
        context=128,
        eos=frozenset(),
        kernels=KERNELS,
    )
    runner = EagerExecutor(loaded, slots=1, kv_tokens=64)
    adapter = read(tmp_path, runner.layout)

    def logits(generation: Generation | None) -> torch.Tensor:
        runner.weights.activate(generation)
        runner.open(1, SamplingParams())
        row = Row(
            job=1,
            tokens=ids,
            position=0,
            generation=None,
            wants_logits=True,
            blocks=own_blocks(0, 32),
        )
        found = runner.forward([row], mixed=False)
        runner.close(1)
        return found[0]

    base, checksum = logits(None), runner.weights.checksum()
    others = [adapter.scaled(n / 8) for n in range(8)]
    for generation in others * 5:
        runner.weights.activate(generation)

    torch.testing.assert_close(logits(adapter), wanted, rtol=1e-4, atol=1e-4)
    assert torch.equal(logits(None), base)
    assert runner.weights.checksum() == checksum
