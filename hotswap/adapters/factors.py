"""Factors: a delta's, as they are multiplied beside the weights."""

import torch

from hotswap.adapters.generation import Delta


def factors(delta: Delta, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """[rank, in] and [rank, out] in float64, balanced, the scale in the second."""
    a = delta.a.to(device, torch.float64)
    return balanced(a, delta.b.t().to(device, torch.float64) * delta.scale)


def balanced(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Factors [..., rank, in] and [..., rank, out] of the same product.

    Neither is larger than 1 if the other can take what is above, in powers of two,
    which change no other bit: a row of the first that overflowed in a product, or of
    the second in the model's type, would be infinite for nothing.
    """
    power = _exponents(a).clamp(min=0)
    spare, excess = power - _exponents(a), (_exponents(b) + power).clamp(min=0)
    power -= torch.minimum(spare, excess)
    return torch.ldexp(a, -power), torch.ldexp(b, power)


def _exponents(rows: torch.Tensor) -> torch.Tensor:
    """[..., rows, 1] powers of two that the largest of each row is below."""
    return torch.frexp(rows.abs().amax(-1, keepdim=True)).exponent
