"""Rotation and the KV's new rows: transformers' rotation, nothing else is written."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import (
    LlamaRotaryEmbedding,
    apply_rotary_pos_emb,
)

pytest.importorskip("triton")

from hotswap.model.gpu.kernels.rotary import rotate_and_write
from tests.hotswap.gpu import reference_kernels as reference

CAPACITY, CONTEXT, MARK = 24, 50, 7.0
dtypes = pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.float16]
)
# heads, heads of the KV, their width
shapes = pytest.mark.parametrize(
    "shape", [(9, 3, 64), (4, 4, 16), (1, 1, 80), (14, 2, 8)]
)


@dataclass
class Case:
    """A step of rows, and a KV between guards."""

    qkv: Tensor
    cos: Tensor
    sin: Tensor
    positions: Tensor
    write: Tensor
    arena: Tensor  # [2, CAPACITY + 2, k, d]
    heads: int

    @property
    def kv(self) -> Tensor:
        return self.arena[:, 1:-1]

    def run(self, function: Callable[..., Tensor] = rotate_and_write) -> Tensor:
        return function(
            self.qkv,
            self.cos,
            self.sin,
            self.positions,
            self.write,
            *self.kv,
            self.heads,
        )


def case(
    shape: tuple[int, int, int], dtype: torch.dtype, device: torch.device, rows: int = 5
) -> Case:
    heads, kv_heads, width = shape
    torch.manual_seed(heads)
    config = LlamaConfig(
        hidden_size=heads * width,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=CONTEXT,
    )
    cos, sin = LlamaRotaryEmbedding(config)(
        torch.zeros(()), torch.arange(CONTEXT)[None]
    )
    return Case(
        qkv=torch.randn(rows, (heads + 2 * kv_heads) * width).to(device, dtype),
        cos=cos[0].to(device),
        sin=sin[0].to(device),
        positions=torch.randint(0, CONTEXT, (rows,), dtype=torch.int32, device=device),
        write=torch.randperm(CAPACITY)[:rows].int().to(device),
        arena=torch.full((2, CAPACITY + 2, kv_heads, width), MARK).to(device, dtype),
        heads=heads,
    )


def split(case: Case) -> list[Tensor]:
    """q, k, v as [n, heads, d]."""
    kv_heads, width = case.kv.shape[-2:]
    heads = case.qkv.view(len(case.qkv), -1, width)
    return list(torch.split(heads, [case.heads, kv_heads, kv_heads], dim=1))


@dtypes
@shapes
def test_q_and_k_are_rotated_as_transformers_does(
    device: torch.device, dtype: torch.dtype, shape: tuple[int, int, int]
) -> None:
    step = case(shape, dtype, device)
    q, k, v = split(step)
    angles = (
        table[step.positions.long()].double()[:, None] for table in (step.cos, step.sin)
    )
    wanted = apply_rotary_pos_emb(q.double(), k.double(), *angles, unsqueeze_dim=0)

    found = step.run()

    keys, values = step.kv[:, step.write.long()]
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(found.double(), wanted[0].squeeze(0), rtol=eps, atol=eps)
    torch.testing.assert_close(keys.double(), wanted[1].squeeze(0), rtol=eps, atol=eps)
    assert torch.equal(values, v)


@dtypes
def test_it_says_what_the_reference_says(
    device: torch.device, dtype: torch.dtype
) -> None:
    ours, theirs = (case((9, 3, 64), dtype, device) for _ in range(2))

    torch.testing.assert_close(ours.run(), theirs.run(reference.rotate_and_write))
    torch.testing.assert_close(ours.arena, theirs.arena)


@pytest.mark.parametrize("function", [rotate_and_write, reference.rotate_and_write])
def test_only_the_rows_to_write_are_written(device: torch.device, function) -> None:
    step = case((3, 1, 16), torch.bfloat16, device)
    step.write[1], step.write[3] = -1, -1
    written = step.write[[0, 2, 4]].long()

    step.run(function)

    step.kv[:, written] = MARK
    assert (step.arena == MARK).all()


def test_rows_may_lie_in_wider_ones(device: torch.device) -> None:
    step, apart = (case((3, 1, 16), torch.float32, device) for _ in range(2))
    wide = torch.randn(5, 200, device=device)
    wide[:, :80] = step.qkv
    step.qkv = wide[:, :80]

    assert torch.equal(step.run(), apart.run())
    assert torch.equal(step.arena, apart.arena)
